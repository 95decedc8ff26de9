"""Real Apache Kafka and PostgreSQL from packages, for one machine: the demo, the tests, a small town."""
