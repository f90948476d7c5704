"""Fill blocks and layouts into a template's texts, before anything else looks at them.

A *block* is a template whose channel is ``block``: an ``html`` or a ``text``, or both, in any number of languages. It
is versioned, drafted, reviewed and translated as any template. A text uses it by ``{% render 'name' %}``; a text that
begins with ``{% layout 'name' %}`` becomes the ``{% content %}`` of that block. What is filled in is text: MJML, HTML
and plain text alike, and its variables are the template's. An html part takes a block's html, any other its text.

``'name'`` follows the block: it is its newest version. ``'name@3'`` is version 3 for good; the blocks that this version
names follow unless it says otherwise of each.

Guarantees: it ends, within :data:`MAX_DEPTH` blocks inside of each other, :data:`MAX_BLOCKS` of them in one part and
:data:`MAX_CHARS` characters; a block that holds itself is refused, with the way around. Leaves finding blocks, and what
is right in the whole text, to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from whisperer.content import limits
from whisperer.content.errors import TemplateError
from whisperer.content.locales import lookup
from whisperer.errors import Problem
from whisperer.events.place import canonical_locale
from whisperer.vocabulary.channels import CHANNELS, Part

BLOCK = "block"
"""The channel of a block."""
STANDS_FOR = "email"
"""The channel as whose message a block is checked and shown."""
SHOWN_SUBJECT = "-"

MAX_DEPTH = 5
MAX_BLOCKS = 100
MAX_CHARS = 200_000

_TAG = re.compile(r"\{%-?\s*(?P<tag>(?:end)?(?:raw|comment)|render|layout|content)\b(?P<rest>[^%}]{0,200})%\}")
_NAME = re.compile(r"\s*(['\"])(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,62}(?:@[1-9][0-9]{0,8})?)\1\s*-?")


class Block(NamedTuple):
    """One block at one version."""

    version: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Filled:
    """Hold a template whose blocks are filled in; ``used``: block -> version, of those that follow the newest.

    A block is a mail that holds it.
    """

    body: Any
    used: Mapping[str, int]


class _WrongError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def split(reference: str) -> tuple[str, int | None]:
    """Return the block that a reference names, and the version it keeps to; None if it follows the newest.

    >>> split("footer@3"), split("footer")
    (('footer', 3), ('footer', None))
    """
    name, _, version = reference.partition("@")
    return name, int(version) if version else None


def references_in(body: Any) -> set[str]:
    """Return how a template's texts name blocks themselves, such as `footer` and `footer@3`."""
    return {
        name["name"]
        for _, _, text in _texts(body)
        for found in _tags(text)
        if found["tag"] != "content" and (name := _NAME.fullmatch(found["rest"]))
    }


def filled_in(body: Any, blocks: Mapping[str, Block] | None) -> Filled:
    """Return a template with its blocks. ``blocks``: those that it names, and that they name, each as it is named;
    None fills in nothing for each, where only the rest is to be looked at.

    Raises TemplateError with every problem: `missing_block`, `block_cycle`, `block_too_deep`, `misplaced_block`,
    `syntax_error`, `too_long`, `too_many`.
    """
    if not isinstance(body, dict) or not isinstance(body.get("locales"), dict):
        return Filled(_as_mail(body), {})
    problems: list[Problem] = []
    filled: dict[tuple[str, str], str] = {}
    used: dict[str, int] = {}
    channel = CHANNELS.get(STANDS_FOR if body.get("channel") == BLOCK else str(body.get("channel")))
    for locale, name, text in _texts(body):
        part = channel.part(name) if channel is not None else None
        if part is None or "{%" not in text:
            continue
        filling = _Filling(blocks, canonical_locale(locale) or locale, part, body.get("channel") == BLOCK)
        try:
            filled[locale, name] = filling.whole(text)
        except _WrongError as unfit:
            if len(problems) < limits.MAX_PROBLEMS:
                problems.append(Problem(pointer=f"/locales/{locale}/{name}", code=unfit.code, message=unfit.message))
        used |= filling.used
    if problems:
        raise TemplateError(problems)
    locales = {
        locale: {name: filled.get((locale, name), text) for name, text in parts.items()}
        if isinstance(parts, dict)
        else parts
        for locale, parts in body["locales"].items()
    }
    return Filled(_as_mail({**body, "locales": locales}), used)


@dataclass(slots=True)
class _Filling:
    """Fill one part of one language."""

    blocks: Mapping[str, Block] | None
    locale: str
    part: Part
    is_block: bool
    used: dict[str, int] = field(default_factory=dict)
    n_blocks: int = 0
    n_chars: int = 0

    def whole(self, text: str) -> str:
        """Return a part with everything filled in; the content of a block that is a layout is empty."""
        made = self._filled(text, ())
        return self._with_content(made, "") if self.is_block else made

    def _filled(self, text: str, path: tuple[str, ...]) -> str:
        first = next(_tags(text), None)
        if first is not None and first["tag"] == "layout" and not text[: first.start()].strip():
            outer = self._block(_named(first), path)
            inner = self._replaced(text[first.end() :], path)
            if self.blocks is None:
                return inner
            if not _has_content(outer):
                raise _WrongError("missing_block", f"{_named(first)} is no layout: it has no {{% content %}}")
            return self._with_content(outer, inner)
        return self._replaced(text, path)

    def _replaced(self, text: str, path: tuple[str, ...]) -> str:
        pieces: list[str] = []
        at = 0
        for found in _tags(text):
            if found["tag"] == "layout":
                raise _WrongError("misplaced_block", "{% layout %} is the first thing in a text, once")
            if found["tag"] == "render":
                pieces += (text[at : found.start()], self._block(_named(found), path))
                at = found.end()
        return "".join((*pieces, text[at:]))

    def _block(self, name: str, path: tuple[str, ...]) -> str:
        """Return the text of a block, with the blocks in it."""
        if self.part.syntax == "json":
            raise _WrongError("misplaced_block", f"the {self.part.name} is JSON, which holds no blocks")
        if self.blocks is None:
            return ""
        if name in path:
            way = " → ".join((*path[path.index(name) :], name))
            raise _WrongError("block_cycle", f"a block cannot hold itself: {way}")
        if len(path) >= MAX_DEPTH:
            raise _WrongError("block_too_deep", f"at most {MAX_DEPTH} blocks inside of each other: {' → '.join(path)}")
        self.n_blocks += 1
        if self.n_blocks > MAX_BLOCKS:
            raise _WrongError("too_many", f"a part holds at most {MAX_BLOCKS} blocks, those inside of others included")
        found = self.blocks.get(name)
        if found is None:
            raise _WrongError("missing_block", _missing(name))
        if split(name)[1] is None:
            self.used[name] = found.version
        text = _text_of(found.body, self.locale, "html" if self.part.syntax == "html" else "text")
        if text is None:
            kind = "html" if self.part.syntax == "html" else "text"
            raise _WrongError("missing_block", f"block {name!r} has no {kind}, which the {self.part.name} needs")
        self.n_chars += len(text)
        if self.n_chars > MAX_CHARS:
            raise _WrongError("too_long", f"the blocks of a part have at most {MAX_CHARS:,} characters")
        return self._filled(text if self.part.syntax != "line" else " ".join(text.split()), (*path, name))

    def _with_content(self, outer: str, inner: str) -> str:
        pieces: list[str] = []
        at = 0
        for found in _tags(outer):
            if found["tag"] == "content":
                pieces += (outer[at : found.start()], inner)
                at = found.end()
                self.n_chars += len(inner)
                if self.n_chars > MAX_CHARS:
                    raise _WrongError("too_long", f"the blocks of a part have at most {MAX_CHARS:,} characters")
        return "".join((*pieces, outer[at:]))


def _tags(text: str) -> Iterator[re.Match[str]]:
    """Yield the tags of blocks in order, except those that are shown as they are written, or commented out."""
    inside = ""
    for found in _TAG.finditer(text):
        tag = found["tag"]
        if inside:
            inside = "" if tag == f"end{inside}" else inside
        elif tag in ("raw", "comment"):
            inside = tag
        elif not tag.startswith("end"):
            yield found


def _texts(body: Any) -> Iterator[tuple[str, str, str]]:
    """Yield (locale, part, text) of whatever may be a template."""
    locales = body.get("locales") if isinstance(body, dict) else None
    for locale, parts in locales.items() if isinstance(locales, dict) else ():
        for name, text in parts.items() if isinstance(parts, dict) else ():
            if isinstance(locale, str) and isinstance(name, str) and isinstance(text, str):
                yield locale, name, text


def _text_of(body: Mapping[str, Any], locale: str, part: str) -> str | None:
    locales = {canonical_locale(tag) or tag: parts for tag, parts in body["locales"].items()}
    default = canonical_locale(body.get("default_locale", "en")) or "en"
    text = locales[lookup(locale, locales, default)].get(part)
    if text is None:
        text = locales[default].get(part)
    return text if isinstance(text, str) else None


def _named(found: re.Match[str]) -> str:
    name = _NAME.fullmatch(found["rest"])
    if name is None:
        message = (
            f"write {{% {found['tag']} 'name' %}}, or 'name@3' for version 3, with the name of a block and no more"
        )
        raise _WrongError("syntax_error", message)
    return name["name"]


def _missing(reference: str) -> str:
    name, version = split(reference)
    if version is None:
        return f"there is no block {name!r}; publish it first"
    return f"there is no version {version} of a block {name!r}; {name!r} without it is the newest"


def _has_content(text: str) -> bool:
    return any(found["tag"] == "content" for found in _tags(text))


def _as_mail(body: Any) -> Any:
    """Return a block as the mail that it is checked as; any other template as it is."""
    if not isinstance(body, dict) or body.get("channel") != BLOCK:
        return body
    locales = body.get("locales")
    if isinstance(locales, dict):
        locales = {
            tag: {"subject": SHOWN_SUBJECT, **parts} if isinstance(parts, dict) and "subject" not in parts else parts
            for tag, parts in locales.items()
        }
    return {**body, "channel": STANDS_FOR, "locales": locales}
