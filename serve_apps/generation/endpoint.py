"""Asks one OpenAI-compatible endpoint, by the `openai` client, over connections that go where the SSRF rule lets them.

One attempt per question: a caller who has a deadline has no use for a second. Of an answer at most `MAX_ANSWER_CHARS`
are read. The endpoint's own words never leave here: errors become :class:`UnansweredError` with one of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpcore
import httpx2
import openai

from serve_apps.delivery.ssrf import Guard, GuardedBackend, Network
from whisperer.content.generation.guardrails import MAX_ANSWER_CHARS
from whisperer.content.generation.prompt import Prompt
from whisperer.content.generation.settings import GeneratorSettings
from whisperer.errors import UnavailableError

MAX_CONNECTIONS = 32
CONNECT_S = 2.0
NO_KEY = "none"
"""What the client sends where the endpoint wants no key; it insists on one."""
CHARS_PER_TOKEN = 3
"""For endpoints that do not count: a guess on the high side for English, on the low side for Chinese."""


class UnansweredError(UnavailableError):
    """There is no answer: ``is_late``, or an error, which ``why`` names in our words."""

    def __init__(self, why: str, *, is_late: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.is_late = is_late

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(UnansweredError, self.why, is_late=self.is_late), ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote, and the tokens of question and answer."""

    text: str
    tokens: int


class Endpoint:
    """One tenant's endpoint. Use from one event loop; :meth:`aclose` when its settings have changed."""

    def __init__(self, settings: GeneratorSettings, open_networks: Sequence[Network] = ()) -> None:
        self._settings = settings
        guard = Guard("webhook", open_networks=open_networks)
        self._client = openai.AsyncOpenAI(
            api_key=settings.api_key or NO_KEY,
            base_url=settings.base_url,
            organization="",  # nothing comes from the environment
            project="",
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=_Guarded(guard), follow_redirects=False, trust_env=False),
        )

    async def ask(self, prompt: Prompt, timeout_s: float) -> Answer:
        """Return the model's answer. Raises UnansweredError."""
        text, tokens = "", 0
        async for piece, counted in self._pieces(prompt, timeout_s):
            text, tokens = text + piece, counted or tokens
        return Answer(text, tokens or guessed(prompt, text))

    async def stream(self, prompt: Prompt, timeout_s: float, heard: Callable[[str], Any]) -> Answer:
        """Return the answer; ``heard`` is called with each piece of it as it comes. Raises UnansweredError."""
        text, tokens = "", 0
        async for piece, counted in self._pieces(prompt, timeout_s):
            if piece:
                heard(piece)
            text, tokens = text + piece, counted or tokens
        return Answer(text, tokens or guessed(prompt, text))

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.close()

    async def _pieces(self, prompt: Prompt, timeout_s: float) -> AsyncIterator[tuple[str, int]]:
        """Yield pieces of the answer, and with the last one the tokens, 0 before and where nobody counts."""
        n_chars = 0
        most = sum(prompt.slots.values()) + 400
        try:
            async with asyncio.timeout(timeout_s):
                answered: Any = await self._client.chat.completions.create(
                    model=self._settings.model,
                    messages=prompt.messages,
                    response_format={  # type: ignore[call-overload]
                        "type": "json_schema",
                        "json_schema": {"name": "message", "strict": True, "schema": dict(prompt.schema)},
                    },
                    max_completion_tokens=min(8_000, most),
                    stream=True,
                    stream_options={"include_usage": True},
                    timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
                )
                async with answered:
                    async for chunk in answered:
                        piece = _piece(chunk)
                        n_chars += len(piece)
                        if n_chars > MAX_ANSWER_CHARS:
                            raise UnansweredError("the answer is too long")
                        yield piece, _tokens(chunk)
        except (TimeoutError, openai.APITimeoutError):
            raise UnansweredError(f"no answer within {timeout_s:g} s", is_late=True) from None
        except openai.APIStatusError as error:
            raise UnansweredError(f"the endpoint answered {error.status_code}") from None
        except openai.APIConnectionError as error:
            raise UnansweredError(f"no connection: {type(error.__cause__ or error).__name__}") from None
        except UnansweredError:
            raise
        except Exception as error:  # whatever else an endpoint may send: broken JSON, other types, a broken stream
            raise UnansweredError(f"the answer cannot be read: {type(error).__name__}") from None


def guessed(prompt: Prompt, text: str) -> int:
    """Return about how many tokens a question and its answer have."""
    return (len(prompt.rules) + len(prompt.document) + len(text)) // CHARS_PER_TOKEN + 1


def _piece(chunk: Any) -> str:
    choices = getattr(chunk, "choices", None) or []
    content = getattr(getattr(choices[0], "delta", None), "content", None) if choices else None
    return content if isinstance(content, str) else ""


def _tokens(chunk: Any) -> int:
    total = getattr(getattr(chunk, "usage", None), "total_tokens", 0)
    return total if isinstance(total, int) and 0 < total < 10_000_000 else 0


class _Guarded(httpx2.AsyncBaseTransport):
    """Runs the client's httpx2 over httpcore's pools, whose connections :class:`GuardedBackend` opens. http:// leads
    into opened networks only: the key goes with each request."""

    def __init__(self, guard: Guard) -> None:
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=httpcore.default_ssl_context(),
                max_connections=MAX_CONNECTIONS,
                keepalive_expiry=30.0,
                network_backend=GuardedBackend(allowing),
            )
            for scheme, allowing in ((b"https", guard), (b"http", guard.inside()))
        }

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        answer = await self._pools[request.url.raw_scheme].handle_async_request(
            httpcore.Request(
                request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
            )
        )
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """A body that may be gone through again, from where it was left: the client reads what is left after the end of
    the events, so that the connection can be used again."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer
        self._pieces = aiter(answer.aiter_stream())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._pieces:
            yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()
