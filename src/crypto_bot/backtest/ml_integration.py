"""Guide S1's programming door: `create_ml_integration(config)` and its class, thin over the stages."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypto_bot.backtest.gpu_accelerator import get_gpu_info
from crypto_bot.backtest.hooks import IntegrationHooks
from crypto_bot.backtest.loop.due import is_due, last_training_ns
from crypto_bot.backtest.loop.running import run_loop
from crypto_bot.backtest.per_symbol import train_symbols, validate_frame, validate_symbols
from crypto_bot.backtest.selector_data import (
    Results,
    lacking_for_trades,
    remade_trades,
    trade_tables,
)
from crypto_bot.backtest.status import is_absent, loop_status, registry_status
from crypto_bot.backtest.training_table import (
    backtest_features,
    symbols_of,
    training_rows,
    write_trade_table,
    write_training_table,
)
from crypto_bot.backtest.turn import run_turn
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.config import Settings, get_integration_config_template, load_settings
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import Clock, SystemClock, iso_time

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MLBacktestingIntegration",
    "create_ml_integration",
    "get_integration_config_template",
    "run_integrated_system",
]

Config = str | Path | Mapping[str, Any] | Settings | None
TABLE_FOLDER = Path("data/ml_training")


def create_ml_integration(config: Config = None) -> MLBacktestingIntegration:
    """The integrated system of guide S1; ConfigError if the configuration is wrong.

    `config` is a path, a mapping as the guide prints it, `Settings`, or None for
    config/backtest_config.yaml.

    >>> integration = create_ml_integration({"ml_integration": {"enabled": False}})
    >>> integration.settings.ml_integration.enabled
    False
    """
    return MLBacktestingIntegration(config)


async def run_integrated_system(config: Config = None) -> dict[str, Any]:
    """One turn of the loop; the summary of `integrated --once`."""
    return await create_ml_integration(config).run_integrated_backtesting()


class MLBacktestingIntegration(IntegrationHooks):
    """Backtests, training, gate, registry and paper trading behind guide S1's methods.

    Parameters
    ----------
    config    as for `create_ml_integration`
    clock     what 'now' is; the machine's clock unless told

    Attributes
    ----------
    settings : Settings
    config : dict    the same by name, such as `config.get("webhook_url")`; secrets stay masked

    Notes
    -----
    The `async` methods work in a thread, one at a time. Cancelling one asks the work to stop at its
    next safe point and waits for that, so that nothing is left half-written.
    """

    def __init__(self, config: Config = None, *, clock: Clock | None = None) -> None:
        self.settings = config if isinstance(config, Settings) else load_settings(config)
        self.config = self.settings.model_dump()
        self._clock: Clock = SystemClock() if clock is None else clock

    async def run_integrated_backtesting(self) -> dict[str, Any]:
        """Turn the whole loop once; the summary, as `integrated --once --json` prints it."""

        def work(bench: Workbench, stop: threading.Event) -> dict[str, Any]:
            return run_turn(bench, should_stop=stop.is_set)

        return await self._in_thread(work)

    def prepare_ml_training_data(self, results: Results) -> pd.DataFrame:
        """A row of features for every pair, strategy and timeframe of backtest results.

        Parameters
        ----------
        results    pair -> strategy -> timeframe -> list of {sharpe, pnl, max_drawdown,
                   stop_loss_pct, take_profit_pct[, win_rate, trades]}

        Returns
        -------
        DataFrame    what `_extract_ml_features` gives, then timestamp and data_source; also written
                     to data/ml_training/enhanced_backtest_training_<time>.csv

        Raises
        ------
        DataError    no results, or one without its numbers

        Notes
        -----
        Where the candles of all pairs are stored, the trades are made again and written as the table
        that the selector learns from; `.attrs["trades_file"]` is its path, else None and
        `.attrs["trades_note"]` says why.
        """
        rows = training_rows(results, self._extract_ml_features)
        table = write_training_table(rows, TABLE_FOLDER, self._clock.now_ns())
        path, note = self._write_trades(results)
        table.attrs |= {"trades_file": path, "trades_note": note}
        return table

    def _write_trades(self, results: Results) -> tuple[str | None, str | None]:
        note = lacking_for_trades(self.settings, results)
        if note is not None:
            return None, note
        try:
            with self._bench() as bench:
                tables = remade_trades(bench, results)
        except DataError as error:
            return None, str(error)
        _, path = write_trade_table(tables, TABLE_FOLDER, self._clock.now_ns())
        return str(path), None

    def prepare_selector_data(
        self,
        symbols: Sequence[str] | None = None,
        strategies: Sequence[str] = ("trend_bot", "momentum_bot", "mean_bot"),
        timeframe: str = "1h",
    ) -> pd.DataFrame:
        """A row for every entry of every strategy: what was known at the decision, what it earned.

        Parameters
        ----------
        symbols    None: every stored pair; a simulated market where none is stored

        Returns
        -------
        DataFrame    symbol, timeframe, strategy, regime, decided_at_ns, known_at_ns, profitable (0/1),
                     return_after_costs (fraction), exit_reason, then the selector's features; empty
                     where not known. Also written to
                     data/ml_training/enhanced_backtest_trades_<time>.csv

        Raises
        ------
        ConfigError    an unknown strategy, or a timeframe that the candles do not give
        DataError      a strategy that needs more than candles, or nothing was entered
        """
        with self._bench() as bench:
            tables = trade_tables(bench, list(strategies), [timeframe], symbols)
        table, path = write_trade_table(tables, TABLE_FOLDER, self._clock.now_ns())
        table.attrs["trades_file"] = str(path)
        return table

    async def train_ml_models(
        self,
        data: str | Path | pd.DataFrame | None = None,
        symbols: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Train, judge and publish a model a symbol, as `ml-training` does.

        `data` is a folder of candles to import first, or the table of `prepare_ml_training_data`,
        which names the symbols: it holds results, not candles, so it cannot be learned from. The
        candles come from the store.
        """
        named, folder = symbols_of(data, symbols)

        def work(bench: Workbench, _stop: threading.Event) -> list[dict[str, Any]]:
            return train_symbols(bench, named, data=folder, announce=lambda _line: None)

        return await self._in_thread(work)

    async def validate_ml_predictions(
        self, symbol: str, features: pd.DataFrame | None = None
    ) -> dict[str, Any]:
        """Predict what the symbol's model never saw and backtest it, as `validate` does.

        `features` is what `create_features(df)` gives; None takes the stored candles.
        """

        def work(bench: Workbench, _stop: threading.Event) -> dict[str, Any]:
            if features is not None:
                return validate_frame(bench, symbol, features, clock=self._clock)
            return validate_symbols(
                bench, [symbol], data=None, announce=lambda _line: None, clock=self._clock
            )[0]

        return await self._in_thread(work)

    async def run_continuous_learning_loop(self, *, once: bool = False) -> dict[str, Any]:
        """Train whenever it is due, until cancelled; `once` looks a single time and does not wait.

        Due means: `retrain_interval_hours` after the last training that was completed, which the
        journal knows, so a restart trains nothing early. With `auto_retrain` off only a system that
        never trained is trained. Returns how many turns were made.
        """

        def work(bench: Workbench, stop: threading.Event) -> dict[str, Any]:
            return run_loop(bench, stop, once=once)

        return await self._in_thread(work)

    def get_integration_status(self) -> dict[str, Any]:
        """What is switched on and what is there: guide S1's keys, and `loop`.

        `loop` is what the journal knows of the loop, whoever runs it: is_running, holder, next_turn,
        last_turn, session, bars, alarms, outbox, memory_gb, journal; and the registry's models in
        service. Nothing is made, no network is asked but a registry that lies across one.
        """
        schedule, learning = self.settings.schedule, self.settings.ml_integration
        loop = loop_status(self.settings, clock=self._clock)
        is_known = loop["journal"]["reachable"] or is_absent(self.settings)
        last_ns = last_training_ns(self.settings) if is_known else None
        now_ns = self._clock.now_ns()
        return {
            "ml_integration_enabled": schedule.is_enabled,
            "cointrainer_available": self._check_cointrainer_availability(),
            "supabase_configured": learning.supabase.is_configured,
            "gpu_acceleration": get_gpu_info(),
            "auto_retrain_enabled": schedule.auto_retrain,
            "last_retrain": None if last_ns is None else iso_time(last_ns),
            "retrain_interval_hours": schedule.retrain_interval_hours,
            "retrain_due": is_known and is_due(self.settings, last_ns, now_ns),
            "loop": {
                **loop,
                "registry": registry_status(self.settings, now_ns),
                "exchange": {"name": self.settings.data.exchange or None},
            },
        }

    def _check_cointrainer_availability(self) -> bool:
        """Whether `cointrainer_path` is an executable on PATH or in this environment."""
        name = self.settings.ml_integration.cointrainer_path
        scripts = str(Path(sys.executable).parent)
        return bool(shutil.which(name) or shutil.which(name, path=scripts))

    def _extract_ml_features(
        self,
        pair: str,
        strategy: str,
        timeframe: str,
        results: Iterable[Mapping[str, Any]],
    ) -> dict[str, Any]:
        """One row of the training table; override it to add columns.

        Where `_calculate_custom_metric` is overridden alone, its value is the row's `custom_metric`.
        """
        rows = list(results)
        features = backtest_features(pair, strategy, timeframe, rows)
        own = type(self)._calculate_custom_metric
        if own is not IntegrationHooks._calculate_custom_metric:
            features["custom_metric"] = self._calculate_custom_metric(rows)
        return features
