"""Chaos: a whole hub under load whose processes are killed at random, and an audit of what it promised."""
