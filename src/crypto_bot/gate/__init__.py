"""Stage 7b, the verdict. In: out-of-sample backtests, trials made. Out: `Evidence`, `Verdict`.

Written thresholds, every number and reason kept; no evidence never passes.
"""

from crypto_bot.gate.evidence import gather_evidence
from crypto_bot.gate.pooling import Pooled, annual_sharpe, pool_results
from crypto_bot.gate.verdict import (
    ChampionEvidence,
    Check,
    ClassMeasure,
    Evidence,
    GateOptions,
    Judged,
    Verdict,
    judge,
)

__all__ = [
    "ChampionEvidence",
    "Check",
    "ClassMeasure",
    "Evidence",
    "GateOptions",
    "Judged",
    "Pooled",
    "Verdict",
    "annual_sharpe",
    "gather_evidence",
    "judge",
    "pool_results",
]
