"""Is the best of many better than a benchmark? Tests that know how many were tried, by `arch`.

Sources: Hansen, "A Test for Superior Predictive Ability" (2005); Romano & Wolf, "Stepwise Multiple
Testing as Formalized Data Snooping" (2005).
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import PerBarFeature, PerRow
from crypto_bot.core.errors import DataError, MissingExtra
from crypto_bot.core.options import Options


class SnoopingOptions(Options):
    """How the tests resample."""

    resamples: int = Field(default=1000, ge=100, le=100_000, description="resampled histories")
    mean_block: float = Field(
        default=5.0, ge=1.0, description="mean length of the blocks kept together, periods"
    )
    size: float = Field(
        default=0.05, gt=0.0, lt=0.5, description="chance that step-M believes any worthless trial"
    )
    seed: int = Field(default=42, ge=0, description="same seed, same answer")


@dataclass(frozen=True)
class SuperiorAbility:
    """p-values of "no trial is better than the benchmark": `consistent` between its two bounds."""

    lower: float
    consistent: float
    upper: float
    trials: int


def superior_predictive_ability(
    returns: PerBarFeature, benchmark: PerRow | None = None, options: SnoopingOptions | None = None
) -> SuperiorAbility:
    """Hansen's SPA: could the best mean return be that of luck among this many trials?

    Parameters
    ----------
    returns : float64 (periods, trials)
    benchmark : float64 (periods,)    None: cash, a return of 0
    options : SnoopingOptions

    Raises
    ------
    MissingExtra    without `arch` (the extra `stats`)
    DataError       with fewer than 20 periods, no trial, a value not finite, or a benchmark of another
                    length; or if no trial differs from the benchmark

    Notes
    -----
    Studentised, stationary bootstrap. Trials equal to the benchmark in every period are left out.
    """
    options = SnoopingOptions() if options is None else options
    losses, base, _ = _losses(returns, benchmark)
    test = _arch().SPA(base, losses, **_settings(options))
    test.compute()
    return SuperiorAbility(
        lower=float(test.pvalues["lower"]),
        consistent=float(test.pvalues["consistent"]),
        upper=float(test.pvalues["upper"]),
        trials=losses.shape[1],
    )


def step_m(
    returns: PerBarFeature, benchmark: PerRow | None = None, options: SnoopingOptions | None = None
) -> tuple[int, ...]:
    """Romano & Wolf's step-M: which trials are better than the benchmark, all tried considered.

    Parameters and errors are those of `superior_predictive_ability`.

    Returns
    -------
    tuple of int    columns of `returns`, ascending; any worthless one among them in at most
                    `options.size` of samples
    """
    options = SnoopingOptions() if options is None else options
    losses, base, kept = _losses(returns, benchmark)
    test = _arch().StepM(base, losses, size=options.size, **_settings(options))
    test.compute()
    return tuple(sorted(int(kept[int(k)]) for k in test.superior_models))


def _arch() -> Any:
    try:
        return importlib.import_module("arch.bootstrap")
    except ImportError:
        raise MissingExtra("arch", "stats") from None


def _settings(options: SnoopingOptions) -> dict[str, Any]:
    return {
        "block_size": max(1, round(options.mean_block)),
        "reps": options.resamples,
        "seed": np.random.default_rng(options.seed),
    }


def _losses(
    returns: PerBarFeature, benchmark: PerRow | None
) -> tuple[PerBarFeature, PerRow, list[int]]:
    if returns.ndim != 2 or returns.shape[1] < 1 or len(returns) < 20:
        raise DataError(
            "returns must be (periods, trials) with at least 20 periods and 1 trial, "
            f"was {returns.shape}"
        )
    base = np.zeros(len(returns)) if benchmark is None else benchmark
    if base.shape != (len(returns),):
        raise DataError(f"benchmark must have {len(returns)} periods, was {base.shape}")
    for name, values in (("returns", returns), ("benchmark", base)):
        if not np.isfinite(values).all():
            raise DataError(f"{name} must be finite, held NaN or infinity")
    edge = returns - base[:, None]
    spread = edge.std(axis=0)
    kept = [k for k, each in enumerate(spread) if math.isfinite(each) and each > 1e-12]
    if not kept:
        raise DataError("returns must differ from the benchmark in some trial, did in none")
    return -returns[:, kept], -base, kept
