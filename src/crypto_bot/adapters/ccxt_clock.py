"""What time an exchange has, by ccxt: whether it answers, and how far this machine's clock is off."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from crypto_bot.core.errors import Retryable
from crypto_bot.market import ExchangeUnreachable


@dataclass(frozen=True, slots=True)
class ExchangeTime:
    """Seconds: until ccxt was loaded, until the answer came, and this clock minus theirs (None: untold)."""

    load_s: float
    answer_s: float
    skew_s: float | None


def ask_time(name: str, *, exchange: Any = None, timeout_s: float = 10.0) -> ExchangeTime:
    """Ask once.

    Raises
    ------
    ConfigError            ccxt knows no such exchange
    ExchangeUnreachable    it does not answer
    """
    began = time.perf_counter()
    if exchange is None:
        from crypto_bot.adapters.ccxt_source import make_exchange

        exchange = make_exchange(name)
    load_s = time.perf_counter() - began
    return asyncio.run(_asked(name, exchange, load_s, timeout_s))


async def _asked(name: str, exchange: Any, load_s: float, timeout_s: float) -> ExchangeTime:
    from ccxt.base.errors import BaseError

    began = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            tells = bool(exchange.has.get("fetchTime"))
            theirs_ms = await (exchange.fetch_time() if tells else exchange.load_markets())
    except TimeoutError:
        raise ExchangeUnreachable(f"{name} must answer within {timeout_s:g} s, did not") from None
    except (BaseError, Retryable, OSError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ExchangeUnreachable(f"{name} must be reachable, was not: {reason}") from error
    finally:
        await exchange.close()
    answer_s = time.perf_counter() - began
    if not tells or not isinstance(theirs_ms, int | float):
        return ExchangeTime(load_s, answer_s, None)
    return ExchangeTime(load_s, answer_s, time.time() - answer_s / 2 - theirs_ms / 1000)
