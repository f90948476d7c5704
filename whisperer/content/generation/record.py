"""Write down, for a decision's audit, what a model was asked, what it answered, and what was made of it.

Bounded: at most :data:`MAX_BYTES` of JSON with a decision, texts cut at their ends. Nothing personal is in it: prompts
and answers are written down as they crossed the wire, with placeholders.
"""

from __future__ import annotations

import msgspec

MAX_BYTES = 4_096
TEXT_BYTES = 1_500
"""Of the prompt and of the answer, each, at first; less where their JSON is longer."""


class GenerationRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hold one question's story.

    Attributes
    ----------
    ruling : value of :class:`whisperer.content.generation.ruling.Ruling`
    detail : what the rule objected to
    model : as the tenant set it
    prompt_hash : of the whole prompt, however much of it is kept
    cached : whether an answer of before was used
    ms : how long the model took
    tokens : of prompt and answer, as the endpoint counts
    withheld : facts that were left out because they read like orders
    """

    ruling: str
    detail: str = ""
    model: str = ""
    prompt_hash: str = ""
    prompt: str = ""
    output: str = ""
    cached: bool = False
    ms: int = 0
    tokens: int = 0
    withheld: list[str] = []


class Provenance(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hold where a message's words come from: its quality score (0 to 5), what a model had to do with it, and the marks
    below 1 that cost something, by criterion."""

    quality: float | None = None
    generation: GenerationRecord | None = None
    marks: dict[str, float] = {}


def written(provenance: Provenance) -> bytes:
    """Return it as JSON of at most MAX_BYTES, b"" if there is nothing to say."""
    if provenance == Provenance():
        return b""
    size = TEXT_BYTES
    while True:
        found = msgspec.json.encode(_cut(provenance, size))
        if len(found) <= MAX_BYTES:
            return found
        size //= 2


def read(text: bytes) -> Provenance | None:
    """Read what :func:`written` wrote; None for nothing, and for what a later release wrote otherwise."""
    try:
        return msgspec.json.decode(text, type=Provenance) if text else None
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def _cut(provenance: Provenance, size: int) -> Provenance:
    record = provenance.generation
    if record is None:
        return provenance
    short = msgspec.structs.replace(
        record,
        prompt=clipped(record.prompt, size),
        output=clipped(record.output, size),
        detail=clipped(record.detail, min(size, 300)),
        model=clipped(record.model, min(size, 200)),
        withheld=[clipped(name, 100) for name in record.withheld[: min(8, size // 100)]],
    )
    return msgspec.structs.replace(provenance, generation=short)


def clipped(text: str, size_bytes: int) -> str:
    """Return the beginning of a text, at most ``size_bytes`` of UTF-8; a cut one ends in an ellipsis.

    >>> clipped("überall", 7)
    'übe…'
    """
    data = text.encode("utf-8", "replace")
    if len(data) <= size_bytes:
        return data.decode()
    return data[: max(0, size_bytes - 3)].decode("utf-8", "ignore") + "…"
