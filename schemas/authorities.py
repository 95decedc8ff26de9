"""The authority as the public meets it: its name, its addresses and the senders it uses."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StringConstraints

from schemas.lanes import Lane

MailAddress = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+\.[A-Za-z]+$")]
"""An address of our own: plain ASCII, as every relay takes it (RFC 5321, section 4.1.2, Dot-string)."""


SmsSender = Annotated[str, StringConstraints(pattern=r"^(\+[1-9]\d{6,14}|[A-Za-z0-9 ._-]{3,11})$")]
"""A number in E.164, a short code, or a name of at most 11 characters (3GPP TS 23.040)."""

Stream = Literal["", "information", "alerts"]
"""What one of an authority's two SMS senders is for, and so what a STOP to it is about; "" is everything."""


def stream_of(lane: Lane) -> Stream:
    """The stream that a message of this lane belongs to."""
    return "alerts" if lane is Lane.URGENT else "information"


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
    logo: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name in the library of pictures (``./tambour pictures add``): what mails begin with."""
    website: HttpUrl
    postal_address: str
    phone: str | None = None
    sms_sender: SmsSender
    """Who SMS come from. Of a name nobody can answer STOP, so the text says where to leave."""
    sms_alerts_sender: SmsSender | None = None
    """Who urgent SMS come from, when that is another: a STOP to ``sms_sender`` then never silences alerts."""

    def sms_sender_for(self, lane: Lane) -> str:
        """The SMS sender that speaks in this lane."""
        return (self.sms_alerts_sender if lane is Lane.URGENT else None) or self.sms_sender

    def sms_stream_of(self, sender: str) -> Stream:
        """What a STOP to this sender of ours is about: everything, while there is only one."""
        if self.sms_alerts_sender in (None, self.sms_sender):
            return ""
        return "alerts" if sender == self.sms_alerts_sender else "information"
