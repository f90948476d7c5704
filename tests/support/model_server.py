"""A scripted server that speaks OpenAI's chat completions: streams, errors, silence, slowness, garbage.

Each question is answered by the next step of its script, the last one again and again; what was asked is kept. It
streams, as it is asked to: server-sent events with deltas, the usage, and ``[DONE]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

Write = Callable[[dict[str, Any]], dict[str, Any]]
"""(the document of a question) -> the JSON object to answer with."""


@dataclass(frozen=True, slots=True)
class Step:
    """How one question is answered.

    Attributes
    ----------
    write : makes the answer of the question's document
    text : the answer as it is, in place of ``write``
    status : other than 200 answers with an error
    raw : bytes instead of any answer of the protocol
    before_s, between_s : silence before the first piece, and between pieces
    hangs_up : whether the connection ends in the middle of the answer
    counts : whether the usage is told
    """

    write: Write | None = None
    text: str | None = None
    status: int = 200
    raw: bytes | None = None
    before_s: float = 0.0
    between_s: float = 0.0
    hangs_up: bool = False
    counts: bool = True


@dataclass(slots=True)
class ModelServer:
    """The server while it runs. ``asked``: the bodies of questions, ``keys``: what they authenticated with."""

    steps: list[Step]
    port: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def text(self) -> str:
        """All that was ever sent to it."""
        return json.dumps(self.asked, ensure_ascii=False)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head.split("\r\n")[1:])}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
        self.asked.append(body)
        self.keys.append(headers.get("authorization", ""))
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        await asyncio.sleep(step.before_s)
        if step.raw is not None:
            writer.write(step.raw)
            await writer.drain()
            return False
        if step.status != 200:
            error = json.dumps({"error": {"message": "scripted", "type": "server_error"}}).encode()
            writer.write(f"HTTP/1.1 {step.status} X\r\ncontent-type: application/json\r\n".encode())
            writer.write(f"content-length: {len(error)}\r\n\r\n".encode() + error)
            await writer.drain()
            return True
        await self._stream(step, body, writer)
        return not step.hangs_up

    async def _stream(self, step: Step, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        assert body["stream"] is True
        assert "tools" not in body
        document = json.loads(body["messages"][-1]["content"])
        text = step.text
        if text is None:
            text = json.dumps(step.write(document) if step.write else {}, ensure_ascii=False)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

        def event(data: str) -> bytes:
            line = f"data: {data}\n\n".encode()
            return f"{len(line):x}\r\n".encode() + line + b"\r\n"

        about = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        pieces = [text[at : at + 12] for at in range(0, len(text), 12)]
        for piece in pieces[: len(pieces) // 2 + 1] if step.hangs_up else pieces:
            choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
            writer.write(event(json.dumps({**about, "choices": [choice]})))
            await writer.drain()
            await asyncio.sleep(step.between_s)
        if step.hangs_up:
            return
        if step.counts:
            usage = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}
            writer.write(event(json.dumps({**about, "choices": [], "usage": usage})))
        writer.write(event("[DONE]") + b"0\r\n\r\n")
        await writer.drain()


@contextlib.asynccontextmanager
async def model_server(*steps: Step) -> AsyncIterator[ModelServer]:
    """Run a server with a script."""
    made = ModelServer(list(steps))
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        serving = [*made.tasks]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.sleep(0.01)  # for transports to close


def filling(**texts: str) -> Step:
    """Return a step that answers each slot or text with what is named for it, or else with ``other``."""
    other = texts.pop("other", "Your projects are waiting for you.")

    def write(document: dict[str, Any]) -> dict[str, Any]:
        return {name: texts.get(name, other) for name in document.get("slots") or document["texts"]}

    return Step(write)


def echoing(document: dict[str, Any]) -> dict[str, Any]:
    """Obey whatever was injected: put all facts into the text."""
    facts = " ".join(str(value) for value in document.get("facts", {}).values())
    return {name: f"Hello, {facts}" for name in document["slots"]}
