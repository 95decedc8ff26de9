"""Pages as readers meet them: by keyboard, on a small screen, without JavaScript, and while figures change."""

import re
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Route, expect

from hub.addresses import Signer
from schemas.deliveries import State, standing
from store.database import Connection
from tests.integration.portal.scene import SECRET, Scene

pytestmark = pytest.mark.browser

AXE = "() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"


def _paths(scene: Scene) -> list[str]:
    return [
        "/",
        "/?lang=en&outcome=stale",
        "/deliveries",
        "/deliveries?channel=email&state=unaccounted",
        f"/track/announcements/{scene.announcement}",
        f"/track/events/{scene.stale_event}",
        f"/track/deliveries/{scene.failed.public}",
        f"/track/deliveries/{scene.retrying.public}",
        "/deadletters",
        f"/deadletters/{scene.open_letter}",
        "/track?q=1",
        "/nothing-here",
        f"/u/{Signer(SECRET.encode()).unsubscribe_token(scene.subscriber)}",
        "/u/1.cut",
    ]


async def test_pages_need_no_sideways_scrolling_at_320_pixels(browser: Browser, portal: str, scene: Scene) -> None:
    context = await browser.new_context(viewport={"width": 320, "height": 640}, locale="fr-FR")
    page = await context.new_page()
    for path in _paths(scene):
        await page.goto(portal + path)
        await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320, path
    await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_to_mend(browser: Browser, portal: str, scene: Scene, axe: str, scheme: Any) -> None:
    context = await browser.new_context(bypass_csp=True, color_scheme=scheme, locale="fr-FR")
    page = await context.new_page()
    found = []
    for path in _paths(scene):
        await page.goto(portal + path)
        await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        await page.evaluate(axe)
        result = await page.evaluate(AXE)
        assert len(result["passes"]) > 15, "axe did look"
        found += [
            (path, violation["id"], node["target"], node["failureSummary"])
            for violation in result["violations"]
            for node in violation["nodes"]
        ]
    await context.close()
    assert found == []


async def test_the_whole_way_from_overview_to_a_delivery_by_keyboard(page: Page, portal: str) -> None:
    await page.goto(f"{portal}/?pause=1")
    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_text("Aller au contenu")
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "content"
    await _tab_to(page, "e-1")
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_contain_text("rue des Tisserands")
    await _tab_to(page, "t-1-failed")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(r"/deliveries\?.*state=failed"))
    await _tab_to(page, "d-1-2")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("the mailbox does not exist")).to_be_visible()


async def _tab_to(page: Page, element: str) -> None:
    """Press Tab until that element has the focus."""
    for _ in range(250):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.id") == element:
            return
    raise AssertionError(f"Tab never reaches {element}")


async def test_figures_change_by_themselves_and_disturb_nobody(
    page: Page, portal: str, scene: Scene, connection: Connection
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: _note(message, complaints))
    await page.goto(f"{portal}/track/announcements/{scene.announcement}")
    await page.locator("#payload-1 summary").click()
    await page.locator("#t-1-sent").focus()
    await connection.execute(
        "UPDATE delivery SET standing = $1 WHERE order_id = $2 AND recipient_id = $3",
        standing(State.DELIVERED),
        scene.retrying.order_id,
        scene.retrying.recipient_id,
    )
    await expect(page.locator("#t-1-delivered b")).to_have_text("2")
    await expect(page.locator("#t-1-retrying")).to_have_count(0)
    assert await page.evaluate("document.activeElement.id") == "t-1-sent"
    await expect(page.locator("#payload-1")).to_have_attribute("open", "")
    await expect(page.locator("#figures")).to_contain_text("en cours : 4")
    assert complaints == [], "nothing breaks the content security policy"


def _note(message: ConsoleMessage, complaints: list[str]) -> None:
    if message.type in ("error", "warning"):
        complaints.append(message.text)


async def test_the_reader_is_told_when_figures_may_be_old(page: Page, portal: str) -> None:
    async def fail(route: Route) -> None:
        await route.fulfill(status=503, body="away")

    await page.goto(portal)
    await expect(page.locator("#lost")).to_be_hidden()
    await page.route("**/*seen=*", fail)
    await expect(page.locator("#lost")).to_be_visible()
    await expect(page.locator("#e-1")).to_be_visible()
    await page.unroute("**/*seen=*")
    await expect(page.locator("#lost")).to_be_hidden()


async def test_a_paused_page_asks_for_nothing(page: Page, portal: str) -> None:
    await page.goto(portal)
    await page.get_by_role("link", name="Suspendre la mise à jour").click()
    await expect(page.get_by_role("link", name="Reprendre la mise à jour")).to_be_visible()
    assert await page.locator("[hx-get]").count() == 0


async def test_everything_reads_without_javascript(browser: Browser, portal: str, scene: Scene) -> None:
    context = await browser.new_context(java_script_enabled=False, locale="fr-FR")
    page = await context.new_page()
    await page.goto(portal)
    await expect(page.get_by_role("link", name="Actualiser")).to_be_visible()
    await expect(page.get_by_text("Mise à jour toutes les 2 secondes")).to_be_hidden()
    await page.locator("#f-outcome").select_option("stale")
    await page.get_by_role("button", name="Filtrer").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.locator("tbody a").click()
    await expect(page.get_by_text("Aucune annonce n’en est née.")).to_be_visible()
    await context.close()


async def test_a_citizen_leaves_and_comes_back_with_one_button_each(
    browser: Browser, portal: str, scene: Scene, connection: Connection
) -> None:
    context = await browser.new_context(
        java_script_enabled=False, locale="fr-FR", viewport={"width": 320, "height": 640}
    )
    page = await context.new_page()
    await page.goto(f"{portal}/u/{Signer(SECRET.encode()).unsubscribe_token(scene.subscriber)}")
    await expect(page.get_by_role("navigation")).to_have_count(0)
    await page.get_by_role("button", name="Me désabonner").click()
    await expect(page.get_by_role("heading", name="Vous êtes désabonné")).to_be_visible()
    assert await connection.fetchval("SELECT count(*) FROM suppression") == 1
    await page.get_by_role("button", name="Me réabonner").click()
    await expect(page.get_by_role("heading", name="Vous êtes réabonné")).to_be_visible()
    assert await connection.fetchval("SELECT count(*) FROM suppression") == 0
    await context.close()


async def test_nothing_moves_for_those_who_ask_for_stillness(browser: Browser, portal: str) -> None:
    context = await browser.new_context(reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(portal)
    names = await page.evaluate("[...document.querySelectorAll('*')].map(one => getComputedStyle(one).animationName)")
    assert set(names) == {"none"}
    await context.close()
