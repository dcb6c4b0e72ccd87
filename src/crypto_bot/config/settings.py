"""`Settings`: everything that can be set, read once."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from crypto_bot.config.guide import (
    AmdSettings,
    DataSources,
    IntegrationSettings,
    MLIntegration,
    MonitoringSettings,
    ParameterRanges,
    ReportingSettings,
    ScalpSettings,
    Schedule,
    WindowsSettings,
)
from crypto_bot.config.loop_sections import (
    FeedbackSettings,
    LoopSettings,
    NotificationSettings,
    OperationsSettings,
)
from crypto_bot.config.model_sections import ModelSettings
from crypto_bot.config.section import Section
from crypto_bot.config.stages import (
    CostSettings,
    DataSettings,
    ExitSettings,
    GateSettings,
    JournalSettings,
    LoggingSettings,
    PaperSettings,
    PortfolioSettings,
    RegistrySettings,
    ReportSettings,
    RiskSettings,
    SimulationSettings,
    SizingSettings,
    SweepSettings,
    Timeframe,
    ValidationSettings,
)
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import timeframe_ns

_USER_AND_PASSWORD = re.compile(r"[^/@\s:]*:[^@\s]*@")
_SECRET_NAME = re.compile(r"passw|pwd|secret|token", re.IGNORECASE)
Metric = Literal[
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "win_rate",
    "profit_factor",
    "expectancy",
    "recovery_factor",
]


def has_password(url: str) -> bool:
    """Whether a database URL carries a password, before its host or among its options."""
    if "@" not in url and "?" not in url:
        return False
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return bool(_USER_AND_PASSWORD.search(url) or _SECRET_NAME.search(url.partition("?")[2]))
    return bool(parsed.password) or any(_SECRET_NAME.search(name) for name in parsed.query)


class Settings(Section):
    """One configuration: the guide's keys first, then ours.

    >>> Settings().ml_integration.schedule.retrain_interval_hours
    24
    """

    top_pairs_count: int = Field(
        default=20, ge=1, le=1000, description="pairs, the top by quote volume"
    )
    min_volume_usd: float = Field(
        default=1e6, ge=0, description="least 24 h quote volume of a pair"
    )
    refresh_interval_hours: float = Field(
        default=6, gt=0, description="hours between candle downloads"
    )
    lookback_days: int = Field(default=90, ge=1, description="days of candles that are read")
    timeframes: tuple[Timeframe, ...] = Field(
        default=("1h", "4h", "1d"), min_length=1, description="timeframes that are backtested"
    )
    use_gpu: bool = Field(default=True, description="use a GPU where there is one")
    gpu_memory_limit_gb: float = Field(
        default=8.0, gt=0, description="GPU memory to use at most, GB"
    )
    batch_size: int = Field(
        default=100, ge=1, description="backtests written to the journal at a time"
    )
    max_workers: int = Field(default=8, ge=1, description="parallel workers; never more than cores")
    use_process_pool: bool = Field(default=True, description="spread work over processes")
    learning_enabled: bool = Field(default=True, description="off: no model is trained")
    results_cache_dir: str = Field(
        default="crypto_bot/logs/backtest_results",
        min_length=1,
        description="folder of result files",
    )
    model_update_interval_hours: float = Field(
        default=24, gt=0, description="default of ml_integration.retrain_interval_hours"
    )
    max_drawdown_threshold: float = Field(
        default=0.15,
        gt=0,
        le=1,
        description="largest drawdown `optimize` keeps and the gate promotes, fraction",
    )
    min_sharpe_threshold: float = Field(
        default=0.2, description="least Sharpe ratio `optimize` keeps and the gate promotes"
    )
    min_win_rate: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="least win rate `optimize` keeps and the gate promotes, fraction",
    )
    scalp_backtest_config: ScalpSettings = Field(default=ScalpSettings(), description="scalping")
    strategies_to_test: tuple[str, ...] = Field(default=(), description="strategies; empty = all")
    parameter_ranges: ParameterRanges = Field(default=ParameterRanges(), description="exits to try")
    performance_metrics: tuple[Metric, ...] = Field(
        default=(
            "sharpe",
            "sortino",
            "calmar",
            "max_drawdown",
            "win_rate",
            "profit_factor",
            "expectancy",
            "recovery_factor",
        ),
        description="columns of the strategy tables",
    )
    data_sources: DataSources = Field(default=DataSources(), description="candle sources")
    reporting: ReportingSettings = Field(
        default=ReportingSettings(), description="what is reported"
    )
    integration: IntegrationSettings = Field(default=IntegrationSettings(), description="feedback")
    windows_optimizations: WindowsSettings = Field(default=WindowsSettings(), description="Windows")
    amd_gpu: AmdSettings = Field(default=AmdSettings(), description="AMD")
    monitoring: MonitoringSettings = Field(default=MonitoringSettings(), description="monitoring")
    ml_integration: MLIntegration = Field(default=MLIntegration(), description="learning")
    webhook_url: SecretStr | None = Field(
        default=None,
        description="URL that events are posted to",
    )

    data: DataSettings = Field(default=DataSettings(), description="candles")
    registry: RegistrySettings = Field(default=RegistrySettings(), description="models")
    journal: JournalSettings = Field(default=JournalSettings(), description="memory")
    reports: ReportSettings = Field(default=ReportSettings(), description="report folders")
    logging: LoggingSettings = Field(default=LoggingSettings(), description="log files")
    costs: CostSettings = Field(default=CostSettings(), description="fees and slippage")
    exits: ExitSettings = Field(default=ExitSettings(), description="exits")
    sizing: SizingSettings = Field(default=SizingSettings(), description="position sizes")
    portfolio: PortfolioSettings = Field(
        default=PortfolioSettings(), description="limits of a shared account"
    )
    sweep: SweepSettings = Field(default=SweepSettings(), description="parameter search")
    models: ModelSettings = Field(default=ModelSettings(), description="models")
    validation: ValidationSettings = Field(default=ValidationSettings(), description="validation")
    paper: PaperSettings = Field(default=PaperSettings(), description="paper session")
    gate: GateSettings = Field(default=GateSettings(), description="promotion")
    risk: RiskSettings = Field(default=RiskSettings(), description="risk limits")
    simulation: SimulationSettings = Field(
        default=SimulationSettings(), description="simulated market"
    )
    loop: LoopSettings = Field(default=LoopSettings(), description="the loop that never stops")
    feedback: FeedbackSettings = Field(
        default=FeedbackSettings(), description="did reality agree, and what then"
    )
    notifications: NotificationSettings = Field(
        default=NotificationSettings(), description="webhook and mail"
    )
    operations: OperationsSettings = Field(
        default=OperationsSettings(), description="metrics, health, memory"
    )

    @model_validator(mode="before")
    @classmethod
    def _follow_the_other_home(cls, values: Any) -> Any:
        """A key given in one of its two homes alone counts for both."""
        if not isinstance(values, Mapping):
            return values
        exchanges = _get(values, "data_sources", "cex")
        if isinstance(exchanges, list | tuple) and exchanges:
            values = _with_default(values, "data", "exchange", exchanges[0])
        hours = _get(values, "model_update_interval_hours")
        if hours is not None:
            values = _with_default(values, "ml_integration", "retrain_interval_hours", hours)
        return values

    @model_validator(mode="after")
    def _hold_the_rules_between_keys(self) -> Settings:
        base = timeframe_ns(self.data.base_timeframe)
        for index, name in enumerate(self.timeframes):
            if timeframe_ns(name) % base:
                raise ConfigError(
                    f"timeframes.{index} must be a multiple of data.base_timeframe "
                    f"{self.data.base_timeframe}, was {name!r}; set data.base_timeframe"
                )
        if has_password(self.journal.url):
            raise ConfigError(
                "journal.url must hold no password, did; give it by PGPASSWORD or ~/.pgpass"
            )
        return self

    @property
    def schedule(self) -> Schedule:
        """When models are trained: `ml_integration.schedule`, off while learning_enabled is."""
        schedule = self.ml_integration.schedule
        return schedule._replace(is_enabled=schedule.is_enabled and self.learning_enabled)

    @property
    def workers(self) -> int:
        """max_workers, but never more than this process may use."""
        if hasattr(os, "sched_getaffinity"):
            return min(self.max_workers, len(os.sched_getaffinity(0)))
        return min(self.max_workers, os.cpu_count() or 1)

    @property
    def fingerprint(self) -> str:
        """sha256 of every value, secrets masked: equal settings have equal fingerprints."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def training_device(self, gpu: Mapping[str, Any]) -> Literal["cpu", "gpu", "cuda"]:
        """Where to train, given what `get_gpu_info` found."""
        has_gpu = self.use_gpu and gpu["status"] == "available"
        return self.ml_integration.training.device_type if has_gpu else "cpu"

    def explain_inactive(self, *, gpu: Mapping[str, Any], platform: str | None = None) -> list[str]:
        """One line for every key that asks for something that will not happen here, and why.

        `gpu` is the answer of `get_gpu_info`; `platform` defaults to `sys.platform`.
        """
        from crypto_bot.config.effects import inactive_lines

        return inactive_lines(self, gpu=gpu, platform=platform)

    def to_yaml(self) -> str:
        """The settings as a file that loads to the same settings; secrets are left out."""
        from crypto_bot.config.documents import settings_yaml

        return settings_yaml(self)


def _get(values: Any, *path: str) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else getattr(values, name, None)
    return values


def _with_default(values: Mapping[str, Any], section: str, name: str, default: Any) -> Any:
    there = values.get(section, {})
    if not isinstance(there, Mapping) or name in there:
        return values
    return {**values, section: {**there, name: default}}
