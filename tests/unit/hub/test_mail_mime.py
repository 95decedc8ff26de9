"""The splice: whatever the slots, a standard parser reads back exactly what was meant."""

import email
import html
import string
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.mail_mime import BadSlot, Headers, InlineImage, MailSlots, MailTemplate, Placeholders, compose
from schemas.messages import is_ready

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 4, 7, 30, tzinfo=UTC)
HEADERS = Headers(
    from_name="Ville de Valmerande, mairie « à vous »",
    from_address="annonces@valmerande.example",
    reply_to="mairie@valmerande.example",
    subject="Mise à jour : rue des Tisserands barrée du 4 au 8 novembre, déviation par le quai Vauclair",
    date=NOW,
    list_id="annonces.valmerande.example",
    language="fr",
)
SLOTS = MailSlots("marie@example.org", "1f-2a.1@valmerande.example", "https://valmerande.example/u/1f.abcd")

_ATEXT = string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-"
_atoms = st.text(_ATEXT, min_size=1, max_size=20)
_dotted = st.lists(_atoms, min_size=1, max_size=3).map(".".join)
_labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_domains = st.lists(_labels, min_size=1, max_size=4).map(".".join)
_plain_dotted = _dotted.filter(lambda text: "=?" not in text)  # which mail programs would decode
recipients = st.builds("{}@{}".format, _plain_dotted, _domains)
message_ids = st.builds("{}@{}".format, _dotted, _domains)
urls = st.builds(
    "{}://{}/{}".format,
    st.sampled_from(["http", "https"]),
    _domains,
    st.text(string.ascii_letters + string.digits + "._~:/?#[]@!$&'()*+,;=%-", max_size=600),
).filter(lambda text: "=?" not in text)
# what a template may say: any character but controls and the line ends that MIME normalizes
prose = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029") | st.just("\n"), max_size=300
)


def mail(text: str = "à {url}\n", page: str = '<p>é <a href="{url}">x</a> {to}</p>\n') -> MailTemplate:
    holes = Placeholders.fresh()
    filled = [body.replace("{url}", holes.unsubscribe_url).replace("{to}", holes.recipient) for body in (text, page)]
    return compose(HEADERS, *filled, holes)


def read(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert part is not None
    assert not part.defects
    return str(part.get_content()).replace("\r\n", "\n")


@given(recipients, message_ids, urls, prose, prose)
def test_parser_reads_back_the_slots_in_headers_and_both_bodies(
    recipient: str, message_id: str, url: str, before: str, after: str
) -> None:
    text = f"{before}{{url}}{after}{{to}}\n".replace("\r", "")
    content = mail(text, f"<p>{text}</p>\n").splice(MailSlots(recipient, message_id, url))
    message = read(content)

    assert [address.addr_spec for address in message["To"].addresses] == [recipient]
    assert message["Message-ID"] == f"<{message_id}>"
    assert message["List-Unsubscribe"] == f"<{url}>"
    assert not message.defects
    assert not any(value.defects for value in message.values())
    assert body(message, "plain") == text.replace("{url}", url).replace("{to}", recipient)
    escaped = text.replace("{url}", html.escape(url)).replace("{to}", html.escape(recipient))
    assert body(message, "html") == f"<p>{escaped}</p>\n"
    assert content.isascii()
    assert b"\n" not in content.replace(b"\r\n", b"") and b"\r" not in content.replace(b"\r\n", b"")
    head, _, rest = content.partition(b"\r\n\r\n")
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert max(map(len, rest.split(b"\r\n"))) <= 76


# what tempts a line to begin with a dot: runs of dots, line ends, and lengths about a line's
dotty = st.lists(
    st.sampled_from(["\n", ".", "...", "." * 74, "." * 75, "." * 200, "é.", "=", "%", "a" * 73, "a" * 75]) | prose,
    max_size=8,
).map("".join)
dotty_urls = st.lists(st.sampled_from([".", "." * 75, "a" * 60, "a" * 75, "/?x="]), max_size=8).map(
    lambda parts: "https://a.example/" + "".join(parts)
)
letters_beyond = st.builds("{}{}@{}".format, st.text("éàñ", max_size=3), _plain_dotted, st.just("mairie-évry.example"))


@given(recipients | letters_beyond, message_ids, urls | dotty_urls, dotty, dotty)
def test_mail_that_is_said_to_be_ready_is(recipient: str, message_id: str, url: str, before: str, after: str) -> None:
    text = f"{before}{{url}}{after}{{to}}{before}\n"
    template = mail(text, f"{text}{text}")
    content = template.splice(MailSlots(recipient, message_id, url))
    assert template.ready, "whatever a template says"
    assert is_ready(content) or not recipient.isascii()
    assert is_ready(content) == content.isascii()
    assert max(map(len, content.partition(b"\r\n\r\n")[2].split(b"\r\n"))) <= 76
    assert body(read(content), "plain") == text.replace("{url}", url).replace("{to}", recipient)


@pytest.mark.parametrize(
    "text", ["", "a", "a\n", "a\r", ".\r\n", "a\r\n.b\r\n", "é\r\n", "a\r\n.", "a\n\r\n", "\ra\r\n"]
)
def test_content_that_a_sender_must_look_through_is_not_ready(text: str) -> None:
    assert not is_ready(text.encode())
    assert is_ready(b"a.\r\n\r\n b\r\n")


@given(prose.filter(lambda text: text.strip()))
def test_subject_and_sender_survive_encoding(words: str) -> None:
    said = " ".join(words.split())
    headers = Headers(said, "a@valmerande.example", None, said, NOW, "a.example", "fr")
    holes = Placeholders.fresh()
    content = compose(headers, holes.unsubscribe_url, holes.unsubscribe_url, holes).splice(SLOTS)
    assert content.isascii()
    head = content.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 998
    message = read(content)
    assert message["From"].addresses[0].addr_spec == "a@valmerande.example"
    assert message["To"] == SLOTS.recipient
    assert message["Subject"] == said


def test_headers_are_those_a_bulk_sender_needs() -> None:
    message = read(mail().splice(SLOTS))
    assert message["From"].addresses[0].display_name == HEADERS.from_name
    assert message["From"].addresses[0].addr_spec == HEADERS.from_address
    assert message["Reply-To"] == HEADERS.reply_to
    assert message["Subject"] == HEADERS.subject
    assert message["Date"].datetime == NOW
    assert message["List-Id"] == "<annonces.valmerande.example>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "fr"
    assert message["Precedence"] is None
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert len(message.keys()) == len({name.lower() for name in message.keys()})  # noqa: SIM118


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipient", "marie@example.org\r\nBcc: all@example.org"),
        ("recipient", "marie@example.org\n"),
        ("recipient", "marie"),
        ("recipient", "marie@"),
        ("recipient", "a@b@c"),
        ("recipient", "marie@example.org, luc@example.org"),
        ("recipient", "<marie@example.org>"),
        ("recipient", "marie..m@example.org"),
        ("recipient", "hél ène@example.org"),
        ("recipient", "hél\u202eène@example.org"),
        ("recipient", "hél\u00a0ène@example.org"),
        ("recipient", "hél\u2028ène@example.org"),
        ("recipient", "marie@-é-.example"),
        ("recipient", "marie@é" + "é" * 70 + ".example"),
        ("recipient", f"{'é' * 33}@example.org"),
        ("recipient", "m@-example.org"),
        ("recipient", f"{'m' * 65}@example.org"),
        ("recipient", f"m@{'a.' * 130}org"),
        ("recipient", "=?utf-8?q?x?=@example.org"),
        ("message_id", "<1@example.org>"),
        ("message_id", "1@example.org\r\nX: y"),
        ("message_id", "1"),
        ("unsubscribe_url", "https://example.org/>\r\nBcc: x@example.org"),
        ("unsubscribe_url", "https://example.org/ a"),
        ("unsubscribe_url", 'https://example.org/"onclick="x'),
        ("unsubscribe_url", "javascript:alert(1)"),
        ("unsubscribe_url", "https://example.org/é"),
        ("unsubscribe_url", "https://example.org/" + "a" * 900),
    ],
)
def test_a_value_that_could_break_a_header_is_refused(field: str, value: str) -> None:
    slots = {"recipient": SLOTS.recipient, "message_id": SLOTS.message_id, "unsubscribe_url": SLOTS.unsubscribe_url}
    with pytest.raises(BadSlot) as caught:
        MailSlots(**{**slots, field: value})
    assert caught.value.slot == field
    assert caught.value.value == value


@pytest.mark.parametrize("recipient", ["accueil@mairie-évry.example", "accueil@MAIRIE-ÉVRY.example"])
def test_international_domain_stands_in_the_header_as_a_labels_and_in_the_text_as_it_is_written(recipient: str) -> None:
    content = mail("{url}\n{to}\n").splice(MailSlots(recipient, SLOTS.message_id, SLOTS.unsubscribe_url))
    message = read(content)
    assert content.isascii()
    assert message["To"] == "accueil@xn--mairie-vry-h7a.example"
    assert recipient in body(message, "plain") and recipient in body(message, "html")


def test_letters_beyond_ascii_before_the_at_make_a_mail_for_smtputf8() -> None:
    slots = MailSlots("hélène@mairie-évry.example", SLOTS.message_id, SLOTS.unsubscribe_url)
    content = mail("{url}\n{to}\n").splice(slots)
    head, _, rest = content.partition(b"\r\n\r\n")
    assert "\r\nTo: hélène@xn--mairie-vry-h7a.example\r\n".encode() in head
    assert head.replace("hélène".encode(), b"").isascii() and rest.isascii()
    assert "hélène@mairie-évry.example" in body(read(content), "plain")


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3
LOGO = InlineImage("logo", PNG, "image/png")
PHOTO = InlineImage("photo-1@valmerande.example", b"\xff\xd8" + b"%b %s" * 40, "image/jpeg")
ILLUSTRATED = (
    '<p>é <a href="{url}">x</a> {to} <img src="cid:logo" alt="Blason"> '
    '<img src="cid:photo-1@valmerande.example" alt="Le quai Vauclair"></p>\n'
)


def illustrated(page: str, *images: InlineImage) -> MailTemplate:
    holes = Placeholders.fresh()
    page = page.replace("{url}", holes.unsubscribe_url).replace("{to}", holes.recipient)
    return compose(HEADERS, f"à {holes.unsubscribe_url}\n", page, holes, images)


def test_images_travel_beside_the_page_that_shows_them_and_the_text_stays_apart() -> None:
    content = illustrated(ILLUSTRATED, LOGO, PHOTO).splice(SLOTS)
    message = read(content)
    assert message.get_content_type() == "multipart/alternative"
    plain, related = message.iter_parts()
    assert (plain.get_content_type(), related.get_content_type()) == ("text/plain", "multipart/related")
    assert related.get_param("type") == "text/html"
    page, logo, photo = related.iter_parts()
    assert page.get_content_type() == "text/html" and SLOTS.unsubscribe_url in page.get_content()
    for part, image, name in ((logo, LOGO, "logo.png"), (photo, PHOTO, "photo-1.jpg")):
        assert part["Content-ID"] == f"<{image.cid}>"
        assert part.get_content_type() == image.media_type
        assert part.get_content_disposition() == "inline" and part.get_filename() == name
        assert part.get_content() == image.content
        assert not part.defects
    assert not message.defects and not related.defects
    assert content.isascii() and max(map(len, content.partition(b"\r\n\r\n")[2].split(b"\r\n"))) <= 76
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_mail_without_images_is_as_it_was() -> None:
    plain = '<p>é <a href="{url}">x</a></p>\n'
    assert b"multipart/related" not in illustrated(plain).splice(SLOTS)


@pytest.mark.parametrize(
    ("page", "images", "words"),
    [
        (ILLUSTRATED, [LOGO], "does not carry the image photo-1@valmerande.example"),
        ('<a href="{url}">x</a>', [LOGO], "does not show the image logo"),
        (ILLUSTRATED, [LOGO, PHOTO, LOGO], "two images have the same content id"),
        (
            '<a href="{url}"><img src="cid:x">x</a>',
            [InlineImage("x", b"x" * 1_000_001, "image/png")],
            "too large together",
        ),
    ],
)
def test_images_and_page_must_agree(page: str, images: list[InlineImage], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        illustrated(page, *images)


@pytest.mark.parametrize(
    ("cid", "content", "media_type"),
    [
        ("", PNG, "image/png"),
        ("a b", PNG, "image/png"),
        ("a>\r\nX: y", PNG, "image/png"),
        ("logo", PNG, "image/svg+xml"),
        ("logo", PNG, "image/png; x"),
        ("logo", b"", "image/png"),
    ],
)
def test_image_that_a_mail_can_not_carry_is_refused(cid: str, content: bytes, media_type: str) -> None:
    with pytest.raises(ValueError, match="image"):
        InlineImage(cid, content, media_type)


def test_a_subject_with_a_line_end_is_refused() -> None:
    holes = Placeholders.fresh()
    headers = Headers("Ville", "a@valmerande.example", None, "Bonjour\r\nBcc: x@y.example", NOW, "a.example", "fr")
    with pytest.raises(ValueError, match="linefeed"):
        compose(headers, holes.unsubscribe_url, holes.unsubscribe_url, holes)


def test_a_mail_without_an_unsubscribe_link_is_refused() -> None:
    holes = Placeholders.fresh()
    with pytest.raises(ValueError, match="text body has no unsubscribe link"):
        compose(HEADERS, "Bonjour", holes.unsubscribe_url, holes)


def test_percent_signs_and_look_alike_boundaries_are_ordinary_text() -> None:
    text = "100 % sûr %s %b\n--=_tambour_alternative\n--=_tambour_alternative--\n{url}\n"
    message = read(mail(text).splice(SLOTS))
    assert body(message, "plain") == text.replace("{url}", SLOTS.unsubscribe_url)
    assert len(list(message.iter_parts())) == 2


def test_two_recipients_of_one_template_differ_only_in_their_slots() -> None:
    template = mail()
    other = MailSlots("luc@example.org", "1f-2b.1@valmerande.example", "https://valmerande.example/u/20.efgh")
    first, second = template.splice(SLOTS), template.splice(other)
    assert first.replace(b"marie", b"luc").replace(b"2a.1", b"2b.1").replace(b"1f.abcd", b"20.efgh") == second
