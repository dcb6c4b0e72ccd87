"""What every key does here, and why one does nothing: no key is ignored in silence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

from pydantic import SecretStr

from crypto_bot.config.settings import Settings


@dataclass(frozen=True)
class Machine:
    """What the answers depend on besides the settings."""

    gpu: Mapping[str, Any]
    platform: str


Reason: TypeAlias = Callable[[Settings, Machine], str | None]
"""Why a key that asks for something has no effect here; None when it acts."""


@dataclass(frozen=True)
class Effect:
    """What a key does, and when not. `never` is the reason of a key that acts nowhere yet.

    A key that is switched off asks for nothing and is not named, unless `speaks_when_off`.
    """

    acts: str = ""
    unless: Reason | None = None
    never: str = ""
    speaks_when_off: bool = False

    def reason(self, settings: Settings, machine: Machine) -> str | None:
        """Why the key does nothing here; None when it acts."""
        if self.never:
            return self.never
        return None if self.unless is None else self.unless(settings, machine)


def _no_gpu(settings: Settings, machine: Machine) -> str | None:
    if machine.gpu["status"] != "available":
        return "no GPU found, running on CPU"
    return None if settings.use_gpu else "use_gpu is off"


def _gpu_limit(settings: Settings, machine: Machine) -> str | None:
    return _no_gpu(settings, machine) or "LightGBM takes no limit of GPU memory"


def _device(settings: Settings, machine: Machine) -> str | None:
    wanted = settings.ml_integration.training.device_type
    return None if wanted == "cpu" else _no_gpu(settings, machine)


def _opencl(settings: Settings, machine: Machine) -> str | None:
    given = settings.models.lightgbm.model_fields_set
    if not given & {"gpu_platform_id", "gpu_device_id", "gpu_use_dp"}:
        return None
    return _device(settings, machine)


def _uncalibrated(settings: Settings, _machine: Machine) -> str | None:
    if settings.models.coverage is None or settings.models.calibration != "none":
        return None
    return "a band is learned together with a calibration; set models.calibration"


def _windows(_settings: Settings, machine: Machine) -> str | None:
    if machine.platform != "win32":
        return "not Windows"
    return "nothing here is made for one system; max_workers and use_gpu rule on Windows too"


def _amd(_settings: Settings, machine: Machine) -> str | None:
    names = [device["name"] for device in machine.gpu.get("devices", [])]
    if not any(name.startswith("AMD") for name in names):
        return "no AMD GPU found"
    return "LightGBM drives AMD cards through OpenCL, which takes none of these"


def _cex(settings: Settings, _machine: Machine) -> str | None:
    exchange = settings.data.exchange
    if not exchange:
        return "data.exchange is empty, nothing is downloaded"
    if settings.data_sources.cex in ((), (exchange,)):
        return None
    return f"candles of several exchanges are never mixed; only {exchange} is read"


def _no_mail(settings: Settings, _machine: Machine) -> str | None:
    told = settings.notifications
    wanted = settings.reporting.email or "email_port" in told.model_fields_set
    if wanted or told.email_from or told.email_to:
        return None if told.email_host else "notifications.email_host is empty, nothing is mailed"
    return None


def _supabase(settings: Settings, _machine: Machine) -> str | None:
    supabase, folder = settings.ml_integration.supabase, settings.registry.folder
    if settings.registry.store == "folder":
        return f"registry.store is folder; models go to {folder}"
    if supabase.is_configured:
        return None
    if supabase.has_placeholders:
        return (
            "the guide's placeholders are not credentials (set SUPABASE_URL and SUPABASE_KEY); "
            f"models go to {folder}"
        )
    return f"SUPABASE_URL and SUPABASE_KEY are not set; models go to {folder}"


def _outer(name: str) -> Reason:
    def reason(settings: Settings, _machine: Machine) -> str | None:
        ml = settings.ml_integration
        inner, outer = getattr(ml.training, name), getattr(ml, name)
        if inner is None or inner == outer or name not in ml.model_fields_set:
            return None
        return f"overruled by ml_integration.training.{name} {_shown(inner)}"

    return reason


def _update_interval(settings: Settings, _machine: Machine) -> str | None:
    hours = settings.schedule.retrain_interval_hours
    given = "model_update_interval_hours" in settings.model_fields_set
    if not given or settings.model_update_interval_hours == hours:
        return None
    return f"overruled by ml_integration: models are retrained every {hours:g} hours"


_LEARNING = "the loop trains, judges and publishes models"
_SWEEP = "the sweep"
_FILES = "the store, on refresh"
_ENGINE = "every backtest and the paper broker"
_STRATEGY_EXITS = "strategies, in backtests and on paper; models trade by paper.model_*"
_MODEL_EXITS = "models, in validation, in the gate and on paper"
_GUARD = "the paper session's risk guard"
_SIMULATED = "the simulated market, when no exchange can be reached"
_SCALP = Effect(never="scalping strategies are sized like all others, by sizing.* and risk.*")
_WINDOWS = Effect(unless=_windows)
_AMD = Effect(unless=_amd)
_SUPABASE = Effect(unless=_supabase)


def _each(section: str, names: Iterable[str], effect: Effect) -> dict[str, Effect]:
    return {f"{section}.{name}": effect for name in names}


KEY_STATUS: dict[str, Effect] = {
    "top_pairs_count": Effect("choice of pairs to download"),
    "min_volume_usd": Effect("choice of pairs to download"),
    "refresh_interval_hours": Effect("pause between turns of `integrated` and `continuous`"),
    "lookback_days": Effect("candles that are downloaded and read"),
    "timeframes": Effect(_SWEEP),
    "use_gpu": Effect("training device", unless=lambda s, m: _no_gpu(s, m) if s.use_gpu else None),
    "gpu_memory_limit_gb": Effect(unless=_gpu_limit),
    "batch_size": Effect("trials written to the journal in one transaction"),
    "max_workers": Effect("workers of the sweep and of training"),
    "use_process_pool": Effect(
        never="the compiled sweep runs on threads that do not wait for each other; "
        "processes would only copy candles"
    ),
    "learning_enabled": Effect(_LEARNING),
    "results_cache_dir": Effect("result files of backtests; `view` and `optimize` read them"),
    "model_update_interval_hours": Effect("retraining interval", unless=_update_interval),
    "max_drawdown_threshold": Effect("`optimize` and the gate"),
    "min_sharpe_threshold": Effect("`optimize` and the gate"),
    "min_win_rate": Effect("`optimize` and the gate"),
    **_each(
        "scalp_backtest_config",
        ("max_positions", "min_position_size_usd", "position_size_pct", "max_risk_per_trade"),
        _SCALP,
    ),
    "strategies_to_test": Effect(_SWEEP),
    **_each("parameter_ranges", ("stop_loss", "take_profit"), Effect(_SWEEP)),
    "performance_metrics": Effect("strategy tables of the report"),
    "data_sources.cex": Effect("default of data.exchange", unless=_cex),
    "data_sources.dex": Effect(never="needs a DEX data adapter; candles come from the exchange"),
    **_each("reporting", ("charts", "equity_curves", "csv"), Effect("the report folder")),
    "reporting.email": Effect("the report's summary by mail", unless=_no_mail),
    "integration.update_strategy_weights": Effect(
        never="strategies are ranked and one is chosen, there are no weights"
    ),
    "integration.auto_optimize_parameters": Effect("parameter sets of the sweep"),
    "integration.risk_adjustment": Effect(never="risk.* always holds, results never loosen it"),
    **_each(
        "windows_optimizations", ("process_pool", "driver_check", "memory_optimization"), _WINDOWS
    ),
    **_each("amd_gpu", ("enable_rocm", "memory_optimization", "compute_units"), _AMD),
    "monitoring.log_performance_metrics": Effect("integrated_backtest.log"),
    "monitoring.track_memory_usage": Effect("integrated_backtest.log and the run's summary"),
    "monitoring.monitor_gpu_utilization": Effect("gpu_acceleration.log", unless=_no_gpu),
    "monitoring.alert_on_failures": Effect("a failed run is logged, posted and mailed as an alert"),
    "ml_integration.enabled": Effect(_LEARNING),
    "ml_integration.auto_retrain": Effect(
        "retraining when due", unless=_outer("auto_retrain"), speaks_when_off=True
    ),
    "ml_integration.retrain_interval_hours": Effect(
        "retraining when due", unless=_outer("retrain_interval_hours")
    ),
    "ml_integration.cointrainer_path": Effect("who trains: our own processes, or this executable"),
    **_each("ml_integration.supabase", ("url", "key", "bucket"), _SUPABASE),
    **_each(
        "ml_integration.features", ("horizon_minutes", "hold_threshold"), Effect("training labels")
    ),
    "ml_integration.training.device_type": Effect("LightGBM", unless=_device),
    **_each("ml_integration.training", ("max_bin", "n_jobs"), Effect("LightGBM")),
    "ml_integration.training.publish_models": Effect(
        "the registry: every version is stored, the gate alone lets one into service"
    ),
    **_each(
        "ml_integration.training",
        ("auto_retrain", "retrain_interval_hours"),
        Effect("retraining when due"),
    ),
    "webhook_url": Effect("what happens is posted there, signed"),
    "data.store_folder": Effect("the candle store"),
    "data.base_timeframe": Effect("stored candles, features, models, paper session"),
    **_each("data", ("quote", "exchange", "symbols"), Effect("choice of pairs to download")),
    **_each(
        "registry",
        ("store", "folder", "trusted_keys", "versions_kept"),
        Effect("the model registry"),
    ),
    "journal.url": Effect("the journal"),
    "reports.folder": Effect("report folders"),
    **_each("logging", ("folder", "max_megabytes", "files_kept"), Effect("log files")),
    **_each(
        "costs",
        (
            "taker_fee_frac",
            "maker_fee_frac",
            "slippage_frac",
            "slippage_atr_mult",
            "slippage_volume_mult",
            "borrow_rate_annual_frac",
            "quantity_step",
            "minimum_quantity",
            "minimum_notional_quote",
        ),
        Effect(_ENGINE),
    ),
    **_each(
        "exits",
        (
            "stop_loss_frac",
            "take_profit_frac",
            "trailing_stop_frac",
            "stop_loss_atr",
            "take_profit_atr",
            "trailing_stop_atr",
            "atr_bars",
            "max_holding_bars",
            "cooldown_bars",
            "signal_exit",
            "reentry",
        ),
        Effect(_STRATEGY_EXITS),
    ),
    **_each(
        "sizing",
        (
            "method",
            "fraction",
            "quantity",
            "quote",
            "risk_frac",
            "kelly_cap_frac",
            "kelly_floor_frac",
            "kelly_minimum_trades",
            "target_volatility_annual_frac",
            "volatility_bars",
            "leverage",
            "maintenance_margin_frac",
            "allow_short",
            "initial_cash",
        ),
        Effect(_ENGINE),
    ),
    **_each(
        "portfolio",
        ("max_open_positions", "max_symbol_exposure_frac", "max_exposure_frac"),
        Effect("the shared account of the `portfolio` command"),
    ),
    "sweep.parameter_sets": Effect(_SWEEP),
    "models.trainers": Effect("models that are trained and judged"),
    **_each(
        "models",
        ("feature_set", "label", "calibration", "selection"),
        Effect("every trainer but random_forest, which is the first guide's own, and search"),
    ),
    "models.coverage": Effect("which decisions of a model are traded", unless=_uncalibrated),
    **_each("models.weights", ("uniqueness", "half_life_days"), Effect("rows of pooled models")),
    **_each(
        "models.lightgbm",
        (
            "n_estimators",
            "learning_rate",
            "num_leaves",
            "max_depth",
            "min_data_in_leaf",
            "subsample",
            "colsample_bytree",
            "lambda_l1",
            "lambda_l2",
            "early_stopping_rounds",
            "early_stopping_frac",
            "early_stopping_embargo_bars",
            "monotone_constraints",
            "class_weight",
            "seed",
        ),
        Effect("LightGBM"),
    ),
    **_each(
        "models.lightgbm",
        ("gpu_platform_id", "gpu_device_id", "gpu_use_dp"),
        Effect("LightGBM on a GPU", unless=_opencl),
    ),
    **_each(
        "models.random_forest",
        ("n_estimators", "random_state", "max_depth", "min_samples_leaf", "class_weight"),
        Effect("the random forest"),
    ),
    **_each(
        "models.logistic",
        ("C", "l1_ratio", "class_weight", "max_iter", "seed"),
        Effect("the trainers logistic, soft_vote and stacked"),
    ),
    **_each(
        "models.lstm",
        (
            "look_back",
            "units",
            "dropout",
            "learning_rate",
            "epochs",
            "batch_size",
            "patience",
            "validation_fraction",
            "embargo_bars",
            "class_weight",
            "seed",
        ),
        Effect("the trainer lstm"),
    ),
    **_each(
        "models.search",
        (
            "trials",
            "folds",
            "sampler",
            "prune",
            "seed",
            "models",
            "labels",
            "horizon_bars",
            "open_shares",
            "signal_exits",
            "storage_folder",
        ),
        Effect("the trainer search"),
    ),
    **_each("validation", ("folds", "mode"), Effect("walk-forward test of every model")),
    "validation.holdout_frac": Effect("where development ends and the paper session begins"),
    "validation.hold_out_uses": Effect("`validate`, which refuses another version after these"),
    "paper.prediction_threshold": Effect("the `model` strategy, in validation and on paper"),
    **_each("paper", ("model_stop_loss_frac", "model_take_profit_frac"), Effect(_MODEL_EXITS)),
    **_each(
        "gate",
        (
            "min_trades",
            "min_deflated_sharpe",
            "max_random_entry_p",
            "must_beat_buy_and_hold",
            "must_beat_majority_class",
            "class_measure",
            "min_class_edge",
            "min_champion_margin",
        ),
        Effect("the gate"),
    ),
    **_each(
        "risk",
        (
            "max_daily_loss_frac",
            "max_drawdown_frac",
            "max_exposure_frac",
            "max_open_positions",
            "stale_data_bars",
            "max_model_age_days",
            "kill_switch_file",
        ),
        Effect(_GUARD),
    ),
    **_each(
        "simulation",
        (
            "seed",
            "start",
            "annual_volatility",
            "outages_per_year",
            "edge_strength",
            "edge_share",
            "edge_bars",
        ),
        Effect(_SIMULATED),
    ),
    **_each(
        "loop",
        (
            "trade",
            "jitter_frac",
            "first_retry_minutes",
            "step_deadline_minutes",
            "bar_deadline_seconds",
            "training_niceness",
            "stop_seconds",
            "lease_seconds",
        ),
        Effect("`integrated` without --once"),
    ),
    **_each(
        "feedback",
        (
            "act",
            "interval_hours",
            "psi_strong",
            "ks_p_value",
            "drifted_features_frac",
            "score_detector",
            "detector_delta",
            "calibration_decay",
            "minimum_trades",
            "shrink_to_frac",
        ),
        Effect("`integrated` without --once"),
    ),
    "feedback.use_measured_slippage": Effect("backtests of `integrated` and `run`"),
    **_each(
        "notifications",
        ("events", "webhook_secret", "attempts", "timeout_seconds"),
        Effect("webhook and mail"),
    ),
    **_each(
        "notifications",
        (
            "email_host",
            "email_port",
            "email_from",
            "email_to",
            "email_user",
            "email_password",
        ),
        Effect("mail", unless=_no_mail),
    ),
    **_each("operations", ("port", "token", "token_file"), Effect("/metrics and /healthz")),
    "operations.memory_limit_gb": Effect("`integrated` without --once"),
    "operations.log_format": Effect("log files"),
}
"""Every key that can be set, with what it does; a test holds this to the keys of `Settings`."""


def inactive_lines(
    settings: Settings, *, gpu: Mapping[str, Any], platform: str | None = None
) -> list[str]:
    """`key: reason` for keys that ask in vain; a section where all do is one `section.*` line."""
    machine = Machine(gpu, sys.platform if platform is None else platform)
    found: dict[str, str] = {}
    for path, effect in KEY_STATUS.items():
        reason = effect.reason(settings, machine) if _asks(settings, path) else None
        if reason is not None:
            found[path] = reason
    return _grouped(found, settings)


def compact_lines(lines: Iterable[str], *, most: int = 6) -> list[str]:
    """`key: reason` lines for a terminal: every key and reason, on at most `most` lines.

    Keys with one reason share it; where that leaves too many lines, short ones share a line.
    """
    by_reason: dict[str, list[str]] = {}
    for line in lines:
        name, _, reason = line.partition(": ")
        by_reason.setdefault(reason, []).append(name)
    groups = [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    packed: list[str] = []
    for group in sorted(groups, key=len, reverse=True):
        if len(packed) < most:
            packed.append(group)
        else:
            shortest = min(range(most), key=lambda line: len(packed[line]))
            packed[shortest] += f" | {group}"
    return packed


def _asks(settings: Settings, path: str) -> bool:
    """False for what is switched off or empty: nothing is missed then."""
    if KEY_STATUS[path].speaks_when_off:
        return True
    value: Any = reduce(getattr, path.split("."), settings)
    return value is not None and value is not False and value != () and value != ""


def _grouped(found: Mapping[str, str], settings: Settings) -> list[str]:
    lines: dict[str, str] = {}
    for path, reason in found.items():
        section = path.rpartition(".")[0]
        siblings = [name for name in KEY_STATUS if section == name.rpartition(".")[0] != ""]
        asking = [name for name in siblings if _asks(settings, name)]
        is_whole = len(siblings) > 1 and all(found.get(name) == reason for name in asking)
        lines[f"{section}.*" if is_whole else path] = reason
    return [f"{name}: {reason}" for name, reason in lines.items()]


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return str(value)
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
