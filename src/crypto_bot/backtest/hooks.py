"""Guide S1's places for one's own work: a metric, a training, a webhook."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from crypto_bot.backtest.candles import gather_candles
from crypto_bot.backtest.custom_training import (
    CustomTrainingData,
    as_trainer,
    configured_trainer,
    custom_data,
    custom_recipe,
)
from crypto_bot.backtest.logs import keep_secret
from crypto_bot.backtest.per_symbol import train_symbols
from crypto_bot.backtest.telling import deliver_told, post_once, tell_of
from crypto_bot.backtest.training_table import symbols_of
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.config import Settings
from crypto_bot.core.timeframes import Clock

Answer = TypeVar("Answer")


class IntegrationHooks:
    """What a subclass overrides; each does something sensible by itself. docs/hooks.md shows them."""

    settings: Settings
    _clock: Clock
    config: dict[str, Any]
    _custom_symbols: tuple[str, ...] | None = None

    def _calculate_custom_metric(self, results: Iterable[Mapping[str, Any]]) -> float | None:
        """A number of one's own about the results of a pair, strategy and timeframe; to be overridden.

        Unless it is: the worst profit, so that a call as the guide shows it gives a meaningful number.
        """
        profits = [row["pnl"] for row in results if row.get("pnl") is not None]
        return min(profits, default=None)

    async def custom_training_pipeline(self, training_data: Any = None) -> list[dict[str, Any]]:
        """Preprocess, train, and have the gate decide, by the three methods below; override any.

        Parameters
        ----------
        training_data    pairs to train, a folder of candles to import first, the table of
                         `prepare_ml_training_data`, which names pairs; None: every stored pair

        Returns
        -------
        list of dict    per symbol, as `train_ml_models` gives it
        """
        processed = self._preprocess_data(training_data)
        model = await self._train_custom_model(processed)
        return await self._validate_and_publish_model(model)

    def _preprocess_data(self, training_data: Any = None) -> CustomTrainingData:
        """The candles that `training_data` names as features and labels, hold-outs left out."""
        named, folder = _named(training_data)
        with self._bench() as bench:
            if folder is not None:
                named = list(gather_candles(bench.settings, data=folder).symbols)
            processed = custom_data(bench, named)
        self._custom_symbols = processed.symbols
        return processed

    async def _train_custom_model(self, processed_data: Any) -> Any:
        """What is to be learned: a trainer or a storable estimator; the configured trainer unless overridden.

        It is fitted anew in every fold of the validation, so it may be returned fitted or not.
        """

        def work(bench: Workbench, _stop: threading.Event) -> Any:
            symbols = getattr(processed_data, "symbols", ("GLOBAL",))
            return configured_trainer(bench, symbols[0])

        return await self._in_thread(work)

    async def _validate_and_publish_model(self, model: Any) -> list[dict[str, Any]]:
        """Walk forward, trade with costs, judge by the gate, publish and promote if it says so.

        For the pairs of the last `_preprocess_data`, else for every stored pair. ModelError in plain
        words for a model that cannot be stored without pickle: nothing of it is then trained.
        """
        trainer = as_trainer(model)

        def work(bench: Workbench, _stop: threading.Event) -> list[dict[str, Any]]:
            return train_symbols(
                bench,
                self._custom_symbols,
                data=None,
                announce=lambda _line: None,
                recipe_of=lambda bench, symbol: custom_recipe(bench, symbol, trainer),
            )

        return await self._in_thread(work)

    async def notify_external_system(
        self, event_type: str, data: Mapping[str, Any] | None = None
    ) -> None:
        """Tell the configured webhook of an event of one's own; nothing without `webhook_url`."""
        webhook_url = self.config.get("webhook_url")
        if webhook_url:
            await self._send_webhook(webhook_url, event_type, data)

    async def _send_webhook(
        self, webhook_url: Any, event_type: str, data: Mapping[str, Any] | None = None
    ) -> None:
        """Post an event, signed, without holding anybody up.

        To the configured address: by the journal's outbox, tried again until it is taken or dead.
        To another one: tried once, a failure is logged.
        """
        hidden = getattr(webhook_url, "get_secret_value", None)
        url = str(hidden() if hidden else webhook_url)
        configured = self.settings.webhook_url
        is_ours = configured is not None and configured.get_secret_value() == url
        told = dict(data or {})

        def work(bench: Workbench, _stop: threading.Event) -> None:
            if is_ours:
                tell_of(bench.settings, bench.journal, event_type, told)
                deliver_told(bench.settings, bench.journal)
            else:
                keep_secret(url)
                post_once(bench.settings, url, event_type, told)

        await self._in_thread(work)

    def _bench(self) -> AbstractContextManager[Workbench]:
        return open_workbench(self.settings, log="integrated_backtest", clock=self._clock)

    async def _in_thread(self, work: Callable[[Workbench, threading.Event], Answer]) -> Answer:
        stop = threading.Event()

        def run() -> Answer:
            with self._bench() as bench:
                return work(bench, stop)

        task = asyncio.ensure_future(asyncio.to_thread(run))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([task])
            task.exception()  # looked at, or asyncio complains that nobody did
            raise


def _named(training_data: Any) -> tuple[list[str] | None, str | None]:
    """(pairs, folder) of what a pipeline is given."""
    if isinstance(training_data, list | tuple | set):
        return [str(name) for name in training_data], None
    return symbols_of(training_data, None)
