import subprocess
import sys

import pytest
from pydantic import BaseModel

from publishers import registry
from publishers.base import Limits, Unclear

pytestmark = pytest.mark.unit

VENDORS = (
    *(
        "httpx",
        "aiosmtplib",
        "mastodon",
        "publishers.smtp.channel",
        "publishers.sms.channel",
        "publishers.sms.json_gateway",
    ),
    "publishers.mastodon.channel",
)


class _SomebodyElsesOptions(BaseModel):
    pass


def _loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*(name for name in {VENDORS!r} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(run.stdout.split())


def test_reading_the_registry_loads_no_vendor_library() -> None:
    assert _loaded_by("import publishers.registry") == set()


def test_options_of_one_channel_load_that_channel_alone() -> None:
    loaded = _loaded_by("from publishers.registry import CHANNELS\nCHANNELS['sms'].options_type()")
    assert loaded == {"httpx", "publishers.sms.channel"}


@pytest.mark.parametrize("name", registry.CHANNELS)
def test_every_line_leads_to_frozen_options_and_a_publisher(name: str) -> None:
    channel = registry.CHANNELS[name]
    options = channel.options_type()
    assert channel.name == name
    assert options.model_config["frozen"] and options.model_config["extra"] == "forbid"
    assert not channel.broadcast or channel.family in ("social", "webhook")


async def test_open_gives_the_publisher_of_that_channel() -> None:
    options = registry.channel("sms").options_type()(
        gateways={"main": {"url": "http://gateway.example", "token": "t", "webhook_secret": "x" * 24, "concurrency": 3}}
    )
    publisher = registry.open_publisher("sms", options)
    assert publisher.channel == "sms"
    assert publisher.limits == Limits(window=100, concurrency=3)
    assert publisher.unclear is Unclear.WAIT
    await publisher.aclose()


def test_options_of_another_channel_are_refused() -> None:
    with pytest.raises(TypeError, match="sms takes SmsOptions"):
        registry.open_publisher("sms", _SomebodyElsesOptions())


def test_unknown_channel_is_told_with_those_there_are() -> None:
    with pytest.raises(registry.UnknownChannel, match="'pigeon'; there are email, sms, "):
        registry.open_publisher("pigeon", _SomebodyElsesOptions())
