"""Secrets come from the environment and never come out again."""

from __future__ import annotations

import json
import logging

import pytest
from pydantic import SecretStr

from crypto_bot.config import Settings, load_settings, secret_values
from crypto_bot.core.errors import ConfigError

SECRET = "s3cret-service-role-key-value"
ENVIRON = {"SUPABASE_URL": "https://real.supabase.co", "SUPABASE_KEY": SECRET}


def key_of(settings: Settings) -> str | None:
    key = settings.ml_integration.supabase.key
    return None if key is None else key.get_secret_value()


def test_url_and_key_come_from_the_usual_variables():
    settings = load_settings({}, environ=ENVIRON)
    assert settings.ml_integration.supabase.is_configured
    assert settings.ml_integration.supabase.url == "https://real.supabase.co"
    assert key_of(settings) == SECRET


def test_the_most_particular_variable_wins():
    environ = {"SUPABASE_KEY": "anon"}
    assert key_of(load_settings({}, environ=environ)) == "anon"
    environ["SUPABASE_SERVICE_KEY"] = "service"
    assert key_of(load_settings({}, environ=environ)) == "service"
    environ["CRYPTO_BOT__ML_INTEGRATION__SUPABASE__KEY"] = "own"
    assert key_of(load_settings({}, environ=environ)) == "own"


def test_an_empty_variable_counts_as_absent():
    assert key_of(load_settings({}, environ={"SUPABASE_KEY": "", "SUPABASE_URL": ""})) is None


def test_the_environment_wins_over_the_guides_placeholders():
    supabase = {"url": "https://your-project.supabase.co", "key": "your-service-role-key"}
    settings = load_settings({"ml_integration": {"supabase": supabase}}, environ=ENVIRON)
    assert settings.ml_integration.supabase.is_configured
    assert key_of(settings) == SECRET


def test_placeholders_are_no_credentials_and_are_said_so():
    supabase = {"url": "https://your-project.supabase.co", "key": "your-service-role-key"}
    settings = load_settings({"ml_integration": {"supabase": supabase}}, environ={})
    assert not settings.ml_integration.supabase.is_configured
    lines = settings.explain_inactive(gpu={"status": "no_gpu"})
    assert any("the guide's placeholders are not credentials" in line for line in lines)


@pytest.mark.parametrize("key", [SECRET, [SECRET], {"value": SECRET}, 12345678901])
def test_a_key_in_a_file_is_refused_and_not_repeated(tmp_path, key):
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"ml_integration": {"supabase": {"key": key}}}))
    with pytest.raises(ConfigError, match="must come from the environment") as caught:
        load_settings(path, environ={})
    assert SECRET not in str(caught.value)
    assert "12345678901" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"ml_integration:\n  supabase:\n    key: {SECRET}\n    bucket: [\n",
        f"ml_integration:\n  supabase: {SECRET}\n",
        f"ml_integration: {SECRET}\n",
        f"ml_integration:\n  supabase:\n    service_key: {SECRET}\n",
        f"ml_integration:\n  supabase:\n    key: x\n    key: {SECRET}\n",
        f"ml_integration:\n  supabase:\n    key: '{SECRET}\n",
        f"journal:\n  url: postgresql://user:{SECRET}@host/name\n",
        f"journal:\n  url: postgresql://user:a/{SECRET}@host/name\n",
        f"journal:\n  url: postgresql://host/name?user=me&password={SECRET}\n",
        f"journal:\n  url: postgresql://host/name?sslpassword={SECRET}\n",
        f"journal:\n  url: postgresql:/me:{SECRET}@host/name\n",
        f"webhook_url: [https://hooks.example/{SECRET}]\n",
        f"webhook_url: {{address: {SECRET}}}\n",
    ],
)
def test_no_fault_of_a_file_repeats_a_secret(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ={})
    assert SECRET not in str(caught.value)


def test_a_wrong_type_of_a_secret_is_named_without_its_value():
    for build in (
        lambda: load_settings({"webhook_url": [SECRET]}, environ={}),
        lambda: Settings(webhook_url=[SECRET]),
        lambda: Settings(ml_integration={"supabase": {"key": [SECRET]}}),
    ):
        with pytest.raises(ConfigError, match=r"(webhook_url|supabase\.key) must be") as caught:
            build()
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://me@host/name?sslmode=require", "sqlite:///a?mode=ro", "postgresql:///x"]
)
def test_a_journals_url_without_a_password_is_taken(url):
    assert load_settings({"journal": {"url": url}}, environ={}).journal.url == url


def test_a_key_on_the_command_line_is_refused():
    with pytest.raises(ConfigError, match=r"command line: .* must come from the environment"):
        load_settings({}, overrides={"ml_integration.supabase.key": SECRET}, environ={})


def test_a_program_may_hand_over_a_key_it_keeps_secret():
    config = {"ml_integration": {"supabase": {"key": SecretStr(SECRET)}}}
    assert key_of(load_settings(config, environ={})) == SECRET


def test_a_password_in_the_journals_url_is_refused_wherever_it_comes_from():
    url = f"postgresql://user:{SECRET}@host/name"
    for build in (
        lambda: load_settings({}, environ={"CRYPTO_BOT__JOURNAL__URL": url}),
        lambda: load_settings({}, overrides={"journal.url": url}, environ={}),
        lambda: Settings(journal={"url": url}),
    ):
        with pytest.raises(ConfigError, match=r"journal\.url must hold no password") as caught:
            build()
        assert SECRET not in str(caught.value)


def test_no_output_of_settings_holds_a_secret(caplog):
    environ = {**ENVIRON, "CRYPTO_BOT__WEBHOOK_URL": f"https://hooks.example/{SECRET}"}
    settings = load_settings({}, environ=environ)
    caplog.set_level(logging.INFO)
    logging.getLogger("crypto_bot").info("settings %s %r", settings, settings)
    outputs = (
        repr(settings),
        str(settings),
        str(settings.model_dump()),
        settings.model_dump_json(),
        settings.to_yaml(),
        json.dumps(settings.model_dump(mode="json")),
        "\n".join(settings.explain_inactive(gpu={"status": "no_gpu"})),
        caplog.text,
    )
    assert all(SECRET not in output for output in outputs)
    assert secret_values(settings) == [SECRET, f"https://hooks.example/{SECRET}"]


def test_the_original_trainer_s_variable_names_the_bucket():
    assert load_settings({}, environ=ENVIRON).ml_integration.supabase.bucket == "models"
    environ = {**ENVIRON, "CT_MODELS_BUCKET": "older"}
    assert load_settings({}, environ=environ).ml_integration.supabase.bucket == "older"
