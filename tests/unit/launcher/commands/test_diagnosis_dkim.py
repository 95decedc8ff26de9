"""Key records of DKIM against the keys that we sign with."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from launcher.diagnosis.dkim import DkimFault, mismatch, parse, published_by_us, record_of

pytestmark = pytest.mark.unit


def pem(folder: Path, key: object) -> Path:
    path = folder / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))  # type: ignore[attr-defined]
    return path


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_record_that_we_suggest_is_the_key_that_we_sign_with(kind: str, tmp_path: Path) -> None:
    key = generate_private_key(65537, 2048) if kind == "rsa" else Ed25519PrivateKey.generate()
    ours = published_by_us(pem(tmp_path, key))
    found = parse(record_of(ours))
    assert found.kind == kind
    assert mismatch(found, ours) is None


def test_rsa_key_in_the_other_structure_is_the_same_key(tmp_path: Path) -> None:
    key = generate_private_key(65537, 2048)
    ours = published_by_us(pem(tmp_path, key))
    old = base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode()
    assert mismatch(parse(f"v=DKIM1; p={old}"), ours) is None


def test_other_keys_are_told_apart(tmp_path: Path) -> None:
    ours = published_by_us(pem(tmp_path, Ed25519PrivateKey.generate()))
    other = published_by_us(pem(tmp_path, Ed25519PrivateKey.generate()))
    assert "another key" in str(mismatch(other, ours))
    rsa = published_by_us(pem(tmp_path, generate_private_key(65537, 2048)))
    assert "we sign with ed25519" in str(mismatch(rsa, ours))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("v=DKIM1; k=rsa; p=", "withdrawn"),
        ("v=DKIM1; k=rsa", "no key"),
        ("v=DKIM2; p=AAAA", "DKIM1"),
        ("v=DKIM1; p=not base64!", "base64"),
        ("hello", "no tag"),
    ],
)
def test_record_without_a_usable_key_is_told(record: str, said: str) -> None:
    with pytest.raises(DkimFault, match=said):
        parse(record)


def test_flags_and_limits_are_read(tmp_path: Path) -> None:
    ours = published_by_us(pem(tmp_path, Ed25519PrivateKey.generate()))
    key = record_of(ours)
    assert parse(f"{key}; t=y:s").testing
    assert "not for mail" in str(mismatch(parse(f"{key}; s=tlsrpt"), ours))
    assert "sha256" in str(mismatch(parse(f"{key}; h=sha1"), ours))
    assert mismatch(parse(f"{key}; h=sha1:sha256; s=email; n=a note"), ours) is None
