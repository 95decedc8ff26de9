"""Settings of the e-mail channel: what is wrong with them is told in words, and secrets never are."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from pydantic import ValidationError

from publishers.smtp.options import DkimKey, Relay, SmtpOptions

pytestmark = pytest.mark.unit

RELAY: dict[str, Any] = {"host": "relay.example"}


def pem(key: Any, lock: KeySerializationEncryption | None = None) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock or NoEncryption()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "hub"},
        {"username": "hub", "password": "x", "tls": "none"},
        {"ca_file": "/nowhere/none.pem"},
        {"connections": 0},
        {"weight": -1},
        {"port": 0},
        {"host": "relay example"},
        {"helo": "x"},
    ],
)
def test_what_is_wrong_with_a_relay_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Relay(**{**RELAY, **wrong})


def test_password_may_cross_this_machine_in_clear_and_is_never_shown() -> None:
    relay = Relay(host="127.0.0.1", tls="none", username="hub", password="geheim")
    assert relay.port == 587
    assert "geheim" not in repr(SmtpOptions(relays={"main": relay}))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"relays": {}}, "at least 1"),
        ({"relays": {"Main": RELAY}}, "no name for a relay"),
        ({"relays": {"main": {**RELAY, "weight": 0}}}, "weight 0"),
        ({"domains": {"GMAIL.com": {"connections": 2}}}, "small ASCII letters"),
        ({"domains": {"gmail.com": {"connections": 0}}}, "greater than or equal to 1"),
        ({"domains": {"gmail.com": {"per_minute": 0}}}, "greater than or equal to 1"),
        ({"local_hostname": "hub example"}, "match pattern"),
        ({"host": "relay.example"}, "Extra inputs"),
    ],
)
def test_what_is_wrong_with_the_channel_is_told(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SmtpOptions.model_validate({"relays": {"main": RELAY}, **wrong})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "can't be read: No such file"),
        (b"", "no private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n", "no private key in PEM"),
        (pem(rsa.generate_private_key(65537, 1024)), "too short: 1024 bits, at least 2048"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "neither an RSA nor an Ed25519 key"),
        (pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"x")), "encrypted"),
    ],
)
def test_key_that_can_not_sign_is_refused_at_the_start_in_clear_words(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "dkim.pem"
    if content is not None:
        path.write_bytes(content)
    key = {"domain": "valmerande.example", "selector": "hub", "key_file": path}
    with pytest.raises(ValidationError, match=words) as told:
        SmtpOptions.model_validate({"relays": {"main": RELAY}, "dkim": {"main": key}})
    assert told.value.errors()[0]["loc"] == ("dkim", "main")


@pytest.mark.parametrize("wrong", [{"domain": "Valmerande.example"}, {"domain": "x"}, {"selector": "a b"}])
def test_name_that_can_not_stand_in_a_signature_is_refused(wrong: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "dkim.pem"
    path.write_bytes(pem(Ed25519PrivateKey.generate()))
    key = {"domain": "valmerande.example", "selector": "hub", "key_file": path}
    assert DkimKey.model_validate(key).selector == "hub"
    with pytest.raises(ValidationError):
        DkimKey.model_validate({**key, **wrong})
