"""One frozen object from one TOML file and the environment."""

from sync_worker.config.load import load_config
from sync_worker.config.model import Config, check_postgres_url

__all__ = ["Config", "check_postgres_url", "load_config"]
