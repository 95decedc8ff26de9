"""Names that leave us and come back: they read back, and nobody can make one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.addresses import Signer, key, message_id, parse_key
from schemas.deliveries import DeliveryId

pytestmark = pytest.mark.unit

SIGNER = Signer(b"a secret of the tests, long enough")
IDS = st.integers(0, 2**63 - 1)
KEYS = st.builds(key, st.builds(DeliveryId, IDS, IDS), st.integers(1, 999))


@given(IDS, IDS, st.integers(1, 999))
def test_key_of_an_attempt_reads_back(order: int, recipient: int, attempt: int) -> None:
    assert parse_key(key(DeliveryId(order, recipient), attempt)) == (DeliveryId(order, recipient), attempt)


@pytest.mark.parametrize(
    "text", ["", "1-2", "1-2.0", "1-2.01", "1-2.1000", "1-2.1 ", "1-2.1\n", "A-2.1", "1.1", "-2.1"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        parse_key(text)


@given(st.text(max_size=40))
def test_any_text_is_a_key_that_reads_back_or_is_refused(text: str) -> None:
    try:
        delivery, attempt = parse_key(text)
    except ValueError:
        return
    assert key(delivery, attempt) == text


@given(KEYS)
def test_envelope_sender_tells_its_key_also_in_capitals(text: str) -> None:
    sender = SIGNER.envelope_sender(text, "bounces.valmerande.example")
    assert SIGNER.bounced_key(sender) == text
    assert SIGNER.bounced_key(sender.upper()) == text
    assert len(sender.partition("@")[0]) <= 64, "RFC 5321, section 4.5.3.1.1"


@given(KEYS, st.data())
def test_envelope_sender_with_any_letter_changed_is_not_ours(text: str, data: st.DataObject) -> None:
    local, at, domain = SIGNER.envelope_sender(text, "bounces.valmerande.example").partition("@")
    place = data.draw(st.integers(0, len(local) - 1))
    other = data.draw(st.sampled_from([letter for letter in "abz017-." if letter != local[place]]))
    assert SIGNER.bounced_key(local[:place] + other + local[place + 1 :] + at + domain) is None


@given(KEYS, st.binary(min_size=16, max_size=32))
def test_envelope_sender_signed_by_another_is_not_ours(text: str, secret: bytes) -> None:
    assert secret == SIGNER.secret or SIGNER.bounced_key(Signer(secret).envelope_sender(text, "b.example")) is None


@pytest.mark.parametrize("address", ["", "@", "b-@x", "b-1-2.1@x.example", "mairie@valmerande.example", "b--@x", "é@x"])
def test_any_other_address_is_nobodys(address: str) -> None:
    assert SIGNER.bounced_key(address) is None


@given(IDS)
def test_unsubscribe_token_reads_back_and_is_safe_in_an_address(recipient: int) -> None:
    token = SIGNER.unsubscribe_token(recipient)
    assert SIGNER.recipient_of(token) == recipient
    assert token.replace(".", "").isalnum() and token.isascii()


@given(IDS, IDS)
def test_token_of_one_recipient_opens_no_other(one: int, other: int) -> None:
    mac = SIGNER.unsubscribe_token(one).partition(".")[2]
    assert one == other or SIGNER.recipient_of(f"{other:x}.{mac}") is None


@given(st.text(max_size=60))
def test_any_text_is_no_token_and_no_error(text: str) -> None:
    assert SIGNER.recipient_of(text) is None
    assert SIGNER.bounced_key(text) is None


@given(KEYS)
def test_name_made_for_one_purpose_does_not_serve_another(text: str) -> None:
    number = text.partition("-")[0]
    verp_mac = SIGNER.envelope_sender(number, "x").removeprefix(f"b-{number}-").partition("@")[0]
    assert SIGNER.recipient_of(f"{number}.{verp_mac}") is None


def test_message_id_is_the_same_on_every_try_of_an_attempt() -> None:
    first = key(DeliveryId(1, 2), 1)
    assert message_id(first, "valmerande.example") == "1-2.1@valmerande.example"
    assert message_id(key(DeliveryId(1, 2), 2), "valmerande.example") != message_id(first, "valmerande.example")
