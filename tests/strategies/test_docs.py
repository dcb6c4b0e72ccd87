"""docs/strategies.md lists every strategy and parameter as declared; its example runs."""

from pathlib import Path
from typing import Literal, get_args, get_origin

import numpy as np
import pytest

from crypto_bot.strategies import EXTRA_COLUMNS, get_strategy, list_strategies
from crypto_bot.strategies.base import enrolled
from crypto_bot.strategies.needs import needed_columns

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"


def row(name, field):
    """One line of a parameter table, from the declaration."""
    if get_origin(field.annotation) is Literal:
        span = " or ".join(str(value) for value in get_args(field.annotation))
    elif field.annotation is bool:
        span = "true or false"
    elif field.annotation is str:
        span = "the name of a strategy"
    elif get_origin(field.annotation) is tuple:
        span = "names and values"
    else:
        low = next(rule.ge for rule in field.metadata if hasattr(rule, "ge"))
        high = next(rule.le for rule in field.metadata if hasattr(rule, "le"))
        span = f"{low} to {high}"
    return f"| {name} | {field.get_default(call_default_factory=True)} | {span} | {field.description} |"


def section(name):
    """The part of the page about one strategy, as it must be."""
    one = get_strategy(name)
    lines = [f"### {name}", one.summary, ""]
    lines += [f"Regime: {', '.join(one.regime)}. Exit on signal: {one.signal_exit}. "]
    reads = (*one.features(), *one.prices, *needed_columns(one.needs))
    lines[-1] += f"Reads: {', '.join(f'`{value}`' for value in reads)}."
    lines += ["", "| parameter | default | range | meaning |", "|---|---|---|---|"]
    lines += [row(key, field) for key, field in type(one.parameters).model_fields.items()]
    return "\n".join(lines)


@pytest.mark.parametrize("name", list_strategies())
def test_the_page_says_what_the_declaration_says(name):
    assert section(name) in PAGE.read_text(encoding="utf-8")


def test_the_page_explains_every_column_that_can_be_needed():
    text = PAGE.read_text(encoding="utf-8")
    for name, meaning in EXTRA_COLUMNS.items():
        assert f"| {name} | {meaning} |" in text


def test_the_example_of_a_new_strategy_runs():
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[2].split("```")[0]
    names = set(enrolled())
    try:
        exec(compile(code, "docs/strategies.md", "exec"), {"__name__": "example"})
        signals = get_strategy("channel_break", bars=10).signals(
            {
                "close": np.array([1.0, 3.0, 0.5]),
                "donchian_high_10": np.full(3, 2.0),
                "donchian_low_10": np.full(3, 1.0),
            }
        )
        assert signals.direction.tolist() == [0, 1, -1]
    finally:
        for name in set(enrolled()) - names:
            del enrolled()[name]
