"""The Bot API of Telegram, as far as a bot that posts to a channel needs it.

Written from core.telegram.org/bots/api; the errors' words are those of the server's source (tdlib/telegram-bot-api).
``token-NAME`` or ``123456:NAME`` is a bot, whose account is NAME. Tokens ``wrong`` and ``expired`` (revoked) are
refused; bots ``kicked`` and ``reader`` (no right to post) are in no position to. Any "@channel" is there, except
``@nowhere``; a chat by number is private, and -404 has become the supergroup -1000000000404.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from sandbox.faults import Faults
from sandbox.journal import Line, now
from sandbox.options import Options
from sandbox.pictures import Pictures
from sandbox.statuses import Statuses
from sandbox.wire import drop, hang, refused

_TEXT, _CAPTION = 4096, 1024
_DELETABLE = timedelta(hours=48)
_MAX_PICTURE = 10_000_000
_MOVED = -404
_KINDS = {"edit": "edit", "dele": "delete"}
Chat = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Call:
    account: str
    chat: Chat
    fields: Line
    dropped: bool


class _Missing(web.HTTPBadRequest):
    """No such message, or not any more."""

    def __init__(self, what: str) -> None:
        body = _body(400, f"Bad Request: message to {what} not found", None)
        super().__init__(text=json.dumps(body), content_type="application/json")


class Telegram:
    """The handlers under /telegram/bot…"""

    def __init__(self, options: Options, faults: Faults, statuses: Statuses, pictures: Pictures) -> None:
        self._options = options
        self._faults = faults
        self._statuses = statuses
        self._pictures = pictures
        self._posts: dict[tuple[int, int], str] = {}
        self._last: dict[int, int] = {}
        for _, offset, _ in statuses.places():
            self._note(statuses.line(offset))
        self._methods: Mapping[str, Callable[[_Call], Any]] = {
            "sendmessage": self._send_message,
            "sendphoto": self._send_photo,
            "sendmediagroup": self._send_media_group,
            "editmessagetext": self._edit_text,
            "editmessagecaption": self._edit_caption,
            "editmessagemedia": self._edit_media,
            "deletemessage": self._delete,
            "deletemessages": self._delete_all,
            "getchat": lambda call: call.chat,
            "getchatmember": self._member,
        }

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [web.route("*", "/telegram/bot{token:[^/]+}/{method}", self.call)]

    async def call(self, request: web.Request) -> web.StreamResponse:
        """Any method, GET or POST; parameters as JSON, as a form, or multipart."""
        account = _account(request.match_info["token"])
        method = request.match_info["method"].lower()
        if method == "getme":
            return _answer(_bot(account))
        handle = self._methods.get(method)
        if handle is None:
            raise _error(404, "Not Found")
        fields = await _fields(request)
        kind = "" if method.startswith("get") else _KINDS.get(method[:4], "create")
        dropped = await self._meet_fault(account, kind) if kind else False
        try:
            chat = self._chat(account, fields, posting=bool(kind))
            result = handle(_Call(account, chat, fields, dropped))
        except web.HTTPException as refused:
            if kind:
                said = json.loads(refused.text or "{}")
                self._statuses.record(account, kind, "refused", refused.status, said.get("description"))
            raise
        return drop(request) if dropped else _answer(result)

    def _chat(self, account: str, fields: Line, *, posting: bool) -> Chat:
        asked = str(fields.get("chat_id") or "")
        if not asked:
            raise _error(400, "Bad Request: chat_id is empty")
        if asked.startswith("@"):
            name = asked[1:].lower()
            if name == "nowhere":
                raise _error(400, "Bad Request: chat not found")
            chat = {"id": _number_of(name), "type": "channel", "title": name.title(), "username": name}
        elif re.fullmatch(r"-?\d+", asked):
            if int(asked) == _MOVED:
                moved = {"migrate_to_chat_id": -1000000000404}
                raise _error(400, "Bad Request: group chat was upgraded to a supergroup chat", moved)
            chat = self._known(int(asked))
        else:
            raise _error(400, "Bad Request: chat not found")
        if account == "kicked":
            raise _error(403, "Forbidden: bot was kicked from the channel chat")
        if posting and account == "reader":
            raise _error(400, "Bad Request: need administrator rights in the channel chat")
        return chat

    def _known(self, number: int) -> Chat:
        """A chat by its number: a public one's, when something was posted there."""
        last = self._posts.get((number, self._last.get(number, 0)))
        name = last.partition("/")[0] if last else ""
        if name and not name.lstrip("-").isdigit():
            return {"id": number, "type": "channel", "title": name.title(), "username": name}
        return {"id": number, "type": "channel", "title": "Privé"}

    def _member(self, call: _Call) -> Line:
        rights = {
            "can_post_messages": call.account != "reader",
            "can_edit_messages": False,
            "can_delete_messages": False,
        }
        return {"user": _bot(call.account), "status": "administrator", "can_be_edited": False, **rights}

    def _send_message(self, call: _Call) -> Line:
        text = str(call.fields.get("text") or "").strip()
        if not text:
            raise _error(400, "Bad Request: message text is empty")
        if _units(text) > _TEXT:
            raise _error(400, "Bad Request: message is too long")
        return self._store(call, text, [])[0]

    def _send_photo(self, call: _Call) -> Line:
        picture = self._picture(call.fields.get("photo"))
        return self._store(call, _caption(call.fields), [picture])[0]

    def _send_media_group(self, call: _Call) -> list[Line]:
        media = call.fields.get("media")
        if not isinstance(media, list) or not 2 <= len(media) <= 10:
            raise _error(400, "Bad Request: wrong number of media in the album, specify from 2 to 10")
        pictures = [self._attached(one, call.fields) for one in media]
        caption = next((_caption(one) for one in media if one.get("caption")), "")
        return self._store(call, caption, pictures)

    def _edit_text(self, call: _Call) -> Line:
        first = self._found(call, call.fields, "edit")
        if first["pictures"]:
            raise _error(400, "Bad Request: there is no text in the message to edit")
        text = str(call.fields.get("text") or "").strip()
        if not text:
            raise _error(400, "Bad Request: message text is empty")
        if _units(text) > _TEXT:
            raise _error(400, "Bad Request: message is too long")
        return self._change(call.chat, first, {"text": text})

    def _edit_caption(self, call: _Call) -> Line:
        first = self._found(call, call.fields, "edit")
        if not first["pictures"]:
            raise _error(400, "Bad Request: there is no caption in the message to edit")
        return self._change(call.chat, first, {"text": _caption(call.fields)})

    def _edit_media(self, call: _Call) -> Line:
        first = self._found(call, call.fields, "edit")
        media = call.fields.get("media")
        if not isinstance(media, dict) or not first["pictures"]:
            raise _error(400, "Bad Request: message can't be edited")
        index = first["message_ids"].index(int(call.fields["message_id"]))
        pictures = [*first["pictures"]]
        pictures[index] = self._attached(media, call.fields)
        change: Line = {"pictures": pictures}
        if index == 0:
            change["text"] = _caption(media)
        return self._change(call.chat, first, change)

    def _delete(self, call: _Call) -> bool:
        self._remove(self._found(call, call.fields, "delete"))
        return True

    def _delete_all(self, call: _Call) -> bool:
        for identity in call.fields.get("message_ids") or []:
            with contextlib.suppress(_Missing):  # "if some of them can't be found, they are skipped"
                self._remove(self._found(call, {"message_id": identity}, "delete"))
        return True

    def _remove(self, line: Line) -> None:
        if now() - datetime.fromisoformat(line["created_at"]) > _DELETABLE:
            raise _error(400, "Bad Request: message can't be deleted for everyone")
        self._statuses.delete(line)

    def _store(self, call: _Call, text: str, pictures: list[Line]) -> list[Line]:
        answered = _structure(call.fields.get("reply_parameters")) or {}
        replied = self._posts.get((call.chat["id"], int(answered.get("message_id") or 0)))
        if answered and not replied and not answered.get("allow_sending_without_reply"):
            raise _error(400, "Bad Request: message to be replied not found")
        first = self._last.get(call.chat["id"], 0) + 1
        identities = [*range(first, first + max(1, len(pictures)))]
        preview = _structure(call.fields.get("link_preview_options")) or {}
        post = {
            "text": text,
            "chat_id": call.chat["id"],
            "message_ids": identities,
            "link": preview.get("url"),
            "in_reply_to_id": replied,
            "pictures": pictures,
        }
        identity = f"{call.chat.get('username') or call.chat['id']}/{first}"
        line = self._statuses.create(call.account, post, None, call.dropped, identity=identity)
        self._note(line)
        return [_message(call.chat, line, index) for index in range(len(identities))]

    def _change(self, chat: Chat, first: Line, change: Line) -> Line:
        if all(first[name] == value for name, value in change.items()):
            raise _error(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly the "
                "same as a current content and reply markup of the message",
            )
        return _message(chat, self._statuses.edit(first, change), 0)

    def _found(self, call: _Call, fields: Line, what: str) -> Line:
        identity = str(fields.get("message_id") or "")
        post = self._posts.get((call.chat["id"], int(identity))) if identity.isdecimal() else None
        line = self._statuses.get(post) if post else None
        if line is None:
            raise _Missing(what)
        return line

    def _picture(self, uploaded: Any) -> Line:
        if not isinstance(uploaded, web.FileField):
            raise _error(400, "Bad Request: wrong file identifier/HTTP URL specified")
        content = uploaded.file.read()
        if not content:
            raise _error(400, "Bad Request: file must be non-empty")
        if len(content) > _MAX_PICTURE:
            raise _error(400, "Bad Request: file is too big")
        try:
            return self._pictures.keep(content, "")
        except ValueError:
            raise _error(400, "Bad Request: IMAGE_PROCESS_FAILED") from None

    def _attached(self, media: Line, fields: Line) -> Line:
        return self._picture(fields.get(str(media.get("media") or "").removeprefix("attach://")))

    def _note(self, line: Line) -> None:
        for identity in line["message_ids"]:
            self._posts[line["chat_id"], identity] = line["id"]
            self._last[line["chat_id"]] = max(self._last.get(line["chat_id"], 0), identity)

    async def _meet_fault(self, account: str, kind: str) -> bool:
        """Whether to work and then drop; raises or hangs for the other faults."""
        fault = self._faults.take("telegram")
        if fault is None:
            return False
        if fault.kind == "drop":
            return True
        outcome = "refused" if fault.kind == "refuse" else "deferred"
        status = {"throttle": 429, "refuse": 400, "error": 503}.get(fault.kind, 0)
        self._statuses.record(account, kind, outcome, status, f"asked for: {fault.kind}")
        if fault.kind == "hang":
            await hang()
        if fault.kind == "throttle":
            seconds = fault.retry_after
            raise _error(429, f"Too Many Requests: retry after {seconds}", {"retry_after": seconds})
        if fault.kind == "error":
            raise _error(503, "Service Unavailable")
        raise _error(400, "Bad Request: can't parse entities: asked for")


def _message(chat: Chat, line: Line, index: int) -> Line:
    """A message as the API shows it; of an album, the one at ``index``."""
    pictures = line["pictures"]
    made = int(datetime.fromisoformat(line["created_at"]).timestamp())
    message: Line = {"message_id": line["message_ids"][index], "sender_chat": chat, "chat": chat, "date": made}
    if line["edited_at"]:
        message["edit_date"] = int(datetime.fromisoformat(line["edited_at"]).timestamp())
    if not pictures:
        return message | {"text": line["text"]}
    photo = pictures[index]
    message["photo"] = [{"file_id": photo["digest"], "file_unique_id": photo["digest"][:16], "width": 90, "height": 90}]
    if len(pictures) > 1:
        message["media_group_id"] = str(line["message_ids"][0])
    return message | ({"caption": line["text"]} if index == 0 and line["text"] else {})


def _bot(account: str) -> Line:
    number = int.from_bytes(hashlib.blake2b(account.encode(), digest_size=4).digest(), "big")
    return {"id": number, "is_bot": True, "first_name": account.title(), "username": f"{account}_bot"}


def _account(token: str) -> str:
    """The account of a token; raises what Telegram says of one that it refuses."""
    if token in ("wrong", "expired"):
        raise _error(401, "Unauthorized")
    name = token.partition(":")[2] if ":" in token else token.removeprefix("token-")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise _error(404, "Not Found")
    return name.lower().replace("-", "_")


def _caption(fields: Line) -> str:
    caption = str(fields.get("caption") or "").strip()
    if _units(caption) > _CAPTION:
        raise _error(400, "Bad Request: message caption is too long")
    return caption


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _number_of(name: str) -> int:
    digest = hashlib.blake2b(name.encode(), digest_size=4).digest()
    return -1_000_000_000_000 - int.from_bytes(digest, "big")


def _structure(value: Any) -> Line | None:
    return value if isinstance(value, dict) else None


async def _fields(request: web.Request) -> Line:
    """The parameters; what has a structure is JSON where they come as a form."""
    if request.content_type == "application/json":
        try:
            fields = json.loads(await request.read())
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise _error(400, "Bad Request: can't parse request: the body is no JSON object")
        return fields
    found: Line = {**request.query, **await request.post()}
    for name in ("media", "reply_parameters", "link_preview_options", "message_ids"):
        if isinstance(found.get(name), str):
            try:
                found[name] = json.loads(found[name])
            except ValueError:
                raise _error(400, f"Bad Request: can't parse {name} JSON object") from None
    return found


def _answer(result: Any) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _body(status: int, description: str, parameters: Line | None) -> Line:
    body: Line = {"ok": False, "error_code": status, "description": description}
    return body | {"parameters": parameters} if parameters else body


def _error(status: int, description: str, parameters: Line | None = None) -> web.HTTPException:
    """The Bot API's error as an exception that aiohttp turns into the response."""
    return refused(status, _body(status, description, parameters))
