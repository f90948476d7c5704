"""Parse decoded JSON into a template that is ready to render, or report everything that is wrong with it.

Guarantees: whatever the input, either a template within every limit of :mod:`whisperer.content.limits`, compiled in
every locale, or a ``TemplateError``. The language is described in ``docs/templates.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from whisperer.content import limits
from whisperer.content.catalogue_tag import Pick
from whisperer.content.errors import TemplateError
from whisperer.content.html_part import html_part
from whisperer.content.language import CompiledText, compile_part
from whisperer.content.links import hosts_in
from whisperer.errors import Problem
from whisperer.events.place import canonical_locale
from whisperer.vocabulary.channels import CHANNELS, Channel
from whisperer.vocabulary.channels import Part as ChannelPart

REFUSE, BLANK = "refuse", "blank"
POLICIES = (REFUSE, BLANK)
DEFAULT_LOCALE = "en"
_FIELDS = ("channel", "default_locale", "locales", "missing", "defaults", "smart_encoding")
_SHOWN_CHARS = 60

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Template:
    """Hold one checked and compiled template.

    Attributes
    ----------
    locales : canonical BCP 47 tag -> part -> compiled text
    missing : what a missing variable does: "refuse" the message, or leave a "blank"
    defaults : trait -> its value where it is absent or blank
    smart_encoding : whether an SMS is written in plain characters where it then fits the GSM alphabet
    hosts : hosts of the links written out in the template; besides those of the offer, only they are tracked
    """

    channel: str
    default_locale: str
    locales: Mapping[str, Mapping[str, CompiledText]]
    missing: str
    defaults: Mapping[str, Scalar]
    hosts: frozenset[str]
    smart_encoding: bool = False

    @property
    def shows_recent(self) -> bool:
        """Whether it uses the user's latest events."""
        return any(text.shows_recent for parts in self.locales.values() for text in parts.values())

    @property
    def picks(self) -> list[Pick]:
        """What it takes from catalogues."""
        return [pick for parts in self.locales.values() for text in parts.values() for pick in text.picks]

    @property
    def pools(self) -> frozenset[str]:
        """The coupon pools that it takes codes from."""
        return frozenset(pool for parts in self.locales.values() for text in parts.values() for pool in text.pools)


def parse_template(obj: object) -> Template:
    """Check a decoded JSON template and compile it.

    Raises
    ------
    TemplateError : with every problem found, at most ``limits.MAX_PROBLEMS``.

    Examples
    --------
    >>> parse_template({"channel": "sms", "locales": {"en": {"text": "Hi {{ user.name }}"}}}).default_locale
    'en'
    """
    reader = _Reader()
    template = reader.template(obj)
    if reader.problems or template is None:
        raise TemplateError(reader.problems)
    return template


class _Reader:
    """Read one template once. Each method returns what it read, or None after noting a problem."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, pointer: str, code: str, message: str) -> None:
        if len(self.problems) < limits.MAX_PROBLEMS:
            self.problems.append(Problem(pointer=pointer, code=code, message=message))

    def template(self, obj: object) -> Template | None:
        if not isinstance(obj, dict):
            self.note("", "invalid_type", f"a template is an object with channel and locales, not {_shown(obj)}")
            return None
        for key in islice((key for key in obj if key not in _FIELDS), limits.MAX_PROBLEMS):
            self.note(_pointer("", key), "unknown_field", f"a template has {', '.join(_FIELDS)}")
        channel = obj.get("channel")
        if not isinstance(channel, str) or channel not in CHANNELS:
            code = "unknown_channel" if "channel" in obj else "missing_field"
            self.note("/channel", code, f"write one of {', '.join(CHANNELS)}, not {_shown(channel)}")
            channel = None
        missing = obj.get("missing", REFUSE)
        if not isinstance(missing, str) or missing not in POLICIES:
            self.note("/missing", "unknown_policy", f"write one of {', '.join(POLICIES)}, not {_shown(missing)}")
            missing = REFUSE
        defaults = self._defaults(obj.get("defaults", {}))
        smart_encoding = obj.get("smart_encoding", False)
        if not isinstance(smart_encoding, bool) or (smart_encoding and channel not in (None, "sms")):
            self.note("/smart_encoding", "invalid_type", "smart_encoding is true or false, and of sms alone")
        tags = self._tags(obj.get("locales"))
        default_locale = self._default_locale(obj.get("default_locale", DEFAULT_LOCALE), tags)
        if channel is None or tags is None:
            return None
        locales = {
            tag: self._parts(obj["locales"][key], _pointer("/locales", key), CHANNELS[channel], missing, tag)
            for tag, key in tags.items()
        }
        sources = (text for key in tags.values() for text in _texts(obj["locales"][key]))
        hosts = frozenset().union(*(hosts_in(text) for text in sources)) if not self.problems else frozenset()
        return Template(channel, default_locale, locales, missing, defaults, hosts, smart_encoding)

    def _tags(self, obj: object) -> dict[str, str] | None:
        """Read the locales' tags: canonical tag -> the caller's key."""
        if not isinstance(obj, dict):
            code = "missing_field" if obj is None else "invalid_type"
            self.note("/locales", code, 'locales is an object such as {"en": {"text": "…"}}')
            return None
        if not obj:
            self.note("/locales", "empty", "a template needs at least one locale")
        if len(obj) > limits.MAX_LOCALES:
            self.note("/locales", "too_many", f"{len(obj)} locales; at most {limits.MAX_LOCALES}")
        tags: dict[str, str] = {}
        for key in islice(obj, limits.MAX_LOCALES):
            tag = canonical_locale(key) if isinstance(key, str) else None
            if tag is None:
                self.note(_pointer("/locales", key), "unknown_locale", f"{_shown(key)} is no BCP 47 tag such as de-AT")
            elif tag in tags:
                self.note(_pointer("/locales", key), "repeated_locale", f"{tag} is there twice, in two spellings")
            else:
                tags[tag] = key
        return tags

    def _default_locale(self, obj: object, tags: dict[str, str] | None) -> str:
        tag = canonical_locale(obj) if isinstance(obj, str) else None
        if tag is None:
            self.note("/default_locale", "unknown_locale", f"{_shown(obj)} is no BCP 47 tag such as en or de-AT")
        elif tags and tag not in tags:
            message = f"the default is {tag}, but locales has {', '.join(islice(tags, 8))}; name one of them"
            self.note("/default_locale", "unknown_locale", message)
        return tag or DEFAULT_LOCALE

    def _defaults(self, obj: object) -> dict[str, Scalar]:
        if not isinstance(obj, dict):
            self.note(
                "/defaults", "invalid_type", f'defaults is an object such as {{"name": "there"}}, not {_shown(obj)}'
            )
            return {}
        if len(obj) > limits.MAX_DEFAULTS:
            self.note("/defaults", "too_many", f"{len(obj)} defaults; at most {limits.MAX_DEFAULTS}")
        found: dict[str, Scalar] = {}
        for name, value in islice(obj.items(), limits.MAX_DEFAULTS):
            at = _pointer("/defaults", name)
            if not isinstance(name, str) or not 0 < len(name) <= limits.MAX_NAME:
                self.note(at, "too_long" if name else "empty", f"a trait's name has 1 to {limits.MAX_NAME} characters")
            elif isinstance(value, str):
                text = self._text(value, at, limits.MAX_DEFAULT_CHARS)
                if text is not None:
                    found[name] = text
            elif isinstance(value, float) and not math.isfinite(value):
                self.note(at, "not_finite", "write a finite number")
            elif isinstance(value, (bool, int, float)):
                found[name] = value
            else:
                self.note(at, "invalid_type", f"write a text, a number or a bool, not {_shown(value)}")
        return found

    def _parts(self, obj: object, at: str, channel: Channel, missing: str, locale: str) -> dict[str, CompiledText]:
        if not isinstance(obj, dict):
            self.note(at, "invalid_type", f"write the parts of one message, not {_shown(obj)}")
            return {}
        known, alternatives = channel.part_names, channel.alternatives
        for key in islice((key for key in obj if key not in known), limits.MAX_PROBLEMS):
            self.note(_pointer(at, key), "unknown_part", f"{channel.name} has {', '.join(known)}")
        for name in channel.needed:
            if name not in obj:
                self.note(at, "missing_field", f"{channel.name} needs {name}")
        if alternatives and not any(name in obj for name in alternatives):
            self.note(at, "missing_field", f"{channel.article} {channel.noun} needs {' or '.join(alternatives)}")
        found = {}
        for part in channel.parts:
            if part.name in obj:
                compiled = self._part(obj[part.name], f"{at}/{part.name}", part, missing, locale)
                if compiled is not None:
                    found[part.name] = compiled
        return found

    def _part(self, obj: object, at: str, part: ChannelPart, missing: str, locale: str) -> CompiledText | None:
        source = self._text(obj, at, part.max_template_chars)
        if source is None:
            return None
        if not source.strip():
            self.note(at, "empty", "this part is empty; write it or leave it out")
            return None
        try:
            compiled = _compiled(source, part, missing)
            return _laid_out(source, compiled, part, missing, locale) if part.syntax == "html" else compiled
        except TemplateError as error:
            for problem in error.errors:
                self.note(at, problem["code"], problem["message"])
            return None

    def _text(self, value: object, at: str, max_chars: int) -> str | None:
        if not isinstance(value, str):
            self.note(at, "invalid_type", f"write a text, not {_shown(value)}")
        elif len(value) > max_chars:
            self.note(at, "too_long", f"{len(value):,} characters; at most {max_chars:,}")
        elif any("\ud800" <= char <= "\udfff" for char in value):
            self.note(at, "invalid_text", "a lone surrogate is no Unicode text; take it out")
        else:
            return value
        return None


def _compiled(source: str, part: ChannelPart, missing: str) -> CompiledText:
    return compile_part(
        source,
        escapes=part.syntax if part.syntax in ("html", "json") else "",
        refuse_missing=missing == REFUSE,
        max_bytes=part.max_bytes,
    )


def _laid_out(source: str, as_written: CompiledText, part: ChannelPart, missing: str, locale: str) -> CompiledText:
    """Return an html part from MJML, or with styles inlined. Raises TemplateError with everything wrong with MJML."""
    made = html_part(source, locale)
    if made.flaws:
        raise TemplateError(
            [Problem(pointer="", code=f"mjml_{flaw.code}", message=flaw.sentence) for flaw in made.flaws]
        )
    if made.text == source:
        return as_written
    try:
        return _compiled(made.text, part, missing)
    except TemplateError as error:
        if not made.is_mjml:  # a style sheet of tags that cannot be inlined
            return as_written
        raise TemplateError(
            [{**problem, "message": f"compiled from MJML, {problem['message']}"} for problem in error.errors]
        ) from None


def _texts(parts: object) -> list[str]:
    return [text for text in parts.values() if isinstance(text, str)] if isinstance(parts, dict) else []


def _pointer(at: str, key: object) -> str:
    name = str(key)[:_SHOWN_CHARS].encode("utf-8", "backslashreplace").decode()
    return f"{at}/{name.replace('~', '~0').replace('/', '~1')}"


def _shown(value: Any) -> str:
    """Write a value for an error message: short, and encodable as UTF-8 whatever it holds."""
    if isinstance(value, str):
        text = value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "…"
        return "'" + text.encode("utf-8", "backslashreplace").decode() + "'"
    names = {dict: "an object", list: "a list", bool: "a bool", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), "something that is not JSON")
