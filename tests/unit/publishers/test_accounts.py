"""Every channel says which rates its settings hold, and takes part in the pauses that workers tell each other."""

from typing import Any

import pytest
from pydantic import ValidationError

from publishers.accounts import Limited, Rate, Rationed, Shuts
from publishers.registry import CHANNELS
from publishers.rest import Rests

pytestmark = pytest.mark.unit

PACE: dict[str, Any] = {"per_hour": 60, "burst": 3}
ACCOUNTS: dict[str, dict[str, Any]] = {
    "facebook": {"page_id": "1", "token": "t"},
    "x": {"token": "t"},
    "mastodon": {"url": "https://social.example", "token": "t"},
    "bluesky": {"handle": "town.example", "app_password": "abcd-efgh-ijkl-mnop"},
    "telegram": {"token": "1:abc", "chat": "@town"},
    "apprise": {"url": "json://service.example"},
}


@pytest.mark.parametrize("name", ACCOUNTS)
async def test_account_of_a_network_has_the_pace_of_its_settings(name: str) -> None:
    channel = CHANNELS[name]
    accounts = {"town": ACCOUNTS[name] | PACE, "other": ACCOUNTS[name]}
    publisher = channel.open(channel.options_type().model_validate({"accounts": accounts}))
    assert isinstance(publisher, Limited) and publisher.rates == {"town": Rate(60 / 3600, 3)}
    assert isinstance(publisher, Rests) or name == "apprise", "Apprise tells of no pause"
    assert not hasattr(publisher, "publish_within"), "a post goes to the account that it is for"
    await publisher.aclose()


@pytest.mark.parametrize("name", ACCOUNTS)
@pytest.mark.parametrize("faulty", [{"per_hour": 0}, {"per_hour": -1}, {"per_hour": 5, "burst": 0}, {"per_day": 5}])
def test_pace_that_makes_no_sense_is_refused(name: str, faulty: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CHANNELS[name].options_type().model_validate({"accounts": {"town": ACCOUNTS[name] | faulty}})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("email", {"relays": {"main": {"host": "mail.example", "per_second": 5}}}),
        (
            "sms",
            {
                "gateways": {
                    "main": {
                        "url": "https://sms.example",
                        "token": "t",
                        "webhook_secret": "whsec_" + "A" * 32,
                        "per_second": 5,
                    }
                }
            },
        ),
    ],
)
async def test_channel_over_relays_or_gateways_keeps_to_a_grant_and_shows_which_are_shut(
    name: str, options: dict[str, Any]
) -> None:
    channel = CHANNELS[name]
    publisher = channel.open(channel.options_type().model_validate(options))
    assert isinstance(publisher, Rationed) and isinstance(publisher, Rests) and isinstance(publisher, Shuts)
    assert publisher.rates == {"main": Rate(5, 10)}
    assert publisher.weights() == {"main": 1} and publisher.shut() == {"main": False}
    await publisher.aclose()
