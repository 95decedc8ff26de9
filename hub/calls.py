"""What other systems are told of an announcement: one CloudEvent, the same bytes at every try."""

from typing import Any

from hub.rendering import Renderer
from schemas.announcements import Content
from schemas.cloudevents import CloudEvent, encode_structured
from store.authorities import Authority

TYPE = "fr.tambour.announcement"


def told(
    content: Content, authority: Authority, announcement_id: int, version: int, renderer: Renderer
) -> dict[str, Any]:
    """An announcement's version for a program: its facts, and its words in each of its languages.

    ``test``: somebody tries the settings; it is to be shown to nobody.
    """
    words = {}
    for language in content.languages:
        said = renderer.post(content, authority.identity, language, zone=authority.time_zone)
        words[language] = {
            "headline": renderer.headline(content, language, zone=authority.time_zone),
            "text": said.text,
            "link": said.link,
        }
    return {
        "announcement": announcement_id,
        "test": announcement_id == 0,
        "version": version,
        "authority": {"code": authority.code, "name": authority.name},
        "event_type": content.type,
        "matter": content.matter,
        "revision": content.revision,
        "action": content.action.value,
        "retracted": content.retracted,
        "severity": content.severity.value,
        "lane": content.lane.value,
        "themes": list(content.themes),
        "areas": [{"code": code, "name": authority.areas.get(code, code)} for code in content.areas],
        "onset": content.onset.isoformat() if content.onset else None,
        "expires": content.expires.isoformat(),
        "contact": content.contact,
        "words": words,
    }


def body_of(data: dict[str, Any], key: str) -> bytes:
    """The document that is posted: a CloudEvent in structured mode whose id is the webhook's."""
    source = f"/tambour/{data['authority']['code']}"
    body, _ = encode_structured(CloudEvent(id=key, source=source, type=TYPE, subject=data["matter"], data=data))
    return body
