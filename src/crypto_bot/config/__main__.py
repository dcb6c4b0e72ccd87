"""`python -m crypto_bot.config`, at the root of the checkout: make the page and the default file again."""

from __future__ import annotations

from pathlib import Path

from crypto_bot.config.documents import configuration_page, get_integration_config_template
from crypto_bot.core.files import write_file

if __name__ == "__main__":
    write_file(Path("docs/configuration.md"), configuration_page())
    write_file(Path("config/backtest_config.yaml"), get_integration_config_template())
