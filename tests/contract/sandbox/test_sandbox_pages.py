"""The pages, as far as a client without a screen can tell."""

import re
from email.message import EmailMessage

import aiosmtplib
import httpx
import pytest

from tests.contract.sandbox.conftest import Start
from tests.contract.sandbox.process import SandboxProcess

pytestmark = pytest.mark.contract


async def deliver(sandbox: SandboxProcess, *recipients: str) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=sandbox.smtp_port, start_tls=False) as smtp:
        for recipient in recipients:
            message = EmailMessage()
            message["Subject"] = "Déchets <b>verts</b>"
            message["Message-ID"] = f"<{recipient}>"
            message.set_content("Collecte décalée à mardi.")
            message.add_alternative("<p>Collecte <em>décalée</em></p><script>x</script>", subtype="html")
            await smtp.send_message(message, sender="mairie@valmerande.example", recipients=[recipient])


def sms(sandbox: SandboxProcess, to: str, text: str) -> None:
    body = {"to": to, "from": "Valmerande", "text": text}
    httpx.post(f"{sandbox.http}/sms/messages", json=body, headers={"Authorization": "Bearer x"}).raise_for_status()


@pytest.mark.parametrize("path", ["/", "/inbox", "/handset", "/handset/+33639980001", "/wall"])
def test_pages_are_french_first_strict_and_say_that_they_are_fictional(start: Start, path: str) -> None:
    sandbox = start()
    page = httpx.get(sandbox.http + path)
    assert page.status_code == 200
    assert '<html lang="fr">' in page.text and "fictifs" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script|\sstyle=|\son[a-z]+=|(?:src|href)=\"(?:https?:)?//", page.text)
    english = httpx.get(sandbox.http + path, params={"lang": "en"})
    assert '<html lang="en">' in english.text and "Fictional" in english.text
    assert 'href="/wall?lang=en"' in english.text


def test_the_style_sheet_comes_from_here(start: Start) -> None:
    answer = httpx.get(f"{start().http}/static/style.css")
    assert answer.status_code == 200 and "prefers-color-scheme: dark" in answer.text and "url(" not in answer.text


def test_the_default_language_can_be_english(start: Start) -> None:
    page = httpx.get(f"{start('--default-language', 'en').http}/")
    assert '<html lang="en">' in page.text and 'href="/?lang=fr"' in page.text


async def test_the_inbox_is_newest_first_filtered_by_recipient_and_paged(start: Start) -> None:
    sandbox = start()
    await deliver(sandbox, *(f"u{number}@valmerande.example" for number in range(52)), "Élodie.Zoé@x.example"[1:])
    first = httpx.get(f"{sandbox.http}/inbox").text
    found = re.findall(r'href="/inbox/(\d+)"', first)
    assert found[0] == "53" and len(found) == 50 and 'href="/inbox?page=2"' in first
    assert re.findall(r'href="/inbox/(\d+)"', httpx.get(f"{sandbox.http}/inbox?page=2").text) == ["3", "2", "1"]
    asked = httpx.get(f"{sandbox.http}/inbox", params={"q": "U51@"}).text
    assert re.findall(r'href="/inbox/(\d+)"', asked) == ["52"]
    assert "Déchets &lt;b&gt;verts" in asked and "<b>verts" not in asked


async def test_a_mail_shows_headers_text_and_html_cut_off_from_everything(start: Start) -> None:
    sandbox = start()
    await deliver(sandbox, "alice@valmerande.example")
    sandbox.kill()
    again = start()
    page = httpx.get(f"{again.http}/inbox/1").text
    assert "Collecte décalée à mardi." in page and "Message-ID" in page and "<script" not in page
    assert '<iframe src="/inbox/1/html" sandbox="" title="Version HTML">' in page
    html = httpx.get(f"{again.http}/inbox/1/html")
    assert "<em>décalée</em>" in html.text
    assert html.headers["Content-Security-Policy"].startswith("sandbox;")
    source = httpx.get(f"{again.http}/inbox/1/source")
    assert source.headers["Content-Type"] == "text/plain; charset=utf-8" and "multipart/alternative" in source.text


async def test_a_mail_kept_without_its_body_says_so(start: Start) -> None:
    sandbox = start("--no-bodies")
    await deliver(sandbox, "alice@valmerande.example")
    assert "Contenu non conservé" in httpx.get(f"{sandbox.http}/inbox/1").text
    assert httpx.get(f"{sandbox.http}/inbox/1/html").status_code == 404


def test_a_handset_shows_bubbles_segments_and_encoding_and_answers_stop(start: Start) -> None:
    sandbox = start()
    sms(sandbox, "+33639980001", "Fin d'alerte <crue> ✔" + "x" * 80)
    listed = httpx.get(f"{sandbox.http}/handset", params={"q": "+33 6 39 98"}).text
    assert 'href="/handset/+33639980001"' in listed
    page = httpx.get(f"{sandbox.http}/handset/+33639980001").text
    assert "2 segments, UCS-2" in page and "&lt;crue&gt;" in page
    assert 'action="/sms/handset/+33639980001/reply"' in page
    answered = httpx.post(
        f"{sandbox.http}/sms/handset/+33639980001/reply",
        data={"text": "STOP", "to": "Valmerande"},
        headers={"Origin": sandbox.http},
        follow_redirects=True,
    )
    assert answered.status_code == 200 and '<p class="bubble">STOP</p>' in answered.text


def test_another_site_cannot_answer_for_a_handset(start: Start) -> None:
    sandbox = start()
    answer = httpx.post(
        f"{sandbox.http}/sms/handset/+33639980001/reply",
        data={"text": "STOP", "to": "Valmerande"},
        headers={"Origin": "https://elsewhere.example"},
    )
    assert answer.status_code == 403 and sandbox.journal("sms") == []


def test_the_wall_shows_posts_and_that_one_was_withdrawn(start: Start) -> None:
    sandbox = start()
    headers = {"Authorization": "Bearer token-valmerande"}
    url = f"{sandbox.http}/api/v1/statuses"
    made = [httpx.post(url, json={"status": text}, headers=headers).json() for text in ("Une <i>", "Deux")]
    httpx.delete(f"{url}/{made[1]['id']}", headers=headers)
    page = httpx.get(f"{sandbox.http}/wall").text
    assert "Une &lt;i&gt;" in page and "Deux" not in page and "Publication retirée" in page
    assert httpx.get(made[1]["url"]).status_code == 404


@pytest.mark.parametrize("path", ["/inbox/1", "/inbox/0", "/handset/nobody", "/@valmerande/1"])
def test_a_page_that_does_not_exist_is_404_in_the_readers_language(start: Start, path: str) -> None:
    page = httpx.get(start().http + path)
    assert page.status_code == 404 and "existe pas" in page.text
