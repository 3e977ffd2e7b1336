"""Kafka Connect and the Debezium connector: template, refusals, REST."""
