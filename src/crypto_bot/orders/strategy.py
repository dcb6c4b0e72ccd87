"""Strategies written as Python that is called at every close, and declared ones run the same way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.options import ExitOptions, Reentry, SignalExit
from crypto_bot.engine.settling import exits_for
from crypto_bot.orders.context import Context
from crypto_bot.orders.desk import OrderFill
from crypto_bot.orders.terms import OrderTerms
from crypto_bot.strategies import Strategy


class OnBarStrategy:
    """Base of a strategy in plain Python: override `on_bar`, and `features` if it reads any.

    Parameters
    ----------
    **parameters    values for names in the class's `defaults`

    Attributes
    ----------
    name : str                    in errors and reports; the class's name unless set
    defaults : dict               parameter -> default value
    parameters : dict             parameter -> value of this one
    lookback_bars : int           how many bars back `context.window` may look
    waits_until_settled : bool    True: `on_bar` is first called where no feature depends any more
                                  on where the data began; False: from the first bar, with
                                  `context.is_settled` False until then
    exits : ExitOptions or None   only its `atr_bars`, the window of the ATR distances, is read here

    Raises
    ------
    ConfigError    for a parameter that is not in `defaults`

    Notes
    -----
    One object trades one symbol. What it keeps between bars must be its own attributes; where
    a session is to be saved (`OrderAccount.to_state`) they must be JSON values, or `to_state` and
    `restore` be overridden.

    >>> class Dip(OnBarStrategy):
    ...     defaults = {"depth": 0.02}
    ...     def on_bar(self, context):
    ...         if context.close < context.open * (1 - self.parameters["depth"]):
    ...             context.buy(fraction=0.5, take_profit_frac=0.02)
    >>> Dip(depth=0.05).parameters, Dip().name
    ({'depth': 0.05}, 'Dip')
    """

    name: str = ""
    defaults: ClassVar[Mapping[str, Any]] = {}
    lookback_bars: int = 1
    waits_until_settled: ClassVar[bool] = True
    exits: ExitOptions | None = None
    _settings: ClassVar[tuple[str, ...]] = ("name", "parameters", "lookback_bars", "exits")

    def __init__(self, **parameters: Any) -> None:
        self.name = self.name or type(self).__name__
        for name in parameters:
            if name not in self.defaults:
                raise ConfigError(
                    f"{self.name}.{name} is not a parameter{nearest(name, self.defaults)}"
                )
        self.parameters: dict[str, Any] = {**self.defaults, **parameters}

    def features(self) -> tuple[str, ...]:
        """Names of the features whose values `context.features` holds, in this order."""
        return ()

    def start(self, context: Context) -> None:
        """Called once, before the first bar; no orders yet."""

    def on_bar(self, context: Context) -> None:
        """Called at every close; ask for orders here."""
        raise NotImplementedError(f"{type(self).__name__} must define on_bar")

    def on_fill(self, context: Context, fill: OrderFill) -> None:
        """Called at the close of the bar in which an order was filled, before `on_bar`."""

    def to_state(self) -> dict[str, Any]:
        """What this object remembers, as JSON values; raises ConfigError where it cannot be."""
        own = {name: value for name, value in vars(self).items() if name not in self._settings}
        try:
            kept: dict[str, Any] = json.loads(json.dumps(own))
        except TypeError as error:
            raise ConfigError(
                f"{self.name} must keep JSON values to be saved, {error}; "
                "define to_state and restore"
            ) from error
        return kept

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with what `to_state` gave."""
        vars(self).update(state)


class DirectionStrategy(OnBarStrategy):
    """A wanted side per bar, with the exits of `simulate`: override `direction`.

    Parameters
    ----------
    exits : ExitOptions    stops and targets become protecting orders, the rest is decided here

    Notes
    -----
    The same decisions as `engine.decide`, asked for as market orders: the trades equal those of
    `simulate` with these directions.
    """

    waits_until_settled = False

    def __init__(self, exits: ExitOptions | None = None, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.exits = ExitOptions() if exits is None else exits
        self.cooldown_left = 0
        self.direction_before = 0

    def direction(self, context: Context) -> int:
        """Wanted side at this close: -1, 0 or +1."""
        raise NotImplementedError(f"{type(self).__name__} must define direction")

    def on_fill(self, context: Context, fill: OrderFill) -> None:
        del context
        if fill.reason is not ExitReason.OPEN:
            self.cooldown_left = self._exits.cooldown_bars

    def on_bar(self, context: Context) -> None:
        wanted = self.direction(context)
        can_enter = wanted != 0 and (wanted > 0 or context.allows_short)
        can_enter = can_enter and context.knows_averages
        if context.position != 0.0:
            self._decide_held(context, wanted, can_enter)
        elif self.cooldown_left > 0:
            self.cooldown_left -= 1
        elif can_enter and not context.is_ruined:
            is_new = wanted != self.direction_before
            if is_new or self._exits.reentry is Reentry.WHILE_SIGNAL:
                self._enter(context, wanted)
        self.direction_before = wanted

    def _decide_held(self, context: Context, wanted: int, can_enter: bool) -> None:
        exits, side = self._exits, 1 if context.position > 0.0 else -1
        if context.is_ruined:
            return
        if wanted == -side and exits.signal_exit is not SignalExit.NEVER:
            if can_enter:
                context.close_position(reason=ExitReason.REVERSE)
                self._enter(context, wanted)
            else:
                context.close_position()
        elif wanted == 0 and exits.signal_exit in (None, SignalExit.FLAT):
            context.close_position()
        elif exits.max_holding_bars is not None and context.bars_held >= exits.max_holding_bars:
            context.close_position(reason=ExitReason.TIME)

    def _enter(self, context: Context, side: int) -> None:
        ask = context.buy if side > 0 else context.sell
        ask(**self._protection())

    @property
    def _exits(self) -> ExitOptions:
        return ExitOptions() if self.exits is None else self.exits

    def _protection(self) -> OrderTerms:
        exits, terms = self._exits, OrderTerms()
        if exits.stop_loss_frac is not None:
            terms["stop_loss_frac"] = exits.stop_loss_frac
        if exits.stop_loss_atr is not None:
            terms["stop_loss_atr"] = exits.stop_loss_atr
        if exits.trailing_stop_frac is not None:
            terms["trailing_frac"] = exits.trailing_stop_frac
        if exits.trailing_stop_atr is not None:
            terms["trailing_atr"] = exits.trailing_stop_atr
        if exits.take_profit_frac is not None:
            terms["take_profit_frac"] = exits.take_profit_frac
        if exits.take_profit_atr is not None:
            terms["take_profit_atr"] = exits.take_profit_atr
        return terms


class DeclaredSignals(DirectionStrategy):
    """A declared strategy of `crypto_bot.strategies`, asked at every close.

    Parameters
    ----------
    strategy : Strategy     one that candles suffice for
    exits : ExitOptions     `signal_exit` None: as the strategy declares

    Raises
    ------
    DataError    for a strategy that needs other data

    Notes
    -----
    Gives the trades of `simulate` on the same signals, of which those before the features settle
    count as 0. `simulate` is the fast way to the same numbers.
    """

    _settings = (*OnBarStrategy._settings, "_strategy", "_columns")

    def __init__(self, strategy: Strategy, exits: ExitOptions | None = None) -> None:
        if strategy.needs:
            raise strategy.refusal()
        super().__init__(exits_for(strategy, exits))
        self.name = strategy.name
        self.parameters = strategy.parameters.model_dump(mode="json")
        self.lookback_bars = max(1, strategy.lookback_bars())
        self._strategy = strategy
        self._columns = tuple(dict.fromkeys((*strategy.features(), *OHLCV)))

    def features(self) -> tuple[str, ...]:
        return self._strategy.features()

    def direction(self, context: Context) -> int:
        if not context.is_settled:
            return 0
        windows = {name: context.window(name, self.lookback_bars) for name in self._columns}
        return int(self._strategy.signals(windows).direction[-1])
