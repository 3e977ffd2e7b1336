"""Declared settings against live ones: compared, and applied where somebody says so."""

from sync_worker.operations.settings.compare import settings_differences as settings_differences
