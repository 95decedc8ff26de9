"""Bluesky: posts on the authority's own accounts, as records of their repositories (atproto.com/specs/xrpc).

A post is written by ``putRecord`` under a key of ours, which follows from the post (``record_key``), and only where
nothing else stands (``swapRecord: null``). The same record again changes nothing and has the same answer, so an
unclear outcome is settled by sending again, at any later time. Whatever else stands under the key is not overwritten:
it is this post when it has its text and its time (a newer version of ours may make other facets or bytes of a
picture), else another one.

Spoken over httpx and not by the atproto SDK, which the first design named. Its exceptions are the same for a
refused connection and for a lost reply, and it follows redirects with the token; without its client, nothing would
be left of it to use: it makes no TIDs, its models (60 MB, 0.6 s a process) serve seven calls, and its detection of
facets knows neither guillemets nor which of the matches are not to be made.

Not ``Edits``: a server takes another text under the same key, but Bluesky goes on showing the first one, so a
correction is a reply, or another post after a deletion. ``Post.warning`` is not shown: there is nothing like it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, Field, HttpUrl, SecretStr, ValidationError, field_validator

from publishers.accounts import PaceOptions, rates_of
from publishers.base import Finding, Limits, Permanent, PostForm, PublishError, Receipt, Unclear, Unknown
from publishers.bluesky.errors import ERRORS
from publishers.bluesky.record import POSTS, Json, Reference, graphemes, record, record_key
from publishers.bluesky.repository import Repository, Session, clock
from publishers.rest import Rest
from publishers.settings import Options, named
from schemas.messages import Post

FORM = PostForm(
    characters=300,
    count=graphemes,
    octets=3000,
    threads=True,
    links=True,
    pictures=4,
    picture_octets=976_560,
    picture_side=2000,
)
"""app.bsky.feed.post and app.bsky.embed.images. Servers of this year take pictures of 2 MB; earlier ones refuse what
is more than 1 MB."""

_HANDLE = r"([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DID = r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]"


class Account(PaceOptions):
    """One account of the authority: its server, its handle ("valmerande.example") or DID, and an app password.

    ``pages`` is where readers see posts, for the receipt's address.
    """

    url: HttpUrl = HttpUrl("https://bsky.social")
    handle: str = Field(pattern=f"^({_HANDLE}|{_DID})$", max_length=2048)
    app_password: SecretStr = Field(min_length=1)
    pages: HttpUrl = HttpUrl("https://bsky.app")

    @field_validator("handle", mode="before")
    @classmethod
    def _without_at(cls, value: Any) -> Any:
        return value.strip().removeprefix("@") if isinstance(value, str) else value


class BlueskyOptions(Options):
    """Settings of the channel. ``accounts`` by the name that authorities use; ``timeout`` in seconds, of each call
    (a post with pictures makes one for each); ``concurrency`` of calls for one account."""

    accounts: dict[str, Account] = Field(min_length=1)
    timeout: float = Field(default=4.0, gt=0, le=60)
    concurrency: int = Field(default=4, ge=1, le=20)


class _Written(BaseModel):
    uri: str = Field(pattern="^at://")
    cid: str = Field(min_length=1)


class _Standing(_Written):
    value: Json


class _Me(BaseModel):
    handle: str
    active: bool = True
    status: str | None = None


class Bluesky:
    """The Bluesky channel; one HTTP client for each account, so that no token can reach another's server."""

    channel = "bluesky"
    unclear = Unclear.SEND_AGAIN

    def __init__(self, options: BlueskyOptions) -> None:
        self.limits = Limits(window=10, concurrency=options.concurrency, max_characters=FORM.characters)
        self._accounts = options.accounts
        self.rates = rates_of(options.accounts)
        self.rest = Rest(clock)
        self._repositories = {
            name: Repository(
                name,
                str(account.url),
                account.handle,
                account.app_password,
                options.concurrency,
                options.timeout,
                self.rest,
            )
            for name, account in options.accounts.items()
        }

    async def form(self, account: str, /) -> PostForm:
        """The same for every account. See ``Publishes.form``."""
        self._repository(account)
        return FORM

    async def publish(self, message: Post, /) -> Receipt:
        """Write the record; the receipt's reference is its ``Reference``. See ``Publisher.publish``."""
        repository = self._repository(message.account)
        session = await repository.session()
        blobs = [await repository.upload(picture) for picture in message.pictures]
        place = {"repo": session.did, "collection": POSTS, "rkey": record_key(message.at, message.key)}
        content = record(message, blobs)
        body = {**place, "record": content, "swapRecord": None}
        try:
            post = _written(await repository.write("com.atproto.repo.putRecord", body))
        except PublishError as error:
            if error.code == "BlobNotFound":
                repository.forget_pictures()
            if error.code != "InvalidSwap":
                raise
            # not for the very same record: @atproto/pds takes it for what it is, though others may not
            post = await _standing(repository, place, content)
        return self._receipt(message.account, session, post)

    async def delete(self, reference: str, account: str, /) -> None:
        """Delete the record. "fixed" when it is another account's than the settings name now. See ``Deletes``."""
        repository = self._repository(account)
        post = Reference.parse(reference)
        session = await repository.session()
        if post.repository != session.did:
            raise Permanent(f"the post is not one of @{session.handle}, whom the settings name", code="fixed")
        place = {"repo": session.did, "collection": POSTS, "rkey": post.key}
        await repository.write("com.atproto.repo.deleteRecord", place)

    async def check(self) -> Sequence[Finding]:
        """Log in to each account, and ask who it is (com.atproto.server.getSession)."""
        return await asyncio.gather(*map(self._checked, self._accounts))

    async def aclose(self) -> None:
        """Close the connections; a post under way ends Unknown, a later one Untried."""
        for repository in self._repositories.values():
            await repository.aclose()

    def _repository(self, account: str) -> Repository:
        return named(self.channel, self._repositories, account)

    def _receipt(self, account: str, session: Session, post: Reference) -> Receipt:
        who = session.did if session.handle == "handle.invalid" else session.handle
        pages = str(self._accounts[account].pages).rstrip("/")
        return Receipt(reference=str(post), url=f"{pages}/profile/{who}/post/{post.key}")

    async def _checked(self, name: str) -> Finding:
        host = urlsplit(str(self._accounts[name].url)).hostname
        try:
            me = await self._repositories[name].read("com.atproto.server.getSession", _Me)
        except PublishError as error:
            meaning = ERRORS.get(error.code or "")
            mend = meaning.mend if meaning else None
            return Finding(
                name, ok=False, says=error.reason, mend=mend or f"Check whether this machine may reach {host}."
            )
        if not me.active:
            says = f"@{me.handle} is {me.status or 'not active'} on {host}"
            return Finding(name, ok=False, says=says, mend=ERRORS["AccountDeactivated"].mend)
        return Finding(name, ok=True, says=f"signed in as @{me.handle} on {host}")


async def _standing(repository: Repository, place: Json, content: Json) -> Reference:
    """The post that stands under our key, when it is this one. Raises Permanent when it is another, Unknown when
    that can't be known now."""
    try:
        standing = await repository.read("com.atproto.repo.getRecord", _Standing, **place)
    except PublishError as error:
        raise Unknown(f"something stands under this post's key: {error.reason}", code=error.code) from error
    if any(standing.value.get(name) != content[name] for name in ("text", "createdAt")):
        raise Permanent("another post, or an edited one, stands under this post's key", code="InvalidSwap")
    return Reference(standing.uri, standing.cid)


def _written(response: httpx.Response) -> Reference:
    try:
        written = _Written.model_validate_json(response.content)
    except ValidationError as error:
        raise Unknown(f"answer {response.status_code} without the post's uri") from error
    return Reference(written.uri, written.cid)
