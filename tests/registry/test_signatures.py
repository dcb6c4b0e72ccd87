"""Keys: made, kept out of sight, read from the environment, refused where they are none."""

from __future__ import annotations

import base64
import os

import pytest
from pydantic import SecretStr

from crypto_bot.backtest.workbench import open_registries
from crypto_bot.config import load_settings
from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.registry import ModelRegistry, Signer, new_key_pair
from crypto_bot.registry.signatures import FILE_VARIABLE, KEY_VARIABLE, TrustedKeys, key_id_of

posix = pytest.mark.skipif(os.name == "nt", reason="file modes")
VERSION = "20240906T044000.000000Z-1a2b3c4d"


@pytest.fixture
def pair():
    return new_key_pair()


def test_a_key_pair_is_fresh_and_shows_its_private_part_to_nobody_by_accident(pair):
    private = pair.private.get_secret_value()
    assert len(base64.b64decode(private)) == len(base64.b64decode(pair.public)) == 32
    assert private not in repr(pair)
    assert private not in str(pair)
    assert new_key_pair().public != pair.public
    assert Signer(pair.private).key_id == pair.key_id == key_id_of(pair.public)


def test_a_signature_verifies_for_what_was_signed_and_nothing_else(pair):
    signed = Signer(pair.private).sign("BTC-USDT", VERSION, b"{}")
    trusted = TrustedKeys([pair.public])
    assert trusted.verify("v", "BTC-USDT", VERSION, b"{}", signed) == pair.key_id
    for slug, version, manifest in (
        ("ETH-USDT", VERSION, b"{}"),
        ("BTC-USDT", VERSION[:-1] + "e", b"{}"),
        ("BTC-USDT", VERSION, b"{ }"),
        ("BTC-USD", "T" + VERSION, b"{}"),
    ):
        with pytest.raises(ModelError, match="v must carry a signature of its own manifest"):
            trusted.verify("v", slug, version, manifest, signed)


@pytest.mark.parametrize("change", [b"", b"!", b"AAAA", base64.b64encode(b"x" * 64)])
def test_a_signature_that_is_none_is_refused(pair, change):
    signer = Signer(pair.private)
    record = signer.sign("BTC-USDT", VERSION, b"{}")
    real = record.split(b'"signature": "')[1].split(b'"')[0]
    with pytest.raises(ModelError, match="must carry a signature of its own"):
        TrustedKeys([pair.public]).verify(
            "v", "BTC-USDT", VERSION, b"{}", record.replace(real, change)
        )


@pytest.mark.parametrize("key", ["", "short", "AAAA", "A" * 44, "not base64 at all!"])
def test_a_key_that_is_none_is_refused_and_a_private_one_never_shown(key):
    with pytest.raises(ConfigError, match=r"registry\.trusted_keys must be base64 of 32 bytes"):
        TrustedKeys([key])
    with pytest.raises(ConfigError, match="must be base64 of 32 bytes, was not") as caught:
        Signer(SecretStr(key or "?"))
    assert not key or key not in str(caught.value)


def test_the_signing_key_comes_from_the_environment(pair, tmp_path):
    private = pair.private.get_secret_value()
    assert Signer.from_environment({}) is None
    assert Signer.from_environment({KEY_VARIABLE: private}).key_id == pair.key_id
    file = tmp_path / "key"
    file.write_text(private + "\n")
    file.chmod(0o600)
    assert Signer.from_environment({FILE_VARIABLE: str(file)}).key_id == pair.key_id
    with pytest.raises(ConfigError, match="must not both be set"):
        Signer.from_environment({KEY_VARIABLE: private, FILE_VARIABLE: str(file)})


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_key_file_that_others_reach_is_refused(pair, tmp_path, mode):
    file = tmp_path / "key"
    file.write_text(pair.private.get_secret_value())
    file.chmod(mode)
    with pytest.raises(
        ConfigError, match=f"readable by its owner only, was mode {mode:o}; run: chmod"
    ):
        Signer.from_environment({FILE_VARIABLE: str(file)})


def test_a_key_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="must be readable, was not: No such file"):
        Signer.from_environment({FILE_VARIABLE: str(tmp_path / "none")})
    file = tmp_path / "key"
    file.write_bytes(b"\xff" * 44)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="must be base64 text, was not"):
        Signer.from_environment({FILE_VARIABLE: str(file)})


def test_the_configured_registries_trust_the_configured_keys_and_sign(pair, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, pair.private.get_secret_value())
    folder = str(tmp_path / "models")
    settings = load_settings({"registry": {"folder": folder, "trusted_keys": [pair.public]}})
    real, simulated = open_registries(settings)
    assert (real.where, simulated.where) == (folder, f"{folder}-simulated")
    for registry in (real, simulated):
        assert isinstance(registry, ModelRegistry)
        assert registry._trusted
        assert registry._signer.key_id == pair.key_id
