"""Templates, what was found in them, and what they make."""

from __future__ import annotations

from typing import Any

import msgspec


class TemplateBody(msgspec.Struct):
    locales: dict[str, Any]


class ListedTemplate(msgspec.Struct):
    name: str
    version: int
    channel: str
    template: TemplateBody


class Template(msgspec.Struct):
    """``template`` is as its author wrote it."""

    version: int
    channel: str
    published_at: str | None
    template: dict[str, Any]


class Found(msgspec.Struct):
    """One finding of the lint."""

    severity: str
    code: str
    message: str
    locale: str | None = None
    part: str | None = None
    line: int | None = None
    column: int | None = None


class Linted(msgspec.Struct):
    """What the lint finds in a template."""

    errors: int
    warnings: int
    findings: list[Found]


class ScoreBin(msgspec.Struct):
    """Messages with about one score."""

    score: float
    sent: int
    engaged: int
    rate: float
    calibrated: float


class ChannelQuality(msgspec.Struct):
    """A channel's scored messages."""

    channel: str
    scored: int
    mean: float | None
    bins: list[ScoreBin]


class Qualities(msgspec.Struct):
    """Quality by channel."""

    channels: list[ChannelQuality]


class LocaleScore(msgspec.Struct):
    """A language's score, or why there is none."""

    locale: str
    score: float | None = None
    marks: dict[str, float] = {}
    why: str | None = None


class Scored(msgspec.Struct):
    """A template's scores."""

    mean: float
    locales: list[LocaleScore]


class Variant(msgspec.Struct):
    """What a model wrote for a template; ``draft`` is None if it is not used."""

    number: int
    ruling: str
    detail: str = ""
    draft: str | None = None
    texts: dict[str, str] = {}
    score: float | None = None


class Variants(msgspec.Struct):
    """The variants of a template."""

    variants: list[Variant]


class Segments(msgspec.Struct):
    """What an SMS is billed as."""

    encoding: str
    segments: int


class Quality(msgspec.Struct):
    """A message's score."""

    score: float


class Preview(msgspec.Struct):
    """``reason`` and ``detail`` say why it is not ``rendered``; the other fields are then empty."""

    version: int
    rendered: bool
    locale: str = ""
    parts: dict[str, str] = {}
    reason: str = ""
    detail: str = ""
    sms: Segments | None = None
    findings: list[Found] = []
    quality: Quality | None = None
    from_name: str | None = None
    reply_to: str | None = None


class Proof(msgspec.Struct):
    """``reason`` says why it is not ``rendered``; the other fields but ``detail`` are then empty."""

    version: int
    rendered: bool
    locale: str = ""
    to: str = ""
    status: str = ""
    provider: str | None = None
    reason: str = ""
    detail: str | None = None
