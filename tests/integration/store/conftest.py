"""The town of the hub's tests, for what the store does in it."""

from tests.integration.hub.conftest import mail, town

__all__ = ["mail", "town"]
