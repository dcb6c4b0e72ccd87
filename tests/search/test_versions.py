"""A stored result belongs to the code that made it, a user's own strategies and features included."""

from __future__ import annotations

from crypto_bot.search import versions
from crypto_bot.search.versions import engine_version, strategy_version
from crypto_bot.strategies import StrategyParameters, get_strategy, strategy
from crypto_bot.strategies.base import enrolled, whole_score

RULE = '''
def rule(columns, parameters):
    """A rule of a user's own."""
    return whole_score((columns["close"] > {limit}).astype("int8"))
'''


def own_strategy(limit):
    made = {"whole_score": whole_score}
    exec(RULE.format(limit=limit), made)

    class Nothing(StrategyParameters):
        def features(self):
            return ()

    strategy("of_my_own", parameters=Nothing, regime=("trending",), signal_exit="flat",
             prices=("close",))(made["rule"])  # fmt: skip
    try:
        return get_strategy("of_my_own")
    finally:
        del enrolled()["of_my_own"]


def test_the_version_is_the_same_in_every_process_and_changes_with_any_source(
    monkeypatch, tmp_path
):
    assert engine_version() == engine_version.__wrapped__()
    for package in versions._PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "rules.py").write_text("value = 1\n")
    monkeypatch.setattr(versions.crypto_bot, "__file__", str(tmp_path / "__init__.py"))
    before = engine_version.__wrapped__()
    assert before != engine_version()
    (tmp_path / "strategies" / "rules.py").write_text("value = 2\n")
    assert engine_version.__wrapped__() != before


def test_a_strategy_of_ours_has_the_version_of_the_engine():
    assert strategy_version(get_strategy("rsi")) == engine_version()


def test_a_user_s_strategy_changes_its_version_with_its_code():
    first, again, other = own_strategy(1.5), own_strategy(1.5), own_strategy(2.5)
    assert strategy_version(first) == strategy_version(again) != engine_version()
    assert strategy_version(first) != strategy_version(other)
