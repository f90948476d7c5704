"""Say what a tenant may set of its generator: which endpoint, which model, and what bounds it."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from whisperer.content.generation.prompt import Voice
from whisperer.errors import Problem, ProblemsError

MAX_CLAIMS = 100
MAX_HOSTS = 50
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")

HIDDEN = "********"
"""Stands for the key wherever the settings are shown; sent back, it means the key that is stored."""


class GeneratorError(ProblemsError):
    """A generator cannot be set up like this."""

    subject = "generator"
    code = "invalid_generator"


_Host = Annotated[str, msgspec.Meta(max_length=253)]
_Claim = Annotated[str, msgspec.Meta(min_length=2, max_length=100)]


class GeneratorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Set up a tenant's generator.

    Attributes
    ----------
    base_url : of any endpoint that speaks OpenAI's chat completions, such as ``https://llm.example.com/v1``
    api_key : kept sealed, never shown; "" for an endpoint that wants none
    requests_per_minute, tokens_per_day : of the tenant, over all processes
    at_send_time : whether campaigns may have messages written when they are sent
    voice : how the brand sounds
    banned_claims : words and claims that no message makes, besides those that spam filters know
    allowed_hosts : hosts of links that a text may contain, besides those of the template
    """

    base_url: Annotated[str, msgspec.Meta(max_length=500)]
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    api_key: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    requests_per_minute: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 60
    tokens_per_day: Annotated[int, msgspec.Meta(ge=1, le=10_000_000_000)] = 1_000_000
    at_send_time: bool = False
    voice: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    banned_claims: Annotated[list[_Claim], msgspec.Meta(max_length=MAX_CLAIMS)] = []
    allowed_hosts: Annotated[list[_Host], msgspec.Meta(max_length=MAX_HOSTS)] = []

    def __repr__(self) -> str:
        return f"GeneratorSettings({self.base_url!r}, {self.model!r})"  # without the key, to keep it out of logs

    def voice_of(self, brand: str) -> Voice:
        """Return the voice for prompts, of a tenant whose brand has this name."""
        return Voice(brand, self.voice, tuple(self.banned_claims), frozenset(self.allowed_hosts))


def read_generator(body: Any, held: GeneratorSettings | None = None) -> GeneratorSettings:
    """Check a caller's JSON; a key left out, or sent as it is shown, is the one ``held``.

    Raises GeneratorError with every problem that is found at once.
    """
    if isinstance(body, dict) and held is not None and body.get("api_key", HIDDEN) == HIDDEN:
        if body.get("base_url") != held.base_url and held.api_key:
            # The key is for the endpoint it was given with: it must not be sent wherever a reader of it likes.
            raise GeneratorError([_problem("/api_key", "another base_url needs its key again")])
        body = {**body, "api_key": held.api_key}
    try:
        found = msgspec.convert(body, GeneratorSettings)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        pointer = "/".join(("", *re.findall(r"[\w]+", path))) if path else ""
        raise GeneratorError([_problem(pointer, message)]) from None
    problems = [*_of_url(found.base_url)]
    if found.api_key == HIDDEN or not found.api_key.isprintable() or not found.api_key.isascii():
        problems.append(_problem("/api_key", "write the key itself, in printable ASCII"))
    if not found.model.isprintable():
        problems.append(_problem("/model", "write the model's name on one line"))
    for place, host in enumerate(found.allowed_hosts):
        if not _HOST.fullmatch(host):
            problems.append(_problem(f"/allowed_hosts/{place}", f"{host[:80]!r} is no host such as shop.example.com"))
    if problems:
        raise GeneratorError(problems)
    return found


def _of_url(url: str) -> list[Problem]:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return [_problem("/base_url", "this is no URL")]
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return [_problem("/base_url", "write an address such as https://llm.example.com/v1")]
    if parts.username is not None or parts.query or parts.fragment or not url.isascii() or not url.isprintable():
        return [_problem("/base_url", "write it without credentials, query and fragment, in printable ASCII")]
    return []


def _problem(pointer: str, message: str) -> Problem:
    return Problem(pointer=pointer, code="invalid_generator", message=message)
