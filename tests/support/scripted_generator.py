"""A tenant's generator without a socket: it answers questions by a function, piece by piece."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from actors.limiter import Ask, Lease
from serve_apps.generation.allowance import Allowance
from serve_apps.generation.asking import Asking
from serve_apps.generation.endpoint import Answer, UnansweredError
from serve_apps.generation.generators import Generator
from whisperer.content.generation.prompt import Prompt
from whisperer.content.generation.settings import GeneratorSettings
from whisperer.ids import TenantId

Write = Callable[[dict[str, Any]], dict[str, str] | None]
"""(the document of a question) -> texts by name; None: the endpoint fails."""


def same(document: dict[str, Any]) -> dict[str, str]:
    """Return the texts as they are, with a word more."""
    return {name: f"{text} Now" if name.startswith("text") else text for name, text in document["texts"].items()}


class ScriptedEndpoint:
    """Answers questions; ``asked`` has their documents."""

    def __init__(self, write: Write) -> None:
        self.write = write
        self.asked: list[dict[str, Any]] = []

    async def stream(self, prompt: Prompt, timeout_s: float, heard: Callable[[str], Any]) -> Answer:
        document = json.loads(prompt.document)
        self.asked.append(document)
        texts = self.write(document)
        if texts is None:
            raise UnansweredError("the endpoint answered 500")
        answer = json.dumps(texts, ensure_ascii=False)
        for at in range(0, len(answer), 20):
            heard(answer[at : at + 20])
        return Answer(answer, 100)

    async def aclose(self) -> None:
        """Do nothing."""


class ScriptedGenerators:
    """Has one generator for the tenants in ``of``, and none for all others."""

    def __init__(self, write: Write = same, **settings: Any) -> None:
        made = GeneratorSettings(base_url="https://llm.example.com/v1", model="writer", **settings)
        self.endpoint = ScriptedEndpoint(write)
        self.generator = Generator(made, made.voice_of("Acme"), self.endpoint)  # type: ignore[arg-type]
        self.without: set[str] = set()

    async def of(self, tenant: TenantId) -> Generator | None:
        return None if tenant in self.without else self.generator


class _Plane:
    def spend_generator_tokens(self, tenant_id: str, day: int, tokens: int) -> int:
        return tokens


async def _lease(asks: list[Ask]) -> list[Lease]:
    return [Lease(ask.least, 1.0, 0.0) for ask in asks]


def unbounded() -> Asking:
    """Return what asks without a bound."""
    return Asking(Allowance(_lease, _Plane()))
