"""One symbol's way through a session: closed bar, features, decision, paper account."""

from __future__ import annotations

import numpy as np

from crypto_bot.core.arrays import PerRow
from crypto_bot.core.bars import Bar
from crypto_bot.core.errors import DataError
from crypto_bot.core.orders import Fill
from crypto_bot.engine.matching import matching_rules
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.features import FeatureStream, compute_features
from crypto_bot.journal import Decision
from crypto_bot.trading.broker import PaperBroker
from crypto_bot.trading.twin import TradedSymbol, exits_for

_UNSETTLED = "features not settled"
_NO_VALUES: PerRow = np.empty(0)


class Lane:
    """Stream, decision maker and account of one symbol; knows where in its stretch it is."""

    def __init__(
        self,
        traded: TradedSymbol,
        *,
        costs: CostOptions,
        exits: ExitOptions,
        sizing: SizingOptions,
        run_id: str,
    ) -> None:
        bars, names = traded.bars, traded.maker.feature_names
        self.broker = PaperBroker(
            bars.symbol,
            bars.timeframe,
            matching_rules(costs, exits_for(traded.maker, exits), sizing),
            cash_quote=sizing.initial_cash,
            run_id=run_id,
        )
        self.symbol = bars.symbol
        self.interval_ns = bars.interval_ns
        self.index = -1
        self._bars = iter(bars)
        self._maker = traded.maker.started(names)
        self._stream = FeatureStream(names) if names else None
        self._is_settled = not names
        history = traded.history
        if history is not None and len(history) > 0:
            values = np.empty((len(history), 0))
            if names:
                self._stream = FeatureStream.from_history(history, names)
                values = compute_features(history, names).values
            self._maker.observe(values, history)
        self._bar: Bar | None = None

    @property
    def trained_until_ns(self) -> int | None:
        return self._maker.trained_until_ns

    @property
    def close(self) -> float:
        return self._bar.close if self._bar is not None else float("nan")

    def take_bar(self) -> tuple[Fill, ...]:
        """Let the next closed bar reach the broker."""
        self._bar = next(self._bars)
        self.index += 1
        return self.broker.on_bar(self._bar)

    def decide(self, time_ns: int) -> Decision:
        """What is wanted at the close of the bar just taken."""
        if self._bar is None:
            raise DataError(f"{self.symbol} must have a bar before a decision, had none")
        values = _NO_VALUES if self._stream is None else self._stream.update(self._bar)
        direction, score = self._maker.decide(values, self._bar)
        if not self._is_settled and self._stream is not None:
            self._is_settled = self._stream.is_settled
            if not self._is_settled:
                return Decision(self.symbol, time_ns, 0, 0.0, _UNSETTLED)
        return Decision(self.symbol, time_ns, direction, score)
