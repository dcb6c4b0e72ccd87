"""Orders become fills, bar by bar: every order type, and strategies written as `on_bar`."""

from crypto_bot.orders.context import Context
from crypto_bot.orders.desk import OrderFill, OrderView
from crypto_bot.orders.records import (
    ORDER,
    ORDER_FILL,
    OrderKind,
    OrderStatus,
    SizeBy,
)
from crypto_bot.orders.simulate import OrdersResult, simulate_on_bar
from crypto_bot.orders.stepping import OrderAccount
from crypto_bot.orders.strategy import DeclaredSignals, DirectionStrategy, OnBarStrategy
from crypto_bot.orders.terms import Changes, OrderTerms

__all__ = [
    "ORDER",
    "ORDER_FILL",
    "Changes",
    "Context",
    "DeclaredSignals",
    "DirectionStrategy",
    "OnBarStrategy",
    "OrderAccount",
    "OrderFill",
    "OrderKind",
    "OrderStatus",
    "OrderTerms",
    "OrderView",
    "OrdersResult",
    "SizeBy",
    "simulate_on_bar",
]
