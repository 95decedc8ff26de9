"""Calls to other systems (Standard Webhooks)."""
