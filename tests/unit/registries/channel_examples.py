"""What the battery says on any channel, made from the channel's entry: adding a channel changes nothing here."""

from __future__ import annotations

from typing import Any

from whisperer.vocabulary.channels import AddressKind, Channel, Limit, Part, Schema, Syntax
from whisperer.vocabulary.push import Form

SOURCES: dict[Syntax, str] = {
    "line": "Hi {{ user.name }}",
    "text": "Hi {{ user.name }},\nsee https://app.example.com/plans",
    "html": '<p>Hi {{ user.name }}, <a href="https://app.example.com/plans">see</a></p>',
    "json": '{"hi": "{{ user.name }}"}',
}
"""Syntax -> a template in it."""

SCHEMAS: dict[Schema, str] = {
    "": SOURCES["json"],
    "inapp": '{"kind": "card", "title": "Hi", "body": "Hi {{ user.name }}"}',
}
"""Schema of a json part -> a template that fits it."""


FORMS: dict[Form, str] = {
    "": "",
    "image": "https://app.example.com/{{ user.name | slice: 0, 3 | url_encode }}.png",
    "link": "https://app.example.com/plans",
    "seconds": "3600",
    "key": "{{ user.name | slice: 0, 3 }}",
    "number": "3",
}
"""Form of a part that is not for people -> a template of it."""


def source(part: Part) -> str:
    """A template of a part."""
    if part.form:
        return FORMS[part.form]
    return SCHEMAS[part.schema] if part.syntax == "json" else SOURCES[part.syntax]


ADDRESSES: dict[AddressKind, tuple[str, str, str]] = {
    "email": (" Ada@Example.com ", "Ada@example.com", "ada@example.com\r\nBcc: all@example.com"),
    "phone": ("+49 (151) 234-567", "+49151234567", "0151 234567"),
    "push_token": (" token-1 ", "token-1", "token\x001"),
    "user_key": ("u:ada", "u:ada", "u:a\nda"),
}
"""Kind of address -> one as it is stated, the same as it is used, and a text that is none."""


def template(channel: Channel, **parts: str) -> dict[str, Any]:
    """A template with all parts of the channel, some of them as given."""
    written = {part.name: source(part) for part in channel.parts}
    return {"channel": channel.name, "locales": {"en": written | parts}}


def filled(channel: Channel, limit: Limit, n_chars: int) -> dict[str, Any]:
    """A template whose parts under the limit have that many characters together, none more than it may have alone."""
    texts = {}
    for part in reversed(channel.parts):
        if part.name in limit.parts:
            n = min(n_chars - (part.name != limit.parts[0]), part.max_bytes)
            n_chars -= n
            each, rest = divmod(n, 50)
            texts[part.name] = "{% for n in (1..50) %}" + "x" * each + "{% endfor %}" + "x" * rest
    assert n_chars == 0, "the limit cannot be reached"
    return template(channel, **texts)
