"""A mail that is accepted and can't be delivered comes back to its own envelope sender, and is understood."""

import pytest

from hub.bounces import classify
from publishers.base import Receipt
from publishers.smtp.channel import Smtp
from schemas.messages import Mail
from tests.contract.smtp import peers
from tests.contract.smtp.sending import CONTENT, options

pytestmark = pytest.mark.contract


async def test_bounce_of_a_refused_mailbox_comes_back_through_verp_and_is_classified() -> None:
    async with peers.postfix() as server:
        smtp = Smtp(options(server.port))
        mail = Mail("1", "retour+7f-2a-sig@hub.example", "disparue@bad.example", CONTENT)
        assert isinstance(await smtp.publish(mail), Receipt)
        await smtp.aclose()
        returned = await server.bounce()
        assert b"X-Rcpt-Args: <retour+7f-2a-sig@hub.example>" in returned
        bounce = classify(returned)
    assert bounce is not None
    assert (bounce.kind, bounce.status, bounce.address_dead) == ("hard", "5.1.1", True)
    assert bounce.recipients == ("disparue@bad.example",)
    assert "No such mailbox" in (bounce.diagnostic or "")
