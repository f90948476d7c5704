"""Judge what a model wrote, before any of it is used. Each rule is one function; the first that objects decides.

The rules look at the text with its placeholders still in it, so they judge the model and not the user's values. They
are conservative: a text that is refused costs nothing but the difference to the template's own words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from whisperer.content.generation.private import Private
from whisperer.content.generation.prompt import CANARY, Prompt, Voice
from whisperer.content.generation.ruling import Ruling
from whisperer.content.identification import is_in
from whisperer.content.lint.words import spam_words
from whisperer.content.locales import language
from whisperer.content.plain_text import one_line

MAX_ANSWER_CHARS = 32_000
_SHOWN_CHARS = 80

_MARKUP = re.compile(
    r"\{\{|\}\}|\{%|%\}|<\s*[a-zA-Z!/?][^>]*>?|&(?:#\w+|\w+);|```|\*\*|\]\(|^\s*#{1,6}\s", re.MULTILINE
)
_LINK = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{1,20}):(?://|(?=[^\s\d]))(?P<rest>\S*)"
    r"|(?P<bare>(?<![\w@.-])(?:[\w-]+\.)+(?:com|net|org|io|app|dev|ai|co|info|biz|xyz|top|ru|cn|de|fr|es|it|nl|pl|br|uk"
    r"|eu|us|tr|jp|kr|in|il|sa|ae|me|tv|ly|gl|link|click|shop|site|online|example|test|zip|mov)\b(?:/\S*)?)",
    re.IGNORECASE,
)
_SCHEMES = frozenset(
    {"http", "https", "ftp", "javascript", "data", "mailto", "tel", "sms", "file", "vbscript", "whatsapp", "tg", "blob"}
)
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBER = re.compile(r"(?<![\w.,])\+?\(?\d(?:[ ()./-]?\d){6,}(?!\w)")
_FIGURE = re.compile(
    r"(\d+(?:[.,]\d+)?)\s?(?:%|٪|％|percent|prozent|pour ?cent|por ?ciento|por ?cento|per ?cento|procent|процент\w*"
    r"|yüzde|퍼센트|प्रतिशत)"
    r"|(?:[$€£¥₹₩₺₽₪]|USD|EUR|GBP|JPY)\s?(\d+(?:[.,]\d+)*)|(\d+(?:[.,]\d+)*)\s?(?:[$€£¥₹₩₺₽₪円元]|USD|EUR|GBP|JPY|zł|R\$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold what an answer is judged by: the question, who sent it in which language, and what was replaced.

    ``hosts``: those of links that it may write, besides the tenant's.
    """

    prompt: Prompt
    voice: Voice
    locale: str
    private: Private
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judged:
    """Hold the ruling on an answer; ``slots`` with placeholders, empty unless it is written."""

    ruling: Ruling
    slots: Mapping[str, str]
    detail: str = ""


def judge(answer: str, asked: Asked) -> Judged:
    """Return what becomes of a model's answer, a text that should be JSON of the schema."""
    slots = _read(answer, asked.prompt)
    if slots is None:
        return Judged(Ruling.NOT_THE_SCHEMA, {}, _shown(answer))
    for rule in RULES:
        for ruling, detail in rule(slots, asked):
            return Judged(ruling, {}, _shown(detail))
    return Judged(Ruling.WRITTEN, slots)


def _read(answer: str, prompt: Prompt) -> dict[str, str] | None:
    if len(answer) > MAX_ANSWER_CHARS:
        return None
    try:
        found = msgspec.json.decode(answer, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if set(found) != set(prompt.slots) or any(_is_broken(text) for text in found.values()):
        return None
    return {name: one_line(found[name]) for name in prompt.slots}


def _is_broken(text: str) -> bool:
    return any(unicodedata.category(char) == "Cs" for char in text)


def _size(slots: Mapping[str, str], asked: Asked) -> Iterator[tuple[Ruling, str]]:
    for name, text in slots.items():
        if not text.strip():
            yield Ruling.EMPTY, name
        if len(text) > asked.prompt.slots[name]:
            yield Ruling.TOO_LONG, f"{name} has {len(text)} characters, at most {asked.prompt.slots[name]}"


def _prompt_leaked(slots: Mapping[str, str], asked: Asked) -> Iterator[tuple[Ruling, str]]:
    rules = [rule.lower() for rule in asked.prompt.rules.splitlines() if len(rule) >= 40]
    for text in slots.values():
        read = text.lower()
        if CANARY in read or any(rule in read or read[:60] in rule for rule in rules if len(read) >= 40):
            yield Ruling.LEAKED_PROMPT, text


def _markup(slots: Mapping[str, str], asked: Asked) -> Iterator[tuple[Ruling, str]]:
    for text in slots.values():
        if found := _MARKUP.search(text):
            yield Ruling.MARKUP, found[0]


def _placeholders(slots: Mapping[str, str], asked: Asked) -> Iterator[tuple[Ruling, str]]:
    for text in slots.values():
        for name in asked.private.unknown(text):
            yield Ruling.UNKNOWN_PLACEHOLDER, name
        left = asked.private.restored(text)
        if "[[" in left or "]]" in left:
            yield Ruling.UNKNOWN_PLACEHOLDER, text


def _links(slots: Mapping[str, str], asked: Asked) -> Iterator[tuple[Ruling, str]]:
    allowed = asked.hosts | asked.voice.allowed_hosts
    for text in slots.values():
        for found in _LINK.finditer(unicodedata.normalize("NFKC", text)):
            if found["bare"] is not None:
                host = found["bare"].partition("/")[0].lower()
            elif found["scheme"].lower() not in _SCHEMES and not found[0].startswith(f"{found['scheme']}://"):
                continue  # a word and a colon
            elif found["scheme"].lower() != "https":
                yield Ruling.FOREIGN_LINK, found[0]
                continue
            else:
                host = _host(found[0])
            if host not in allowed:
                yield Ruling.FOREIGN_LINK, found[0]


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return "" if parts.username is not None else (parts.hostname or "").rstrip(".")
    except ValueError:
        return ""


def _foreign_data(slots: Mapping[str, str], asked: Asked) -> Iterator[tuple[Ruling, str]]:
    given = asked.prompt.document
    digits = re.sub(r"\D", "", given)
    for text in slots.values():
        for found in _EMAIL.findall(text):
            if found not in given:
                yield Ruling.FOREIGN_DATA, found
        for found in _NUMBER.findall(text):
            if re.sub(r"\D", "", found) not in digits:
                yield Ruling.FOREIGN_DATA, found


def _figures(slots: Mapping[str, str], asked: Asked) -> Iterator[tuple[Ruling, str]]:
    given = set(re.findall(r"\d+(?:[.,]\d+)*", _digits(asked.prompt.document)))
    for text in slots.values():
        for found in _FIGURE.finditer(_digits(text)):
            if not any(figure in given for figure in found.groups() if figure is not None):
                yield Ruling.INVENTED_FIGURE, found[0]


def _digits(text: str) -> str:
    """Return a text with every script's digits as ASCII."""
    return "".join(str(unicodedata.digit(char)) if char.isdigit() and not char.isascii() else char for char in text)


def _claims(slots: Mapping[str, str], asked: Asked) -> Iterator[tuple[Ruling, str]]:
    given = _folded(asked.prompt.document)
    usual = [word for word in spam_words().get(language(asked.locale), ()) if _folded(word) not in given]
    for text in slots.values():
        for claim in claimed(text, (*asked.voice.banned_claims, *usual)):
            yield Ruling.BANNED_CLAIM, claim


def claims(text: str, claim: str) -> bool:
    """Return whether a text makes a claim, whatever its letters' case, width, or what is hidden between them.

    >>> claims("It is GUARAN\u200bTEED!", "guaranteed"), claims("unguaranteed", "guaranteed")
    (True, False)
    """
    return bool(claimed(text, (claim,)))


def claimed(text: str, all_claims: Iterable[str]) -> list[str]:
    """Return the claims that a text makes."""
    folded = _folded(text)
    return [claim for claim in all_claims if _makes(folded, _folded(claim))]


def _makes(folded: str, wanted: str) -> bool:
    if not wanted or wanted not in folded:
        return False
    is_spaceless = any("\u3040" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7af" for char in wanted)
    pattern = re.escape(wanted) if is_spaceless else rf"(?<!\w){re.escape(wanted)}(?!\w)"
    return re.search(pattern, folded) is not None


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_INVISIBLE.sub("", plain).split())


def _language(slots: Mapping[str, str], asked: Asked) -> Iterator[tuple[Ruling, str]]:
    if is_in(" ".join(slots.values()), asked.locale) is False:
        yield Ruling.WRONG_LANGUAGE, " ".join(slots.values())
    for text in slots.values():
        if len(text) >= 60 and is_in(text, asked.locale) is False:
            yield Ruling.WRONG_LANGUAGE, text


Rule = Callable[[Mapping[str, str], Asked], Iterator[tuple[Ruling, str]]]

RULES: tuple[Rule, ...] = (
    _size,
    _prompt_leaked,
    _markup,
    _placeholders,
    _links,
    _foreign_data,
    _figures,
    _claims,
    _language,
)
"""In the order in which they are asked."""


def _shown(text: str) -> str:
    return one_line(text)[:_SHOWN_CHARS]
