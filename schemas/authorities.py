"""The authority as the public meets it: its name, its addresses and the senders it uses."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StringConstraints

MailAddress = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+\.[A-Za-z]+$")]
"""An address of our own: plain ASCII, as every relay takes it (RFC 5321, section 4.1.2, Dot-string)."""


class Identity(BaseModel):
    """What messages say about who sends them. Kept in ``authority.identity`` as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=120)
    """Full name, as in the From header: "Ville de Valmerande"."""
    short_name: str = Field(min_length=1, max_length=20)
    """What an SMS begins with: "Valmerande"."""
    mail_from: MailAddress
    """Address in the From header; replies go to ``reply_to`` when given."""
    reply_to: MailAddress | None = None
    list_id: str = Field(pattern=r"^[a-z0-9.-]+\.[a-z]+$")
    """RFC 2919 list identifier, without brackets: "annonces.valmerande.example"."""
    website: HttpUrl
    postal_address: str
    phone: str | None = None
    sms_sender: str = Field(min_length=3, max_length=15)
    """Number in E.164, or an alphanumeric sender of at most 11 characters."""
    mastodon_account: str | None = None
