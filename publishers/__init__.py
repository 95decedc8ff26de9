"""Adapters of channels: one file a channel, its options, its vendor-error table and its class."""
