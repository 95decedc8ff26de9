"""A mail in the bytes of SMTP, as one server takes it."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from publishers.base import Checks, Permanent, PublishesMany, Unclear
from publishers.smtp.channel import Smtp, SmtpOptions
from publishers.smtp.letter import Offers, letter
from publishers.smtp.options import Relay
from publishers.smtp.pipeline import stuffed
from schemas.messages import Mail, Text, is_ready

pytestmark = pytest.mark.unit

PLAIN = Offers(pipelining=True, size=1000, eight_bit=False, utf8=False)
MODERN = Offers(pipelining=True, size=None, eight_bit=True, utf8=True)


LINES = st.lists(st.sampled_from([b".", b"..a", b"a", b"", b"a.", b"A: b"]) | st.binary(max_size=5), max_size=8)


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
        mail("a@-é-.example"),
        mail("a@é" + "é" * 80 + ".example"),
        mail(sender="é@x.example"),
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


@pytest.mark.parametrize(
    ("recipient", "sent"),
    [
        ("accueil@mairie-évry.example", "accueil@xn--mairie-vry-h7a.example"),
        ("accueil@ÉCOLE.example", "accueil@xn--cole-9oa.example"),
    ],
)
def test_international_domain_goes_anywhere_as_a_labels(recipient: str, sent: str) -> None:
    envelope = letter(mail(recipient), PLAIN).envelope
    assert f"RCPT TO:<{sent}>".encode() in envelope and b"SMTPUTF8" not in envelope


def test_letters_beyond_ascii_before_the_at_need_a_server_that_knows_them() -> None:
    made = letter(mail("hélène@mairie-évry.example"), MODERN)
    assert "RCPT TO:<hélène@xn--mairie-vry-h7a.example>".encode() in made.envelope
    assert b"> SMTPUTF8\r\n" in made.envelope
    with pytest.raises(Permanent, match=r"letters beyond ASCII before its @.*SMTPUTF8") as refused:
        letter(mail("hélène@x.example"), PLAIN)
    assert refused.value.code == "smtputf8" and not refused.value.address_dead


def test_header_beyond_ascii_needs_a_server_that_knows_it_and_a_body_does_not() -> None:
    eight = Offers(pipelining=True, size=None, eight_bit=True, utf8=False)
    made = letter(mail(content="A: b\r\n\r\né\r\n".encode()), eight)
    assert b"BODY=8BITMIME\r\n" in made.envelope
    with pytest.raises(Permanent, match="SMTPUTF8"):
        letter(mail(content="To: é\r\n\r\nc\r\n".encode()), eight)
    assert b"BODY=8BITMIME SMTPUTF8\r\n" in letter(mail(content="To: é\r\n\r\nc\r\n".encode()), MODERN).envelope


def test_size_counts_what_signing_added() -> None:
    made = letter(mail(), PLAIN, lambda content: b"X: y\r\n" + content)
    assert made.content == b"X: y\r\nA: b\r\n\r\nc\r\n"
    assert b"SIZE=17" in made.envelope
    with pytest.raises(Permanent, match="larger") as refused:
        letter(mail(content=b"x" * 999), PLAIN, lambda content: b"X: y\r\n" + content)
    assert refused.value.code == "size"


@given(LINES, st.sampled_from([PLAIN, MODERN]))
def test_ready_mail_is_written_as_one_that_is_looked_through(lines: list[bytes], offers: Offers) -> None:
    content = b"\r\n".join([*lines, b""])
    assume(is_ready(content))
    looked_through = letter(mail(content=content), offers)
    ready = letter(Mail("1", "a@v.example", "b@x.example", content, ready=True), offers)
    assert ready.envelope == looked_through.envelope
    assert ready.content == looked_through.content and (ready.ready, looked_through.ready) == (True, False)
    assert content + b".\r\n" == stuffed(content)


def test_signing_makes_a_ready_mail_one_to_look_through() -> None:
    made = letter(
        Mail("1", "a@v.example", "b@x.example", b"A: b\r\n", ready=True), PLAIN, lambda content: b".X\r\n" + content
    )
    assert not made.ready and made.content == b".X\r\nA: b\r\n"
    with pytest.raises(Permanent, match="line end"):
        letter(Mail("1", "a@v.example", "b@x.example", b"A\n", ready=True), PLAIN, lambda content: content)


async def test_channel_says_what_the_hub_asks_of_it() -> None:
    smtp = Smtp(
        SmtpOptions(relays={"a": Relay(host="127.0.0.1", connections=7), "b": Relay(host="::1", connections=2)})
    )
    assert (smtp.channel, smtp.unclear) == ("email", Unclear.SEND_ONCE_MORE)
    assert smtp.limits.concurrency == 9
    assert isinstance(smtp, PublishesMany) and isinstance(smtp, Checks)
    await smtp.publish_many([], lambda key, outcome: pytest.fail("nothing to report"))
    with pytest.raises(TypeError, match="takes Mail"):
        await smtp.publish_many([Text("1", "Mairie", "+33639980000", "x")], lambda key, outcome: None)
    await smtp.aclose()
    await smtp.aclose()
