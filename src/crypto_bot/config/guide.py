"""The sections of the guide's configuration file, under the guide's names and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, SecretStr, WrapValidator

from crypto_bot.config.section import Section

KEY_PLACEHOLDERS = frozenset(
    {"", "your-service-role-key", "your-service-key", "your-anon-key", "your-key"}
)
URL_PLACEHOLDERS = frozenset({"", "https://your-project.supabase.co"})


def _compute_units(value: Any, _handler: object) -> Any:
    if value == "auto" or (type(value) is int and value > 0):
        return value
    raise ValueError("be a whole number above 0, or auto")


ComputeUnits = Annotated[int | str, WrapValidator(_compute_units)]


class ScalpSettings(Section):
    """Limits of scalping backtests."""

    max_positions: int = Field(default=100, ge=1, description="positions held at once")
    min_position_size_usd: float = Field(default=5.0, ge=0, description="smallest position, USD")
    position_size_pct: float = Field(
        default=0.02, gt=0, le=1, description="fraction of equity a position"
    )
    max_risk_per_trade: float = Field(
        default=0.002, gt=0, le=1, description="fraction of equity at risk"
    )


class ParameterRanges(Section):
    """Exits that every sweep tries."""

    stop_loss: tuple[float, ...] = Field(
        default=(0.003, 0.005, 0.007, 0.010),
        description="stop distances, fraction of the entry price",
    )
    take_profit: tuple[float, ...] = Field(
        default=(0.008, 0.012, 0.015, 0.020),
        description="target distances, fraction of the entry price",
    )


class DataSources(Section):
    """Where candles may come from."""

    cex: tuple[str, ...] = Field(
        default=("binance", "kraken", "coinbase"),
        description="exchanges; the first is the default of data.exchange",
    )
    dex: tuple[str, ...] = Field(
        default=("raydium", "uniswap"), description="decentralised exchanges"
    )


class ReportingSettings(Section):
    """What a run leaves behind besides its summary."""

    charts: bool = Field(
        default=True, description="plots as PNG files, and what explains the models"
    )
    equity_curves: bool = Field(
        default=True, description="equity and drawdown of the chosen backtests"
    )
    csv: bool = Field(default=True, description="result tables as CSV files")
    email: bool = Field(default=False, description="send the report by mail")


class IntegrationSettings(Section):
    """How backtests feed back into trading."""

    update_strategy_weights: bool = Field(
        default=True, description="weigh strategies by their results"
    )
    auto_optimize_parameters: bool = Field(
        default=True, description="sweeps try parameter sets; off: each strategy's defaults alone"
    )
    risk_adjustment: bool = Field(default=True, description="let results change the risk limits")


class WindowsSettings(Section):
    """Switches of the guide's Windows set-up."""

    process_pool: bool = Field(default=True, description="a pool made for Windows")
    driver_check: bool = Field(default=True, description="look at the graphics driver first")
    memory_optimization: bool = Field(default=True, description="memory settings made for Windows")


class AmdSettings(Section):
    """Switches of the guide's AMD set-up."""

    enable_rocm: bool = Field(default=False, description="compute through ROCm")
    memory_optimization: bool = Field(default=True, description="memory settings made for AMD")
    compute_units: ComputeUnits = Field(default="auto", description="units to use, or auto")


class MonitoringSettings(Section):
    """What a run observes of itself."""

    log_performance_metrics: bool = Field(
        default=True, description="log each step's duration and speed"
    )
    track_memory_usage: bool = Field(default=True, description="log and report the peak of memory")
    monitor_gpu_utilization: bool = Field(
        default=True, description="log the GPU's load while training"
    )
    alert_on_failures: bool = Field(default=True, description="log a failed run as an alert")


class SupabaseSettings(Section):
    """The guide's model store."""

    url: str | None = Field(default=None, description="project URL; environment: SUPABASE_URL")
    key: SecretStr | None = Field(
        default=None,
        description="service key; environment only: SUPABASE_SERVICE_KEY or SUPABASE_KEY",
    )
    bucket: str = Field(default="models", min_length=1, description="storage bucket")

    @property
    def is_configured(self) -> bool:
        """True when url and key are given and are not the guide's placeholders."""
        key = "" if self.key is None else self.key.get_secret_value()
        return (self.url or "") not in URL_PLACEHOLDERS and key not in KEY_PLACEHOLDERS

    @property
    def has_placeholders(self) -> bool:
        """True when url or key still is what the guide prints."""
        key = "" if self.key is None else self.key.get_secret_value()
        return bool(
            (self.url and self.url in URL_PLACEHOLDERS) or (key and key in KEY_PLACEHOLDERS)
        )


class LabelSettings(Section):
    """What the model is to foresee."""

    horizon_minutes: float = Field(
        default=15, gt=0, le=525_600, description="how far ahead, minutes"
    )
    hold_threshold: float = Field(
        default=0.0015, ge=0, lt=1, description="a smaller move is flat; fraction of price"
    )


class TrainingSettings(Section):
    """How the model is trained."""

    device_type: Literal["gpu", "cpu", "cuda"] = Field(
        default="gpu", description="where LightGBM trains; cpu when there is no GPU"
    )
    max_bin: int = Field(default=63, ge=2, le=65_535, description="LightGBM histogram bins")
    n_jobs: int = Field(default=0, ge=0, description="training threads; 0 = all cores")
    publish_models: bool = Field(
        default=True,
        description="store every trained version; promote what the gate lets through",
    )
    auto_retrain: bool | None = Field(
        default=None, description="wins over ml_integration.auto_retrain; unset: that one counts"
    )
    retrain_interval_hours: float | None = Field(
        default=None,
        gt=0,
        description="wins over ml_integration.retrain_interval_hours; unset: that one",
    )


class Schedule(NamedTuple):
    """When models are trained, after precedence; read this, not the keys."""

    is_enabled: bool
    auto_retrain: bool
    retrain_interval_hours: float
    publish_models: bool


class MLIntegration(Section):
    """Learning from candles and backtests."""

    enabled: bool = Field(default=True, description="train, judge and publish models")
    auto_retrain: bool = Field(default=True, description="train again when the interval has passed")
    retrain_interval_hours: float = Field(default=24, gt=0, description="hours between trainings")
    cointrainer_path: str = Field(
        default="cointrainer",
        min_length=1,
        description="who trains: cointrainer is our own process pool, another executable a separate process",
    )
    supabase: SupabaseSettings = Field(default=SupabaseSettings(), description="model store")
    features: LabelSettings = Field(default=LabelSettings(), description="label")
    training: TrainingSettings = Field(default=TrainingSettings(), description="training")

    @property
    def schedule(self) -> Schedule:
        """The nested `training.*` value where it is given, else the outer one."""
        inner = self.training
        hours = inner.retrain_interval_hours
        return Schedule(
            is_enabled=self.enabled,
            auto_retrain=self.auto_retrain if inner.auto_retrain is None else inner.auto_retrain,
            retrain_interval_hours=self.retrain_interval_hours if hours is None else hours,
            publish_models=inner.publish_models,
        )
