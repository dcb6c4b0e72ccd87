"""One `Settings`, read once. In: a YAML file, the environment, the command line. Out: checked options."""

from crypto_bot.config.documents import get_integration_config_template
from crypto_bot.config.loading import load_settings
from crypto_bot.config.secrets import secret_values
from crypto_bot.config.settings import Settings

__all__ = ["Settings", "get_integration_config_template", "load_settings", "secret_values"]
