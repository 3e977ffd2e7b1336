"""What happened in the source: Debezium envelope → Change. Pure."""
