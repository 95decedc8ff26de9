"""The orders of a version: one for each of its channels."""

from collections.abc import Iterable

from hub.routing import Audience
from publishers.registry import CHANNELS
from store.announcements import NewOrder


def orders_on(channels: Iterable[str], audience: Audience) -> list[NewOrder]:
    """To deliver a version to this audience on each of these channels."""
    return [NewOrder(name, CHANNELS[name].family, CHANNELS[name].broadcast, audience.value) for name in channels]
