"""Keeps Meilisearch showing what PostgreSQL says."""
