"""The sandbox's pages as readers meet them: axe, a small screen, the keyboard, and pictures that say what they show."""

import asyncio
import re
import time
from collections.abc import Iterator
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx
import pytest
from PIL import Image
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import AXE, tab_to
from tests.contract.sandbox.process import SandboxProcess

pytestmark = pytest.mark.browser

ALT = "Plan du marché : les étals autour de la place"
PHONE = "+33639980001"
PATHS = [
    "/",
    "/?lang=en",
    "/inbox",
    "/inbox/1",
    "/handset",
    f"/handset/{PHONE}",
    "/wall",
    "/wall?lang=en",
    "/wall?network=x",
    "/inbox/99",
]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox that got a mail, SMS, a thread with a picture, and posts that were edited and taken back."""
    process = SandboxProcess(tmp_path / "home")
    try:
        asyncio.run(_mail(process))
        with httpx.Client(base_url=process.http) as client:
            _sms(client)
            _posts(client)
        yield process
    finally:
        process.kill()


async def _mail(process: SandboxProcess) -> None:
    message = EmailMessage()
    message["Subject"] = "Marché des artisans"
    message.set_content("De 10 h à 19 h.")
    message.add_alternative(
        "<!doctype html><html lang='fr'><title>Marché</title><p>De 10 h à 19 h.</p>", subtype="html"
    )
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=process.smtp_port, start_tls=False) as smtp:
        await smtp.send_message(message, sender="mairie@valmerande.example", recipients=["alice@courriel.example"])


def _sms(client: httpx.Client) -> None:
    body = {"to": PHONE, "from": "Valmerande", "text": "Rue des Tisserands barrée du 25 au 29 novembre."}
    client.post("/sms/messages", json=body, headers={"Authorization": "Bearer x"}).raise_for_status()
    client.post(f"/sms/handset/{PHONE}/reply", data={"text": "STOP", "to": "Valmerande"})


def _posts(client: httpx.Client) -> None:
    client.headers["Authorization"] = "Bearer token-valmerande"
    drawn = BytesIO()
    Image.new("RGB", (320, 200), "teal").save(drawn, "PNG")
    files = {"file": ("plan.png", drawn.getvalue(), "image/png")}
    picture = client.post("/api/v2/media", files=files, data={"description": ALT}).raise_for_status().json()["id"]

    deadline = time.monotonic() + 10
    while client.get(f"/api/v1/media/{picture}").status_code != 200:
        assert time.monotonic() < deadline, "the picture is never ready"

    def post(text: str, **more: Any) -> str:
        answer = client.post("/api/v1/statuses", json={"status": text, "language": "fr", **more})
        return str(answer.raise_for_status().json()["id"])

    head = post("Marché des artisans (1/2)", media_ids=[picture])
    post("Navette depuis la gare (2/2)", in_reply_to_id=head)
    edited = post("Piscine fermée mercredi")
    client.put(f"/api/v1/statuses/{edited}", json={"status": "Piscine fermée jeudi"}).raise_for_status()
    client.delete(f"/api/v1/statuses/{post('Une erreur')}").raise_for_status()
    client.post("/x/2/tweets", json={"text": "Conseil municipal lundi à 19 h"}).raise_for_status()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_to_mend(browser: Browser, sandbox: SandboxProcess, axe: str, scheme: Any) -> None:
    context = await browser.new_context(bypass_csp=True, color_scheme=scheme, locale="fr-FR")
    page = await context.new_page()
    found = []
    for path in PATHS:
        await page.goto(sandbox.http + path)
        await page.evaluate(axe)
        result = await page.evaluate(AXE)
        assert len(result["passes"]) > 10, "axe did look"
        found += [
            (path, violation["id"], node["target"], node["failureSummary"])
            for violation in result["violations"]
            for node in violation["nodes"]
        ]
    await context.close()
    assert found == []


async def test_pages_need_no_sideways_scrolling_at_320_pixels(browser: Browser, sandbox: SandboxProcess) -> None:
    context = await browser.new_context(viewport={"width": 320, "height": 640}, locale="fr-FR")
    page = await context.new_page()
    for path in PATHS:
        await page.goto(sandbox.http + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320, path
    await context.close()


async def test_home_has_a_card_for_every_network_that_leads_to_its_posts(page: Page, sandbox: SandboxProcess) -> None:
    await page.goto(sandbox.http)
    for name in ("Mastodon", "X", "Facebook", "Bluesky", "Telegram"):
        card = page.locator("li.card", has=page.get_by_role("link", name=name, exact=True))
        await expect(card).to_have_count(1)
    card = page.locator("li.card", has=page.get_by_role("link", name="Mastodon"))
    await expect(card).to_contain_text(re.compile(r"Modifiés sur place\s*1\s*Retirés\s*1"))
    await card.get_by_role("link").click()
    await expect(page.locator("h1")).to_have_text("Publications, Mastodon")


async def test_the_wall_is_narrowed_to_a_network_by_keyboard(page: Page, sandbox: SandboxProcess) -> None:
    await page.goto(f"{sandbox.http}/wall")
    await expect(page.locator("article")).to_have_count(5)
    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_text("Aller au contenu")
    await tab_to(page, "document.activeElement.textContent === 'X'")
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(r"/wall\?network=x"))
    await expect(page.locator("article")).to_have_count(1)
    await expect(page.locator("article")).to_contain_text("Conseil municipal lundi à 19 h")
    networks = page.get_by_role("navigation", name="Réseaux")
    await expect(networks.locator("[aria-current=page]")).to_have_text("X")


async def test_the_wall_shows_threads_pictures_edits_and_what_was_taken_back(
    page: Page, sandbox: SandboxProcess
) -> None:
    await page.goto(f"{sandbox.http}/wall?network=mastodon")
    picture = page.get_by_role("img", name=ALT)
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    await expect(page.locator("article", has_text="(2/2)")).to_contain_text("Suite d’une publication")
    await expect(page.locator("article", has_text="Piscine fermée jeudi")).to_contain_text("modifié le")
    await expect(page.locator(".gone")).to_contain_text("Publication retirée par son auteur.")
    await expect(page.get_by_text("Une erreur")).to_have_count(0)
