"""Which store the configuration means, and what lies where in a bucket."""

from __future__ import annotations

import json

import pytest

from crypto_bot.adapters.supabase_problems import SupabaseRefused
from crypto_bot.adapters.supabase_store import SupabaseStore
from crypto_bot.backtest.workbench import open_registries
from crypto_bot.cli.cointrainer import main
from crypto_bot.config import load_settings
from crypto_bot.core.errors import ConfigError
from crypto_bot.registry import FolderStore, ModelRegistry
from supabase_double.server import SupabaseDouble
from toy_model import PASSED, load_toy, toy_card, toy_files


@pytest.fixture
def double():
    with SupabaseDouble() as running:
        running.make_bucket("models")
        yield running


@pytest.fixture
def close():
    opened = []
    yield opened.append
    for registry in opened:
        if isinstance(registry.store, SupabaseStore):
            registry.store.close()


@pytest.fixture
def registries(close):
    def opened(environ, **changes):
        found = open_registries(load_settings({}, overrides=changes, environ=environ))
        for registry in found:
            close(registry)
        return found

    return opened


def test_without_credentials_models_lie_in_a_folder(registries):
    for changes in ({}, {"registry.store": "folder"}):
        assert all(isinstance(each.store, FolderStore) for each in registries({}, **changes))


def test_supabase_without_credentials_names_the_variables(registries):
    for environ in ({}, {"SUPABASE_URL": "https://a.supabase.co"}, {"SUPABASE_KEY": "k"}):
        with pytest.raises(ConfigError, match="SUPABASE_URL and SUPABASE_SERVICE_KEY must be set"):
            registries(environ, **{"registry.store": "supabase"})


def test_a_folder_is_a_folder_also_where_supabase_is_configured(registries, double):
    found = registries(double.environment(), **{"registry.store": "folder"})
    assert all(isinstance(each.store, FolderStore) for each in found)
    assert double.requests == []


def test_the_anon_key_is_refused_at_the_start(registries, double):
    environ = {**double.environment(), "SUPABASE_SERVICE_KEY": double.anon_key}
    with pytest.raises(SupabaseRefused, match="was the anon"):
        registries(environ)


@pytest.mark.parametrize("store", ["auto", "supabase"])
def test_with_credentials_models_lie_in_the_bucket_simulated_ones_below_a_key(
    registries, double, store
):
    environ = double.environment()
    opened = registries(environ, **{"registry.store": store})
    for registry, sharpe in zip(opened, (1.0, 2.0), strict=True):
        toys = ModelRegistry(registry.store, load_model=load_toy)
        version = toys.publish("BTC/USDT", toy_files(), toy_card(metrics={"sharpe": sharpe}))
        toys.promote("BTC/USDT", version, PASSED)
        assert toys.symbols() == ["BTC/USDT"]
        assert toys.rank("BTC/USDT")[0].metrics["sharpe"] == sharpe
    folders = {key.rpartition("/")[0].partition("/versions/")[0] for key in double.keys("models")}
    assert folders == {
        *("BTC-USDT", "BTC-USDT/champion", "simulated/BTC-USDT", "simulated/BTC-USDT/champion"),
        "models/regime/BTC-USDT",
    }


def test_the_pointer_where_the_original_s_readers_look_names_a_key_of_the_bucket(
    registries, double, monkeypatch
):
    monkeypatch.setenv("CT_REGIME_PREFIX", "pointers")
    registry = ModelRegistry(registries(double.environment())[0].store, load_model=load_toy)
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    registry.promote("BTC/USDT", version, PASSED)
    stored = double.buckets.find("models", "pointers/BTC-USDT/LATEST.json").upload
    pointer = json.loads(stored.content)
    assert pointer["key"] in double.keys("models")
    assert {"key", "schema_version", "feature_list", "label_order", "hash"} <= set(pointer)
    registry.retire("BTC/USDT", version)
    assert [key for key in double.keys("models") if "LATEST" in key] == []


def run(capsys, monkeypatch, environ, *words):
    """Exit code and what was printed."""
    with monkeypatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            raise SystemExit(main(list(words)))
    shown = capsys.readouterr()
    return ended.value.code, shown.out + shown.err


def test_the_commands_work_in_the_bucket_and_say_what_is_wrong_with_it(
    double, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    environ = double.environment()
    code, shown = run(capsys, monkeypatch, environ, "registry-smoke")
    assert (code, "/models' works: 1024 bytes" in shown) == (0, True)
    assert double.keys("models") == []
    for change, words in (
        ({"SUPABASE_SERVICE_KEY": double.expired_key}, "must be valid, has expired"),
        ({"SUPABASE_SERVICE_KEY": double.foreign_key}, "must be a key of this project"),
        ({"SUPABASE_SERVICE_KEY": double.anon_key}, "was the anon (publishable) key"),
        ({"CRYPTO_BOT__ML_INTEGRATION__SUPABASE__BUCKET": "absent"}, "the bucket must exist"),
    ):
        code, shown = run(capsys, monkeypatch, {**environ, **change}, "registry-smoke")
        assert (code, words in shown) == (2, True), shown
        assert change.get("SUPABASE_SERVICE_KEY", "eyJ") not in shown


def test_rows_of_a_table_are_imported_as_candles(double, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    candle = {"symbol": "XRPUSD", "open": 1, "high": 2, "low": 0.5, "close": 1.5, "volume": 3}
    double.tables.rows["trade_logs"] = [
        {"id": minute, "timestamp": f"2026-01-01T00:{minute:02d}:00Z", **candle}
        for minute in range(20)
    ]
    words = ("import-data", "supabase", "--table", "trade_logs", "--out", "rows.parquet")
    code, shown = run(capsys, monkeypatch, double.environment(), *words)
    assert code == 0, shown
    assert (tmp_path / "rows.parquet").stat().st_size > 0
