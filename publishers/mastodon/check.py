"""Whether an account's token is good, by calls that publish nothing."""

from pydantic import BaseModel, ValidationError

from publishers.base import Finding, PublishError
from publishers.mastodon.server import Server

_NEEDED = {
    "read": ("read", "read:accounts", "read:statuses"),
    "write:statuses": ("write", "write:statuses"),
    "write:media": ("write", "write:media"),
}
"""Rights, and by which scopes of the token each is given (docs.joinmastodon.org/api/oauth-scopes)."""


class _Me(BaseModel):
    acct: str


class _Application(BaseModel):
    scopes: list[str] | None = None


async def checked(server: Server) -> Finding:
    """Whose token it is, and what it lacks."""
    try:
        response = await server.ask("GET", "/api/v1/accounts/verify_credentials")
        if not response.is_success:
            raise server.refusal(response)
        who = f"@{_Me.model_validate_json(response.content).acct}"
        lacking = ", ".join(await _lacking(server))
    except (PublishError, ValidationError) as error:
        says = error.reason if isinstance(error, PublishError) else "its answer makes no sense: no Mastodon server?"
        mend = "Check the address; make a new token under Settings, Development, on the account's server."
        return Finding(server.name, ok=False, says=says, mend=mend)
    if lacking:
        mend = f"Give the application {lacking} and renew its token."
        return Finding(server.name, ok=False, says=f"{who}, without {lacking}", mend=mend)
    return Finding(server.name, ok=True, says=who)


async def _lacking(server: Server) -> list[str]:
    """Rights that the token lacks; none where the server doesn't tell (before Mastodon 4.3)."""
    response = await server.ask("GET", "/api/v1/apps/verify_credentials")
    scopes = _Application.model_validate_json(response.content).scopes if response.is_success else None
    if scopes is None:
        return []
    return [right for right, any_of in _NEEDED.items() if not set(any_of) & set(scopes)]
