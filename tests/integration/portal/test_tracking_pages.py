"""Tracking pages over a real database: every number leads to its rows, nothing is shown raw or kept."""

import csv
import io
import re
from html.parser import HTMLParser

import httpx
import pytest

from store.database import Connection
from tests.integration.portal.scene import Scene

pytestmark = pytest.mark.integration


class Links(HTMLParser):
    """Every link with the words in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._open = True
            self.found.append((dict(attrs).get("href") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            href, words = self.found[-1]
            self.found[-1] = (href, f"{words} {data.strip()}".strip())


async def test_every_number_of_the_overview_leads_to_as_many_rows(client: httpx.AsyncClient, scene: Scene) -> None:
    page = (await client.get("/")).text
    counted = 0
    for href, words in Links(page).found:
        number = re.search(r"(\d+)$", words)
        if number is None or not href.startswith(("/deliveries?", "/deadletters?", "/?outcome")):
            continue
        path, _, query = href.partition("?")
        lists = {"/": "/events.json", "/deliveries": "/deliveries.json", "/deadletters": "/deadletters.json"}
        rows = (await client.get(f"{lists[path]}?{query.partition('#')[0]}")).json()
        assert len(rows) == int(number[1]), (href, words)
        counted += 1
    assert counted >= 18


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?outcome=stale&q=arr",
        "/deliveries",
        "/deliveries?state=unaccounted",
        "/track/events/1",
        "/track/events/3",
        "/track/announcements/1",
        "/track/deliveries/1-2",
        "/track/deliveries/1-4",
        "/deadletters",
        "/deadletters/1",
        "/deadletters/2",
        "/track?q=1",
        "/track",
    ],
)
@pytest.mark.parametrize("language", ["fr", "en"])
async def test_every_page_answers_in_both_languages_with_strict_headers(
    client: httpx.AsyncClient, scene: Scene, path: str, language: str
) -> None:
    answer = await client.get(path, headers={"Accept-Language": language})
    assert answer.status_code == 200
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert not re.search(r"<[^>]+ (style|on\w+)=", answer.text)
    assert "<script>" not in answer.text


async def test_french_comes_first_and_a_choice_is_remembered(client: httpx.AsyncClient, scene: Scene) -> None:
    assert "Vue d’ensemble" in (await client.get("/")).text
    assert "Overview" in (await client.get("/?lang=en")).text
    assert "Overview" in (await client.get("/")).text
    assert "Vue d’ensemble" in (await client.get("/?lang=fr", headers={"Accept-Language": "en"})).text


async def test_a_live_part_is_sent_again_only_when_it_changed(
    client: httpx.AsyncClient, scene: Scene, connection: Connection
) -> None:
    page = (await client.get("/track/announcements/1")).text
    found = re.search(r'hx-get="([^"]+)"', page)
    assert found is not None
    again = found[1].replace("&amp;", "&")
    htmx = {"HX-Request": "true"}
    assert (await client.get(again, headers=htmx)).status_code == 204
    await connection.execute("UPDATE announcement SET withdrawn_at = now()")
    changed = await client.get(again, headers=htmx)
    assert changed.status_code == 200
    assert changed.text.startswith('<div id="live" hx-get=') and "<html" not in changed.text
    assert "retirée le" in changed.text
    assert 'hx-swap-oob="innerHTML:#figures"' in changed.text
    paused = (await client.get("/track/announcements/1?pause=1")).text
    assert "hx-get" not in paused and "Reprendre" in paused


async def test_a_hold_on_an_announcement_is_said(
    client: httpx.AsyncClient, scene: Scene, connection: Connection
) -> None:
    await connection.execute("INSERT INTO hold VALUES ('announcement', $1, 'relecture')", str(scene.announcement))
    assert "suspendue : relecture" in (await client.get("/track/announcements/1")).text


async def test_what_was_removed_because_it_is_old_is_counted_and_leads_nowhere(
    client: httpx.AsyncClient, scene: Scene, connection: Connection
) -> None:
    await connection.execute(
        "UPDATE delivery_order SET purged_at = '2026-11-20 09:30Z' WHERE id = $1", scene.email_order
    )
    text = (await client.get(f"/track/announcements/{scene.announcement}")).text
    assert re.search(r"leur détail a été effacé le .*20.*10:30", text)
    listed = [href for href, _ in Links(text).found if "&order=" in href]
    assert listed, "the other channels' are still there"
    assert not [href for href in listed if re.search(rf"&order={scene.email_order}\b", href)]


async def test_what_came_from_outside_is_text_not_markup(client: httpx.AsyncClient, scene: Scene) -> None:
    letter = (await client.get(f"/deadletters/{scene.open_letter}")).text
    assert "&lt;b&gt;oups" in letter and "<b>oups" not in letter
    assert f"deadletters put-back {scene.open_letter}" in letter
    delivery = (await client.get(f"/track/deliveries/{scene.failed.public}")).text
    assert "&lt;script&gt;alert" in delivery
    hostile = await client.get("/track", params={"q": "<script>x</script>"})
    assert hostile.status_code == 404 and "<script>x" not in hostile.text


async def test_a_link_of_a_fact_is_only_followed_when_it_is_a_web_address(
    client: httpx.AsyncClient, scene: Scene, connection: Connection
) -> None:
    post = f"/track/deliveries/{scene.post.public}"
    assert 'href="https://social.valmerande.example/@valmerande/114"' in (await client.get(post)).text
    await connection.execute("UPDATE fact SET url = 'javascript:alert(1)'")
    assert 'href="javascript' not in (await client.get(post)).text


async def test_a_search_goes_straight_to_the_only_answer(client: httpx.AsyncClient, scene: Scene) -> None:
    answer = await client.get("/track", params={"q": "evt-003"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/track/events/{scene.stale_event}")


async def test_the_api_tells_the_same_story_as_json(client: httpx.AsyncClient, scene: Scene) -> None:
    story = (await client.get(f"/api/track/announcements/{scene.announcement}")).json()
    assert story["announcement"]["versions"][0]["orders"][0]["tallies"]["sent"] == 6
    delivery = (await client.get(f"/api/track/deliveries/{scene.failed.public}")).json()
    assert delivery["delivery"]["row"]["state"] == "failed"
    missing = await client.get("/api/track/events/999")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/json")
    totals = (await client.get("/api/totals")).json()
    assert totals["unaccounted"] == 1


async def test_exports_hold_every_row_and_no_formula(client: httpx.AsyncClient, scene: Scene) -> None:
    answer = await client.get("/deliveries.csv", params={"channel": "sms"})
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert len(rows) == 6
    assert all(row["address"].startswith("'+336") for row in rows)
    letters = list(csv.DictReader(io.StringIO((await client.get("/deadletters.csv")).content.decode("utf-8-sig"))))
    assert {row["detail"][:2] for row in letters} == {"'=", "da"}
    assert (await client.get("/deliveries.json", params={"q": "nobody"})).json() == []
    assert len((await client.get("/events.csv")).text.splitlines()) == 7


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/track/events/999", 404),
        ("/track/events/99999999999999999999999", 404),
        ("/track/events/abc", 404),
        ("/track/deliveries/zz", 404),
        ("/deadletters/999", 404),
        ("/deadletters/9223372036854775807", 404),
        ("/deliveries?state=lost", 400),
        ("/deliveries?announcement=x", 400),
        ("/deliveries?before=x", 400),
        ("/?period=century", 400),
        ("/deliveries.csv?state=lost", 400),
        ("/deadletters?state=sent", 400),
        ("/?q=%00", 400),
        ("/secrets.csv", 404),
        ("/openapi.json", 404),
        ("/docs", 404),
    ],
)
async def test_what_cannot_be_answered_is_said_in_words(
    client: httpx.AsyncClient, scene: Scene, path: str, status: int
) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    if not path.endswith(".json"):
        assert "<h1" in answer.text
