"""DKIM: RFC 8463's own example comes out as it stands there, and signatures cover what readers act on."""

import base64
import re
from pathlib import Path

import pytest
import structlog.testing
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from publishers.smtp.dkim import OVERSIGNED, Signers, body_hash, fields, sign_bytes, signing_input
from publishers.smtp.options import DkimKey

pytestmark = pytest.mark.unit

# RFC 8463, appendix A: keys, message and the two signatures
ED25519 = Ed25519PrivateKey.from_private_bytes(base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="))
RSA = b"""\
-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
"""
MESSAGE = b"""\
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
BODY_HASH = b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
WITH_ED25519 = b"""\
v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="""
WITH_RSA = b"""\
v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8="""

CONTENT = (
    b"From: =?utf-8?q?Ville?=\r\n <mairie@valmerande.example>\r\nSubject: essai\r\nDate: x\r\n"
    b"To: marie@courriel.example\r\nList-Unsubscribe: <https://valmerande.example/u/1>\r\n\r\nBonjour,\r\n"
)


@pytest.mark.parametrize("published", [WITH_ED25519, WITH_RSA], ids=["ed25519", "rsa"])
def test_example_of_rfc_8463_is_signed_as_it_is_there(published: bytes) -> None:
    head, _, body = MESSAGE.partition(b"\r\n\r\n")
    assert body_hash(body) == BODY_HASH
    value, _, signature = re.sub(rb"\s+", b" ", published).rpartition(b" b=")
    names = [b"from", b"to", b"subject", b"date", b"message-id", b"from", b"subject", b"date"]
    signed = signing_input(fields(head), names, value + b" b=")
    key = ED25519 if published is WITH_ED25519 else load_pem_private_key(RSA, None)
    assert isinstance(key, Ed25519PrivateKey | RSAPrivateKey)
    assert sign_bytes(key, signed) == signature.replace(b" ", b"")


@pytest.mark.parametrize(
    ("body", "same_as"),
    [
        (b"", b"\r\n\r\n"),
        (b"C \r\nD \t E\r\n\r\n\r\n", b"C\r\nD E\r\n"),
        (b"C", b"C\r\n"),
        (b"C \t", b"C\r\n"),
        (b"C\r\n \t\r\n", b"C\r\n"),
        (b" C\r\n", b"\tC\r\n"),
    ],
)
def test_body_is_relaxed_as_rfc_6376_says(body: bytes, same_as: bytes) -> None:
    assert body_hash(body) == body_hash(same_as)


def test_empty_body_and_lines_that_differ_are_told_apart() -> None:
    assert body_hash(b"") == b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # SHA-256 of nothing (§3.4.4)
    assert len({body_hash(body) for body in (b"a b\r\n", b"ab\r\n", b"a\r\nb\r\n", b" a b\r\n")}) == 4


@given(st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"b"]), max_size=30).map(b"".join))
def test_relaxing_the_body_is_what_the_rules_say_read_one_after_the_other(body: bytes) -> None:
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    relaxed = b"".join(line + b"\r\n" for line in lines)
    assert body_hash(body) == body_hash(relaxed)
    assert not relaxed or body_hash(body) != body_hash(b"x" + relaxed)


def test_fields_are_unfolded_and_relaxed() -> None:
    assert fields(b"A: X \r\nB : Y\t\r\n\tZ  ") == [(b"a", b"X"), (b"b", b"Y Z")]


def signers(tmp_path: Path, *domains: str) -> Signers:
    path = tmp_path / "ed25519.pem"
    path.write_bytes(ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Signers([DkimKey(domain=domain, selector="hub", key_file=path) for domain in domains], lambda: 1700000000.5)


def test_signature_names_what_it_signs_and_once_more_what_nobody_may_add(tmp_path: Path) -> None:
    signed = signers(tmp_path, "valmerande.example")(CONTENT)
    assert signed.endswith(CONTENT)
    ((name, value),) = fields(signed.removesuffix(CONTENT))
    assert name == b"dkim-signature"
    tags = dict(part.strip().split(b"=", 1) for part in value.split(b";"))
    assert (tags[b"a"], tags[b"d"], tags[b"s"], tags[b"t"]) == (
        b"ed25519-sha256", b"valmerande.example", b"hub", b"1700000000",
    )  # fmt: skip
    names = tags[b"h"].replace(b" ", b"").split(b":")
    for field in (b"from", b"subject", b"to", b"date", b"list-unsubscribe"):
        assert names.count(field) == 2
    assert all(names.count(field) >= 1 for field in OVERSIGNED), "nor may one be added that isn't there"
    assert all(len(line) <= 78 for line in signed.removesuffix(CONTENT).split(b"\r\n"))


def test_mail_is_signed_by_every_key_of_its_own_domain_and_by_no_other(tmp_path: Path) -> None:
    both = signers(tmp_path, "valmerande.example", "valmerande.example", "autre.example")(CONTENT)
    assert both.count(b"DKIM-Signature:") == 2
    below = signers(tmp_path, "example.example", "valmerande.example")
    assert below(CONTENT.replace(b"@valm", b"@annonces.valm")).count(b"DKIM-Signature:") == 1
    with structlog.testing.capture_logs() as logs:
        other = signers(tmp_path, "merande.example")
        assert other(CONTENT) == other(CONTENT) == CONTENT
        assert signers(tmp_path, "x.example")(b"Subject: none\r\n\r\nx\r\n") == b"Subject: none\r\n\r\nx\r\n"
    assert [line["domain"] for line in logs] == ["valmerande.example", ""], "told once"
