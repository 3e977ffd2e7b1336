"""The state database: failed work, bookmarks, findings, workers, the audit log. SQLite, or PostgreSQL for several workers."""

from sync_worker.adapters.state.database import StateDatabase

__all__ = ["StateDatabase"]
