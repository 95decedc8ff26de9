"""Settings of one SMPP account."""

import ssl
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from publishers.smpp.gsm import LongMessages
from publishers.smpp.ids import Dialect
from publishers.sms.gateway import GatewayOptions

MOST_PARTS = 15
"""Of one message: their count and number go into the two octets of user_message_reference."""


class SmppOptions(GatewayOptions):
    """One account at an operator or aggregator that speaks SMPP 3.4. Durations in seconds.

    ``window`` takes the place of ``concurrency``: how many messages may await the SMSC's answer at once. ``rate`` is
    how many a second one process hands over at most (None: as the SMSC bears), ``enquire_link`` the silence after
    which the connection is probed.

    ``long_messages``: "udh" sends parts that the telephone joins, "payload" hands the whole text over and leaves
    the parts to the SMSC (one id, one receipt; not every SMSC can). ``message_ids`` says how the SMSC writes in
    receipts the ids of its answers: the same, hexadecimal answered and decimal reported, the reverse, or "any"
    while nobody knows. ``validity`` is the format of the time until which a message is good.

    ``message_reference`` sends user_message_reference, by which receipts of parts are put together where the SMSC
    gives it back; ``key_tag`` is the tag of the vendor's optional parameter that carries our key and comes back
    in receipts ("customer reference"), 0x1400 to 0x3FFF, where there is one. TON and NPI are derived from the
    addresses unless given.
    """

    kind: Literal["smpp"] = "smpp"
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    system_id: str = Field(min_length=1, max_length=15)
    password: SecretStr
    system_type: str | None = Field(default=None, max_length=12)
    service_type: str | None = Field(default=None, max_length=5)
    tls: Literal["none", "tls"] = "none"
    ca_file: Path | None = None
    window: int = Field(default=20, ge=1, le=1000)
    rate: float | None = Field(default=None, gt=0, le=10_000)
    bind_timeout: float = Field(default=4.0, gt=0, le=60)
    enquire_link: float = Field(default=30.0, gt=0, le=3600)
    long_messages: LongMessages = "udh"
    max_parts: int = Field(default=10, ge=1, le=MOST_PARTS)
    message_ids: Dialect = "as_is"
    registered_delivery: Literal["final", "failure", "none"] = "final"
    validity: Literal["relative", "absolute"] = "relative"
    message_reference: bool = True
    key_tag: int | None = Field(default=None, ge=0x1400, le=0x3FFF)
    source_ton: int | None = Field(default=None, ge=0, le=6)
    source_npi: int | None = Field(default=None, ge=0, le=18)
    destination_ton: int | None = Field(default=None, ge=0, le=6)
    destination_npi: int | None = Field(default=None, ge=0, le=18)

    @model_validator(mode="before")
    @classmethod
    def _windowed(cls, given: Any) -> Any:
        if isinstance(given, dict) and "concurrency" in given:
            raise ValueError("concurrency: a gateway of kind smpp has window instead")
        return given

    @field_validator("system_id", "system_type", "service_type")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        if value is not None and not (value.isascii() and value.isprintable()):
            raise ValueError("SMPP takes ASCII here")
        return value

    @field_validator("password")
    @classmethod
    def _short(cls, value: SecretStr) -> SecretStr:
        password = value.get_secret_value()
        if not password.isascii() or not password.isprintable() or not 0 < len(password) <= 8:
            raise ValueError("an SMPP password has 1 to 8 ASCII characters")
        return value

    @model_validator(mode="after")
    def _encrypted(self) -> "SmppOptions":
        if self.ca_file is not None:
            if self.tls != "tls":
                raise ValueError("ca_file: only with tls")
            self.tls_context()
        return self

    @property
    def name(self) -> str:
        """The account, for people."""
        return f"{self.system_id} at {self.host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """How to verify the SMSC; None without TLS. Raises ValueError when ``ca_file`` can't be used."""
        if self.tls == "none":
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"ca_file {self.ca_file}: {error}") from None
