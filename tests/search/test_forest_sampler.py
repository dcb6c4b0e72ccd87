"""The forest learns where it pays to look, never repeats itself and keeps every type."""

import numpy as np

from crypto_bot.engine import ExitOptions
from crypto_bot.search import ExitSpace, search_space
from crypto_bot.search.forest_sampler import EXPLORED, encoded
from crypto_bot.search.samplers import BATCH, make_sampler
from crypto_bot.search.space import Setting

SPACE = search_space("sma_cross", {"fast": (2, 100), "slow": (101, 400)})


def run(value, batches=5, seed=1, space=SPACE):
    sampler = make_sampler("forest", space, 10_000, seed)
    asked = []
    for batch in range(batches):
        suggestions = sampler.ask(batch, BATCH["forest"])
        sampler.tell(suggestions, [(value(each.setting.parameters),) for each in suggestions])
        asked.append([each.setting for each in suggestions])
    return asked


def hill(parameters):
    return -abs(parameters["fast"] - 80) - abs(parameters["slow"] - 150) / 10


def test_it_comes_nearer_to_what_pays():
    asked = run(hill)
    first = np.mean([hill(each.parameters) for each in asked[0]])
    last = np.sort([hill(each.parameters) for each in asked[-1]])
    assert last[EXPLORED:].mean() > first / 2
    assert max(last) > -5


def test_it_never_asks_the_same_twice_except_by_chance():
    asked = [each.key for batch in run(hill) for each in batch]
    assert len(set(asked)) >= len(asked) - 2


def test_a_lucky_value_and_a_setting_without_one_do_not_bend_the_scale():
    spiked = run(lambda p: 1e9 if p["fast"] == 3 else -1e9 if p["fast"] > 95 else hill(p))
    assert np.isfinite(encoded([each for batch in spiked for each in batch])).all()


def test_settings_become_numbers_with_a_flag_a_choice():
    exits = ExitOptions(stop_loss_frac=0.1)
    columns = encoded(
        [
            Setting({"bars": 3, "way": "up", "on": True}, ExitOptions()),
            Setting({"bars": 5, "way": "down", "on": False}, exits),
        ]
    )
    assert columns[:, :4].tolist() == [[3.0, 0.0, 1.0, 1.0], [5.0, 1.0, 0.0, 0.0]]
    assert 0.1 in columns[1]
    assert -1.0 in columns[0]


def test_a_space_with_nothing_left_to_try_is_walked_by_chance():
    small = search_space("sma_cross", {"fast": [3, 4], "slow": 50})
    asked = run(hill, batches=3, space=small)
    assert [len(batch) for batch in asked] == [16, 16, 16]
    with_exits = search_space("sma_cross", {"fast": (2, 9)}, ExitSpace(stop=(0.01, 0.1)))
    assert len(run(hill, batches=2, space=with_exits)[1]) == 16
