"""Pages as readers meet them: by keyboard, on a small screen, without JavaScript, and while figures change."""

import re
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Route, expect

from hub.addresses import Signer
from schemas.deliveries import State, standing
from store.database import Connection
from tests.browser.conftest import AXE, tab_to
from tests.integration.portal.scene import MORNING, SECRET, Scene

pytestmark = pytest.mark.browser

POSTS = "https://social.valmerande.example/@valmerande"


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
        f"/track/deliveries/{scene.post.public}",
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
    await tab_to(page, "document.activeElement.id === 'e-1'")
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_contain_text("rue des Tisserands")
    await tab_to(page, "document.activeElement.id === 't-1-failed'")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(r"/deliveries\?.*state=failed"))
    await tab_to(page, "document.activeElement.id === 'd-1-2'")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("the mailbox does not exist")).to_be_visible()


async def test_delivery_of_a_thread_tells_each_post_what_became_of_it_and_where_it_is(
    page: Page, portal: str, scene: Scene, connection: Connection
) -> None:
    await connection.executemany(
        "INSERT INTO post (order_id, recipient_id, number, act, text, begun_at, done_at, url)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (*_key(scene), 1, "publish", "Rue barrée\n\nDéviation par le quai (1/2)", MORNING, MORNING, f"{POSTS}/1"),
            (*_key(scene), 2, "publish", "Jusqu’au 8 novembre (2/2)", MORNING, None, None),
            (*_key(scene), 3, "edit", "Jusqu’au 10 novembre", None, None, None),
            (*_key(scene), 4, "delete", "", MORNING, MORNING, f"{POSTS}/4"),
        ],
    )
    await page.goto(f"{portal}/track/deliveries/{scene.post.public}")
    posts = page.get_by_role("region", name="Publications").get_by_role("listitem")
    await expect(posts).to_have_count(4)
    for number, said in enumerate(("publiée", "tentée, pas encore confirmée", "à venir", "retirée")):
        await expect(posts.nth(number)).to_contain_text(f"{number + 1} sur 4")
        await expect(posts.nth(number).locator(".state")).to_have_text(said)
    assert "\n\n" in await posts.nth(0).locator(".said").inner_text(), "the lines are as they were published"
    await expect(page.get_by_role("link", name="voir la publication 1")).to_have_attribute("href", f"{POSTS}/1")
    await expect(page.get_by_role("link", name=re.compile("voir la publication [2-4]"))).to_have_count(0)
    await expect(page.get_by_role("heading", name="Accusés du fournisseur")).to_have_count(0)


async def test_delivery_of_an_earlier_version_leads_to_what_became_of_its_posts(
    page: Page, portal: str, scene: Scene, connection: Connection
) -> None:
    later = await connection.fetchval(
        "INSERT INTO delivery_order (announcement_id, version, authority_id, channel, family, lane, broadcast, expires,"
        " recipients, fanned_out_at)"
        " SELECT announcement_id, 2, authority_id, channel, family, lane, broadcast, expires, 1, now()"
        " FROM delivery_order WHERE id = $1 RETURNING id",
        scene.post_order,
    )
    await connection.execute(
        "INSERT INTO post (order_id, recipient_id, number, act, text, done_at)"
        " VALUES ($1, $2, 1, 'publish', 'x', now())",
        *_key(scene),
    )
    await page.goto(f"{portal}/track/deliveries/{scene.post.public}")
    await tab_to(page, "document.activeElement.id === 'later'")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(f"order={later}"))


def _key(scene: Scene) -> tuple[int, int]:
    return scene.post.order_id, scene.post.recipient_id


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


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("dead", "cette adresse n’existe pas. Ce n’est pas un désabonnement."),
        ("refused", "la boîte était pleine, ou fermée. Ce n’est pas un désabonnement."),
        ("complaint", "a été signalé comme indésirable"),
    ],
)
async def test_an_address_given_up_by_servers_is_not_said_to_have_left_and_comes_back_with_one_button(
    page: Page, portal: str, scene: Scene, connection: Connection, kind: str, said: str
) -> None:
    await connection.execute(
        "INSERT INTO suppression (authority_id, channel, address, reason, kind) VALUES ($1, 'email', $2, 'x', $3)",
        scene.authority,
        scene.subscriber_address,
        kind,
    )
    await page.goto(f"{portal}/u/{Signer(SECRET.encode()).unsubscribe_token(scene.subscriber)}")
    await expect(page.locator("h1")).to_have_text("Nous ne vous écrivons plus")
    await expect(page.locator("main")).to_contain_text(said)
    await expect(page.get_by_role("button", name="Me désabonner")).to_have_count(0 if kind == "complaint" else 1)
    await page.get_by_role("button", name="Recevoir de nouveau les messages").click()
    await expect(page.locator("h1")).to_have_text("Vous êtes réabonné")
    assert await connection.fetchval("SELECT count(*) FROM suppression") == 0


async def test_the_owner_of_an_address_given_up_can_leave_for_good(
    page: Page, portal: str, scene: Scene, connection: Connection
) -> None:
    await connection.execute(
        "INSERT INTO suppression (authority_id, channel, address, reason, kind) VALUES ($1, 'email', $2, 'x', 'dead')",
        scene.authority,
        scene.subscriber_address,
    )
    await page.goto(f"{portal}/u/{Signer(SECRET.encode()).unsubscribe_token(scene.subscriber)}")
    await page.get_by_role("button", name="Me désabonner").click()
    await expect(page.locator("h1")).to_have_text("Vous êtes désabonné")
    assert await connection.fetchval("SELECT kind FROM suppression") == "left"


@pytest.mark.parametrize(
    ("alerts_sender", "way"),
    [
        ("+33639980900", "répondez STOP à +33639980900"),
        ("VALM ALERTE", "appelez Ville de Valmerande au 02 61 91 00 10"),
    ],
)
async def test_who_leaves_information_is_told_how_to_stop_alerts_too(
    page: Page, portal: str, scene: Scene, connection: Connection, alerts_sender: str, way: str
) -> None:
    senders = {"sms_sender": "VALMERANDE", "sms_alerts_sender": alerts_sender, "phone": "02 61 91 00 10"}
    await connection.execute("UPDATE authority SET identity = identity || $1", senders)
    person = await connection.fetchval("SELECT min(id) FROM recipient WHERE channel = 'sms'")
    address = await connection.fetchval("SELECT address FROM recipient WHERE id = $1", person)
    await page.goto(f"{portal}/u/{Signer(SECRET.encode()).unsubscribe_token(person)}")
    await expect(page.locator("main")).to_contain_text("Ne plus recevoir les informations de Ville de Valmerande")
    await expect(page.locator("main")).to_contain_text(way)
    await page.get_by_role("button", name="Me désabonner").click()
    await expect(page.locator("main")).to_contain_text("seulement les alertes urgentes")
    await connection.execute(
        "INSERT INTO suppression (authority_id, channel, address, reason, stream)"
        " VALUES ($1, 'sms', $2, 'x', 'alerts')",
        scene.authority,
        address,
    )
    await page.reload()
    await expect(page.locator("main")).not_to_contain_text("seulement les alertes urgentes")
    await page.get_by_role("button", name="Me réabonner").click()
    await expect(page.locator("main")).to_contain_text("Les alertes urgentes, elles, restent arrêtées.")


async def test_nothing_moves_for_those_who_ask_for_stillness(browser: Browser, portal: str) -> None:
    context = await browser.new_context(reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(portal)
    names = await page.evaluate("[...document.querySelectorAll('*')].map(one => getComputedStyle(one).animationName)")
    assert set(names) == {"none"}
    await context.close()
