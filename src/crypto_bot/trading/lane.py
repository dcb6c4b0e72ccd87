"""One symbol's way through a session: closed bar, features, decision, paper account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerRow
from crypto_bot.core.bars import Bar, Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.orders import Fill
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.engine.rules import Known, annual_scale, known_features, matching_rules
from crypto_bot.engine.settling import exits_for, settled_bars
from crypto_bot.features import FeatureStream, compute_features
from crypto_bot.journal import Decision
from crypto_bot.trading.broker import PaperBroker
from crypto_bot.trading.decisions import DecisionMaker, ModelDecisions
from crypto_bot.trading.paper import PaperOptions

_UNSETTLED = "features not settled"
_NO_VALUES: PerRow = np.empty(0)


class LiveSymbol(NamedTuple):
    """What a session trades one symbol on, whose bars are yet to come.

    symbol, timeframe : str
    maker : DecisionMaker     decides at each close; may be shared between symbols
    history : Bars | None     closed bars before the session: features are settled on them
    funding : FundingRates | None    what holders of a perpetual pay; None: nobody pays
    version : str             of the model that decides, for the journal; empty: no model
    """

    symbol: str
    timeframe: str
    maker: DecisionMaker
    history: Bars | None = None
    funding: FundingRates | None = None
    version: str = ""


class Lane:
    """Stream, decision maker and account of one symbol; counts the bars it is given."""

    def __init__(
        self,
        traded: LiveSymbol,
        *,
        costs: CostOptions,
        exits: ExitOptions,
        sizing: SizingOptions,
        run_id: str,
        kept_trades: int | None = None,
    ) -> None:
        own = traded.maker.feature_names
        options = (costs, exits_for(traded.maker, exits), sizing)
        rules = matching_rules(*options, has_funding=traded.funding is not None)
        self.broker = PaperBroker(
            traded.symbol,
            traded.timeframe,
            rules,
            cash_quote=sizing.initial_cash,
            run_id=run_id,
            funding=traded.funding,
            kept_trades=kept_trades,
        )
        names = (*own, *known_features(*options))
        self._own = len(own)
        self._asked = (rules.uses_atr, rules.uses_volatility, rules.uses_volume)
        self.symbol, self.timeframe = traded.symbol, traded.timeframe
        self.interval_ns = timeframe_ns(traded.timeframe)
        self._scale = (1.0, annual_scale(self.interval_ns), 1.0)
        self._known: PerRow = _NO_VALUES
        self.index = -1
        self._maker: DecisionMaker = traded.maker.started(own)
        self._stream = FeatureStream(names, traded.timeframe) if names else None
        self._is_settled = not names
        history = traded.history
        if history is not None and len(history) > 0:
            values = np.empty((len(history), 0))
            if names:
                self._stream = FeatureStream.from_history(history, names)
                values = compute_features(history, names).values[:, : self._own]
            self._maker.observe(values, history)
        self._bar: Bar | None = None

    @property
    def trained_until_ns(self) -> int | None:
        return self._maker.trained_until_ns

    @property
    def close(self) -> float:
        return self._bar.close if self._bar is not None else float("nan")

    def take_bar(self, bar: Bar) -> tuple[Fill, ...]:
        """Let the next closed bar reach the broker."""
        fills = self.broker.on_bar(bar)
        self._bar = bar
        self.index += 1
        return fills

    @property
    def last_close_ns(self) -> int | None:
        """Close of the bar just taken; None before the first."""
        return None if self._bar is None else self._bar.open_time + self.interval_ns

    @property
    def maker(self) -> DecisionMaker:
        return self._maker

    @property
    def bar(self) -> Bar:
        """The bar just taken."""
        if self._bar is None:
            raise DataError(f"{self.symbol} must have a bar before a decision, had none")
        return self._bar

    def values(self) -> PerRow:
        """float64 (features,) at the close of the bar just taken; call once a bar."""
        if self._stream is None:
            return _NO_VALUES
        values = self._stream.update(self.bar)
        self._known = values[self._own :]
        return values[: self._own]

    def known(self) -> Known:
        """What the engine's rules ask about the bar just taken."""
        asked = iter(self._known.tolist())
        pairs = zip(self._asked, self._scale, strict=True)
        return Known(self.close, *(next(asked) * by if is_asked else 0.0 for is_asked, by in pairs))

    def decision(self, time_ns: int, direction: int, score: float) -> Decision:
        """The maker's answer, or none while a feature still depends on where the data began."""
        if not self._is_settled and self._stream is not None:
            self._is_settled = self._stream.is_settled
            if not self._is_settled:
                return Decision(self.symbol, time_ns, 0, 0.0, _UNSETTLED)
        return Decision(self.symbol, time_ns, direction, score)


def open_lanes(
    symbols: Sequence[LiveSymbol],
    options: PaperOptions,
    run_id: str,
    *,
    kept_trades: int | None = None,
) -> tuple[Lane, ...]:
    """A lane for each symbol, in their order; ConfigError for none, one twice, or no settled feature."""
    names = [traded.symbol for traded in symbols]
    if not names:
        raise ConfigError("symbols must hold at least one, was empty")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"symbols must differ, was {twice[0]} more than once")
    for traded in symbols:
        settled_bars(traded.maker.feature_names, traded.timeframe)
    return tuple(
        Lane(
            traded,
            costs=options.costs,
            exits=options.exits,
            sizing=options.sizing,
            run_id=run_id,
            kept_trades=kept_trades,
        )
        for traded in symbols
    )


def decide_all(lanes: Sequence[Lane], time_ns: int) -> list[Decision]:
    """What each lane wants at this close; lanes that share a model ask it once, together."""
    values = [lane.values() for lane in lanes]
    sharing: dict[int, list[int]] = {}
    for place, lane in enumerate(lanes):
        sharing.setdefault(id(lane.maker), []).append(place)
    answers: dict[int, tuple[int, float]] = {}
    for places in sharing.values():
        maker = lanes[places[0]].maker
        if len(places) > 1 and isinstance(maker, ModelDecisions):
            rows = maker.decide_rows(np.array([values[place] for place in places]))
            answers.update(zip(places, rows, strict=True))
        else:
            answers.update(
                (place, lanes[place].maker.decide(values[place], lanes[place].bar))
                for place in places
            )
    return [lane.decision(time_ns, *answers[place]) for place, lane in enumerate(lanes)]
