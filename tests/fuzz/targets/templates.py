"""A template of any text: it is refused with its problems, or rendering gives a message or a reason, in bounded work."""

from __future__ import annotations

from collections.abc import Hashable

from tests.fuzz import codes
from tests.unit.whisperer.content.requests import ReadableLinks, request
from whisperer.content.errors import TemplateError
from whisperer.content.message import NotRendered
from whisperer.content.render import render
from whisperer.content.template import parse_template

WORDS = (
    "{{ ", " }}", "{% if ", "{% endif %}", "{% for x in user.tags %}", "{% endfor %}", "{% case ", "{% assign a = ",
    "{% raw %}", "{% comment %}", "{% include ", "user.name", "features.events_7d", " | date", " | money: 'EUR'", " | default: 'x'",
    " | replace: 'a', 'b'", " | times: 1e9", "(1..99999999)", '<a href="', "https://example.com/", "javascript:", "<!--[if mso]>",
    "<![endif]-->", "</body>", "<style>", "<script>", "&amp;", "&#x0a;", "\u202e", "\u200b", "\r\n", "unsubscribe_url",
)  # fmt: skip
_CHANNELS = ("email", "sms", "push", "webhook")


def seeds() -> list[bytes]:
    texts = [
        'Hi {{ user.name | default: "you" }}, <a href="https://example.com/a?b=1&amp;c=2">go</a>',
        "{% for tag in user.tags %}{{ tag | upcase }}{% endfor %}{{ now | date: 'long' }}",
        "{% if features.events_7d > 3 %}{{ 12.5 | money: 'EUR' }}{% else %}{{ user.n | number }}{% endif %}",
        "<!--[if mso]><p>x</p><![endif]--><div hidden>y</div>https://example.com/(x)",
    ]
    return [bytes([n]) + text.encode() for n in range(8) for text in texts]


def attack(data: bytes) -> Hashable:
    if not data:
        return None
    channel, missing = _CHANNELS[data[0] % 4], ("refuse", "blank")[data[0] // 4 % 2]
    text = data[1:].decode("utf-8", "replace")
    parts = {
        "email": {"subject": "Hi", "html": text},
        "sms": {"text": text},
        "push": {"title": text, "body": "b"},
        "webhook": {"body": text},
    }[channel]
    try:
        template = parse_template({"channel": channel, "locales": {"en": parts}, "missing": missing})
    except TemplateError as error:
        return codes(error)
    asked = request({"name": "Ada", "tags": ["a", "b"], "n": 1}, channel=channel, features={"events_7d": 3.0})
    result = render(template, asked, ReadableLinks())
    if isinstance(result, NotRendered):
        assert "an error of kind" not in result.detail, result.detail
        return channel, result.reason
    for part in result.parts.values():
        part.encode()
    return channel, missing, len(result.parts)
