"""What the registry's commands of `cointrainer` do: list, show, promote, roll back, prune, test."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from crypto_bot.backtest.command import Handler, Result, say
from crypto_bot.backtest.workbench import open_registries
from crypto_bot.config import load_settings
from crypto_bot.core.errors import nearest
from crypto_bot.registry import VersionSummary, open_registry

_SHOWN = ("sharpe", "total_return", "max_drawdown", "win_rate", "trades", "accuracy")


def registry_list(options: argparse.Namespace) -> tuple[int, Result]:
    """Versions of a symbol, best first; an empty list is an answer, not a failure."""
    real, simulated = open_registries(load_settings(options.config))
    registry = real if real.symbols() else simulated
    ranked = registry.rank(options.symbol)
    if ranked:
        say(options, *_ranking_lines(options.symbol, ranked))
    else:
        known = registry.symbols()
        held = f"; it holds {', '.join(known)}" if known else ""
        say(
            options,
            f"registry '{registry.root}' holds no version of {options.symbol}{held}"
            f"{nearest(options.symbol, known)}",
        )
    return 0, {
        "symbol": options.symbol,
        "registry": str(registry.root),
        "versions": [summary.to_dict() for summary in ranked],
    }


def registry_smoke(options: argparse.Namespace) -> tuple[int, Result]:
    """Write, list, read back and remove a small file below the registry's tmp folder."""
    settings = load_settings(options.config)
    registry = open_registry(settings.registry.folder)
    smoke = registry.smoke(options.symbol)
    say(
        options,
        f"registry '{registry.root}' works: {smoke.size_bytes} bytes written, listed, read back "
        f"equal and removed in {smoke.seconds * 1000:.0f} ms",
    )
    if settings.ml_integration.supabase.is_configured:
        say(options, "supabase is configured but not used: this version keeps models in a folder")
    return 0, {
        "symbol": smoke.symbol,
        "registry": str(registry.root),
        "key": smoke.key,
        "size_bytes": smoke.size_bytes,
        "seconds": smoke.seconds,
    }


REGISTRY_COMMANDS: dict[str, Handler] = {
    "registry-list": registry_list,
    "registry-smoke": registry_smoke,
}


def _ranking_lines(symbol: str, ranked: Sequence[VersionSummary]) -> list[str]:
    heads = "".join(f"{name:>14}" for name in _SHOWN)
    lines = [f"{symbol}, best first", f"{'':>2} {'version':<34}{'stage':<10}{'gate':<6}{heads}"]
    for place, summary in enumerate(ranked, start=1):
        gate = {True: "yes", False: "no", None: "-"}[summary.gate_passed]
        numbers = "".join(f"{_number(summary.metrics.get(name)):>14}" for name in _SHOWN)
        mark = "  SIMULATED" if summary.is_simulated else ""
        lines.append(
            f"{place:>2} {summary.version:<34}{summary.stage:<10}{gate:<6}{numbers}"
            f"  {summary.created_at or '-'}{mark}"
        )
        if summary.problem is not None:
            lines.append(f"   damaged: {summary.problem}")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
