"""One frozen object from one TOML file and the environment."""

from sync_worker.config.load import load_config
from sync_worker.config.model import Config

__all__ = ["Config", "load_config"]
