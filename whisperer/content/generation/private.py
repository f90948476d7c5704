"""Replace what is personal by placeholders before a prompt leaves, and put it back into the answer.

What leaves: the values that a brief names, and no others. Of these, what is a person's by its name (``user.name``,
``user.email`` ...) never leaves: its placeholder does, ``[[user.name]]``. In every other text, the author's own
included, what looks like an address, a phone number or a long number, and any of the user's personal values, is
replaced as well. Equal facts give equal prompts, so an answer can be kept for the next user who is in the same place:
it holds placeholders, and nothing of the user it was first made for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from whisperer.content.generation.injection import neutral
from whisperer.content.plain_text import one_line

MAX_RESTORED_CHARS = 200

PERSONAL = frozenset(
    {
        *("name", "firstname", "lastname", "fullname", "middlename", "givenname", "familyname", "surname", "nickname"),
        *("username", "displayname", "login", "handle", "id", "userid", "externalid", "email", "mail", "emailaddress"),
        *("phone", "mobile", "tel", "telephone", "phonenumber", "fax", "whatsapp", "address", "street", "city", "zip"),
        *("postcode", "postalcode", "birthday", "birthdate", "dateofbirth", "dob", "age", "gender", "ip", "ipaddress"),
        *("ssn", "passport", "iban", "taxid", "vat", "accountnumber", "cardnumber", "avatar", "photo", "picture"),
        *("pushtoken", "token", "devicetoken", "password", "secret", "latitude", "longitude", "location", "salary"),
        *("religion", "health", "diagnosis", "ethnicity", "company", "employer", "website", "linkedin", "twitter"),
    }
)
"""Names of traits, in lower case and without separators, whose values are a person's."""

_PATTERNS = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # an e-mail address
    r"|\b(?:\d{1,3}\.){3}\d{1,3}\b"  # an IP address
    r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b"  # an IBAN
    r"|(?<![\w.,])\+?\(?\d(?:[ ()./-]?\d){6,}(?![\w])"  # a phone, card or account number
)
_PLACEHOLDER = re.compile(r"\[\[([^\[\]]{1,120})\]\]")
_MIN_HIDDEN_CHARS = 3


@dataclass(slots=True)
class Private:
    """Hold what was replaced: placeholder, without its brackets, -> the value that it stands for."""

    values: dict[str, str] = field(default_factory=dict)
    own: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The user's personal values, in lower case -> placeholder and value; held once they occur somewhere."""

    def hidden(self, text: str) -> str:
        """Return a text with everything personal replaced."""
        for lowered, (name, value) in self.own.items():
            if lowered in text.lower():
                text = re.sub(rf"(?<!\w){re.escape(lowered)}(?!\w)", self.hold(name, value), text, flags=re.IGNORECASE)
        return _PATTERNS.sub(self._hide, text)

    def restored(self, text: str) -> str:
        """Return a text with every placeholder's value in its place."""
        return _PLACEHOLDER.sub(lambda found: self.values.get(found[1], found[0]), text)

    def unknown(self, text: str) -> list[str]:
        """Return the placeholders of a text that stand for nothing."""
        return [name for name in placeholders(text) if name not in self.values]

    def hold(self, name: str, value: str) -> str:
        """Remember a value, and return its placeholder."""
        self.values[name] = one_line(value)[:MAX_RESTORED_CHARS]
        return f"[[{name}]]"

    def _hide(self, found: re.Match[str]) -> str:
        same = next((name for name, value in self.values.items() if value == found[0]), None)
        return f"[[{same}]]" if same is not None else self.hold(f"hidden_{len(self.values) + 1}", found[0])


@dataclass(frozen=True, slots=True)
class Facts:
    """Hold what a model may know: ``shown`` by name, and the names of those ``withheld`` as they read like orders."""

    shown: Mapping[str, str | int | float | bool]
    withheld: tuple[str, ...]


def placeholders(text: str) -> list[str]:
    """Return the names of the placeholders in a text."""
    return _PLACEHOLDER.findall(text)


def gather(names: Iterable[str], variables: Mapping[str, Any]) -> tuple[Facts, Private]:
    """Return the facts that ``names`` ask for, of a message's variables, and what was replaced in them."""
    private = Private()
    user = variables.get("user")
    for trait, value in user.items() if isinstance(user, Mapping) else ():
        if isinstance(value, str) and is_personal(trait) and len(value.strip()) >= _MIN_HIDDEN_CHARS:
            private.own.setdefault(value.strip().lower(), (f"user.{trait}", value.strip()))
    shown: dict[str, str | int | float | bool] = {}
    withheld: list[str] = []
    for name in dict.fromkeys(names):
        value = _found(name, variables)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if _is_hidden(name, value):
            shown[name] = private.hold(name, str(value).strip())
        elif not isinstance(value, str):
            shown[name] = value
        elif (text := neutral(value)) is None:
            withheld.append(name)
        else:
            shown[name] = private.hidden(text)
    return Facts(shown, tuple(withheld)), private


def is_personal(name: str) -> bool:
    """Return whether a trait of this name is a person's.

    >>> is_personal("first_name"), is_personal("plan")
    (True, False)
    """
    return re.sub(r"[^a-z]", "", name.lower()) in PERSONAL


def _is_hidden(name: str, value: object) -> bool:
    source, _, rest = name.partition(".")
    if source not in ("user", "event"):
        return False
    if any(is_personal(step) for step in rest.split(".")):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000_000


def _found(name: str, variables: Mapping[str, Any]) -> str | int | float | bool | None:
    value: Any = variables
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) else None
