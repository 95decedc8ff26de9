"""The rules and use cases of the hub: functions of values, without Kafka and without the web."""
