"""From bars to rows: features and labels joined, unfit rows dropped and counted."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from crypto_bot.core import Bars
from crypto_bot.core.arrays import Index, PerBarFeature
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.dataset.rows import ARRAYS, Dataset
from crypto_bot.features import (
    S0_FEATURES,
    FeatureTable,
    compute_features,
    compute_panel,
    feature,
    stationary_twin,
)
from crypto_bot.labels import (
    LabelOptions,
    NextUpOptions,
    WeightOptions,
    average_uniqueness,
    make_labels,
    time_decay,
)

MINIMUM_ROWS = 100
"""Fewer rows than this teach nothing that could be told from luck."""

UNSETTLED, UNLABELLED, NOT_SAMPLED, UNDEFINED = (
    "unsettled",
    "unlabelled",
    "not_sampled",
    "undefined",
)
"""Why a bar gave no row; each dropped bar counts under the first reason that holds."""


def build_dataset(
    bars: Sequence[Bars],
    *,
    feature_names: Sequence[str] = S0_FEATURES,
    labels: LabelOptions | None = None,
    sample_every_bars: int = 1,
    minimum_rows: int = MINIMUM_ROWS,
    weights: WeightOptions | None = None,
    funding: Mapping[str, FundingRates] | None = None,
) -> Dataset:
    """Compute features and labels of each symbol's bars and keep the rows that are fit to learn from.

    Parameters
    ----------
    bars : one `Bars` a symbol, all of one timeframe
    feature_names : ordered schema
    labels : which label; None is `NextUpOptions()`
    sample_every_bars : keep only decisions on every n-th bar of the calendar (not of the file), so
        that all symbols are sampled at the same moments; the label's horizon in bars gives labels
        that never overlap
    minimum_rows : fewer are refused
    weights : how rows count in training, to a mean of 1; None: all the same
    funding : payments by symbol, needed for features of funding only

    Raises
    ------
    ConfigError    unknown, duplicate or never-settling feature
    DataError      nothing to learn from: no bars, mixed timeframes, one class, too few rows, a label
                   horizon longer than the data, or a feature that is undefined on every row (flat
                   prices, no volume)

    Notes
    -----
    Looks ahead by the label's horizon: `label_end_ns` says how far. Rows are dropped, never filled:
    before every feature is settled, without a label (tail, outages), off the sampling grid, or with
    a NaN or infinite feature; `dropped` counts them. Symbols are computed side by side, one thread
    a core; the rows do not depend on how many.
    """
    ordered = _checked_bars(bars)
    names = _checked_names(feature_names, ordered[0].timeframe)
    if sample_every_bars < 1:
        raise ConfigError(f"sample_every_bars must be at least 1, was {sample_every_bars}")
    options = NextUpOptions() if labels is None else labels
    tables = _panel_tables(ordered, names, funding)
    one = partial(
        _part,
        tables=tables,
        names=names,
        options=options,
        every=sample_every_bars,
        weights=weights,
        funding=funding or {},
    )
    with ThreadPoolExecutor(min(len(ordered), os.cpu_count() or 1)) as threads:
        parts = list(threads.map(one, ordered))
        _check_horizon(parts[0].label_definition, ordered)
        dataset = _pooled(parts, threads, _fingerprint(parts, sample_every_bars, weights))
    dataset = _with_funding(_weighted(dataset, weights), funding)
    _check_rows(dataset, minimum_rows, sum(map(len, ordered)))
    return dataset


def _checked_names(feature_names: Sequence[str], timeframe: str) -> tuple[str, ...]:
    names = tuple(feature_names)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated or not names:
        raise ConfigError(f"feature_names must name each feature once, repeated {repeated}")
    for name in names:
        if feature(name, timeframe).settled_bars is None:
            twin = stationary_twin(name)
            raise ConfigError(
                f"feature_names must settle, {name!r} never does: it depends for ever on where the "
                f"data starts; use {f'its twin {twin!r}' if twin else 'another feature'}"
            )
    return names


def _checked_bars(bars: Sequence[Bars]) -> list[Bars]:
    if isinstance(bars, Bars):
        raise ConfigError(f"bars must be a list of Bars, was {bars.symbol} alone; write [bars]")
    if not bars:
        raise DataError("bars must hold at least one symbol, was empty")
    ordered = sorted(bars, key=lambda each: each.symbol)
    symbols = Counter(each.symbol for each in ordered)
    repeated = [symbol for symbol, count in symbols.items() if count > 1]
    timeframes = sorted({each.timeframe for each in ordered})
    if repeated or len(timeframes) > 1:
        raise DataError(
            f"bars must be one Bars a symbol of one timeframe, had {repeated or timeframes}"
        )
    return ordered


def _panel_tables(
    bars: list[Bars], names: tuple[str, ...], funding: Mapping[str, FundingRates] | None
) -> Mapping[str, FeatureTable]:
    """Every symbol's features where a name needs the whole market, else none."""
    if not any(feature(name).needs_market for name in names):
        return {}
    found = compute_panel(bars, names, funding=funding)
    return {each.symbol: table for each, table in zip(bars, found, strict=True)}


def _part(
    bars: Bars,
    *,
    tables: Mapping[str, FeatureTable],
    names: tuple[str, ...],
    options: LabelOptions,
    every: int,
    weights: WeightOptions | None,
    funding: Mapping[str, FundingRates],
) -> Dataset:
    """The rows of one symbol."""
    table = tables.get(bars.symbol)
    if table is None:
        table = compute_features(bars, names, funding=funding.get(bars.symbol))
    labelled = make_labels(bars, options)
    is_settled = np.arange(len(bars)) >= (table.settled_bars or 0)
    is_sampled = bars.open_time // bars.interval_ns % every == 0
    is_candidate = is_settled & labelled.is_labelled & is_sampled
    is_defined = np.isfinite(table.values).all(axis=1)
    check_defined(bars, names, table.values[is_candidate])
    rows = np.flatnonzero(is_candidate & is_defined)
    is_unique = weights is not None and weights.uniqueness
    reasons = {
        UNSETTLED: ~is_settled,
        UNLABELLED: is_settled & ~labelled.is_labelled,
        NOT_SAMPLED: is_settled & labelled.is_labelled & ~is_sampled,
        UNDEFINED: is_candidate & ~is_defined,
    }
    return Dataset(
        features=table.values[rows],
        feature_names=names,
        labels=labelled.values[rows],
        weights=average_uniqueness(rows, labelled.end_bar[rows], len(bars))
        if is_unique
        else np.ones(len(rows)),
        classes=labelled.classes,
        decided_at_ns=bars.close_time[rows],
        label_end_ns=labelled.end_time_ns[rows],
        bar_index=rows,
        symbol_index=np.zeros(len(rows), dtype=np.int64),
        symbols=(bars.symbol,),
        timeframe=bars.timeframe,
        label_definition=dict(labelled.definition),
        fingerprint=bars.fingerprint,
        dropped={reason: int(np.count_nonzero(mask)) for reason, mask in reasons.items()},
        is_simulated=bars.is_simulated,
    )


def check_defined(bars: Bars, names: tuple[str, ...], values: PerBarFeature) -> None:
    """Name the features that have no value on any row, and what in the candles makes them so."""
    is_never = np.flatnonzero(~np.isfinite(values).any(axis=0))
    never = [names[k] for k in is_never]
    if not len(values) or not never:
        return
    causes = []
    if not bars.volume.any():
        causes.append("volume is 0 on every bar")
    if (bars.high == bars.low).all():
        causes.append("prices are flat: high equals low on every bar")
    elif (np.diff(bars.close) == 0).all():
        causes.append("close never changes")
    raise DataError(
        f"{bars.symbol} features must be defined on some row, {', '.join(never)} "
        f"{'is' if len(never) == 1 else 'are'} undefined on all {len(values)}"
        f"{'; ' + ' and '.join(causes) if causes else ''}; leave out the feature or the symbol"
    )


def _pooled(parts: Sequence[Dataset], threads: ThreadPoolExecutor, fingerprint: str) -> Dataset:
    """All symbols' rows by time, then symbol."""
    lengths = [len(part) for part in parts]
    symbol = np.repeat(np.arange(len(parts)), lengths)
    # Parts stand in the order of their symbols, which a stable sort keeps among equal times.
    order = np.argsort(np.concatenate([part.decided_at_ns for part in parts]), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    places = np.split(place, np.cumsum(lengths)[:-1])
    joined: dict[str, Any] = {"symbol_index": symbol[order]}
    for name in ARRAYS:
        first = getattr(parts[0], name)
        joined.setdefault(name, np.empty((len(order), *first.shape[1:]), first.dtype))

    def lay(part: Dataset, at: Index) -> None:
        for name, array in joined.items():
            if name != "symbol_index":
                array[at] = getattr(part, name)

    list(threads.map(lay, parts, places))
    dropped = Counter[str]()
    for part in parts:
        dropped.update(part.dropped)
    return replace(
        parts[0],
        **joined,
        symbols=tuple(part.symbols[0] for part in parts),
        fingerprint=fingerprint,
        dropped=dict(dropped),
        is_simulated=any(part.is_simulated for part in parts),
    )


def _weighted(dataset: Dataset, options: WeightOptions | None) -> Dataset:
    """The rows with their weights brought to a mean of 1, the older ones counting less if so told."""
    if options is None or not len(dataset):
        return dataset
    weights = dataset.weights
    if options.half_life_days is not None:
        weights = weights * time_decay(dataset.decided_at_ns, options.half_life_days)
    return replace(dataset, weights=weights / weights.mean())


def _fingerprint(parts: Sequence[Dataset], every: int, weights: WeightOptions | None) -> str:
    identity = {
        "bars": [part.fingerprint for part in parts],
        "features": {name: feature(name).definition for name in parts[0].feature_names},
        "order": parts[0].feature_names,
        "label": parts[0].label_definition,
        "sample_every_bars": every,
    }
    if weights is not None:
        identity["weights"] = weights.model_dump(mode="json")
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_horizon(label: dict[str, Any], bars: Sequence[Bars]) -> None:
    horizon, longest = label.get("horizon_bars"), max(bars, key=len)
    if horizon is not None and horizon >= len(longest):
        raise DataError(
            f"{label['name']} horizon must be shorter than the data, was {horizon} bars of "
            f"{longest.timeframe} where {longest.symbol}, the longest, has {len(longest)}"
        )


def _with_funding(dataset: Dataset, funding: Mapping[str, FundingRates] | None) -> Dataset:
    """The rows under a fingerprint that holds the payments too, where a feature read them."""
    if not any(feature(name).needs_funding for name in dataset.feature_names):
        return dataset
    paid = [rates.fingerprint for symbol, rates in sorted((funding or {}).items())]
    text = json.dumps([dataset.fingerprint, paid])
    return replace(dataset, fingerprint=hashlib.sha256(text.encode()).hexdigest())


def _check_rows(dataset: Dataset, minimum_rows: int, bars: int) -> None:
    name = ", ".join(dataset.symbols[:3]) + (", ..." if len(dataset.symbols) > 3 else "")
    if len(dataset) < minimum_rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dataset.dropped.items())
        settled = max(
            feature(n, dataset.timeframe).settled_bars or 0 for n in dataset.feature_names
        )
        more = minimum_rows - len(dataset)
        if not len(dataset):
            more = max(more, settled + minimum_rows - bars)
        raise DataError(
            f"{name} dataset must have at least {minimum_rows} rows, was {len(dataset)} of "
            f"{bars} bars ({reasons}); give at least {more} bars more"
        )
    counts = dataset.class_counts()
    if sum(count > 0 for count in counts.values()) < 2:
        raise DataError(
            f"{name} labels must be of at least two classes, were {counts}; "
            "prices may be flat, or the hold threshold too wide for them"
        )
