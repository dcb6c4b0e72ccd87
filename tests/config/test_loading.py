"""Sources, their order, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crypto_bot.config import Settings, load_settings
from crypto_bot.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
NOTHING: dict[str, str] = {}


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(content: object, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        load_settings(content, environ=NOTHING)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2


def test_without_a_file_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ=NOTHING) == Settings()


def test_the_default_file_is_read_when_it_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "backtest_config.yaml").write_text("lookback_days: 7\n")
    assert load_settings(environ=NOTHING).lookback_days == 7


def test_an_empty_file_means_the_defaults(tmp_path):
    for text in ("", "# only words\n", "---\n"):
        assert load_settings(written(tmp_path, text), environ=NOTHING) == Settings()


def test_an_empty_section_means_its_defaults(tmp_path):
    path = written(tmp_path, "costs:\nml_integration:\n  supabase:\n")
    assert load_settings(path, environ=NOTHING).costs == Settings().costs


def test_a_named_file_that_is_absent_is_refused(tmp_path):
    refused(tmp_path / "none.yaml", r"none\.yaml must be a configuration file, was not there; make")
    refused(tmp_path, "must be a configuration file, was not there")


def test_the_shipped_files_load(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert load_settings(environ=NOTHING).model_dump() == Settings().model_dump()
    demo = load_settings("config/demo.yaml", environ=NOTHING)
    assert demo.timeframes == ("5m", "1h", "4h")
    assert demo.lookback_days == 90


def test_later_sources_win(tmp_path):
    path = written(tmp_path, "ml_integration:\n  training:\n    max_bin: 31\n    n_jobs: 3\n")
    environ = {
        "CRYPTO_BOT__ML_INTEGRATION__TRAINING__MAX_BIN": "127",
        "CRYPTO_BOT__LOOKBACK_DAYS": "30",
    }
    settings = load_settings(path, overrides={"lookback_days": 5}, environ=environ)
    training = settings.ml_integration.training
    assert (training.max_bin, training.n_jobs, settings.lookback_days) == (127, 3, 5)


def test_overrides_take_dotted_paths_and_sections():
    settings = load_settings(
        {}, overrides={"data.quote": "EUR", "costs": {"slippage_frac": 0.002}}, environ=NOTHING
    )
    assert settings.data.quote == "EUR"
    assert settings.costs.slippage_frac == 0.002


def test_the_environment_gives_every_kind_of_value():
    settings = load_settings(
        {},
        environ={
            "CRYPTO_BOT__USE_GPU": "false",
            "CRYPTO_BOT__TIMEFRAMES": "1h, 4h",
            "CRYPTO_BOT__STRATEGIES_TO_TEST": "[rsi]",
            "CRYPTO_BOT__MIN_VOLUME_USD": "5e5",
            "CRYPTO_BOT__DATA__QUOTE": "123",
            "CRYPTO_BOT__EXITS__STOP_LOSS_FRAC": "0.02",
            "HOME": "/elsewhere",
        },
    )
    assert settings.use_gpu is False
    assert settings.timeframes == ("1h", "4h")
    assert settings.strategies_to_test == ("rsi",)
    assert settings.min_volume_usd == 500_000
    assert settings.data.quote == "123"
    assert settings.exits.stop_loss_frac == 0.02


def test_an_environment_variable_that_names_no_key_is_refused():
    for name, match in (
        (
            "CRYPTO_BOT__ML_INTEGRATION__TRAINING__MAX_BINS",
            "MAX_BINS must name a key, .* did you mean 'ml_integration.training.max_bin'",
        ),
        ("CRYPTO_BOT__COSTS", "must name a key, costs is none"),
    ):
        with pytest.raises(ConfigError, match=match):
            load_settings({}, environ={name: "1"})


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"max_workers": "8"}, "max_workers must be a valid integer, was '8'"),
        ({"max_workers": True}, "max_workers must be a valid integer, was True"),
        ({"max_workers": 0}, "max_workers must be greater than or equal to 1, was 0"),
        ({"max_workers": 2.5}, "max_workers must be a valid integer, was 2.5"),
        ({"use_gpu": 1}, "use_gpu must be a valid boolean, was 1"),
        ({"use_gpu": "yes"}, "use_gpu must be a valid boolean, was 'yes'"),
        ({"timeframes": "1h"}, "timeframes must be a list, was '1h'"),
        ({"timeframes": ["1h", "5x"]}, r"timeframes\.1 must be a number and one of .*, was '5x'"),
        ({"timeframes": ["1m"]}, r"timeframes\.0 must be a multiple of data\.base_timeframe 5m"),
        ({"data": 5}, "data must hold keys and values, was 5"),
        ({"min_volume_usd": float("nan")}, "min_volume_usd must be a finite number"),
        ({"amd_gpu": {"compute_units": "x"}}, r"amd_gpu\.compute_units must be a whole number"),
        (
            {"ml_integration": {"training": {"device_type": "tpu"}}},
            r"ml_integration\.training\.device_type must be 'gpu', 'cpu' or 'cuda', was 'tpu'",
        ),
        (
            {"ml_integration": {"training": {"maxbin": 1}}},
            r"ml_integration\.training\.maxbin is not an option .* did you mean 'max_bin'\?",
        ),
        ({"costs": {"taker_fe": 1}}, r"costs\.taker_fe is not an option .*'taker_fee_frac'"),
        ({"lookback_day": 1}, "lookback_day is not an option .*'lookback_days'"),
    ],
)
def test_wrong_values_and_unknown_keys_are_refused_by_path(content, match):
    refused(content, match)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("lookback_days: 5\nlookback_days: 6\n", "line 2, column 1 must be YAML, .*appear once"),
        ("data:\n  quote: A\n  quote: B\n", "line 3, column 3 must be YAML, .*appear once"),
        ("timeframes: [1h\nuse_gpu: true\n", "line 2, column .* must be YAML"),
        ("a: b: c\n", "line 1, column .* must be YAML"),
        ("5: 6\n", "line 1, column 1 .*must be text, was int"),
        ("- 1\n", "must hold keys and values, was a list"),
        ("hello\n", "must hold keys and values, was a single str"),
        ("a: !!python/object:os.system x\n", "line 1.* must be YAML, was not"),
    ],
)
def test_faults_of_yaml_are_named_with_their_line(tmp_path, text, match):
    refused(written(tmp_path, text), r"config\.yaml.*" + match)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    refused(path, "must be UTF-8 text")


def test_numbers_and_days_are_read_as_people_mean_them(tmp_path):
    text = "min_volume_usd: 1e6\nsimulation:\n  start: 2024-02-01\nlookback_days: 30\n"
    settings = load_settings(written(tmp_path, text), environ=NOTHING)
    assert settings.min_volume_usd == 1_000_000
    assert settings.simulation.start == "2024-02-01"


def test_settings_written_as_yaml_load_to_the_same_settings(tmp_path):
    changed = load_settings(
        {
            "timeframes": ["15m", "1h"],
            "model_update_interval_hours": 12,
            "data_sources": {"cex": ["kraken"]},
            "exits": {"stop_loss_frac": 0.02, "signal_exit": "never"},
            "strategies_to_test": ["rsi", "yes", "1e6"],
            "ml_integration": {"training": {"auto_retrain": False}},
            "data": {"store_folder": "folder: with #marks"},
        },
        environ=NOTHING,
    )
    again = load_settings(written(tmp_path, changed.to_yaml()), environ=NOTHING)
    assert again == changed
    assert again.fingerprint == changed.fingerprint != Settings().fingerprint
    assert again.schedule == changed.schedule


def test_replacing_a_value_keeps_what_was_not_given_ungiven():
    settings = load_settings({"model_update_interval_hours": 12}, environ=NOTHING)
    changed = settings.replace(lookback_days=3)
    assert changed.model_fields_set == {
        *("model_update_interval_hours", "ml_integration", "lookback_days")
    }
    assert changed.schedule.retrain_interval_hours == 12


def test_workers_never_exceed_the_cores_this_process_may_use():
    assert 1 <= Settings(max_workers=10_000).workers < 10_000
    assert Settings(max_workers=1).workers == 1


def test_reading_the_configuration_loads_no_compiler_and_no_tables():
    code = (
        "import sys; from crypto_bot.config import load_settings; load_settings({}, environ={});"
        "print([m for m in ('numba', 'polars', 'pandas', 'scipy', 'lightgbm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
