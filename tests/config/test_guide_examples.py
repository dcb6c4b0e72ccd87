"""Every YAML example of the S1 guide loads as it is printed there."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path

import pytest
import yaml

from crypto_bot.config import load_settings
from crypto_bot.core.errors import ConfigError

GUIDE = Path(__file__).resolve().parents[3] / "shared" / "spec" / "001_295c1b1fcca22d7c.txt"

LEARNING = """
ml_integration:
  enabled: true
  auto_retrain: true
  retrain_interval_hours: 24

  supabase:
    url: "https://your-project.supabase.co"
    key: "your-service-role-key"
    bucket: "models"

  features:
    horizon_minutes: 15
    hold_threshold: 0.0015
"""
GPU = """
# Optimize for AMD GPU
use_gpu: true
gpu_memory_limit_gb: 8.0
batch_size: 100

ml_integration:
  training:
    device_type: "gpu"
    max_bin: 63
    n_jobs: 0
"""
TRAINING = """
ml_integration:
  features:
    horizon_minutes: 15      # Prediction horizon
    hold_threshold: 0.0015   # Hold threshold for regime classification

  training:
    auto_retrain: true
    retrain_interval_hours: 24
    publish_models: true
"""
MONITORING = """
monitoring:
  log_performance_metrics: true
  track_memory_usage: true
  monitor_gpu_utilization: true
  alert_on_failures: true
"""
LOW_MEMORY = """
gpu_memory_limit_gb: 4.0
batch_size: 50
max_workers: 4
"""
PARALLEL = """
max_workers: 8                 # Adjust based on CPU cores
use_process_pool: true         # Use process pool for CPU-intensive tasks
batch_size: 100                # Process backtests in batches
"""
MEMORY = """
gpu_memory_limit_gb: 8.0       # Limit GPU memory usage
refresh_interval_hours: 6       # Refresh data periodically
lookback_days: 90              # Limit historical data
"""
PROGRAM = {
    "ml_integration": {
        "enabled": True,
        "auto_retrain": True,
        "supabase": {
            "url": "https://your-project.supabase.co",
            "key": "your-service-role-key",
            "bucket": "models",
        },
    }
}


def require_loads_as_printed(text: str, folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    settings = load_settings(path, environ={})
    require_same(yaml.safe_load(text), settings)


def require_same(printed: object, settings: object, path: tuple[str, ...] = ()) -> None:
    if isinstance(printed, dict):
        for name, value in printed.items():
            require_same(value, settings, (*path, name))
        return
    loaded = reduce(getattr, path, settings)
    if path[-1] == "key":
        loaded = loaded.get_secret_value()
    assert loaded == printed, path


@pytest.mark.parametrize(
    "text", [LEARNING, GPU, TRAINING, MONITORING, LOW_MEMORY, PARALLEL, MEMORY]
)
def test_the_guides_examples_load_as_printed(text, tmp_path):
    require_loads_as_printed(text, tmp_path)


def test_the_guides_program_configuration_loads_as_printed():
    settings = load_settings(PROGRAM, environ={})
    require_same(PROGRAM, settings)
    assert not settings.ml_integration.supabase.is_configured


def test_every_yaml_block_of_the_guide_itself_loads_as_printed(tmp_path):
    if not GUIDE.exists():
        pytest.skip("the guide is not present: ../shared/spec")
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    schema = [block for block in blocks if "enabled: boolean" in block]
    assert len(blocks) == 9
    assert len(schema) == 1
    for block in blocks:
        if block not in schema:
            require_loads_as_printed(block, tmp_path)


def test_the_guides_schema_of_type_words_is_refused_by_key(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("ml_integration:\n  enabled: boolean\n")
    with pytest.raises(ConfigError, match=r"ml_integration\.enabled must be a valid boolean"):
        load_settings(path, environ={})
