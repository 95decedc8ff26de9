"""A mail in the bytes of SMTP, and the options of the server it goes to."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from publishers.base import Permanent, PublishesMany, Unclear
from publishers.smtp import Offers, Smtp, SmtpOptions, letter
from publishers.smtp_pipeline import stuffed
from schemas.messages import Mail, Text

pytestmark = pytest.mark.unit

PLAIN = Offers(pipelining=True, size=1000, eight_bit=False, utf8=False)
MODERN = Offers(pipelining=True, size=None, eight_bit=True, utf8=True)


def mail(recipient: str = "b@x.example", sender: str = "a@v.example", content: bytes = b"A: b\r\n\r\nc\r\n") -> Mail:
    return Mail("1", sender, recipient, content)


def test_envelope_announces_the_size_where_the_server_asks_for_it() -> None:
    assert letter(mail(), PLAIN).envelope == (b"MAIL FROM:<a@v.example> SIZE=11\r\nRCPT TO:<b@x.example>\r\nDATA\r\n")
    assert letter(mail(sender=""), MODERN).envelope.startswith(b"MAIL FROM:<>\r\n")


@pytest.mark.parametrize(
    "bad",
    [
        mail(""),
        mail("b@x.example>\r\nRSET"),
        mail(sender="a@x>\nRSET"),
        mail("a b@x.example"),
        mail("é@x.example"),
        mail("b" * 250 + "@x.example"),
        mail(content=b"x" * 1001),
        mail(content="é\r\n".encode()),
        mail(content=b"a\r\n\n.\n"),
        mail(content=b"a\r.\r\n"),
    ],
)
def test_what_can_not_be_sent_safely_is_refused_for_good(bad: Mail) -> None:
    with pytest.raises(Permanent):
        letter(bad, PLAIN)


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_address_adds_a_line_to_the_envelope(sender: str, recipient: str) -> None:
    try:
        envelope = letter(mail(recipient, sender), MODERN).envelope
    except Permanent:
        return
    assert envelope.count(b"\n") == envelope.count(b"\r") == 3
    assert envelope.count(b"<") == envelope.count(b">") == 2


@given(st.lists(st.sampled_from([b".", b"..", b"a", b"", b".a", b"a."]), max_size=8))
def test_content_ends_where_it_ends_and_comes_out_as_it_went_in(lines: list[bytes]) -> None:
    content = b"\r\n".join(lines)
    wire = stuffed(content)
    assert (b"\r\n" + wire).index(b"\r\n.\r\n") == len(wire) - 3
    arrived = b"\r\n".join(line[1:] if line[:1] == b"." else line for line in wire[:-3].split(b"\r\n"))
    assert arrived in (content, content + b"\r\n")


def test_options_tell_what_is_wrong_with_them(tmp_path: Path) -> None:
    for wrong in (
        {"username": "hub"},
        {"username": "hub", "password": "x", "tls": "none", "host": "relay.example"},
        {"ca_file": tmp_path / "none.pem"},
        {"connections": 0},
        {"helo": "x"},
        {"local_hostname": "hub example"},
    ):
        with pytest.raises(ValidationError):
            SmtpOptions(**{"host": "relay.example", **wrong})
    assert SmtpOptions(host="127.0.0.1", tls="none", username="hub", password="x").port == 587
    assert "geheim" not in repr(SmtpOptions(host="x", username="hub", password="geheim"))


async def test_channel_says_what_the_hub_asks_of_it() -> None:
    smtp = Smtp(SmtpOptions(host="127.0.0.1", connections=7))
    assert (smtp.channel, smtp.unclear) == ("email", Unclear.SEND_ONCE_MORE)
    assert smtp.limits.concurrency == 7
    assert isinstance(smtp, PublishesMany)
    await smtp.publish_many([], lambda key, outcome: pytest.fail("nothing to report"))
    with pytest.raises(TypeError, match="takes Mail"):
        await smtp.publish_many([Text("1", "Mairie", "+33639980000", "x")], lambda key, outcome: None)
    await smtp.aclose()
    await smtp.aclose()
