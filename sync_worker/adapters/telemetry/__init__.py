"""Prometheus, the health pages, and structured logs."""
