"""The pages of the social networks: one wall for all of them, newest first, and the address of each post."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web
from markupsafe import Markup

from sandbox import entities
from sandbox.journal import Line
from sandbox.options import Options
from sandbox.statuses import Statuses
from sandbox.view import View, page_asked, paged

_SIZE = 20
NAMES = {"mastodon": "Mastodon", "x": "X", "facebook": "Facebook", "bluesky": "Bluesky", "telegram": "Telegram"}
"""The networks as their readers call them, in the order of NETWORKS."""


class Wall:
    """The handlers of /wall and of each post's page."""

    def __init__(self, options: Options, networks: Sequence[Statuses]) -> None:
        self._view = View(options.default_language)
        self._networks = {each.network: each for each in networks}

    def routes(self) -> list[web.AbstractRouteDef]:
        """For the application. ``/@account/id`` is where Mastodon's own web addresses lead."""
        return [
            web.get("/wall", self.wall),
            web.get("/wall/{network}/{id:.+}", self.post),
            web.get("/@{account}", self.wall),
            web.get("/@{account}/{id}", self.post),
        ]

    async def wall(self, request: web.Request) -> web.Response:
        """GET /wall?network=&page=."""
        network = request.query.get("network", "")
        chosen = [self._networks[network]] if network in self._networks else list(self._networks.values())
        found = sorted(((*place, each) for each in chosen for place in each.places()), key=lambda one: one[0])[::-1]
        page = page_asked(request)
        shown = found[(page - 1) * _SIZE : page * _SIZE]
        posts = [_post(request, each.network, each.line(offset), gone) for _, offset, gone, each in shown]
        return self._page(request, posts, network, page, len(found))

    async def post(self, request: web.Request) -> web.Response:
        """GET /wall/{network}/{id} and /@{account}/{id}."""
        network = request.match_info.get("network", "mastodon")
        line = self._networks[network].get(request.match_info["id"]) if network in self._networks else None
        if line is None or request.match_info.get("account", line["account"]) != line["account"]:
            return self._view.page(request, "missing.html", "wall", status=404)
        return self._page(request, [_post(request, network, line, gone=False)], network, 1, 1)

    def _page(
        self, request: web.Request, posts: Sequence[dict[str, Any]], network: str, page: int, total: int
    ) -> web.Response:
        return self._view.page(
            request,
            "wall.html",
            "wall",
            posts=posts,
            network=network,
            networks=list(NAMES.items()),
            **paged(page, total, _SIZE),
        )


def _post(request: web.Request, network: str, line: Line, gone: bool) -> dict[str, Any]:
    base = f"http://{request.host}"
    return {
        "id": line["id"],
        "network": network,
        "network_name": NAMES[network],
        "account": line["account"],
        "name": entities.account(line["account"], base, 0)["display_name"],
        "created_at": line["created_at"],
        "edited_at": line["edited_at"],
        "warning": line.get("spoiler_text") or "",
        "language": line.get("language"),
        "answers": line.get("in_reply_to_id"),
        "pictures": line.get("pictures") or [],
        # made by entities.content, which escapes whatever the author wrote
        "content": Markup(entities.content(line["text"], base)),
        "gone": gone,
    }
