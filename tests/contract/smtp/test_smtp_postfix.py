"""A real Postfix that has had enough, by its own limits (anvil), and one that knows letters beyond ASCII."""

import pytest

from publishers.base import Receipt, Transient, Untried
from publishers.smtp.channel import Smtp
from schemas.messages import Mail
from tests.contract.smtp import peers
from tests.contract.smtp.sending import CONTENT, Reported, mails, options, send

pytestmark = pytest.mark.contract

# mynetworks, where we are, has no limits otherwise
_COUNTED = "smtpd_client_event_limit_exceptions =\n"


async def test_connections_come_down_to_what_postfix_takes_and_no_mail_is_lost() -> None:
    async with peers.postfix(f"{_COUNTED}smtpd_client_connection_count_limit = 3\n") as server:
        smtp = Smtp(options(server.port, connections=10))
        for _ in range(2):
            reported = Reported()
            await smtp.publish_many(mails(60, "voisin{}@ok.example"), reported)
            assert reported.receipts() == 60
        assert smtp._routes.all[0].seats.allowed <= 5
        await smtp.aclose()


async def test_mails_beyond_the_rate_of_postfix_are_told_when_to_come_back() -> None:
    async with peers.postfix(f"{_COUNTED}smtpd_client_message_rate_limit = 20\n") as server:
        reported = await send(mails(50, "voisin{}@ok.example"), options(server.port, connections=4))
        late = [outcome for outcome in reported.values() if not isinstance(outcome, Receipt)]
        assert 0 < reported.receipts() <= 20
        for outcome in late:
            assert isinstance(outcome, Transient) and not isinstance(outcome, Untried)
            assert (outcome.code, outcome.retry_after is not None) == ("450 4.7.1", True)


async def test_postfix_takes_letters_beyond_ascii_in_address_and_header() -> None:
    async with peers.postfix() as server:
        content = b"To: h\xc3\xa9l\xc3\xa8ne@ok.example\r\n" + CONTENT
        mail = Mail("1", "retour@valmerande.example", "hélène@ok.example", content)
        assert (await send([mail], options(server.port))).receipts() == 1
