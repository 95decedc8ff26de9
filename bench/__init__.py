"""Measurements of a whole hub on this machine, each beside a ceiling or a peer in the same run (docs/benchmarks.md).

What a bench needs, it starts in a home of its own: real Kafka, real PostgreSQL with its durable defaults, the real
processes of the hub. Nothing here is imported by the hub.
"""
