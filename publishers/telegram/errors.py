"""What the Bot API's errors mean for a message (core.telegram.org/bots/api#making-requests).

An error is ``{"ok": false, "error_code", "description", "parameters"?: {"retry_after"?, "migrate_to_chat_id"?}}``.
The code is an HTTP status and says little; what happened stands in the description, whose words are fixed (they
come from the server's source, tdlib/telegram-bot-api, or are names of Telegram's own errors in capitals).
"""

from dataclasses import dataclass

import httpx
import structlog
from pydantic import BaseModel, Field, ValidationError

from publishers.base import Permanent, PublishError, Transient
from publishers.http_errors import by_status
from publishers.verdicts import error_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an error means: one with this status whose description has these ``words`` (small letters).

    ``code`` is what we tell; ``settings_fault``: somebody of ours must mend something.
    """

    status: int
    words: str
    error: type[Transient] | type[Permanent]
    code: str
    reason: str
    settings_fault: bool = False


def _settings(status: int, words: str, code: str, reason: str) -> Verdict:
    return Verdict(status, words, Transient, code, reason, settings_fault=True)


def _refused(words: str, code: str, reason: str) -> Verdict:
    return Verdict(400, words, Permanent, code, reason)


_NO_RIGHT = "the bot may not post there: make it an administrator of the channel, with the right to post messages"
_NO_PICTURE = "Telegram can't take a picture"

VERDICTS: tuple[Verdict, ...] = (
    # The chat or the bot's place in it: the same for every message until somebody mends it.
    _settings(400, "upgraded to a supergroup", "migrated", "the group has become a supergroup, with another number"),
    _settings(400, "chat not found", "chat_not_found", "there is no such channel, or the bot is not in it"),
    _settings(400, "chat_id is empty", "chat_not_found", "the settings name no channel"),
    _settings(400, "peer_id_invalid", "chat_not_found", "there is no such channel"),
    _settings(400, "group chat was deactivated", "chat_closed", "the group was closed"),
    _settings(400, "topic_closed", "chat_closed", "the group's topic is closed"),
    _settings(400, "chat_restricted", "chat_restricted", "Telegram has restricted the channel"),
    _settings(400, "need administrator rights", "no_right", _NO_RIGHT),
    _settings(400, "chat_admin_required", "no_right", _NO_RIGHT),
    _settings(400, "chat_write_forbidden", "no_right", _NO_RIGHT),
    _settings(400, "have no rights to send", "no_right", _NO_RIGHT),
    _settings(400, "not enough rights", "no_right", _NO_RIGHT),
    _settings(400, "logged out", "logged_out", "the bot was moved to another Bot API server"),
    _settings(401, "unauthorized", "unauthorized", "Telegram refuses the bot's token: it was revoked or is wrong"),
    _settings(403, "bot was kicked", "kicked", "the bot was removed from the channel"),
    _settings(403, "bot is not a member", "kicked", "the bot is not in the channel"),
    _settings(403, "bot was blocked", "blocked", "the bot was blocked"),
    _settings(403, "user is deactivated", "blocked", "the account behind the chat was deleted"),
    _settings(403, "not enough rights", "no_right", _NO_RIGHT),
    _settings(403, "need administrator rights", "no_right", _NO_RIGHT),
    # What a token that is not even shaped like one gets: no such path.
    _settings(404, "not found", "unauthorized", "there is no such bot: the token is incomplete"),
    # A message that is already out. The contract's words: "gone", "fixed".
    _refused("message is not modified", "not_modified", "the message says that already"),
    _refused("message to edit not found", "gone", "there is no such message any more"),
    _refused("message to delete not found", "gone", "there is no such message any more"),
    _refused("message_id_invalid", "gone", "there is no such message any more"),
    _refused("message can't be edited", "fixed", "Telegram doesn't let this message be changed any more"),
    # After 48 hours, for bots.
    _refused("message can't be deleted", "fixed", "Telegram doesn't let this message be deleted any more"),
    # The message is wrong in itself, and will be at every try.
    _refused("message is too long", "too_long", "the text is longer than Telegram takes"),
    _refused("caption is too long", "too_long", "the text is longer than Telegram takes below pictures"),
    _refused("media_caption_too_long", "too_long", "the text is longer than Telegram takes below pictures"),
    _refused("text is empty", "empty", "the message has no text"),
    _refused("text must be non-empty", "empty", "the message has no text"),
    _refused("can't parse entities", "entities", "Telegram can't read the text's marks"),
    _refused("can't parse", "defect", "Telegram can't read the request"),
    _refused("not found to reply", "no_reply", "the message to answer is gone"),
    _refused("replied not found", "no_reply", "the message to answer is gone"),
    _refused("reply message not found", "no_reply", "the message to answer is gone"),
    _refused("reply not found", "no_reply", "the message to answer is gone"),
    _refused("photo_invalid_dimensions", "picture", f"{_NO_PICTURE}: sides of at most 10,000 pixels together, 1 to 20"),
    _refused("photo_", "picture", _NO_PICTURE),
    _refused("image_process_failed", "picture", _NO_PICTURE),
    _refused("wrong file", "picture", _NO_PICTURE),
    _refused("file must be non-empty", "picture", f"{_NO_PICTURE}: it is empty"),
    _refused("file is too big", "picture", f"{_NO_PICTURE}: it is larger than 10 MB"),
    _refused("media_invalid", "picture", _NO_PICTURE),
    _refused("media of the specified type", "picture", f"{_NO_PICTURE} of an album"),
    _refused("webpage_", "link", "Telegram can't make a preview of the link"),
    Verdict(413, "request entity too large", Permanent, "too_large", "the pictures are larger than Telegram takes"),
    # Between bots' ways of getting updates; a message to a channel has no part in it.
    Verdict(409, "conflict", Transient, "conflict", "another process uses the bot"),
    # Both say how long, in ``parameters``. 420 is the name of the same in Telegram's own protocol.
    Verdict(429, "too many requests", Transient, "too_many", "too many messages for now"),
    Verdict(420, "flood", Transient, "too_many", "too many messages for now"),
)
"""The Bot API's errors, the first that fits. One that none fits is judged by its code's class, and logged as new."""


class _Parameters(BaseModel):
    retry_after: float | None = None
    migrate_to_chat_id: int | None = None


class BotError(BaseModel):
    """The API's word on a call that it refused."""

    error_code: int
    description: str = ""
    parameters: _Parameters = Field(default_factory=_Parameters)


def verdict(error: BotError) -> Verdict | None:
    """The first entry that fits; None when none does."""
    said = error.description.lower()
    return next((each for each in VERDICTS if each.status == error.error_code and each.words in said), None)


def refusal(response: httpx.Response, account: str) -> PublishError:
    """The error that a reply other than a success means: by its description, else by its status."""
    status = response.status_code
    try:
        error = BotError.model_validate_json(response.content)
    except ValidationError:
        log.error("telegram.unreadable_error", account=account, status=status)
        return by_status(status, f"Telegram answered {status}", code=str(status))
    pause = error.parameters.retry_after
    known = verdict(error)
    if known is None:
        if 400 <= error.error_code < 500:  # a 5xx has no words worth a table: its class says all
            log.error("telegram.new_error_code", account=account, code=error.error_code, message=error.description)
        return by_status(error.error_code, error.description, code=str(error.error_code), retry_after=pause)
    reason = f"{known.reason} ({error.description})"
    if moved := error.parameters.migrate_to_chat_id:
        reason = f"{known.reason}: write {moved} as the account's chat ({error.description})"
    if known.settings_fault:
        log.error("telegram.settings_fault", account=account, code=known.code, message=reason)
    return error_of(known.error, reason, known.code, pause)
