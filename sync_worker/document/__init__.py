"""What an index should hold: declaration, projection, ids, and what a server is known to refuse. Pure."""
