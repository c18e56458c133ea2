"""debezium."""
