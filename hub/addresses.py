"""Names that leave us and come back: idempotency keys, envelope senders (VERP), Message-IDs, unsubscribe tokens.

Each carries the delivery or recipient it speaks of and a short HMAC, so that a bounce or a click finds its row
without a table of its own, and nobody can forge one. MACs are 10 bytes (80 bits): a guess is refused online,
never verified offline.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field

from schemas.deliveries import DeliveryId

_MAC_BYTES = 10
_KEY = re.compile(r"([0-9a-f]{1,16}-[0-9a-f]{1,16})\.([1-9]\d{0,2})")


def key(delivery: DeliveryId, attempt: int) -> str:
    """Idempotency key of an attempt: the public delivery id, a dot, the attempt: ``1f-2a.1``."""
    return f"{delivery.public}.{attempt}"


def parse_key(text: str) -> tuple[DeliveryId, int]:
    """Delivery and attempt behind a key. Raises ValueError when it is not one."""
    found = _KEY.fullmatch(text)
    if found is None:
        raise ValueError(f"not a key of an attempt: {text!r}")
    return DeliveryId.parse(found[1]), int(found[2])


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes and checks signed names under one secret; ``purpose`` keeps one kind from passing for another."""

    secret: bytes
    _begun: dict[bytes, hmac.HMAC] = field(default_factory=dict, repr=False, compare=False)
    """By purpose, the MAC that has taken the secret in: to copy one costs half of a new one, twice for every mail."""

    def _mac(self, purpose: bytes, text: str) -> str:
        begun = self._begun.get(purpose)
        if begun is None:
            begun = self._begun[purpose] = hmac.new(self.secret, purpose + b"\0", hashlib.sha256)
        mac = begun.copy()
        mac.update(text.encode())
        return base64.b32encode(mac.digest()[:_MAC_BYTES]).decode().lower()

    def envelope_sender(self, key: str, domain: str) -> str:
        """MAIL FROM of a mail (VERP): bounces to it say which attempt they are about.

        Lower-case base32: some relays fold the case of local parts.
        """
        return f"b-{key}-{self._mac(b'verp', key)}@{domain}"

    def bounced_key(self, address: str) -> str | None:
        """The key in an envelope sender of ours, None for any other address."""
        local = address.rpartition("@")[0].lower()
        if not local.startswith("b-"):
            return None
        key, dash, mac = local[2:].rpartition("-")
        if not dash or not hmac.compare_digest(mac.encode(), self._mac(b"verp", key).encode()):
            return None
        return key if _KEY.fullmatch(key) else None

    def unsubscribe_token(self, recipient_id: int) -> str:
        """The secret part of a recipient's unsubscribe link: URL-safe, no padding."""
        number = f"{recipient_id:x}"
        return f"{number}.{self._mac(b'unsubscribe', number)}"

    def recipient_of(self, token: str) -> int | None:
        """The recipient whose unsubscribe token this is, None when it is not one of ours."""
        number, dot, mac = token.partition(".")
        if not dot or not hmac.compare_digest(mac.encode(), self._mac(b"unsubscribe", number).encode()):
            return None
        try:
            return int(number, 16)
        except ValueError:
            return None


def message_id(key: str, domain: str) -> str:
    """Message-ID of a mail, without brackets: the same on every try, so that a reader's client shows it once."""
    return f"{key}@{domain}"
