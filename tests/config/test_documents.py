"""The files made from the models say what the models say."""

from __future__ import annotations

from pathlib import Path

from crypto_bot.config import Settings, get_integration_config_template, load_settings
from crypto_bot.config.documents import configuration_page
from crypto_bot.config.loading import leaf_keys

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_all_keys_is_up_to_date():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == configuration_page(), "run: python -m crypto_bot.config"


def test_the_default_file_is_up_to_date():
    text = (ROOT / "config" / "backtest_config.yaml").read_text(encoding="utf-8")
    assert text == get_integration_config_template(), "run: python -m crypto_bot.config"


def test_the_page_has_a_row_for_every_key():
    page = configuration_page()
    for path, field in leaf_keys():
        assert f"| `{path}` |" in page
        assert field.description, path
        assert field.description in page


def test_the_template_names_every_key_and_loads_to_the_defaults(tmp_path):
    text = get_integration_config_template()
    for path, field in leaf_keys():
        assert f"{path.rpartition('.')[2]}: " in text
        assert str(field.description) in text
    path = tmp_path / "template.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_settings(path, environ={}).model_dump() == Settings().model_dump()
