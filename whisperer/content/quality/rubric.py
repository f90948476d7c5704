"""The rubric: seven criteria, what each looks at, and how they make one score from 0 to 5.

Each criterion gives a mark from 0 to 1. The score is five times their weighted mean, and never more than any criterion
allows: its ``cap`` at the mark 0, 5 at the mark 1, and a line between. A message in the wrong language is bad however
short its sentences are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from whisperer.content.generation.guardrails import claimed
from whisperer.content.identification import is_in
from whisperer.content.lint.words import spam_words
from whisperer.content.locales import language
from whisperer.content.plain_text import text_of
from whisperer.content.quality.readability import readability
from whisperer.content.sms_segments import sms_size

MOST = 5.0


@dataclass(frozen=True)
class Read:
    """Hold a message as it is judged: its channel and language, and its parts as they go out.

    ``banned_claims``: the tenant's.
    """

    channel: str
    locale: str
    parts: Mapping[str, str]
    banned_claims: tuple[str, ...] = ()

    @cached_property
    def head(self) -> str:
        """The subject or title, "" where the channel has none."""
        return self.parts.get("subject") or self.parts.get("title") or ""

    @cached_property
    def body(self) -> str:
        """What is read below it, as plain text: of the html, else of the text; without the footer."""
        html = self.parts.get("html")
        text = text_of(html) if html is not None else self.parts.get("text") or self.parts.get("body") or ""
        return _without_footer(text) if self.channel == "email" else text.strip()

    @cached_property
    def prose(self) -> str:
        """Head and body without addresses."""
        return "\n".join(filter(None, (self.head, " ".join(_URL.sub(" ", self.body).split(" ")).strip())))

    @cached_property
    def urls(self) -> list[str]:
        """The addresses in it, in html those behind its links."""
        html = self.parts.get("html")
        found = _HREF.findall(html) if html is not None else _URL.findall(self.body)
        return [url for url in found if not _UNSUBSCRIBE.search(url)]


_URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://[^\s<>\"')\]]+|\bwww\.[^\s<>\"')\]]+", re.IGNORECASE)
_HREF = re.compile(r"<a\b[^>]*?\bhref\s*=\s*[\"']?([^\"'>\s]+)", re.IGNORECASE)
_UNSUBSCRIBE = re.compile(r"/m/u/|unsubscribe", re.IGNORECASE)
_RULE = re.compile(r"\n-- ?\n")

_UNRESOLVED = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\[\[.*?\]\]|\{[A-Za-z_][\w. ]*\}|%[A-Z][A-Z_]{2,}%|%%\w+%%|\*\|\w+\|\*|<<\w+>>"
    r"|\[(?:first|last|user|your|customer|vor|nach)?[ _-]?(?:name|vorname|nombre|nom|prénom|company)\]"
    r"|\b(?-i:undefined|NaN|None|NULL)\b|(?<=[ ,])(?-i:null)(?=[,!.:])|\[object Object\]|lorem ipsum",
    re.IGNORECASE,
)
_GAP = re.compile(
    r"(?<=\w) +[,،、](?=\s|$)|(?:^|\n)\s*[,،]\s|\w ,\s|,\s*,|\b(?:Hi|Hello|Hallo|Hola|Bonjour|Dear|Ciao)\s+[!,:]",
    re.IGNORECASE,
)


def _without_footer(text: str) -> str:
    """Return a mail without what the law wants at its end: from the rule on, or the block with the unsubscribe link,
    whose postal address is in whatever language it is in."""
    blocks = _RULE.split(text)[0].split("\n\n")
    return "\n\n".join(block for block in blocks if not _UNSUBSCRIBE.search(block)).strip()


def _personalised(read: Read) -> float:
    """Nothing unresolved is 1; a gap where a name belongs costs a third."""
    whole = f"{read.head}\n{read.body}"
    if _UNRESOLVED.search(_URL.sub(" ", whole)):
        return 0.0
    return 0.65 if _GAP.search(whole) else 1.0


def _in_language(read: Read) -> float:
    """1 in the language it was meant to be in, 0 in another; a head in another than the body's is 0.3."""
    of_all = is_in(read.prose, read.locale)
    if of_all is False:
        return 0.0
    paragraphs = [part for part in read.prose.split("\n") if len(part) >= 40]
    wrong = sum(is_in(part, read.locale) is False for part in paragraphs)
    if wrong:
        return 0.3 if wrong < len(paragraphs) else 0.0
    return 1.0


def _readable(read: Read) -> float:
    return readability(read.prose, read.locale)


_DENSE = frozenset({"ja", "zh", "ko"})


def _length(read: Read) -> float:
    """1 within what the channel is read at, falling to 0 at three times that, and for next to nothing."""
    density = 0.5 if language(read.locale) in _DENSE else 1.0
    marks = []
    if read.channel == "sms":
        segments = sms_size(read.body).segments
        marks.append(1.0 if segments <= 2 else max(0.0, 1 - (segments - 2) * 0.3))
    if read.head:
        marks.append(_within(len(read.head), 4 * density, 65 * density))
    low, high = {"email": (60, 1_400), "sms": (20, 320), "push": (15, 160)}.get(read.channel, (10, 1_000))
    if read.channel != "sms":
        marks.append(_within(len(_URL.sub("", read.body).strip()), low * density, high * density))
    elif len(_URL.sub("", read.body).strip()) < low * density:
        marks.append(0.2)
    return min(marks) if marks else 1.0


def _within(value: float, low: float, high: float) -> float:
    if value < low:
        return max(0.0, value / low)
    return max(0.0, min(1.0, 1 - (value - high) / (2 * high)))


def _links(read: Read) -> float:
    """https only, few, and at least one where something is to be done; shortened and bare numeric hosts cost."""
    if not read.urls:
        return 0.6 if read.channel in ("email", "sms") else 1.0
    mark = 1.0
    for url in read.urls:
        lowered = url.lower()
        if lowered.startswith(("javascript:", "data:", "file:")) or re.match(r"https?://\d+\.\d+", lowered):
            return 0.0
        if lowered.startswith("http://") or lowered.startswith("www."):
            mark = min(mark, 0.4)
        if re.match(r"https?://(?:bit\.ly|tinyurl\.com|t\.co|goo\.gl|is\.gd)/", lowered):
            mark = min(mark, 0.5)
        if lowered in ("#", "https://", "") or "example.invalid" in lowered:
            mark = min(mark, 0.2)
    many = 3 if read.channel != "email" else 8
    return mark * (1.0 if len(read.urls) <= many else max(0.2, many / len(read.urls)))


_SHOUT = re.compile(r"(?<!\w)[^\W\d_]{4,}(?!\w)")


def _tone(read: Read) -> float:
    """No shouting, no crowd of marks, none of the words of spam, few pictures."""
    whole = f"{read.head}\n{read.body}"
    text = _URL.sub(" ", whole)
    mark = 1.0
    words = _SHOUT.findall(text)
    shouted = sum(word.isupper() and word.lower() != word.upper() for word in words)
    if shouted >= 2:
        mark -= min(0.7, 0.15 * shouted)
    exclamations = len(re.findall(r"[!！]", text))
    if exclamations > 1:
        mark -= min(0.5, 0.12 * (exclamations - 1))
    if re.search(r"[!?！？]{2,}|[$€]{2,}", text):
        mark -= 0.3
    spam = len(claimed(text, spam_words().get(language(read.locale), ())))
    mark -= min(0.8, 0.3 * spam)
    emoji = sum(0x1F300 <= ord(char) <= 0x1FAFF for char in text)
    if emoji > 3:
        mark -= min(0.4, 0.1 * (emoji - 3))
    if re.search(r"(.)\1{4,}", re.sub(r"[\s._=-]", "", text)):
        mark -= 0.3
    return max(0.0, mark)


_BROKEN = re.compile(
    r"as an ai\b|language model|i cannot (?:help|assist)|system prompt|ignore (?:all|the|previous)|<\s*script|```"
    r"|als ki-|en tant qu'ia|como modelo de|je suis une ia|私はai|هذا نموذج لغوي",
    re.IGNORECASE,
)


def _guarded(read: Read) -> float:
    """0 for a banned claim, for what a model says about itself, for markup that is shown to readers."""
    whole = f"{read.head}\n{read.body}"
    if _BROKEN.search(whole) or claimed(whole, read.banned_claims):
        return 0.0
    if re.search(r"</?(?:p|div|b|br|span|a|html)\b[^>]*>|&(?:amp|lt|gt|nbsp|quot);", whole, re.IGNORECASE):
        return 0.3
    return 1.0


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the rubric. ``cap``: the most that a message with the mark 0 may get."""

    name: str
    weight: float
    cap: float
    mark: Callable[[Read], float]
    question: str


RUBRIC: tuple[Criterion, ...] = (
    Criterion(
        "personalisation", 0.20, 1.0, _personalised, "Is everything filled in, with no gap where a name belongs?"
    ),
    Criterion("language", 0.20, 1.0, _in_language, "Is all of it in the reader's language?"),
    Criterion("readability", 0.15, 3.0, _readable, "Is it read in one go?"),
    Criterion("length", 0.10, 2.5, _length, "Is it as long as its channel is read at?"),
    Criterion("links", 0.10, 2.0, _links, "Is there something to do, over https, and not too much of it?"),
    Criterion("tone", 0.15, 2.0, _tone, "Does it speak as one person to another?"),
    Criterion("guardrails", 0.10, 0.5, _guarded, "Does it keep to what may be said?"),
)
assert abs(sum(criterion.weight for criterion in RUBRIC) - 1) < 1e-9
