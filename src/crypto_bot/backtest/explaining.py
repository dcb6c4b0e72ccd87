"""What a turn's report says beside the verdict: why a model says so, and where its result comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.examined import Learned
from crypto_bot.core.arrays import PerBarFeature
from crypto_bot.core.errors import ConfigError, DataError, ModelError
from crypto_bot.engine import BacktestResult
from crypto_bot.explain import ExplainOptions, Explanation, explain_model, lag_groups
from crypto_bot.features import (
    REGIMES,
    FeatureDrift,
    classify_regimes,
    compute_features,
    compute_panel,
    feature,
    feature_drift,
    level_features,
)
from crypto_bot.report import FactTable
from crypto_bot.significance import (
    cost_sensitivity,
    minimum_track_record,
    regime_breakdown,
    return_moments,
)

_TRIED_BARS = 300
"""Bars beyond the warm-up on which it is tried whether a feature carries a level."""
_MOST_DRIFT_ROWS = 40_000
_SEED = 42
_FIGURES: Mapping[str, tuple[str, str]] = {
    "probabilistic_sharpe": ("probabilistic Sharpe", "chance that the true Sharpe ratio is above 0, had this been the only trial"),
    "buy_and_hold_return": ("buy and hold return", "of the same pairs, entry costs included"),
    "mean_random_entry_return": ("mean random entry return", "what traders earned who entered at random, as often and as long"),
    "break_even_cost_frac": ("break-even cost a side", "fraction of a trade's value at which nothing would be left, mean over the pairs"),
    "mean_daily_return_low": ("mean daily return, low end", "of the 95 % interval"),
    "mean_daily_return_high": ("mean daily return, high end", "of the 95 % interval; one that holds 0 proves nothing"),
    "sharpe_low": ("Sharpe ratio, low end", "of the 95 % interval"),
    "sharpe_high": ("Sharpe ratio, high end", "of the 95 % interval"),
}  # fmt: skip
"""Figures kept with a verdict: how the page calls them, and what they mean."""


def explain_learned(
    learned: Learned,
    universe: Universe,
    hold_out_ns: int,
    options: ExplainOptions | None = None,
) -> tuple[Explanation | None, str]:
    """Why a model says what it says, and in words what could not be found out.

    Notes
    -----
    Drift is measured between all development rows and the hold-out's: the run is over, nothing is
    decided by it any more.
    """
    drift, levels, note = _drift(learned, universe, hold_out_ns)
    try:
        found = explain_model(
            learned.dataset, learned.predictions, options, drift=drift, level_features=levels
        )
    except (DataError, ModelError) as error:
        return None, f"Not explained: {error}."
    return found, note


def _drift(
    learned: Learned, universe: Universe, hold_out_ns: int
) -> tuple[tuple[FeatureDrift, ...], tuple[str, ...], str]:
    """Drift from development rows to the hold-out's, features that carry a level, or why there is none."""
    # Of a feature and its past values the newest moves as all do.
    names = [members[-1] for members in lag_groups(learned.dataset.feature_names).values()]
    try:
        now, levels = _rows_now(learned, names, universe, hold_out_ns)
        before = _drawn(learned.dataset.columns(names).features)
        return feature_drift(names, before, _drawn(now)), levels, ""
    except DataError as error:
        return (), (), f"Drift was not measured: {error}."


def _drawn(rows: PerBarFeature) -> PerBarFeature:
    """So many rows that a distribution is known well, drawn alike in every run; all where there are few."""
    if len(rows) <= _MOST_DRIFT_ROWS:
        return rows
    random = np.random.default_rng(_SEED)
    return rows[random.choice(len(rows), _MOST_DRIFT_ROWS, replace=False)]


def _rows_now(
    learned: Learned, names: Sequence[str], universe: Universe, hold_out_ns: int
) -> tuple[PerBarFeature, tuple[str, ...]]:
    """float64 (rows, features) of the hold-out's settled bars, and the features that carry a level."""
    wanted = [feature(name, learned.dataset.timeframe) for name in names]
    settled = max(each.settled_bars or 0 for each in wanted)
    bars = [
        each[max(0, int(np.searchsorted(each.close_time, hold_out_ns, "right")) - settled) :]
        for each in universe.bars
        if each.symbol in learned.dataset.symbols
    ]
    bars = [each for each in bars if len(each) > settled and each.close_time[-1] > hold_out_ns]
    if not bars:
        raise DataError(f"the hold-out must hold candles of some pair after {settled}, held none")
    funding = universe.funding
    if any(each.needs_market for each in wanted):
        tables = compute_panel(bars, names, funding=funding)
    else:
        tables = [compute_features(each, names, funding=funding.get(each.symbol)) for each in bars]
    pieces = []
    for each, table in zip(bars, tables, strict=True):
        first = int(np.searchsorted(each.close_time, hold_out_ns, "right"))
        pieces.append(table.values[max(settled, first) :])
    own = [each.name for each in wanted if not (each.needs_market or each.needs_funding)]
    levels = level_features(bars[0][: settled + _TRIED_BARS], own) if own else ()
    return np.concatenate(pieces), levels


def further_tables(learned: Learned) -> Iterator[FactTable]:
    """What else is known of a candidate, beside the gate's checks."""
    yield FactTable(
        "What else is known",
        ("figure", "value", "what it means"),
        list(_figures(learned)),
        "Measured out of sample; kept with the verdict, not judged.",
    )
    search = learned.verdict.evidence.notes.get("search")
    if search:
        yield _choices(search)
    yield FactTable(
        "Where the result comes from",
        ("regime", "share of time", "trades", "return", "Sharpe"),
        regime_rows(learned.results),
        "By the kind of market that was known when each position was decided; mean over the pairs.",
    )
    yield _costs(learned.results)


def _figures(learned: Learned) -> Iterator[tuple[str, Any, str]]:
    evidence = learned.verdict.evidence
    yield (
        "trials",
        evidence.trials,
        "everything tried so far, by the journal; each makes luck likelier",
    )
    if evidence.effective_trials is not None:
        yield (
            "effective trials",
            evidence.effective_trials,
            "independent tries they amount to; the Sharpe ratio is deflated by these",
        )
    for name, value in evidence.details.items():
        called, meaning = _FIGURES.get(name, (name.replace("_", " "), ""))
        yield called, value, meaning
    if not any("track_record" in name for name in evidence.details):
        days = len(learned.pooled.daily_returns)
        meaning = (
            f"days such a result must last to be told from luck with 95 %; this record has {days}"
        )
        yield "minimum track record, days", _track_record(learned), meaning
    search = evidence.notes.get("search", {})
    if "overfitting_probability" in search:
        meaning = "PBO: how often the best setting of one half of the days is below the middle on the other"
        yield "probability of overfitting", search["overfitting_probability"], meaning


def _track_record(learned: Learned) -> float | None:
    moments = return_moments(learned.pooled.daily_returns)
    return None if moments is None else minimum_track_record(moments)


def _choices(search: Mapping[str, Any]) -> FactTable:
    """What the search chose for each stretch, from the past alone, and how that fared."""
    rows = [
        (each["start"][:10], each["end"][:10], each["chosen"], each["threshold"],
         each["sharpe_before"], each["sharpe"])
        for each in search["stretches"]
    ]  # fmt: skip
    tried = f"{search['tried']} settings were tried, {search['pruned']} given up early"
    return FactTable(
        "What the search chose, stretch by stretch",
        ("from", "to", "chosen", "threshold", "Sharpe in the search", "Sharpe unseen"),
        rows,
        f"{tried} in the last search. Unseen figures far below those of the search are overfitting.",
    )


def regime_rows(results: Sequence[BacktestResult]) -> list[tuple[Any, ...]]:
    """Name, share of time, trades, mean return and mean Sharpe of each regime, over the results."""
    found: dict[int, list[tuple[int, Any]]] = {}
    for result in results:
        for share in regime_breakdown(result, classify_regimes(result.bars)):
            found.setdefault(share.label, []).append((len(result.bars), share))
    bars = sum(len(result.bars) for result in results)
    rows = []
    for label in sorted(found):
        shares = [share for _, share in found[label]]
        sharpes = [share.sharpe for share in shares if share.sharpe is not None]
        rows.append(
            (
                REGIMES[label] if label >= 0 else "not known yet",
                sum(count * share.share_of_time for count, share in found[label]) / bars,
                sum(share.trades for share in shares),
                sum(share.total_return for share in shares) / len(results),
                float(np.mean(sharpes)) if sharpes else None,
            )
        )
    return rows


def _costs(results: Sequence[BacktestResult]) -> FactTable:
    title = "What it would be at other costs"
    columns = ("times the costs", "return", "Sharpe", "drawdown", "trades")
    try:
        repeated = [cost_sensitivity(result) for result in results]
    except ConfigError as error:
        return FactTable(title, columns, (), f"Other costs were not tried: {error}.")
    rows = []
    for same in zip(*repeated, strict=True):
        sharpes = [row.sharpe for row in same if row.sharpe is not None]
        rows.append(
            (
                same[0].multiple,
                float(np.mean([row.total_return for row in same])),
                float(np.mean(sharpes)) if sharpes else None,
                float(np.mean([row.max_drawdown for row in same])),
                sum(row.trades for row in same),
            )
        )
    note = (
        "The same trades' signals at multiples of fee and slippage; mean over the pairs, fractions."
    )
    return FactTable(title, columns, rows, note)
