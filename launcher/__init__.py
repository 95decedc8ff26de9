"""What turns the parts into a running system: command line, embedded Kafka and PostgreSQL, supervision."""
