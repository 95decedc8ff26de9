"""What the settings of all channels have in common: how they are read, and how an account is found in them."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

from publishers.base import Transient
from schemas.webhooks import secret_key

log = structlog.get_logger(__name__)

A = TypeVar("A")


class Options(BaseModel):
    """Settings: fixed once read, nothing unknown in them, and not quoted in errors, for they hold secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def named(channel: str, accounts: Mapping[str, A], name: str) -> A:
    """The account of that name. Raises Transient for one that the settings lack.

    Its messages wait, as with a revoked token: naming the account in the settings mends it.
    """
    if name not in accounts:
        log.error(f"{channel}.settings_fault", account=name, code="no_account", message="not in the settings")
        raise Transient(f"no account {name!r} in the settings", code="no_account")
    return accounts[name]


def _readable(value: SecretStr) -> SecretStr:
    if not (secrets := each(value)):
        raise ValueError("the secret is empty")
    for secret in secrets:
        secret_key(secret)
    return value


WebhookSecret = Annotated[SecretStr, AfterValidator(_readable)]
"""A secret of Standard Webhooks ("whsec_…"); while it is being replaced, the new and the old one joined by a space."""


def each(secret: SecretStr) -> tuple[str, ...]:
    """Every secret that is valid at present."""
    return tuple(secret.get_secret_value().split())
