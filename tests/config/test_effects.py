"""Every key acts, or is named with the reason why it does not."""

from __future__ import annotations

import pytest

from crypto_bot.config import Settings, load_settings
from crypto_bot.config.effects import KEY_STATUS, compact_lines
from crypto_bot.config.loading import leaf_keys

NO_GPU = {"status": "no_gpu", "devices": []}
NVIDIA = {"status": "available", "devices": [{"name": "NVIDIA H100"}]}
AMD = {"status": "available", "devices": [{"name": "AMD Radeon"}]}


def lines(values: dict[str, object], gpu=NO_GPU, platform="linux") -> dict[str, str]:
    settings = load_settings(values, environ={})
    found = settings.explain_inactive(gpu=gpu, platform=platform)
    return dict(line.split(": ", 1) for line in found)


def test_every_key_has_an_entry_and_every_entry_a_key():
    assert list(KEY_STATUS) == [path for path, _ in leaf_keys()]


@pytest.mark.parametrize(("path", "effect"), KEY_STATUS.items())
def test_every_entry_says_what_the_key_does_or_why_nothing(path, effect):
    assert effect.acts or effect.never or effect.unless is not None, path
    assert not (effect.never and effect.acts), path


def test_a_machine_without_a_gpu_is_told_so():
    found = lines({})
    assert found["use_gpu"] == "no GPU found, running on CPU"
    assert found["ml_integration.training.device_type"] == "no GPU found, running on CPU"
    assert found["windows_optimizations.*"] == "not Windows"
    assert found["amd_gpu.*"] == "no AMD GPU found"
    assert found["data_sources.dex"].startswith("needs a DEX data adapter")
    assert found["scalp_backtest_config.*"].startswith("scalping strategies are sized")


def test_what_is_switched_off_is_not_missed():
    found = lines(
        {
            "use_gpu": False,
            "ml_integration": {"training": {"device_type": "cpu"}},
            "data_sources": {"cex": ["binance"], "dex": []},
            "use_process_pool": False,
        }
    )
    for path in ("use_gpu", "data_sources.cex", "data_sources.dex", "use_process_pool"):
        assert path not in found
    assert "ml_integration.training.device_type" not in found
    assert "reporting.email" not in found
    assert "reporting.email" in lines({"reporting": {"email": True}})


def test_a_gpu_makes_its_keys_act():
    found = lines({}, gpu=NVIDIA)
    assert "use_gpu" not in found
    assert "ml_integration.training.device_type" not in found
    assert "monitoring.monitor_gpu_utilization" not in found
    assert found["amd_gpu.*"] == "no AMD GPU found"
    assert found["gpu_memory_limit_gb"] == "LightGBM takes no limit of GPU memory"
    assert "OpenCL" in lines({}, gpu=AMD)["amd_gpu.*"]


def test_a_gpu_that_is_not_wanted_leaves_its_keys_without_effect():
    found = lines({"use_gpu": False}, gpu=NVIDIA)
    assert found["ml_integration.training.device_type"] == "use_gpu is off"


def test_opencl_devices_are_named_only_when_someone_chose_one():
    assert not any(path.startswith("models.") for path in lines({}))
    chosen = {"models": {"lightgbm": {"gpu_device_id": 1}}}
    assert lines(chosen)["models.lightgbm.gpu_device_id"].startswith("no GPU found")
    assert not any(path.startswith("models.") for path in lines(chosen, gpu=NVIDIA))


def test_without_an_exchange_nothing_is_downloaded():
    found = lines({"data": {"exchange": ""}})
    assert found["data_sources.cex"] == "data.exchange is empty, nothing is downloaded"


def test_windows_keys_do_nothing_on_windows_either_and_say_why():
    assert "max_workers" in lines({}, platform="win32")["windows_optimizations.*"]


def test_supabase_without_credentials_names_the_variables():
    assert "SUPABASE_URL and SUPABASE_KEY are not set" in lines({})["ml_integration.supabase.*"]


def test_a_webhook_is_named_without_its_address():
    settings = load_settings({"webhook_url": "https://hooks.example/token"}, environ={})
    found = settings.explain_inactive(gpu=NO_GPU)
    assert not any(line.startswith("webhook_url") for line in found), "it is posted to"
    assert not any("token" in line for line in found)


def test_the_platform_is_found_when_none_is_given():
    assert Settings().explain_inactive(gpu=NO_GPU)


def test_on_a_terminal_every_key_and_reason_stands_on_a_few_lines():
    found = load_settings({}, environ={}).explain_inactive(gpu=NO_GPU, platform="linux")
    shown = compact_lines(found)
    assert len(found) > 6 >= len(shown)
    for line in found:
        name, _, reason = line.partition(": ")
        (where,) = [part for row in shown for part in row.split(" | ") if reason in part]
        assert name in where.removesuffix(f": {reason}").split(", ")
    assert compact_lines([]) == []
    assert compact_lines(["a: x", "b: y", "c: x"], most=2) == ["a, c: x", "b: y"]
