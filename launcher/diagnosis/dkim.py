"""DKIM's public keys in DNS (RFC 6376 §3.6.1): what a record says, and whether it is the key that we sign with."""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path


class DkimFault(ValueError):
    """A record by which no signature can be verified, in words for whoever writes it."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key record. ``key`` is its bytes as published: for rsa a DER structure, for ed25519 the 32 bytes."""

    kind: str
    key: bytes
    testing: bool = False
    for_mail: bool = True
    sha256: bool = True


def name_of(selector: str, domain: str) -> str:
    """Where the key of a selector stands."""
    return f"{selector}._domainkey.{domain}"


def parse(text: str) -> PublicKey:
    """A key record from its TXT. Raises DkimFault: not a key record, unreadable, or withdrawn (an empty ``p=``)."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip(), value.strip())
        elif part.strip():
            raise DkimFault(f"“{part.strip()}” is no tag of a key record")
    if tags.get("v", "DKIM1") != "DKIM1":
        raise DkimFault(f"v={tags['v']}: it must be DKIM1")
    if "p" not in tags:
        raise DkimFault("it has no key (p=)")
    encoded = "".join(tags["p"].split())
    if not encoded:
        raise DkimFault("its key is withdrawn (an empty p=)")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise DkimFault("its key is no base64: was the record cut when it was entered?") from None
    flags = {flag.strip() for flag in tags.get("t", "").split(":")}
    services = {one.strip() for one in tags.get("s", "*").split(":")}
    hashes = {one.strip() for one in tags["h"].split(":")} if "h" in tags else {"sha256"}
    return PublicKey(tags.get("k", "rsa"), key, "y" in flags, bool(services & {"*", "email"}), "sha256" in hashes)


def published_by_us(key_file: Path) -> PublicKey:
    """What should stand in DNS for one of our private keys. Raises ValueError for a file that is none."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from publishers.smtp.dkim import load_key

    ours = load_key(key_file)
    if isinstance(ours, RSAPrivateKey):
        return PublicKey("rsa", ours.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return PublicKey("ed25519", ours.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def record_of(key: PublicKey) -> str:
    """The TXT record to publish for a key."""
    return f"v=DKIM1; k={key.kind}; p={base64.b64encode(key.key).decode()}"


def mismatch(found: PublicKey, ours: PublicKey) -> str | None:
    """Why receivers can't verify our signatures by the record found; None when they can."""
    if found.kind != ours.kind:
        return f"it is a key of the kind {found.kind}, we sign with {ours.kind}"
    if not found.for_mail:
        return "it is not for mail (s=)"
    if not found.sha256:
        return "it does not allow sha256 (h=)"
    if _numbers(found) != _numbers(ours):
        return "it is another key than the one we sign with"
    return None


def _numbers(key: PublicKey) -> object:
    """What makes two keys the same; RFC 6376 lets RSA keys stand in either of two structures."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    if key.kind != "rsa":
        return key.key
    try:
        loaded = load_der_public_key(key.key)
    except ValueError:
        return key.key
    return loaded.public_numbers() if isinstance(loaded, RSAPublicKey) else key.key
