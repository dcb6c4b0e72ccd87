"""The gate: written thresholds, one verdict, every number and reason kept. No evidence never passes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import Field

from crypto_bot.core.options import Options
from crypto_bot.validation.class_baseline import ClassBaseline


class ClassMeasure(StrEnum):
    """By what a classifier must beat the majority class."""

    BALANCED_ACCURACY = "balanced_accuracy"
    """Mean recall of the classes; fair to models trained with class weights, as S1's are."""
    ACCURACY = "accuracy"
    LOG_LOSS = "log_loss"
    """Against the training rows' class shares; unfair to models trained with class weights."""


class GateOptions(Options):
    """What a candidate must show, out of sample and after costs, to be promoted."""

    min_sharpe: float = Field(
        default=0.2, description="annual Sharpe ratio of daily returns, at least"
    )
    max_drawdown: float = Field(
        default=0.15, gt=0, le=1, description="deepest fall of equity, fraction, at most"
    )
    min_win_rate: float = Field(
        default=0.3, ge=0, le=1, description="closed trades with a profit, fraction, at least"
    )
    min_trades: int = Field(default=30, ge=1, description="closed trades, at least")
    min_deflated_sharpe: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="probability that the Sharpe ratio is real given every trial made, at least",
    )
    max_random_entry_p: float = Field(
        default=0.05, gt=0, le=1, description="share of random traders as good, at most"
    )
    must_beat_buy_and_hold: bool = Field(
        default=True, description="a higher Sharpe ratio than holding the same symbols"
    )
    must_beat_majority_class: bool = Field(
        default=True, description="better than the majority class; turn off for rule strategies"
    )
    class_measure: ClassMeasure = Field(
        default=ClassMeasure.BALANCED_ACCURACY, description="by what the majority class is beaten"
    )
    min_class_edge: float = Field(
        default=0.01, ge=0, description="by how much, in the units of the measure"
    )
    min_champion_margin: float = Field(
        default=0.0, ge=0, description="Sharpe ratio above the champion's on the same stretch"
    )


class Judged(StrEnum):
    """How a champion was measured on the challenger's stretch."""

    OWN_RECORD = "own_record"
    """It was judged on this very stretch when it was promoted."""
    TRAINED_AGAIN = "trained_again"
    """Its recipe was trained again on the challenger's folds: neither had seen the stretch."""
    STORED = "stored"
    """Its stored model traded the stretch, of which it may have learned a part."""
    REFRESHED = "refreshed"
    """It is made the same way of older candles: nothing to compare, the newer one may follow it."""


@dataclass(frozen=True)
class ChampionEvidence:
    """The version in service, measured on the challenger's stretch."""

    version: str
    sharpe: float | None
    start_ns: int
    end_ns: int
    how: Judged = Judged.OWN_RECORD


@dataclass(frozen=True)
class Evidence:
    """What is known of a candidate, out of sample and after costs; None where it has no value.

    Attributes
    ----------
    start_ns, end_ns : the stretch it was measured on
    sharpe, total_return, max_drawdown, win_rate, trades : pooled over symbols; annual, fractions
    deflated_sharpe : probability, from `trials` Sharpe ratios
    random_entry_p : share of random traders who did as well
    buy_and_hold_sharpe : holding the same symbols in equal parts, entry costs included
    class_scores : for a classifier, beside the majority class
    champion : the version in service; None if there is none
    is_simulated : True if any candle is
    effective_trials : how many independent trials `trials` amount to; deflation counts these
    details : further numbers to keep with the verdict, not judged
    notes : what else to keep with it, JSON-ready, not judged
    """

    start_ns: int
    end_ns: int
    sharpe: float | None
    total_return: float | None
    max_drawdown: float | None
    win_rate: float | None
    trades: int
    deflated_sharpe: float | None
    trials: int
    random_entry_p: float | None
    buy_and_hold_sharpe: float | None
    effective_trials: int | None = None
    class_scores: ClassBaseline | None = None
    champion: ChampionEvidence | None = None
    is_simulated: bool = False
    details: Mapping[str, float | None] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; NaN and infinity become None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Check:
    """One rule of the gate: what was found, what is asked, whether it holds."""

    name: str
    value: float | None
    threshold: float | None
    rule: str
    holds: bool

    def to_text(self) -> str:
        """In words, such as `sharpe must be at least 0.2, was 0.11`."""
        return f"{self.name} must be {self.rule}, {_found(self.value)}"


@dataclass(frozen=True)
class Verdict:
    """The gate's answer; `to_dict()` is what the registry keeps as evidence."""

    promoted: bool
    checks: tuple[Check, ...]
    reason: str
    evidence: Evidence
    options: GateOptions

    @property
    def brief(self) -> str:
        """The verdict in a line: how many checks failed, and which."""
        failed = [check.name for check in self.checks if not check.holds]
        if not failed:
            return f"promoted: all {len(self.checks)} checks hold"
        return (
            f"not promoted: {len(failed)} of {len(self.checks)} checks failed ({', '.join(failed)})"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "promoted": self.promoted,
            "reason": self.reason,
            "is_simulated": self.evidence.is_simulated,
            "checks": [
                {key: _plain(value) for key, value in asdict(check).items()}
                for check in self.checks
            ],
            "evidence": self.evidence.to_dict(),
            "options": self.options.model_dump(mode="json"),
        }


def judge(evidence: Evidence, options: GateOptions | None = None) -> Verdict:
    """Hold the evidence against every threshold.

    Returns
    -------
    Verdict    promoted only if every check holds; a number that is None or not finite fails its
               check in words
    """
    options = GateOptions() if options is None else options
    checks = tuple(_checks(evidence, options))
    failed = [check for check in checks if not check.holds]
    if failed:
        faults = "; ".join(check.to_text() for check in failed)
        reason = f"not promoted, {len(failed)} of {len(checks)} checks failed: {faults}"
    else:
        reason = f"promoted: all {len(checks)} checks hold"
    return Verdict(not failed, checks, reason, evidence, options)


def _checks(evidence: Evidence, options: GateOptions) -> Iterator[Check]:
    yield _at_least("trades", evidence.trades, options.min_trades)
    yield _at_least("sharpe", evidence.sharpe, options.min_sharpe)
    yield _at_most("max_drawdown", evidence.max_drawdown, options.max_drawdown)
    yield _at_least("win_rate", evidence.win_rate, options.min_win_rate)
    yield _at_least(
        "deflated_sharpe",
        evidence.deflated_sharpe,
        options.min_deflated_sharpe,
        f" given {_trials(evidence)}",
    )
    yield _at_most("random_entry_p", evidence.random_entry_p, options.max_random_entry_p)
    if options.must_beat_buy_and_hold:
        yield _above(
            "beats_buy_and_hold",
            evidence.sharpe,
            evidence.buy_and_hold_sharpe,
            "buy and hold's Sharpe ratio",
        )
    if options.must_beat_majority_class:
        yield _class_check(evidence.class_scores, options)
    if evidence.champion is not None:
        yield _champion_check(evidence, evidence.champion, options)


def _trials(evidence: Evidence) -> str:
    counted = evidence.effective_trials
    if counted is None or counted == evidence.trials:
        return f"{evidence.trials} trials"
    return f"{evidence.trials} trials that amount to {counted}"


def _class_check(scores: ClassBaseline | None, options: GateOptions) -> Check:
    name, measure = "beats_majority_class", options.class_measure
    if scores is None:
        return Check(name, None, None, f"a better {measure.value} than the majority class's", False)
    model, majority = scores.measured(measure.value)
    if measure is ClassMeasure.LOG_LOSS:
        asked = majority - options.min_class_edge
        holds = _is_number(model) and _is_number(majority) and model < asked
        return Check(name, model, asked, f"a log loss below {asked:.4g}", holds)
    asked = majority + options.min_class_edge
    holds = _is_number(model) and _is_number(majority) and model > asked
    words = measure.value.replace("_", " ")
    return Check(name, model, asked, f"a {words} above {asked:.4g}", holds)


def _champion_check(evidence: Evidence, champion: ChampionEvidence, options: GateOptions) -> Check:
    if (champion.start_ns, champion.end_ns) != (evidence.start_ns, evidence.end_ns):
        rule = f"compared with champion {champion.version} on the same stretch"
        return Check("beats_champion", None, None, rule, False)
    if champion.how is Judged.REFRESHED:
        rule = f"made as champion {champion.version}, of newer candles: a refresh, not compared"
        return Check("beats_champion", evidence.sharpe, None, rule, True)
    asked = None
    if champion.sharpe is not None:
        asked = champion.sharpe + options.min_champion_margin
    return _above(
        "beats_champion", evidence.sharpe, asked, f"champion {champion.version}'s Sharpe ratio"
    )


def _at_least(name: str, value: float | None, threshold: float, note: str = "") -> Check:
    holds = value is not None and _is_number(value) and value >= threshold
    return Check(name, value, threshold, f"at least {threshold:g}{note}", holds)


def _at_most(name: str, value: float | None, threshold: float) -> Check:
    holds = value is not None and _is_number(value) and value <= threshold
    return Check(name, value, threshold, f"at most {threshold:g}", holds)


def _above(name: str, value: float | None, threshold: float | None, what: str) -> Check:
    if value is None or threshold is None or not (_is_number(value) and _is_number(threshold)):
        known = "" if threshold is None else f" of {threshold:.4g}"
        return Check(name, value, threshold, f"above {what}{known} (both measured)", False)
    return Check(name, value, threshold, f"above {what} of {threshold:.4g}", value > threshold)


def _found(value: float | None) -> str:
    if value is None or not _is_number(value):
        return "could not be measured"
    return f"was {value:.4g}"


def _is_number(value: float) -> bool:
    return math.isfinite(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
