"""Facebook: posts on the authority's own pages (developers.facebook.com/docs/pages-api/posts).

The Graph API knows no idempotency key. It refuses a post of the same words as the page's last one (506), which is
read as "it is there" when that post is found; a post of unknown outcome is looked for by its text (``find``)
before it is sent again.

Pictures are uploaded first, unpublished, and hung on the post: until the post is made nobody sees them, so a lost
upload costs nothing. The token goes in a header, never in an address, because addresses get logged.
"""

import asyncio
import hashlib
import hmac
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import Field, HttpUrl, SecretStr, ValidationError

from publishers.accounts import PaceOptions, rates_of
from publishers.base import (
    Finding,
    Limits,
    Permanent,
    PostForm,
    PublishError,
    Receipt,
    Transient,
    Unclear,
    Unknown,
    Untried,
)
from publishers.facebook.errors import graph_error, refusal
from publishers.facebook.page import GraphPage, Made
from publishers.http_exchange import Exchange, Wire, bearer
from publishers.latest import Latest
from publishers.pictures import pictured
from publishers.rest import Rest
from publishers.settings import Options, named
from publishers.utf16 import units
from schemas.messages import Picture, Post

log = structlog.get_logger(__name__)

_FORM = PostForm(characters=63_206, count=units, pictures=10, picture_octets=4_000_000)
_SKEW = timedelta(minutes=1)
"""How far Facebook's clock may be behind ours when a post is looked for. A post of the very same words made in the
minute before the first try would be taken for it; missing the post that is there would show it twice."""
_UPLOADS_KEPT = 100  # posts of which some pictures are uploaded and others not yet


class Page(PaceOptions):
    """A page of the authority: its number, and a Page access token with pages_manage_posts and
    pages_read_engagement. ``app_secret`` proves each call (appsecret_proof), where the app demands it."""

    page_id: str = Field(pattern=r"^[0-9]{1,30}$")
    token: SecretStr = Field(min_length=1)
    app_secret: SecretStr | None = Field(default=None, min_length=1)


class FacebookOptions(Options):
    """Settings of the channel. ``accounts`` by the name that authorities use; ``timeout`` in seconds, of a whole
    post with its pictures, below the hub's deadline of 5 s.

    ``version`` of the interface: Meta serves each for two years at least, and a newer one in its place afterwards.
    ``web`` is where readers find posts.
    """

    accounts: dict[str, Page] = Field(min_length=1)
    url: HttpUrl = HttpUrl("https://graph.facebook.com")
    version: str = Field(default="v25.0", pattern=r"^v[0-9]+\.[0-9]+$")
    timeout: float = Field(default=4.0, gt=0, le=60)
    web: HttpUrl = HttpUrl("https://www.facebook.com")


class Facebook:
    """The Facebook channel; one HTTP client for each page.

    A page's post can't answer another one: ``reply_to`` is left aside (its form knows no threads). References are
    the post's id, and behind "#" what tells its pictures from others, since they can't be changed (see ``edit``).
    """

    channel = "facebook"
    unclear = Unclear.LOOK_UP
    key_kept = timedelta(0)

    def __init__(self, options: FacebookOptions) -> None:
        self.limits = Limits(window=10, concurrency=4, max_characters=_FORM.characters)
        self._seconds = options.timeout
        self._web = str(options.web).rstrip("/")
        self.rates = rates_of(options.accounts)
        self.rest = Rest()
        self._uploads: Latest[str, dict[int, str]] = Latest(_UPLOADS_KEPT)
        base = f"{str(options.url).rstrip('/')}/{options.version}"
        self._pages: dict[str, GraphPage] = {}
        for name, page in options.accounts.items():
            token = page.token.get_secret_value()
            wire = Wire(base, bearer(token), self.limits.concurrency, options.timeout)
            self._pages[name] = GraphPage(name, page.page_id, wire, _proof(token, page.app_secret), self.rest)

    async def publish(self, message: Post) -> Receipt:
        """Post it, pictures first. See ``Publisher.publish``; all of it takes at most ``timeout``."""
        page = self._page(message.account)
        self.rest.check(page.name)
        exchange = Exchange()
        try:
            async with asyncio.timeout(self._seconds):
                photos = await self._upload(page, message)
                return await self._post(page, message, photos, exchange)
        except TimeoutError:
            why = f"no answer within {self._seconds:g} s"
            if message.pictures and not exchange.begun:
                raise Transient(f"{why}: the pictures are not all uploaded yet", code="pictures") from None
            raise exchange.lost(why) from None

    async def form(self, account: str, /) -> PostForm:
        """The same for every page. Raises Transient for an account that the settings lack."""
        self._page(account)
        return _FORM

    async def find(self, message: Post, since: datetime, /) -> Receipt | None:
        """The page's post with these words, made at ``since`` or later. See ``Finds.find``.

        Compares words without regard to white space, which Facebook trims; it can't tell two posts of the same words
        apart, and finds nothing that somebody has edited since. Permanent when the token may not read the page.
        """
        wanted = _words(message.text)
        async for post in self._page(message.account).posts(since - _SKEW):
            if _words(post.message) == wanted:
                return self._receipt(post.id, message, post.permalink_url)
        return None

    async def edit(self, reference: str, message: Post, /) -> Receipt:
        """Replace the text. See ``Edits.edit``; other pictures, or other alt texts, are "fixed" on Facebook."""
        page = self._page(message.account)
        identity, _, pictures = reference.partition("#")
        if pictures != pictured(message.pictures):
            raise Permanent("the pictures of a post on Facebook can't be changed", code="fixed")
        self.rest.check(page.name)
        await page.edit(identity, message.text)
        return self._receipt(identity, message)

    async def delete(self, reference: str, account: str, /) -> None:
        """Take a post back. See ``Deletes.delete``."""
        page = self._page(account)
        self.rest.check(page.name)
        try:
            await page.delete(reference.partition("#")[0])
        except Permanent as error:
            if error.code != "gone":
                raise

    async def check(self) -> Sequence[Finding]:
        """Whether each token is its page's, and may read it; that it may post shows at the first post only."""
        return await asyncio.gather(*map(_checked, self._pages.values()))

    async def aclose(self) -> None:
        """Close the connections; a post under way ends Unknown, a later one Untried."""
        for page in self._pages.values():
            await page.wire.aclose()

    def _page(self, account: str) -> GraphPage:
        return named(self.channel, self._pages, account)

    async def _upload(self, page: GraphPage, message: Post) -> list[str]:
        """The ids of the pictures, unpublished. What was uploaded at an earlier try in this process is kept."""
        if not message.pictures:
            return []
        uploaded = self._uploads.setdefault(message.key, {})

        async def one(index: int, picture: Picture) -> None:
            uploaded[index] = await page.upload(picture)

        try:
            async with asyncio.TaskGroup() as group:
                for index, picture in enumerate(message.pictures):
                    if index not in uploaded:
                        group.create_task(one(index, picture))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [uploaded[index] for index in range(len(message.pictures))]

    async def _post(self, page: GraphPage, message: Post, photos: list[str], exchange: Exchange) -> Receipt:
        fields: dict[str, Any] = {"message": message.text}
        if photos:
            fields["attached_media"] = [{"media_fbid": photo} for photo in photos]
        elif message.link:
            fields["link"] = message.link
        # Once hung on a post that was perhaps made, a photo may be refused as posted already
        self._uploads.pop(message.key, None)
        response = await page.feed(fields, exchange)
        error = None if response.is_success else graph_error(response)
        if error and error.refuses_link and fields.pop("link", None):
            # The preview is an ornament: the address stands in the text
            log.warning("facebook.link_refused", account=page.name, code=error.name)
            response = await page.feed(fields, exchange)
            error = None if response.is_success else graph_error(response)
        if error and error.duplicate:
            found = await self._twin(message)
            if found:
                return found
            raise Permanent(refusal(response, page.name).reason, code="duplicate")
        if not response.is_success:
            raise refusal(response, page.name)
        try:
            made = Made.model_validate_json(response.content)
        except ValidationError as unreadable:
            raise Unknown(f"answer {response.status_code} without the post's id") from unreadable
        return self._receipt(made.id, message)

    async def _twin(self, message: Post) -> Receipt | None:
        """The post of the same words, when it is this one of an earlier try."""
        try:
            return await self.find(message, message.at)
        except Permanent as unreadable:
            raise Unknown(f"the page has a post of the same words: {unreadable.reason}") from unreadable

    def _receipt(self, identity: str, message: Post, url: str | None = None) -> Receipt:
        pictures = pictured(message.pictures)
        reference = f"{identity}#{pictures}" if pictures else identity
        return Receipt(reference=reference, url=url or f"{self._web}/{identity}")


async def _checked(page: GraphPage) -> Finding:
    try:
        owner = await page.owner()
        if owner.id != page.page_id:
            says = f"the token is of {owner.name or owner.id}, not of page {page.page_id}"
            return Finding(page.name, ok=False, says=says, mend="Take the token of the page, from /me/accounts.")
        await page.readable()
    except Permanent as error:
        mend = "Make a new token, with pages_read_engagement."
        return Finding(page.name, ok=False, says=error.reason, mend=mend)
    except (Untried, Unknown) as error:
        mend = "Check whether this machine may reach Facebook."
        return Finding(page.name, ok=False, says=error.reason, mend=mend)
    except PublishError as error:
        mend = "Make a new Page access token, and put it into the settings."
        return Finding(page.name, ok=False, says=error.reason, mend=mend)
    except ValidationError:
        return Finding(page.name, ok=False, says="Facebook's answer can't be read", mend="Check url.")
    return Finding(page.name, ok=True, says=f"page {owner.name or owner.id}")


def _proof(token: str, secret: SecretStr | None) -> dict[str, str]:
    """``appsecret_proof``: HMAC-SHA256 of the token under the app's secret; without the token it opens nothing."""
    if secret is None:
        return {}
    proof = hmac.new(secret.get_secret_value().encode(), token.encode(), hashlib.sha256).hexdigest()
    return {"appsecret_proof": proof}


def _words(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
