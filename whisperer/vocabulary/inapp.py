"""Define a message that a site or an app shows by itself: what its JSON may hold, and how it is read.

    {"kind": "banner", "title": "…", "body": "…", "image": "https://…",
     "actions": [{"label": "…", "url": "https://…"}], "expires_in_s": 86400}

Guarantees: what :func:`read_message` returns is within every bound, and none of its addresses makes a browser run a
script. A title and a label are one line; control characters are taken out, as in every other message, because what a
user is called must not stop what is written to them. Leaves to whoever shows it how a modal, a
banner, a card and an entry of an inbox look; texts are plain text, never HTML.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Literal, NamedTuple, get_args

import msgspec

MessageKind = Literal["modal", "banner", "card", "inbox"]
KINDS: tuple[MessageKind, ...] = get_args(MessageKind)

MAX_BYTES = 4_096
"""Of a message as JSON, as :func:`encoded` writes it."""
MAX_TITLE_CHARS, MAX_BODY_CHARS, MAX_LABEL_CHARS, MAX_URL_CHARS = 200, 2_000, 80, 2_000
MOST_ACTIONS = 3
MAX_EXPIRY_S = 366 * 86_400

_FIELDS = ("kind", "title", "body", "image", "actions", "expires_in_s")
_URL = re.compile(r"([a-z][a-z0-9+.-]*):\S+|/(?!/)\S*", re.IGNORECASE)
_HARMFUL = frozenset({"javascript", "vbscript", "data", "blob", "file", "filesystem", "about", "view-source"})


class Action(msgspec.Struct, forbid_unknown_fields=True):
    """Hold what a reader can choose: a button's text, and where it leads."""

    label: str
    url: str


class InAppMessage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Hold a message that was read; ``expires_in_s`` counts from when it is delivered, None is never."""

    kind: MessageKind
    title: str
    body: str
    image: str | None = None
    actions: list[Action] = []
    expires_in_s: int | None = None


class Unfit(NamedTuple):
    """Everything that is wrong with what should be a message, in one sentence each."""

    problems: list[str]

    def __str__(self) -> str:
        return "; ".join(self.problems)


def read_message(text: str | bytes) -> InAppMessage | Unfit:
    """Read a message from its JSON, or return why it is none.

    Examples
    --------
    >>> read_message('{"kind": "card", "title": "Hello", "body": "Ada"}').title
    'Hello'
    >>> print(read_message('{"kind": "popup", "title": "Hello"}'))
    kind is one of modal, banner, card, inbox; body is a text
    """
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        return Unfit([f"it is not JSON: {error}"])
    if not isinstance(found, dict):
        return Unfit(["it is an object"])
    problems = list(_problems(found))
    if problems:
        return Unfit(problems)
    message = msgspec.convert({name: value for name, value in found.items() if value is not None}, InAppMessage)
    message.title, message.body = _line(message.title), _lines(message.body)
    for action in message.actions:
        action.label = _line(action.label)
    size = len(encoded(message))
    if size > MAX_BYTES:
        return Unfit([f"it has {size:,} bytes; at most {MAX_BYTES:,}"])
    return message


def encoded(message: InAppMessage) -> bytes:
    """Return a message as JSON: the same bytes for the same message."""
    return msgspec.json.encode(message)


def action_url(message: bytes, index: int) -> str | None:
    """Return where an action of an encoded message leads, or None if it has no action of that index."""
    actions = msgspec.json.decode(message, type=InAppMessage).actions
    return actions[index].url if 0 <= index < len(actions) else None


def _problems(found: dict[str, Any]) -> list[str]:
    problems = []
    unknown = [name for name in found if name not in _FIELDS]
    if unknown:
        problems.append(f"{unknown[0][:80]!r} has no meaning; known are {', '.join(_FIELDS)}")
    if found.get("kind") not in KINDS:
        problems.append(f"kind is one of {', '.join(KINDS)}")
    problems += _of_text("title", found.get("title"), MAX_TITLE_CHARS)
    problems += _of_text("body", found.get("body"), MAX_BODY_CHARS)
    if found.get("image") is not None:
        problems += url_problems("image", found["image"], is_image=True)
    problems += _of_actions(found.get("actions"))
    expiry = found.get("expires_in_s")
    if expiry is not None and (type(expiry) is not int or not 1 <= expiry <= MAX_EXPIRY_S):
        problems.append(f"expires_in_s is a whole number from 1 to {MAX_EXPIRY_S:,}")
    return problems


def _of_actions(actions: Any) -> list[str]:
    if actions is None:
        return []
    if not isinstance(actions, list) or len(actions) > MOST_ACTIONS:
        return [f"actions is a list of at most {MOST_ACTIONS}"]
    problems = []
    for index, action in enumerate(actions):
        at = f"actions[{index}]"
        if not isinstance(action, dict) or action.keys() - {"label", "url"}:
            problems.append(f"{at} has a label and a url, and nothing else")
            continue
        problems += _of_text(f"{at}.label", action.get("label"), MAX_LABEL_CHARS)
        problems += url_problems(f"{at}.url", action.get("url"))
    return problems


def _of_text(name: str, text: Any, most: int) -> list[str]:
    if not isinstance(text, str) or not _line(text):
        return [f"{name} is a text"]
    if len(text) > most:
        return [f"{name} has {len(text):,} characters; at most {most:,}"]
    return []


def _line(text: str) -> str:
    return " ".join(_without_controls(text, " ").split())


def _lines(text: str) -> str:
    return "\n".join(_without_controls(line, "") for line in text.replace("\r\n", "\n").split("\n")).strip()


def _without_controls(text: str, instead: str) -> str:
    return "".join(instead if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text)


def url_problems(name: str, url: Any, *, is_image: bool = False) -> list[str]:
    """Return what is wrong with an address that a reader's device opens or shows, nothing if it may be sent."""
    if not isinstance(url, str) or not url:
        return [f"{name} is an address"]
    if len(url) > MAX_URL_CHARS:
        return [f"{name} has {len(url):,} characters; at most {MAX_URL_CHARS:,}"]
    found = _URL.fullmatch(url)
    scheme = (found.group(1) or "").lower() if found else ""
    if found is None or "\\" in url or any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in url):
        return [f"{name} begins with https:// or /, or is another address without blanks"]
    if scheme in _HARMFUL:
        return [f"{name} begins with {scheme}:, which a browser may run or read; use https://"]
    if is_image and scheme not in ("", "https"):
        return [f"{name} begins with https:// or /"]
    return []
