"""Sections of our own: storage, and the options of the stages under the stages' names.

They mirror the stages' options instead of importing them, so that reading a file does not load
compilers and statistics; `tests/config` holds each pair to the same fields, defaults and ranges.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from crypto_bot.config.section import Section
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import timeframe_ns


def _timeframe(name: str) -> str:
    try:
        timeframe_ns(name)
    except ConfigError:
        raise ValueError("be a number and one of s m h d w, such as 5m, 1h, 1d") from None
    return name


Timeframe = Annotated[str, AfterValidator(_timeframe)]


class DataSettings(Section):
    """Candles: where they are kept and where they come from."""

    store_folder: str = Field(default="data/market", min_length=1, description="the candle store")
    base_timeframe: Timeframe = Field(
        default="5m",
        description="candles that are stored; features, models and paper trading use them",
    )
    quote: str = Field(default="USDT", min_length=1, description="quote currency of the top pairs")
    exchange: str = Field(
        default="binance",
        description="exchange to download from, by its ccxt name; empty = never download",
    )
    symbols: tuple[str, ...] = Field(
        default=(), description="pairs to use; empty = the top pairs by quote volume"
    )


class RegistrySettings(Section):
    """Published models."""

    store: Literal["auto", "folder", "supabase"] = Field(
        default="auto",
        description="where models are kept; auto: Supabase where it is configured, else the folder",
    )
    folder: str = Field(default="registry", min_length=1, description="folder of the registry")
    trusted_keys: tuple[str, ...] = Field(
        default=(),
        description="public keys (`cointrainer keys new`); with any, unsigned versions are refused",
    )
    versions_kept: int = Field(
        default=0,
        ge=0,
        description="newest versions of a symbol that are kept; 0 = all. "
        "What serves or served is never removed",
    )


class JournalSettings(Section):
    """The durable memory of runs, trials, orders and fills."""

    url: str = Field(
        default="sqlite:///journal.sqlite",
        min_length=1,
        description="SQLite or PostgreSQL URL without a password (use PGPASSWORD or ~/.pgpass)",
    )


class ReportSettings(Section):
    """Report folders."""

    folder: str = Field(default="out/runs", min_length=1, description="one folder a run below this")


class LoggingSettings(Section):
    """Log files."""

    folder: str = Field(default=".", min_length=1, description="where the log files are written")
    max_megabytes: float = Field(default=10.0, gt=0, description="size at which a file is rotated")
    files_kept: int = Field(
        default=5, ge=0, description="rotated files kept beside the current one"
    )


class CostSettings(Section):
    """What a fill costs and what the venue accepts."""

    taker_fee_frac: float = Field(
        default=0.001, ge=0, le=1, description="fee of market and stop fills, fraction of notional"
    )
    maker_fee_frac: float = Field(
        default=0.001, ge=0, le=1, description="fee of target (limit) fills, fraction of notional"
    )
    slippage_frac: float = Field(
        default=0.001,
        ge=0,
        lt=1,
        description="market and stop fills are worse by this fraction of price",
    )
    slippage_atr_mult: float = Field(
        default=0.0, ge=0, le=10, description="more slippage: ATRs of the deciding bar, over price"
    )
    slippage_volume_mult: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="more slippage: this times sqrt(order / mean volume of the last 20 bars)",
    )
    borrow_rate_annual_frac: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="interest a year on what a short or a leveraged long borrows",
    )
    quantity_step: float = Field(
        default=0.0, ge=0, description="quantities are floored to multiples of this, base; 0 = any"
    )
    minimum_quantity: float = Field(
        default=0.0, ge=0, description="smaller entries are refused, base currency"
    )
    minimum_notional_quote: float = Field(
        default=0.0, ge=0, description="smaller entries are refused, quote currency"
    )


class ExitSettings(Section):
    """When a position ends; distances are fractions of the real fill price."""

    stop_loss_frac: float | None = Field(default=None, gt=0, lt=1, description="stop distance")
    take_profit_frac: float | None = Field(default=None, gt=0, description="target distance")
    trailing_stop_frac: float | None = Field(
        default=None, gt=0, lt=1, description="stop distance from the best price so far"
    )
    stop_loss_atr: float | None = Field(
        default=None, gt=0, le=1000, description="stop distance in ATRs at the decision"
    )
    take_profit_atr: float | None = Field(
        default=None, gt=0, le=1000, description="target distance in ATRs at the decision"
    )
    trailing_stop_atr: float | None = Field(
        default=None, gt=0, le=1000, description="distance from the best price so far in ATRs"
    )
    atr_bars: int = Field(default=14, ge=2, le=1000, description="window of the ATR, bars")
    max_holding_bars: int | None = Field(
        default=None, ge=1, description="bars after which it is sold"
    )
    cooldown_bars: int = Field(default=0, ge=0, description="bars after an exit that may not enter")
    signal_exit: Literal["flat", "opposite", "never"] | None = Field(
        default=None, description="which direction ends it; unset: as the strategy declares"
    )
    reentry: Literal["new_signal", "while_signal"] = Field(
        default="new_signal", description="which direction enters while flat"
    )


class SizingSettings(Section):
    """How large a position is."""

    method: Literal[
        "percent_of_equity",
        "fixed_quote",
        "risk_to_stop",
        "fixed_quantity",
        "half_kelly",
        "volatility_target",
    ] = Field(default="percent_of_equity", description="sizing rule")
    fraction: float = Field(
        default=1.0, gt=0, le=1, description="percent_of_equity: share of equity spent"
    )
    quantity: float = Field(default=1.0, gt=0, description="fixed_quantity: base currency")
    quote: float = Field(default=1_000.0, gt=0, description="fixed_quote: notional, quote currency")
    risk_frac: float = Field(
        default=0.01, gt=0, le=1, description="risk_to_stop: share of equity lost at the stop"
    )
    kelly_cap_frac: float = Field(
        default=0.10, gt=0, le=1, description="half_kelly: never more of equity than this"
    )
    kelly_floor_frac: float = Field(
        default=0.01, ge=0, le=1, description="half_kelly: never less, so that it goes on learning"
    )
    kelly_minimum_trades: int = Field(
        default=20, ge=2, description="half_kelly: the floor until so many trades are closed"
    )
    target_volatility_annual_frac: float = Field(
        default=0.2, gt=0, le=10, description="volatility_target: wanted deviation of equity a year"
    )
    volatility_bars: int = Field(
        default=20, ge=2, le=10_000, description="volatility_target: window of the returns, bars"
    )
    leverage: float = Field(
        default=1.0, ge=1, le=125, description="largest notional as a multiple of equity"
    )
    maintenance_margin_frac: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="liquidated where equity falls to this share of the notional; "
        "unset: half of 1 / leverage, 0.05 at most; never without leverage",
    )
    allow_short: bool = Field(
        default=False,
        description="off: direction -1 only closes longs, as on a spot market; "
        "on: set costs.borrow_rate_annual_frac too",
    )
    initial_cash: float = Field(default=100_000.0, gt=0, description="quote currency at the start")


class PortfolioSettings(Section):
    """Limits of the shared account of the `portfolio` command."""

    max_open_positions: int = Field(default=10, ge=1, description="positions held at once")
    max_symbol_exposure_frac: float | None = Field(
        default=None, gt=0, le=1, description="positions of one symbol over equity; unset: no limit"
    )
    max_exposure_frac: float = Field(
        default=1.0, gt=0, le=1, description="all positions over equity, longs and shorts added"
    )


class SweepSettings(Section):
    """How many parameter sets a sweep tries."""

    parameter_sets: int = Field(
        default=16, ge=1, description="sets per strategy, drawn evenly from its declared ranges"
    )


class RiskSettings(Section):
    """Limits on new risk; each blocks entries, never exits."""

    max_daily_loss_frac: float = Field(
        default=0.05, gt=0, le=1, description="loss since UTC midnight, fraction of that equity"
    )
    max_drawdown_frac: float = Field(
        default=0.20, gt=0, le=1, description="fall from the highest equity, fraction of it"
    )
    max_exposure_frac: float = Field(
        default=1.25, gt=0, description="sum of position values, fraction of equity"
    )
    max_open_positions: int = Field(default=20, ge=1, description="positions held at once")
    stale_data_bars: float = Field(
        default=3.0, gt=0, description="greatest age of a symbol's last closed bar, in bars"
    )
    max_model_age_days: float = Field(
        default=30.0, gt=0, description="days since the last candle the model was trained on"
    )
    kill_switch_file: str = Field(
        default="KILL_SWITCH",
        min_length=1,
        description="while this file exists, positions are closed and nothing is opened",
    )


class SimulationSettings(Section):
    """The market that is simulated when no exchange can be reached; pairs and length as above."""

    seed: int = Field(default=42, ge=0, description="same seed, same candles")
    start: str = Field(default="2024-01-01", description="UTC day of the first candle")
    annual_volatility: float = Field(
        default=0.5, gt=0, le=5, description="of the common factor, fraction a year"
    )
    outages_per_year: float = Field(
        default=6.0, ge=0, description="times a year when the exchange is down"
    )
    edge_strength: float = Field(
        default=0.0, ge=0, le=3, description="planted edge: drift per bar, in volatilities of a bar"
    )
    edge_share: float = Field(
        default=0.25, gt=0, le=0.9, description="fraction of bars inside the planted pattern"
    )
    edge_bars: int = Field(default=36, ge=4, description="mean length of one pattern, bars")


class ValidationSettings(Section):
    """How a model is tested before the gate judges it."""

    folds: int = Field(default=5, ge=2, le=50, description="walk-forward folds")
    mode: Literal["expanding", "rolling"] = Field(
        default="expanding", description="train on all that went before, or on as much each time"
    )
    holdout_frac: float = Field(
        default=0.2,
        gt=0,
        lt=0.9,
        description="last share of the history, touched once: the paper session replays it",
    )
    hold_out_uses: int = Field(
        default=1, ge=1, description="versions that `validate` judges on the same unseen candles"
    )


class PaperSettings(Section):
    """The paper session; account and costs are those of `sizing` and `costs`."""

    prediction_threshold: float = Field(
        default=0.6, ge=0.3, le=0.99, description="a side needs a probability above this"
    )
    model_stop_loss_frac: float = Field(
        default=0.02, gt=0, lt=1, description="a model's stop, fraction of the entry price"
    )
    model_take_profit_frac: float = Field(
        default=0.04, gt=0, description="a model's target, fraction of the entry price"
    )


class GateSettings(Section):
    """What a model must show besides the guide's three thresholds, out of sample, after costs."""

    min_trades: int = Field(default=30, ge=1, description="closed trades, at least")
    min_deflated_sharpe: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="probability that the Sharpe ratio is real given every trial made, at least",
    )
    max_random_entry_p: float = Field(
        default=0.05, gt=0, le=1, description="share of random traders as good, at most"
    )
    must_beat_buy_and_hold: bool = Field(
        default=True, description="a higher Sharpe ratio than holding the same symbols"
    )
    must_beat_majority_class: bool = Field(
        default=True, description="better than the majority class"
    )
    class_measure: Literal["balanced_accuracy", "accuracy", "log_loss"] = Field(
        default="balanced_accuracy", description="by what the majority class is beaten"
    )
    min_class_edge: float = Field(
        default=0.01, ge=0, description="by how much, in the units of the measure"
    )
    min_champion_margin: float = Field(
        default=0.0, ge=0, description="Sharpe ratio above the champion's on the same stretch"
    )
