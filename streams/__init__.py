"""Kafka: the Faust apps, the topics, the no-loss loop, one file an agent; relay, dispatcher, clock and inlet."""
