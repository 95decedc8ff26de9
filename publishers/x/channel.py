"""X: posts on the authority's own accounts (docs.x.com, API v2), by tweepy's AsyncClient (see client.py).

X knows no idempotency key. What keeps a post from being made twice is its own refusal of a text that the account
has said lately: a 403 "duplicate content" is read as "it is there", and the post looked for in the account's
timeline. The same search settles an outcome that nobody knows. Where the plan does not let the account read its
own posts, neither is possible, and an officer decides.

X has no language, no content warning and, by its API, no editing: ``language`` and ``warning`` are not sent.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import structlog
from pydantic import BaseModel, Field, HttpUrl, SecretStr, ValidationError, model_validator

from publishers.accounts import PaceOptions, rates_of
from publishers.base import (
    Finding,
    Limits,
    NotYet,
    Permanent,
    PostForm,
    PublishError,
    Receipt,
    Transient,
    Unclear,
    Unknown,
)
from publishers.http_errors import until
from publishers.rest import Rest
from publishers.settings import Options, named
from publishers.x.budget import Spent, free_again, month_of, period_ends
from publishers.x.client import Client, Keys, Reply, lasting
from publishers.x.errors import cannot_read, is_fresh, refusal
from publishers.x.pictures import Pictures
from publishers.x.text import CHARACTERS, count
from publishers.x.timeline import EARLIEST, Page, Status
from schemas.messages import Post

log = structlog.get_logger(__name__)

_CLOCKS = timedelta(seconds=30)
"""By how much X's clock may differ from ours; its times of posts have no fractions of a second either."""

_PAGE, _PAGES = 100, 8
_COUNTED = _PAGE * _PAGES
_FOR_PICTURES = 0.75  # of an exchange's time; the rest is the post's
_SETTLES = 5.0  # seconds until all of X knows a post that was just made


class Account(PaceOptions):
    """One account: the application's key and secret, and the account's token and secret (OAuth 1.0a).

    Or ``token``, an OAuth 2.0 user token with tweet.read, tweet.write, users.read and media.write, which X lets
    expire after two hours: somebody else must renew it. ``posts_per_month``: no more than that, by whomever;
    ``per_hour`` and ``burst``: no more than that of ours.
    """

    consumer_key: SecretStr | None = Field(default=None, min_length=1)
    consumer_secret: SecretStr | None = Field(default=None, min_length=1)
    access_token: SecretStr | None = Field(default=None, min_length=1)
    access_token_secret: SecretStr | None = Field(default=None, min_length=1)
    token: SecretStr | None = Field(default=None, min_length=1)
    posts_per_month: int | None = Field(default=None, ge=1, le=_COUNTED)

    @model_validator(mode="after")
    def _one_way_in(self) -> "Account":
        four = {name: getattr(self, name) for name in _FOUR}
        missing = [name for name, value in four.items() if value is None]
        if self.token is not None and len(missing) < len(_FOUR):
            raise ValueError(f"give either token or {', '.join(_FOUR)}")
        if self.token is None and missing:
            raise ValueError(f"give {', '.join(missing)}, or token in place of all four")
        return self

    @property
    def keys(self) -> Keys:
        """The secrets, told."""
        given = {name: getattr(self, name) for name in (*_FOUR, "token")}
        return Keys(**{name: value.get_secret_value() for name, value in given.items() if value is not None})


_FOUR = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")


class XOptions(Options):
    """Settings of the channel. ``accounts`` by the name that authorities use; ``timeout`` in seconds, of a post
    with its pictures.

    ``links``: put addresses into posts, for which X asks about thirteen times the price. ``url`` is X's interface,
    ``site`` where readers see posts; both are others only for a sandbox.
    """

    accounts: dict[str, Account] = Field(min_length=1)
    url: HttpUrl = HttpUrl("https://api.x.com")
    site: HttpUrl = HttpUrl("https://x.com")
    timeout: float = Field(default=4.0, gt=0, le=60)
    concurrency: int = Field(default=2, ge=1, le=20)
    links: bool = False


class _Made(BaseModel):
    id: str = Field(pattern=r"^[0-9]+$")


class _MadeAnswer(BaseModel):
    data: _Made


class _Deleted(BaseModel):
    deleted: bool


class _DeletedAnswer(BaseModel):
    data: _Deleted


class _Me(BaseModel):
    id: str = Field(pattern=r"^[0-9]+$")
    username: str


class _MeAnswer(BaseModel):
    data: _Me


class X:
    """The X channel; one client for each account."""

    channel = "x"
    unclear = Unclear.LOOK_UP
    key_kept = timedelta(0)

    def __init__(self, options: XOptions) -> None:
        self.limits = Limits(window=10, concurrency=options.concurrency, max_characters=CHARACTERS)
        self._options = options
        self._site = str(options.site).rstrip("/")
        self._clients = {
            name: Client(str(options.url), account.keys, options.concurrency, options.timeout)
            for name, account in options.accounts.items()
        }
        self._pictures = Pictures()
        self._me: dict[str, str] = {}
        self.rates = rates_of(options.accounts)
        self.rest = Rest()
        self._spent: dict[str, Spent] = {}

    async def publish(self, message: Post) -> Receipt:
        """Post it; the receipt has its number and public address. See ``Publisher.publish``.

        A post that is there already gives its receipt, with the code "duplicate". Permanent with the code "gone"
        when the post that it answers is no more, with "duplicate" when the account said the same before this
        post's time: X takes no text twice.
        """
        account = message.account
        client = self._client(account)
        left = self._clock()
        await self._within_budget(account)
        media = []
        if message.pictures:
            reserved = self._options.timeout * (1 - _FOR_PICTURES)
            media = await self._pictures.ready(client, account, message.pictures, lambda: left() - reserved)
        with lasting(left()):
            reply: Reply = await client.create_tweet(
                text=message.text,
                media_ids=media or None,
                in_reply_to_tweet_id=message.reply_to,
                user_auth=client.keys.sign,
            )
        self._note(account, reply)
        if reply.is_success:
            return self._receipt(reply)
        error = refusal(reply, account, datetime.now(UTC))
        if isinstance(error, Transient) and reply.status == HTTPStatus.TOO_MANY_REQUESTS:
            self.rest.ask(account, error.retry_after, error.reason)
        if error.code == "duplicate":
            return await self._already_there(message)
        if error.code == "gone" and is_fresh(message.reply_to, datetime.now(UTC)):
            raise Transient(
                f"X does not know the post that this one answers yet ({error.reason})", retry_after=_SETTLES
            )
        if error.code == "media_refused":
            self._pictures.forget(account)
        if error.code == "forbidden" and count(message.text) > CHARACTERS:
            raise Permanent(error.reason, code="too_long")  # X doesn't always say why
        raise error

    async def delete(self, reference: str, account: str, /) -> None:
        """Take the post back. See ``Deletes.delete``."""
        client = self._client(account)
        reply: Reply = await client.delete_tweet(reference, user_auth=client.keys.sign)
        if not reply.is_success:
            error = refusal(reply, account, datetime.now(UTC))
            if error.code == "gone":
                return
            raise error
        try:
            if _DeletedAnswer.model_validate_json(reply.content).data.deleted:
                return
        except ValidationError as error:
            raise Unknown(f"answer {reply.status} that does not say whether the post is gone") from error
        raise Transient("X did not delete the post, and does not say why")

    async def form(self, account: str, /) -> PostForm:
        """What every account may post; the longer posts of those that pay for them are not used."""
        self._client(account)
        return PostForm(CHARACTERS, count=count, threads=True, links=self._options.links, pictures=4, picture_side=4096)

    async def find(self, message: Post, since: datetime, /) -> Receipt | None:
        """The account's post of exactly these words, made at ``since`` or later; None when there is none.

        Its own posts are read (they cost), as far as 800 go. Raises Transient when X can't say now, Permanent with
        the code "cannot_look_up" when the plan never lets the account read.
        """
        earliest = since - _CLOCKS
        async for status in self._posts(message.account, earliest):
            if status.created_at >= earliest and status.says(message.text):
                return self._reference(status.id)
        return None

    async def check(self) -> Sequence[Finding]:
        """Whose keys each account has, and whether they may post. See ``Checks.check``."""
        return await asyncio.gather(*map(self._checked, self._clients))

    async def aclose(self) -> None:
        """Close the connections; a post under way ends Unknown, a later one Untried."""
        for client in self._clients.values():
            await client.aclose()

    def _client(self, account: str) -> Client:
        return named(self.channel, self._clients, account)

    def _clock(self) -> Callable[[], float]:
        """How many seconds are left of an exchange that begins now; a little, at the end."""
        clock = asyncio.get_running_loop().time
        ends = clock() + self._options.timeout
        return lambda: max(ends - clock(), 0.001)

    def _receipt(self, reply: Reply) -> Receipt:
        try:
            return self._reference(_MadeAnswer.model_validate_json(reply.content).data.id)
        except ValidationError as error:
            raise Unknown(f"answer {reply.status} without the post's number") from error

    def _reference(self, identity: str, code: str | None = None) -> Receipt:
        return Receipt(reference=identity, code=code, url=f"{self._site}/i/web/status/{identity}")

    async def _already_there(self, message: Post) -> Receipt:
        try:
            same = [status async for status in self._posts(message.account, None) if status.says(message.text)]
        except PublishError as error:
            reason = f"X says that the post is there, but its number can't be found out: {error.reason}"
            raise Unknown(reason, code="duplicate") from error
        ours = [status for status in same if status.created_at >= message.at - _CLOCKS]
        if ours:
            log.info("x.already_there", account=message.account, reference=ours[0].id)
            return self._reference(ours[0].id, "duplicate")
        if same:
            said = f"{same[0].created_at:%Y-%m-%d %H:%M} UTC"
            reason = f"the account said exactly this on {said}, and X takes no text twice: change a word"
            raise Permanent(reason, code="duplicate")
        raise Unknown("X says that the post is there, but the account does not show it", code="duplicate")

    async def _posts(self, account: str, since: datetime | None) -> AsyncIterator[Status]:
        """The account's posts, newest first: all since a moment, or the latest hundred."""
        asked: dict[str, str | datetime | None] = {"start_time": None, "pagination_token": None}
        if since is not None:
            # X refuses a start before it existed, or in the future by its own clock
            asked["start_time"] = max(EARLIEST, min(since, datetime.now(UTC) - _CLOCKS))
        for _ in range(_PAGES if since else 1):
            page = await self._page(account, asked)
            for status in page.data:
                yield status
            asked["pagination_token"] = page.meta.next_token
            if page.meta.next_token is None:
                return

    async def _page(self, account: str, asked: dict[str, str | datetime | None]) -> Page:
        client = self._client(account)
        try:
            reply: Reply = await client.get_users_tweets(
                await self._identity(account),
                max_results=_PAGE,
                tweet_fields=["created_at", "entities"],
                user_auth=client.keys.sign,
                **asked,
            )
            return Page.model_validate_json(_read(reply, account).content)
        except Unknown as error:
            raise Transient(error.reason, code=error.code) from error
        except ValidationError as error:
            raise Transient("X's answer can't be read") from error

    async def _identity(self, account: str) -> str:
        """The account's number: the first part of an OAuth 1.0a token, else X must be asked."""
        if account not in self._me:
            client = self._client(account)
            number, dash, _ = client.keys.access_token.partition("-")
            if not (dash and number.isdecimal()):
                reply: Reply = await client.get_me(user_auth=client.keys.sign)
                number = _MeAnswer.model_validate_json(_read(reply, account).content).data.id
            self._me[account] = number
        return self._me[account]

    async def _within_budget(self, account: str) -> None:
        """Raises Transient until X, or the month's budget, allows another post."""
        now = datetime.now(UTC)
        left = self.rest.left(account)
        if left > 0:
            reason = f"X allows the account no more posts before {now + timedelta(seconds=left):%Y-%m-%d %H:%M} UTC"
            raise NotYet(reason, code="budget", retry_after=left)
        most = self._options.accounts[account].posts_per_month
        if most is None:
            return
        spent = await self._counted(account, now)
        if spent.posts >= most:
            ends = period_ends("Monthly", now)
            reason = f"the account has made the {most} posts that its settings allow in a month"
            raise Transient(reason, code="month_budget", retry_after=until(ends, now))

    async def _counted(self, account: str, now: datetime) -> Spent:
        month = month_of(now)
        spent = self._spent.get(account)
        if spent is not None and not spent.is_stale(now):
            return spent
        known = spent if spent is not None and spent.month == month else Spent(month, now)
        try:
            seen = [status async for status in self._posts(account, month) if status.created_at >= month]
            fresh = Spent(month, now, seen=len(seen))
        except PublishError as error:
            log.warning("x.month_not_counted", account=account, known=known.posts, reason=error.reason)
            fresh = replace(known, looked=now)
        self._spent[account] = fresh
        return fresh

    def _note(self, account: str, reply: Reply) -> None:
        """Remember what an answer to a post says of those that remain."""
        free = free_again(reply.headers)
        if free is not None:
            self.rest.ask(account, until(free, datetime.now(UTC)), "X allows the account no more posts")
        if reply.is_success and (spent := self._spent.get(account)):
            self._spent[account] = replace(spent, own=spent.own + 1)

    async def _checked(self, account: str) -> Finding:
        client = self._clients[account]
        try:
            reply: Reply = await client.get_me(user_auth=client.keys.sign)
            if not reply.is_success:
                raise refusal(reply, account, datetime.now(UTC))
            me = _MeAnswer.model_validate_json(reply.content).data
        except PublishError as error:
            return Finding(account, ok=False, says=error.reason, mend=_MEND)
        except ValidationError:
            return Finding(account, ok=False, says="X's answer can't be read", mend="Check url.")
        if reply.headers.get("x-access-level") == "read":
            says = f"@{me.username}, but the application may only read"
            return Finding(account, ok=False, says=says, mend=_MEND_RIGHTS)
        return Finding(account, ok=True, says=f"@{me.username}")


_MEND = "Check the account's keys in the developer console (console.x.com), and that credits are left."
_MEND_RIGHTS = 'Give the application "Read and write" in the developer console, then make the account\'s token anew.'


def _read(reply: Reply, account: str) -> Reply:
    """The answer to a question; raises what a refusal means for one."""
    if reply.is_success:
        return reply
    error = refusal(reply, account, datetime.now(UTC))
    if cannot_read(reply):
        raise Permanent(f"the account's posts can't be read: {error.reason}", code="cannot_look_up")
    raise error if isinstance(error, Transient) else Transient(error.reason, code=error.code)
