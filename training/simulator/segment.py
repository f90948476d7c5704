"""Make what SDKs would send: the six calls as dicts, with the context of the library that a person uses.

Events leave here without messageId: the stream adds it once it knows the event's place.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .people import Person
from .state import Subscription

Event = dict[str, Any]

SITE = "https://app.acme-projects.example"
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"


def iso(at_ms: int) -> str:
    """Format a time as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


def ms_of(timestamp: str) -> int:
    """Parse an ISO 8601 time into milliseconds since 1970."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def _web(person: Person) -> dict[str, Any]:
    return {
        "library": {"name": "analytics.js", "version": "npm:next-1.81.0"},
        "locale": person.locale,
        "timezone": person.time_zone,
        "userAgent": _AGENT,
    }


def _app(person: Person) -> dict[str, Any]:
    return {
        "library": {"name": "analytics-ios", "version": "4.1.8"},
        "locale": person.locale,
        "timezone": person.time_zone,
        "os": {"name": "iOS", "version": "18.1"},
        "app": {"name": "Acme Projects", "version": "3.4.0"},
    }


def _server(person: Person) -> dict[str, Any]:
    return {
        "library": {"name": "analytics-python", "version": "2.3.3"},
        "locale": person.locale,
        "timezone": person.time_zone,
    }


class Voice:
    """Make one person's calls through one library; ``known`` says whether that library was given the userId."""

    __slots__ = ("_context", "_ids", "person")

    def __init__(self, person: Person, ids: dict[str, str], context: dict[str, Any]) -> None:
        self.person = person
        self._ids = ids
        self._context = context

    @classmethod
    def web(cls, person: Person, *, known: bool) -> Voice:
        """Return the browser's voice."""
        ids = {"anonymousId": person.anonymous_id}
        return cls(person, {"userId": person.user_id, **ids} if known else ids, _web(person))

    @classmethod
    def app(cls, person: Person, *, known: bool) -> Voice:
        """Return the voice of the app on the person's device."""
        ids = {"anonymousId": person.device_id}
        return cls(person, {"userId": person.user_id, **ids} if known else ids, _app(person))

    @classmethod
    def server(cls, person: Person) -> Voice:
        """Return the product server's voice, which always knows the userId."""
        return cls(person, {"userId": person.user_id}, _server(person))

    @classmethod
    def lead(cls, person: Person) -> Voice:
        """Return the voice of the contact form's server, which knows the person only by a lead id."""
        return cls(person, {"userId": person.lead_id or ""}, _server(person))

    def _event(self, kind: str, at_ms: int, **more: Any) -> Event:
        return {"type": kind, **self._ids, "timestamp": iso(at_ms), "context": self._context, **more}

    def track(self, at_ms: int, event: str, **properties: Any) -> Event:
        return self._event("track", at_ms, event=event, properties=properties)

    def page(self, at_ms: int, name: str, path: str) -> Event:
        properties = {"path": path, "title": name, "url": SITE + path}
        return self._event("page", at_ms, name=name, properties=properties)

    def screen(self, at_ms: int, name: str) -> Event:
        return self._event("screen", at_ms, name=name, properties={"name": name})

    def identify(self, at_ms: int, plan: Subscription) -> Event:
        who = self.person
        traits: dict[str, Any] = {
            "email": who.email,
            "name": who.name,
            "plan": plan.label,
            "company": {"id": who.company_id, "name": who.company},
            "locale": who.locale,
            "timezone": who.time_zone,
        }
        traits |= {"phone": who.phone} if who.phone else {}
        traits |= {"push_token": who.push_token} if who.push_token else {}
        return self._event("identify", at_ms, traits=traits)

    def group(self, at_ms: int, plan: Subscription) -> Event:
        who = self.person
        return self._event("group", at_ms, groupId=who.company_id, traits={"name": who.company, "plan": plan.label})

    def alias(self, at_ms: int, previous_id: str) -> Event:
        return self._event("alias", at_ms, previousId=previous_id)
