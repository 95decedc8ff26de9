"""DKIM signatures (RFC 6376), relaxed/relaxed, by RSA-SHA256 and Ed25519-SHA256 (RFC 8463).

For hubs whose relay doesn't sign. A mail is signed by every key of its From's domain, so that one key of each
kind can stand side by side. Headers that readers act on are signed once more than they are there, so that
nobody can add another (§5.4.2, "oversigning").
"""

import base64
import hashlib
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from publishers.smtp.options import DkimKey

_log = structlog.get_logger(__name__)

_RSA_BITS = 2048  # RFC 8301 §3.2: signers should; shorter ones are turned down here and there

OVERSIGNED = (
    b"from", b"to", b"cc", b"subject", b"date", b"reply-to", b"message-id", b"list-unsubscribe",
    b"list-unsubscribe-post", b"mime-version", b"content-type",
)  # fmt: skip
"""Nobody may add another of these."""
SIGNED = (*OVERSIGNED, b"list-id", b"auto-submitted", b"content-language", b"content-transfer-encoding")
"""What is signed where it is there."""

_SPACES = re.compile(rb"[ \t]+")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_DOMAIN_OF_FROM = re.compile(rb"@([A-Za-z0-9.-]+)>?$")

Key = RSAPrivateKey | Ed25519PrivateKey
Fields = Sequence[tuple[bytes, bytes]]
"""Header fields in their order: the name in small letters, the value as relaxed canonicalization has it."""


def load_key(path: Path) -> Key:
    """The private key in a PEM file. Raises ValueError, in words for whoever writes the settings."""
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise ValueError(f"key_file {path} can't be read: {error.strerror}") from error
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ValueError(f"key_file {path} is encrypted: give the key without a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"key_file {path} is no private key in PEM") from error
    if isinstance(key, RSAPrivateKey):
        if key.key_size < _RSA_BITS:
            raise ValueError(f"key_file {path} is too short: {key.key_size} bits, at least {_RSA_BITS} are needed")
        return key
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise ValueError(f"key_file {path} is neither an RSA nor an Ed25519 key")


def fields(head: bytes) -> Fields:
    """The fields of a header section, canonical (§3.4.2)."""
    found = []
    for line in _FOLD.sub(b"", head).split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name.strip().lower(), _SPACES.sub(b" ", value).strip()))
    return found


def body_hash(body: bytes) -> bytes:
    """The SHA-256 of the body, canonical (§3.4.4), in base64."""
    if b"\t" in body or b"  " in body or b" \r\n" in body:
        body = _SPACES.sub(b" ", body).replace(b" \r\n", b"\r\n")
    body = body.rstrip(b" ") if body.endswith(b" ") else body
    body = body.rstrip(b"\r\n")
    return base64.b64encode(hashlib.sha256(body + b"\r\n" if body else b"").digest())


def signing_input(of: Fields, names: Sequence[bytes], signature: bytes) -> bytes:
    """What is signed: the fields called ``names``, the last of a name first, and the signature's own value.

    ``signature`` is the canonical value of DKIM-Signature, its ``b=`` empty.
    """
    left: dict[bytes, list[bytes]] = {}
    for name, value in of:
        left.setdefault(name, []).append(value)
    lines = [name + b":" + left[name].pop() + b"\r\n" for name in names if left.get(name)]
    return b"".join(lines) + b"dkim-signature:" + signature


def sign_bytes(key: Key, data: bytes) -> bytes:
    """The signature over ``data`` (RFC 6376 §3.3.1, RFC 8463 §3), in base64."""
    if isinstance(key, RSAPrivateKey):
        return base64.b64encode(key.sign(data, PKCS1v15(), hashes.SHA256()))
    return base64.b64encode(key.sign(hashlib.sha256(data).digest()))


@dataclass(frozen=True)
class Signer:
    """One key, ready to sign. ``begin`` is what its signatures begin with."""

    domain: bytes
    begin: bytes
    key: Key

    @classmethod
    def of(cls, options: DkimKey) -> "Signer":
        """Raises ValueError like ``load_key``."""
        key = load_key(options.key_file)
        algorithm = b"rsa-sha256" if isinstance(key, RSAPrivateKey) else b"ed25519-sha256"
        domain, selector = options.domain.encode(), options.selector.encode()
        begin = b"v=1; a=%b; c=relaxed/relaxed;\r\n\td=%b; s=%b;" % (algorithm, domain, selector)
        return cls(domain, begin, key)

    def line(self, of: Fields, names: Sequence[bytes], hashed: bytes, now: int) -> bytes:
        """The DKIM-Signature field of a mail with these fields and this body hash; ``now`` in Unix seconds."""
        parts = [self.begin + b" t=%d;" % now, b"h=%b;" % _listed(names), b"bh=%b;" % hashed, b"b="]
        canonical = _SPACES.sub(b" ", b" ".join(parts).replace(b"\r\n", b""))
        value = sign_bytes(self.key, signing_input(of, names, canonical))
        folded = b"\r\n\t".join(value[at : at + 70] for at in range(0, len(value), 70))
        return b"DKIM-Signature: " + b"\r\n\t".join(parts) + folded + b"\r\n"


class Signers:
    """All keys; called with a mail's whole content, gives it back with its signatures before it."""

    def __init__(self, keys: Iterable[DkimKey], clock: Callable[[], float] = time.time) -> None:
        self._signers = [Signer.of(options) for options in keys]
        self._clock = clock
        self._unsigned: set[bytes] = set()

    def __call__(self, content: bytes) -> bytes:
        """The content signed by every key of its From's domain, or of a domain above it; else as it was."""
        head, _, body = content.partition(b"\r\n\r\n")
        of = fields(head)
        domain = _domain(of)
        mine = [one for one in self._signers if domain == one.domain or domain.endswith(b"." + one.domain)]
        if not mine:
            self._tell_unsigned(domain)
            return content
        present = [name for name, _ in of]
        names = [name for name in SIGNED for _ in range(present.count(name) + (name in OVERSIGNED))]
        hashed, now = body_hash(body), int(self._clock())
        return b"".join(one.line(of, names, hashed, now) for one in mine) + content

    def _tell_unsigned(self, domain: bytes) -> None:
        if domain not in self._unsigned:
            self._unsigned.add(domain)
            _log.warning("email.unsigned", domain=domain.decode("ascii", "replace"))


def _domain(of: Fields) -> bytes:
    found = next((_DOMAIN_OF_FROM.search(value) for name, value in of if name == b"from"), None)
    return found.group(1).lower() if found else b""


def _listed(names: Sequence[bytes]) -> bytes:
    """Names joined by colons, folded: a line of a header should stay below 78 characters."""
    lines, line = [], b""
    for name in names:
        if len(line) + len(name) > 60:
            lines.append(line)
            line = b""
        line += name + b":"
    return b"\r\n\t".join([*lines, line]).removesuffix(b":")
