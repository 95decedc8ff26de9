"""The mails of one ``publish_many``: whose turn it is, on which relay, and the promise to report each once."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from math import inf

from publishers.accounts import Grant
from publishers.base import Outcome, Permanent, Receipt, Report, Transient, Untried
from publishers.smtp.domains import Domain, Domains, turned_away
from publishers.smtp.letter import OF_THE_SERVER, Letter, Offers, Sign, letter
from publishers.smtp.pipeline import Conversation
from publishers.smtp.replies import SmtpSettingsError
from publishers.smtp.routes import Route, Routes
from schemas.messages import Mail

_COMEBACKS = 2  # a mail whose connection broke before its content is tried on so many others
_MARGIN = 1.5  # times the last mail's duration that must be left to begin one
_LAST = 0.25  # seconds before the cut in which no mail is begun, however quick the relay: answers may be held up here
_YOUTH = 0.2  # share of a send's time in which mails are begun whatever the last one took
_SILENCE = 1.0  # seconds without an answer to its envelope after which a mail has been tried, at the deadline
_PATIENCE = 0.5  # seconds that a relay which is done with its share waits for the others, before it helps them


Work = Callable[[Route], asyncio.Task[None]]
"""Starts a worker for a relay."""


class Batch:
    """Mails that wait in one queue, of which each relay may take its share (``quota``).

    No mail is begun that the relay would hardly answer before ``cut_off``, on the event loop's clock.
    ``finished`` is done when every mail is reported, or nobody is left who could send.
    """

    def __init__(
        self,
        mails: list[Mail],
        report: Report,
        routes: Routes,
        domains: Domains,
        grant: Grant | None = None,
        cut_off: float = inf,
    ) -> None:
        self.waiting = deque(mails)
        self.workers: list[asyncio.Task[None]] = []
        self.talks: dict[asyncio.Task[None] | None, Conversation] = {}
        self.closing = False
        self.why = Untried("the send ended before this mail's turn")
        self._loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = self._loop.create_future()
        self.quota = routes.share(len(mails), grant=grant)
        self._grant = grant
        self._routes, self._domains, self._report = routes, domains, report
        self._open = len(mails)
        self._cut_off = cut_off
        self._young_until = inf if cut_off == inf else self._loop.time() + _YOUTH * (cut_off - self._loop.time())
        self._comebacks: Counter[str] = Counter()
        self._counted: dict[str, Domain] = {}
        self._blocked: deque[Mail] = deque()
        self._watchers: list[asyncio.Future[None]] = []
        self._lagging: float | None = None
        self._hired: Counter[Route] = Counter()
        self._work: Work | None = None
        self._unfit: dict[str, set[Route]] = {}  # relays that lack what a mail needs
        self._passed_on: dict[Route, deque[Mail]] = {}  # mails that another relay lacked something for

    # who works

    def hire(self, work: Work) -> None:
        """Start as many workers for each relay as its share needs, and no more than it allows."""
        self._work = work
        for route, count in self.quota.items():
            for _ in range(min(route.seats.most, count) - self._hired[route]):
                self._hired[route] += 1
                worker = work(route)
                self.workers.append(worker)
                worker.add_done_callback(lambda _, route=route: self._left(route))  # type: ignore[misc]

    def _left(self, route: Route) -> None:
        self._hired[route] -= 1
        if not any(self._hired.values()):
            self._finish()

    def leave(self, route: Route) -> bool:
        """The relay can't be used now: its share goes to the others. False when there is none."""
        for mail in self._passed_on.pop(route, ()):
            self.settle(mail, self.why)
        count = max(self.quota.get(route, 0), 0)
        others = self._routes.share(count, without=[route], grant=self._grant, promised=self.quota)
        if not others:
            return False
        self.quota[route] = 0
        for other, count in others.items():
            self.quota[other] = self.quota.get(other, 0) + count
        self._wake()
        return True

    async def something_for(self, route: Route) -> bool:
        """Wait until there is a mail that this relay may take; False when there won't be."""
        while not (self.closing or self.finished.done()) and route.ready(self._loop.time()):
            if not (self._granted(route) and self._in_time(route)):
                return False
            if (self.waiting and self._may(route)) or self._passed_on.get(route):
                return True
            news: asyncio.Future[None] = self._loop.create_future()
            self._watchers.append(news)
            left = self._lagging + _PATIENCE - self._loop.time() if self._lagging and self.waiting else None
            await asyncio.wait([news], timeout=None if left is None else max(left, 0.001))
        return False

    def _in_time(self, route: Route, so_far: float = 0.0) -> bool:
        """Whether a mail begun now would be answered before the send is cut off, going by the relay's last and by
        how long the one under way has taken ``so_far``.

        A send that is young begins in any case: else a relay that was slow once would never be tried again.
        """
        now = self._loop.time()
        left = self._cut_off - now
        return left > max(_MARGIN * max(route.took, so_far), _LAST) or now < self._young_until

    def _granted(self, route: Route) -> bool:
        return self._grant is None or self._grant.free(route.name)

    def _may(self, route: Route) -> bool:
        if self.quota.get(route, 0) > 0:
            return True
        now = self._loop.time()
        if self._lagging is None:
            self._lagging = now
        return now - self._lagging >= _PATIENCE

    def _wake(self) -> None:
        watchers, self._watchers = self._watchers, []
        for news in watchers:
            if not news.done():
                news.set_result(None)

    # mails

    def next(self, route: Route, offers: Offers, sign: Sign | None, so_far: float = 0.0) -> Letter | None:
        """The next letter for a connection of this relay; None when it should come to its end.

        ``so_far``: seconds that its mail under way has taken.
        """
        if self.closing or route.why is not None or route.seats.in_use > route.seats.allowed:
            return None
        if not (self._granted(route) and self._in_time(route, so_far)):
            return None
        quota = self.quota
        while True:
            if self._passed_on and (passed_on := self._passed_on.get(route)):
                mail = passed_on.popleft()
            elif self.waiting and (quota.get(route, 0) > 0 or self._may(route)):
                mail = self.waiting.popleft()
            else:
                return None
            if self._domains.watching and not self._admitted(mail):
                continue
            try:
                made = letter(mail, offers, sign)
            except Permanent as error:
                if error.code not in OF_THE_SERVER or not self._pass_on(mail, route):
                    self.settle(mail, error)
                continue
            quota[route] = quota.get(route, 0) - 1
            if self._grant is not None:
                self._grant.use(route.name)
            return made

    def _pass_on(self, mail: Mail, route: Route) -> bool:
        """Leave a mail to a relay that may offer what this one lacks; False when there is none."""
        unfit = self._unfit.setdefault(mail.key, set())
        unfit.add(route)
        others = self._routes.share(1, without=[*unfit], grant=self._grant, promised=self.quota)
        other = max(others, key=lambda one: others[one], default=None)
        if other is None or self._work is None:
            return False
        self._uncount(mail, None)
        self._passed_on.setdefault(other, deque()).append(mail)
        self.quota[route] = self.quota.get(route, 0) - 1
        self.quota[other] = self.quota.get(other, 0) + 1
        self.hire(self._work)
        self._wake()
        return True

    def _admitted(self, mail: Mail) -> bool:
        """Whether the domain takes it now; else it is set aside here, or told to come back later."""
        now = self._loop.time()
        domain = self._domains.of(mail.recipient, now)
        if domain is None:
            return True
        if not domain.allowance.free:
            domain.full = True
            self._blocked.append(mail)
            return False
        wait = domain.wait(now)
        if wait is not None:
            self.settle(mail, turned_away(domain, wait))
            return False
        domain.allowance.use()
        self._counted[mail.key] = domain
        return True

    def unblock(self) -> None:
        """A domain takes mails again."""
        if self._blocked:
            self.waiting.extend(self._blocked)
            self._blocked.clear()
            self._wake()

    def settle(self, mail: Mail, outcome: Outcome) -> None:
        """Report a mail's outcome."""
        self._open -= 1
        if not self._open:
            self._finish()
        if self._counted:
            self._uncount(mail, self._loop.time() if isinstance(outcome, Receipt) else None)
        self._report(mail.key, outcome)

    def _uncount(self, mail: Mail, well: float | None) -> None:
        domain = self._counted.pop(mail.key, None)
        if domain is not None:
            if well is not None:
                domain.allowance.well(well)
            self._domains.release(domain)

    def take_back(self, route: Route, talk: Conversation, *, counted: bool) -> None:
        """Let other connections try what this one left; a mail that breaks each connection is given up."""
        unsent, talk.unsent = talk.unsent, []
        for mail in unsent:
            if self._grant is not None:
                self._grant.back(route.name)
            self._comebacks[mail.key] += counted
            if self._comebacks[mail.key] > _COMEBACKS:
                self.settle(
                    mail, Transient(f"every connection broke at this mail: {self.why.reason}", code=self.why.code)
                )
            else:
                self._uncount(mail, None)
                self.quota[route] = self.quota.get(route, 0) + 1
                self.waiting.append(mail)
        if unsent:
            self._wake()

    @property
    def several_break(self) -> bool:
        """Whether connections broke at more than one mail: then it is not the mail."""
        return len(+self._comebacks) > 1

    # how it ends

    def _finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)

    def dismiss_idle(self) -> None:
        """Cancel the workers that wait; those who talk come to an end themselves."""
        for worker in self.workers:
            if worker not in self.talks:
                worker.cancel()

    def close(self) -> None:
        """Report whatever is still open: Unknown where content was written, Untried otherwise.

        Transient when every relay refuses us for our settings: somebody must mend them, meanwhile mails wait.
        """
        self.closing = True
        if self._open:
            for talk in list(self.talks.values()):
                silent = talk.silent_at_envelope
                talk.drop("the send was stopped")
                unsent, talk.unsent = talk.unsent, []
                for mail in unsent:
                    if silent >= _SILENCE:  # it may be this mail that the server can't bear: others go first
                        self.settle(mail, Transient(f"the server did not answer its envelope for {silent:.0f} s"))
                    else:
                        self.waiting.append(mail)
        for passed_on in self._passed_on.values():
            self.waiting.extend(passed_on)
            passed_on.clear()
        if not (self.waiting or self._blocked):
            return
        rest: Transient = self.why
        fault = self._routes.why_none()
        if isinstance(fault, SmtpSettingsError):
            rest = Transient(fault.reason, code=fault.code, retry_after=60)
        for queue in (self.waiting, self._blocked):
            while queue:
                self.settle(queue.popleft(), rest)
