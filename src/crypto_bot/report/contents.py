"""What a run hands over to be shown. Plain arrays, mappings and core nouns; every part optional.

A part that is absent says so in words in the report; nothing is made up for it. Fractions are
fractions here (0.012) and become percent only on the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core import Bars
from crypto_bot.core.arrays import PerBar, PerBarTime, PerRow, PerRowClass, PerTrade
from crypto_bot.explain import Explanation


@dataclass(frozen=True, eq=False)
class EquityView:
    """Account curves on one time axis, drawn with their drawdowns.

    title : str                    such as 'Paper session' or 'Walk-forward, out of sample'
    time_ns : int64 (points,)      UTC ns, increasing
    curves : name -> float64 (points,)   equity or value; each is shown as growth of its first
    note : str                     one line in plain words: what was traded, on what, with what costs
    """

    title: str
    time_ns: PerBarTime
    curves: Mapping[str, PerBar]
    note: str = ""


@dataclass(frozen=True, eq=False)
class TradesView:
    """One pair's candles with a strategy's trades on them; the last bars are drawn.

    trades : TRADE (trades,)       bar numbers index `bars`
    """

    bars: Bars
    trades: PerTrade
    strategy: str
    note: str = ""


@dataclass(frozen=True)
class StrategyRow:
    """The best parameters of one strategy on one pair.

    metrics : name -> value or None    by the engine's names: sharpe, total_return, max_drawdown,
                                       trades, win_rate, profit_factor, buy_and_hold_return ...
    """

    symbol: str
    timeframe: str
    strategy: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float | int | None]
    exits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A figure of merit over two parameters.

    values : float64 (y_values, x_values)    NaN where nothing was tried
    """

    title: str
    x_name: str
    y_name: str
    x_values: Sequence[float]
    y_values: Sequence[float]
    values: npt.NDArray[np.float64]
    value_name: str = "mean Sharpe"
    note: str = ""


@dataclass(frozen=True, eq=False)
class ModelView:
    """A model's out-of-sample predictions; accuracy, confusion and calibration are computed from them.

    classes : tuple of int                 ascending, as the probability columns
    labels : int (rows,)                   what happened
    probabilities : float64 (rows, classes)    what was said; rows with NaN were not tested
    importance : feature -> importance
    threshold : float or None              probability a side needs to be traded
    explanation : Explanation or None      why it says what it says; `unexplained` says why there is none
    """

    name: str
    model_type: str
    classes: tuple[int, ...]
    labels: npt.NDArray[np.integer[Any]]
    probabilities: PerRowClass
    importance: Mapping[str, float] = field(default_factory=dict)
    threshold: float | None = None
    label: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    explanation: Explanation | None = None
    unexplained: str = ""


@dataclass(frozen=True, eq=False)
class PredictionsView:
    """One pair's predictions in time: predictions.csv and predictions.png.

    time_ns : int64 (rows,)     close times, UTC ns
    close : float64 (rows,)     quote currency
    prediction : float64 (rows,)    probability of an upward move; NaN where there was none
    """

    symbol: str
    time_ns: PerBarTime
    close: PerRow
    prediction: PerRow
    threshold: float = 0.6


@dataclass(frozen=True)
class GateCheck:
    """One test of the gate: a number, the threshold it met, and whether it held."""

    name: str
    value: float | None
    threshold: float | None
    rule: str
    holds: bool


@dataclass(frozen=True)
class GateView:
    """The gate's verdict on one candidate, and in `tables` what else is known of it."""

    candidate: str
    promoted: bool
    checks: Sequence[GateCheck]
    note: str = ""
    tables: Sequence[FactTable] = ()


@dataclass(frozen=True)
class QualityRow:
    """What the import found in one file or series. `findings` counts faults by their name."""

    source: str
    symbol: str
    timeframe: str
    rows: int
    first_ns: int | None = None
    last_ns: int | None = None
    findings: Mapping[str, int] = field(default_factory=dict)
    repairs: Sequence[str] = ()
    refused: str | None = None


@dataclass(frozen=True, eq=False)
class TradeRecord:
    """A strategy's trades on one pair, for the Bot v3.1 CSV files.

    trades : TRADE (trades,)    bar numbers index `bars`
    """

    strategy: str
    bars: Bars
    trades: PerTrade


@dataclass(frozen=True)
class FactTable:
    """Any other small table: feedback, model versions, risk blocks. Cells are numbers or words."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


@dataclass(frozen=True)
class ReportContents:
    """Everything a run can show; `write_report` turns it into one folder.

    Attributes
    ----------
    title : str
    run_id, started_at, command : str    how to find this run again
    seconds : float or None              how long the run took
    what : str                           one or two sentences: what was run, on what
    promoted : bool or None              None: there was no gate
    why : str                            why it was promoted or not, in plain words
    is_simulated : bool                  marks every section, table and plot SIMULATED
    span : (str, str) or None            first and last moment of the data, as people write them
    facts : name -> value                a few headline numbers, already in words or numbers
    equity, trades, strategies, heat_maps, models, predictions, gates, quality, records, tables
    config : nested mapping              settings as used, secrets already masked
    versions : name -> version
    data_hash : str
    summary : mapping                    more keys for summary.json; NaN becomes null
    notes : what to know when reading this, one line each
    writes_plots, writes_csv : whether PNG and CSV files are written beside the page
    """

    title: str = "Run report"
    run_id: str = ""
    started_at: str = ""
    command: str = ""
    seconds: float | None = None
    what: str = ""
    promoted: bool | None = None
    why: str = ""
    is_simulated: bool = False
    span: tuple[str, str] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    equity: Sequence[EquityView] = ()
    trades: TradesView | None = None
    strategies: Sequence[StrategyRow] = ()
    heat_maps: Sequence[HeatMap] = ()
    models: Sequence[ModelView] = ()
    predictions: PredictionsView | None = None
    gates: Sequence[GateView] = ()
    quality: Sequence[QualityRow] = ()
    records: Sequence[TradeRecord] = ()
    tables: Sequence[FactTable] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    data_hash: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    writes_plots: bool = True
    writes_csv: bool = True
