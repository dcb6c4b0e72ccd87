"""Sections that mirror a stage's options have the same fields, defaults and ranges."""

from __future__ import annotations

import pytest

from crypto_bot.config import Settings
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.feedback import WatchOptions
from crypto_bot.gate import GateOptions
from crypto_bot.labels.three_class import ThreeClassOptions
from crypto_bot.market import SimulationOptions
from crypto_bot.portfolio import PortfolioOptions
from crypto_bot.trading.risk import RiskLimits
from crypto_bot.training import ForestOptions, LightGBMOptions, LogisticOptions, LSTMOptions

DEFAULTS = Settings()
PAIRS = [
    (DEFAULTS.costs, CostOptions, set()),
    (DEFAULTS.exits, ExitOptions, set()),
    # Off in a file: a spot market has no shorts.
    (DEFAULTS.sizing, SizingOptions, {"allow_short"}),
    (DEFAULTS.portfolio, PortfolioOptions, set()),
    (DEFAULTS.risk, RiskLimits, set()),
    (DEFAULTS.ml_integration.features, ThreeClassOptions, set()),
    # These have their home in ml_integration.training.
    (DEFAULTS.models.logistic, LogisticOptions, set()),
    (DEFAULTS.models.lstm, LSTMOptions, {"device_type"}),
    (DEFAULTS.models.lightgbm, LightGBMOptions, {"max_bin", "device_type", "n_jobs"}),
    # n_jobs has its home there too; the rule of features per split stays scikit-learn's.
    (DEFAULTS.models.random_forest, ForestOptions, {"n_jobs", "max_features"}),
    # The run itself knows these: top_pairs_count, data.base_timeframe, lookback_days.
    # The guide's own keys at the top of the file.
    (DEFAULTS.gate, GateOptions, {"min_sharpe", "max_drawdown", "min_win_rate"}),
    (DEFAULTS.simulation, SimulationOptions, {"symbols", "timeframe", "bars"}),
    # The loop and the backtests read these.
    (DEFAULTS.feedback, WatchOptions, {"act", "interval_hours", "use_measured_slippage"}),
]


def facts(options: type) -> dict[str, object]:
    """Default, bounds and choices of each field."""
    schema = options.model_json_schema()
    return {name: _rules(field, schema) for name, field in schema["properties"].items()}


def _rules(field: dict[str, object], schema: dict[str, object]) -> dict[str, object]:
    known = {name: value for name, value in field.items() if name not in ("title", "description")}
    for name in ("anyOf", "allOf"):
        known[name] = [_rules(part, schema) for part in known.get(name, [])]
    if "$ref" in known:
        target = schema["$defs"][str(known.pop("$ref")).rpartition("/")[2]]
        known |= {name: target[name] for name in ("enum", "type")}
    return known


@pytest.mark.parametrize(("section", "options", "elsewhere"), PAIRS)
def test_a_section_mirrors_the_options_of_its_stage(section, options, elsewhere):
    wanted = {name: rule for name, rule in facts(options).items() if name not in elsewhere}
    ours = {name: rule for name, rule in facts(type(section)).items() if name not in elsewhere}
    assert ours == wanted


@pytest.mark.parametrize(("section", "options", "elsewhere"), PAIRS)
def test_a_section_turns_into_the_options_of_its_stage(section, options, elsewhere):
    own = {name: value for name, value in section.model_dump().items() if name in elsewhere}
    own = {name: value for name, value in own.items() if name in options.model_fields}
    assert section.of(options) == options(**own)


def test_shorts_are_off_unless_asked_for():
    assert not DEFAULTS.sizing.allow_short


def test_what_only_a_run_knows_is_added():
    options = DEFAULTS.simulation.of(SimulationOptions, symbols=3, bars=1000)
    assert (options.symbols, options.bars, options.seed) == (3, 1000, 42)
