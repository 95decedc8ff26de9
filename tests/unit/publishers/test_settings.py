import pytest
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from publishers.base import Transient
from publishers.settings import Options, WebhookSecret, each, named

pytestmark = pytest.mark.unit

KEY = "a-secret-of-more-than-twenty-four-bytes"


class Signed(Options):
    secret: WebhookSecret


def test_account_that_the_settings_lack_waits_and_is_told_loudly() -> None:
    assert named("mastodon", {"valmerande": 1}, "valmerande") == 1
    with capture_logs() as logs, pytest.raises(Transient, match="'piscine'") as raised:
        named("mastodon", {"valmerande": 1}, "piscine")
    assert raised.value.code == "no_account"
    assert [(line["event"], line["account"]) for line in logs] == [("mastodon.settings_fault", "piscine")]


@pytest.mark.parametrize("given", ["", " ", "short", f"{KEY} short", "whsec_*"])
def test_webhook_secret_that_cannot_be_one_is_refused_and_not_quoted(given: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Signed.model_validate({"secret": given})
    assert "input_value" not in str(raised.value)


def test_two_webhook_secrets_while_one_is_replaced() -> None:
    assert each(Signed(secret=SecretStr(f"{KEY} {KEY}2")).secret) == (KEY, f"{KEY}2")


def test_options_are_fixed_and_take_nothing_unknown() -> None:
    options = Signed(secret=SecretStr(KEY))
    with pytest.raises(ValidationError):
        options.secret = SecretStr(KEY)  # type: ignore[misc]
    with pytest.raises(ValidationError, match="secrte"):
        Signed.model_validate({"secret": KEY, "secrte": KEY})
