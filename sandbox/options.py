"""What the command line of the sandbox may say: one frozen value, passed to whoever needs it."""

import argparse
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = ("fr", "en")
MAIL_HOST = "mail.sandbox.example"


@dataclass(frozen=True, slots=True)
class Options:
    """Durations in seconds. ``webhook_secret`` is the HMAC key itself, already decoded."""

    home: Path
    host: str = "127.0.0.1"
    smtp_port: int = 0
    http_port: int = 0
    smpp_port: int = 0
    inlet_smtp: tuple[str, int] | None = None
    sms_webhook: str | None = None
    webhook_secret: bytes = b""
    ovh_callback: str | None = None
    twilio_auth_token: str = ""
    sms_deduplicates: bool = False
    bodies: bool = True
    latency: float = 0.0
    receipt_delay: float = 0.2
    late_receipt_delay: float = 60.0
    bounce_delay: float = 0.5
    idempotency_window: float = 3600.0
    mastodon_rate_limit: int = 30_000
    x_rate_limit: int = 30_000
    rate_period: float | None = None
    """Of Mastodon's and X's limits, instead of their five and fifteen minutes."""
    media_delay: float = 0.1
    default_language: str = "fr"
    realm: str = "0"
    """Sets this home's ids apart from those of any other home: a wiped sandbox never gives an old id again."""


def secret_key(text: str) -> bytes:
    """The HMAC key written in a secret file: ``whsec_`` and base64 (Standard Webhooks), else the text itself.

    Raises ValueError when what follows ``whsec_`` is not base64, or nothing is there.
    """
    text = text.strip()
    if not text:
        raise ValueError("the secret is empty")
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError(f"what follows whsec_ is not base64: {error}") from error


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options from the command line; a fault ends the process with status 2 and the option's name."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="Local mail, SMS and Mastodon providers; see docs/sandbox.md.",
    )
    add = parser.add_argument
    add("--home", type=Path, required=True, help="folder of the journals (made if missing)")
    add("--host", default="127.0.0.1", help="where to listen; another only inside a container network")
    add("--smtp-port", type=_port, default=0, help="0 takes a free one")
    add("--http-port", type=_port, default=0, help="0 takes a free one")
    add("--smpp-port", type=_port, default=0, help="0 takes a free one")
    add("--inlet-smtp", type=_address, metavar="HOST:PORT", help="where bounces and automatic replies go")
    add("--sms-webhook", metavar="URL", help="where receipts and replies from handsets are posted")
    add("--sms-webhook-secret-file", type=Path, metavar="FILE", help="the key that signs them")
    add("--ovh-callback", metavar="URL", help="the address that OVHcloud's receipts call")
    add("--twilio-auth-token-file", type=Path, metavar="FILE", help="what signs Twilio's callbacks; none without it")
    add("--sms-deduplicates", action="store_true", help="a known client_reference gets the first answer")
    add("--no-bodies", action="store_true", help="keep no mail content")
    add("--latency-ms", type=_milliseconds, default=0.0, help="wait before each answer")
    add("--receipt-delay-ms", type=_milliseconds, default=0.2)
    add("--late-receipt-delay-ms", type=_milliseconds, default=60.0)
    add("--bounce-delay-ms", type=_milliseconds, default=0.5)
    add("--mastodon-idempotency-seconds", type=float, default=3600.0)
    add("--mastodon-rate-limit", type=int, default=30_000, help="requests of one account in five minutes")
    add("--x-rate-limit", type=int, default=30_000, help="requests of one account and kind in fifteen minutes")
    add("--rate-period-seconds", type=float, help="how long both limits last, instead")
    add("--media-delay-ms", type=_milliseconds, default=0.1, help="how long an uploaded picture is processed")
    add("--default-language", choices=LANGUAGES, default="fr")
    given = parser.parse_args(arguments)
    secret, token = b"", ""
    if given.twilio_auth_token_file:
        try:
            token = given.twilio_auth_token_file.read_text().strip()
        except OSError as error:
            parser.error(f"--twilio-auth-token-file {given.twilio_auth_token_file}: {error}")
    if given.sms_webhook and not given.sms_webhook_secret_file:
        parser.error("--sms-webhook needs --sms-webhook-secret-file: receipts are signed")
    if given.sms_webhook_secret_file:
        try:
            secret = secret_key(given.sms_webhook_secret_file.read_text())
        except (OSError, ValueError) as error:
            parser.error(f"--sms-webhook-secret-file {given.sms_webhook_secret_file}: {error}")
    return Options(
        home=given.home,
        host=given.host,
        smtp_port=given.smtp_port,
        http_port=given.http_port,
        smpp_port=given.smpp_port,
        inlet_smtp=given.inlet_smtp,
        sms_webhook=given.sms_webhook,
        webhook_secret=secret,
        ovh_callback=given.ovh_callback,
        twilio_auth_token=token,
        sms_deduplicates=given.sms_deduplicates,
        bodies=not given.no_bodies,
        latency=given.latency_ms,
        receipt_delay=given.receipt_delay_ms,
        late_receipt_delay=given.late_receipt_delay_ms,
        bounce_delay=given.bounce_delay_ms,
        idempotency_window=given.mastodon_idempotency_seconds,
        mastodon_rate_limit=given.mastodon_rate_limit,
        x_rate_limit=given.x_rate_limit,
        rate_period=given.rate_period_seconds,
        media_delay=given.media_delay_ms,
        default_language=given.default_language,
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is between 0 and 65535")
    return port


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise argparse.ArgumentTypeError("write it HOST:PORT")
    return host, _port(port)


def _milliseconds(text: str) -> float:
    value = float(text)
    if value < 0:
        raise argparse.ArgumentTypeError("a duration is not negative")
    return value / 1000
