"""Sections of the loop that never stops: its timing, its feedback, what it tells and shows."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from crypto_bot.config.section import Section

Event = Literal[
    "run_failed",
    "trained",
    "promoted",
    "rolled_back",
    "alarm",
    "recovered",
    "memory_ceiling",
    "custom",
]


class LoopSettings(Section):
    """`integrated` without --once: how it waits, gives up and ends."""

    trade: bool = Field(default=True, description="paper trade every closed candle between turns")
    jitter_frac: float = Field(
        default=0.1, ge=0, le=1, description="a pause is longer by up to this share of it"
    )
    first_retry_minutes: float = Field(
        default=5.0, gt=0, description="pause after a failed turn, doubled for each further one"
    )
    step_deadline_minutes: float = Field(
        default=240.0, gt=0, description="a step that takes longer is ended and tried again"
    )
    bar_deadline_seconds: float = Field(
        default=1.0, gt=0, description="after its close, a candle must be decided within this"
    )
    training_niceness: int = Field(
        default=10, ge=0, le=19, description="how far training stands back behind trading"
    )
    stop_seconds: float = Field(
        default=5.0, gt=0, le=60, description="a stop that was asked for takes no longer"
    )
    lease_seconds: float = Field(
        default=60.0,
        ge=5,
        description="a loop of another host that is silent so long is taken over",
    )


class FeedbackSettings(Section):
    """When reality is said to disagree, and what is then done."""

    elsewhere: ClassVar[frozenset[str]] = frozenset(
        {"act", "interval_hours", "use_measured_slippage"}
    )
    act: bool = Field(default=True, description="alarms shrink, stop, retrain or roll back")
    interval_hours: float = Field(
        default=1.0, gt=0, description="between two looks at drift, calibration and trades"
    )
    psi_strong: float = Field(default=0.25, gt=0, description="a feature's PSI from here: drifted")
    ks_p_value: float = Field(
        default=0.001, gt=0, lt=1, description="Kolmogorov-Smirnov test: drifted below this"
    )
    drifted_features_frac: float = Field(
        default=0.25, gt=0, le=1, description="share of drifted features from which to retrain"
    )
    score_detector: Literal["adwin", "page_hinkley"] = Field(
        default="adwin", description="what watches the live score"
    )
    detector_delta: float = Field(
        default=0.002, gt=0, lt=1, description="ADWIN's confidence; smaller: fewer false alarms"
    )
    calibration_decay: float = Field(
        default=0.05, gt=0, description="Brier score worse than in validation by this: decayed"
    )
    minimum_trades: int = Field(
        default=30, ge=5, description="closed trades before results are held against the promise"
    )
    shrink_to_frac: float = Field(
        default=0.5, ge=0, lt=1, description="positions of a model under suspicion, share of normal"
    )
    use_measured_slippage: bool = Field(
        default=False, description="backtests charge the slippage measured on our own fills"
    )


class NotificationSettings(Section):
    """Who is told, and how hard we try; webhook_url says where."""

    events: tuple[Event, ...] = Field(
        default=("run_failed", "promoted", "rolled_back", "alarm", "memory_ceiling", "custom"),
        description="what is posted and mailed",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="signs each post (HMAC-SHA256); environment only: CRYPTO_BOT__NOTIFICATIONS__WEBHOOK_SECRET",
    )
    attempts: int = Field(
        default=6, ge=1, le=20, description="tries before a message is put aside as dead"
    )
    timeout_seconds: float = Field(default=10.0, gt=0, description="of one try")
    email_host: str = Field(default="", description="mail server; empty = no mail")
    email_port: int = Field(default=587, ge=1, le=65_535, description="its port, STARTTLS")
    email_from: str = Field(default="", description="sender")
    email_to: tuple[str, ...] = Field(default=(), description="receivers")
    email_user: str = Field(default="", description="login; empty = none")
    email_password: SecretStr | None = Field(
        default=None,
        description="environment only: CRYPTO_BOT__NOTIFICATIONS__EMAIL_PASSWORD",
    )


class OperationsSettings(Section):
    """What the running loop shows of itself; loopback only."""

    port: int | None = Field(
        default=9464, ge=0, le=65_535, description="/metrics and /healthz; 0 = any, null = off"
    )
    token: SecretStr | None = Field(
        default=None,
        description="Bearer token; environment only: CRYPTO_BOT__OPERATIONS__TOKEN; unset: one is "
        "made at the start and kept in operations.token_file",
    )
    token_file: str = Field(
        default="operations.token", min_length=1, description="where a made token is kept (0600)"
    )
    memory_limit_gb: float | None = Field(
        default=None, gt=0, description="of the loop; above it, training is ended, then the loop"
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="lines of the log files and of standard output"
    )
