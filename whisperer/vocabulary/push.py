"""Define a push message: what its parts may hold, how they are read, and the bytes that each platform gets.

The parts of a push message are texts. ``title`` and ``body`` are for people; the others, each of a :data:`Form`, say
what the message does: ``image`` is shown, ``link`` is opened, ``ttl_s`` is how long it waits for a device that is off,
a later message with the same ``collapse_key`` takes its place, ``badge`` is the number at the app's icon.

Guarantees: what :func:`read_push` returns fits each platform's :data:`MOST_BYTES`, with room for what providers bring
back with their callbacks, and neither its image nor its link makes a device run a script. Leaves sending to providers.

References
----------
FCM HTTP v1 (ttl, at most 28 days; 4,096 bytes); APNs (payload of 4,096 bytes, apns-collapse-id of 64 bytes); RFC 8030,
5.2 and 5.4 (TTL, and a Topic of at most 32 characters of base64url).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from whisperer.vocabulary.inapp import Unfit, url_problems

Form = Literal["", "image", "link", "seconds", "key", "number"]
"""How a part that is not for people is read; "" is one that is."""
Platform = Literal["android", "apns", "web"]

MOST_BYTES: dict[Platform, int] = {"android": 4_096, "apns": 4_096, "web": 3_993}
"""Of a message as JSON. A browser's grows by 103 bytes when it is encrypted (RFC 8188, 8291)."""
RESERVED = {"send_key": "s" * 40, "reference": "r" * 256}
"""Stands for the data that a provider adds, at its longest."""

MAX_TTL_S = 28 * 86_400
MAX_BADGE = 99_999
MAX_COLLAPSE_KEY_BYTES = 64
MAX_TOPIC_CHARS = 32

_WHOLE = re.compile(r"[0-9]{1,9}")
_TOPIC = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_TOPIC_CHARS}}}")


class Push(msgspec.Struct, frozen=True):
    """Hold a push message that was read; "" and None are what it does not say. ``ttl_s`` 0: now or never."""

    title: str
    body: str
    image: str = ""
    link: str = ""
    ttl_s: int | None = None
    collapse_key: str = ""
    badge: int | None = None


def form_problem(form: Form, name: str, text: str) -> str | None:
    """Return what is wrong with the text of a part of a form, None if nothing is.

    >>> form_problem("seconds", "ttl_s", "3600"), form_problem("image", "image", "http://a.example/a.png")
    (None, 'image begins with https://')
    """
    if form in ("image", "link"):
        if text.startswith("/"):
            return f"{name} is a whole address; a device knows no site that it could belong to"
        problems = url_problems(name, text, is_image=form == "image")
        return problems[0].replace(" or /", "") if problems else None
    if form == "key":
        size = len(text.encode("utf-8", "replace"))
        return f"{name} has {size} bytes; at most {MAX_COLLAPSE_KEY_BYTES}" if size > MAX_COLLAPSE_KEY_BYTES else None
    most = {"seconds": MAX_TTL_S, "number": MAX_BADGE}.get(form)
    if most is not None and (_WHOLE.fullmatch(text) is None or int(text) > most):
        return f"{name} is a whole number from 0 to {most:,}"
    return None


def read_push(parts: Mapping[str, str]) -> Push | Unfit:
    """Read a message from its rendered parts, or return why it cannot be sent.

    >>> read_push({"title": "Hi", "body": "Ada", "ttl_s": "60"}).ttl_s
    60
    """
    ttl_s, badge = (parts.get(name, "") for name in ("ttl_s", "badge"))
    forms: tuple[tuple[str, Form], ...] = (("ttl_s", "seconds"), ("badge", "number"), ("collapse_key", "key"))
    wrong = [problem for name, form in forms if name in parts and (problem := form_problem(form, name, parts[name]))]
    if wrong:
        return Unfit(wrong)
    push = Push(
        title=parts.get("title", ""),
        body=parts.get("body", ""),
        image=parts.get("image", ""),
        link=parts.get("link", ""),
        ttl_s=int(ttl_s) if ttl_s else None,
        collapse_key=parts.get("collapse_key", ""),
        badge=int(badge) if badge else None,
    )
    platform, size = tightest(push)
    if size > MOST_BYTES[platform]:
        return Unfit(
            [f"for {platform} it has {size:,} bytes with addresses and data; at most {MOST_BYTES[platform]:,}"]
        )
    return push


def tightest(push: Push) -> tuple[Platform, int]:
    """Return the platform on which a message has the least room, and its bytes there."""
    sizes = push_sizes(push)
    platform = max(sizes, key=lambda one: sizes[one] - MOST_BYTES[one])
    return platform, sizes[platform]


def push_sizes(push: Push) -> dict[Platform, int]:
    """Return the bytes of a message on each platform, with the longest data that a provider adds."""
    of: dict[Platform, Any] = {
        "android": android_payload(push, RESERVED),
        "apns": apns_payload(push, RESERVED),
        "web": web_payload(push, RESERVED),
    }
    return {platform: len(msgspec.json.encode(payload)) for platform, payload in of.items()}


def data_of(push: Push, named: Mapping[str, str]) -> dict[str, str]:
    """Return what an app is told beside the notification: our names, and where the message leads."""
    return {name: text for name, text in {**named, "link": push.link}.items() if text}


def android_payload(push: Push, named: Mapping[str, str]) -> dict[str, Any]:
    """Return what an Android device gets by FCM: the notification, and the data."""
    return {"notification": notification_of(push), "data": data_of(push, named)}


def apns_payload(push: Push, named: Mapping[str, str]) -> dict[str, Any]:
    """Return what an Apple device gets by FCM and APNs."""
    aps: dict[str, Any] = {"alert": {"title": push.title, "body": push.body}}
    if push.badge is not None:
        aps["badge"] = push.badge
    image = {"fcm_options": {"image": push.image}} if push.image else {}
    if push.image:
        aps["mutable-content"] = 1  # the app's extension fetches it
    return {"aps": aps, **image, **data_of(push, named)}


def web_payload(push: Push, named: Mapping[str, str]) -> dict[str, Any]:
    """Return what a page's service worker gets."""
    said: dict[str, Any] = {"title": push.title, "body": push.body}
    if push.image:
        said["image"] = push.image
    if push.badge is not None:
        said["badge"] = push.badge
    return said | data_of(push, named)


def notification_of(push: Push) -> dict[str, str]:
    """Return what every platform shows of a message."""
    shown = {"title": push.title, "body": push.body}
    return shown | {"image": push.image} if push.image else shown


def topic_of(collapse_key: str) -> str:
    """Return the Topic of a web push: the key where it may stand for itself, else 32 characters made from it.

    >>> topic_of("weekly"), len(topic_of("Ihr Wochenbericht"))
    ('weekly', 32)
    """
    if _TOPIC.fullmatch(collapse_key):
        return collapse_key
    return base64.urlsafe_b64encode(hashlib.blake2b(collapse_key.encode(), digest_size=24).digest()).decode()
