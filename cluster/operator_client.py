"""Client of the running installation's `/internal/*` endpoints, authorised by the operator's token.

Translates answers into the product's errors, so that commands deal only with those. The endpoints are the gateway's;
docs/operations.md lists them with their documents.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from cluster.launch import installation
from whisperer.errors import (
    ConflictError,
    ForbiddenError,
    InvalidKeyError,
    NotFoundError,
    RequestError,
    UnavailableError,
    WhispererError,
)

_STATUS_TO_ERROR: dict[int, type[WhispererError]] = {
    401: InvalidKeyError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    422: RequestError,
    400: RequestError,
    429: UnavailableError,
    503: UnavailableError,
}


class Mistake(msgspec.Struct):
    """One mistake in what was sent; ``pointer`` says where it is."""

    pointer: str = ""
    message: str | None = None
    detail: str | None = None


class Refusal(msgspec.Struct):
    """What is read of an answer that is no success."""

    code: str | None = None
    message: str | None = None
    detail: str | None = None
    errors: list[Mistake] = []


class Operator:
    """The client. Raises NotFoundError, ConflictError, RequestError and UnavailableError according to the answer."""

    def __init__(self, data_dir: Path, timeout_s: float = 60.0) -> None:
        """Raise NotInstalledError, or UnavailableError if the installation is not running."""
        self.installation = installation.load(data_dir)
        if not self.installation.running:
            raise UnavailableError(
                f"the installation in {data_dir} does not run: start it with `whisperer up --data-dir {data_dir}`"
            )
        self._client = httpx.Client(
            base_url=f"{self.installation.local_url}/internal",
            headers={"Authorization": f"Bearer {self.installation.operator_token}"},
            timeout=timeout_s,
            trust_env=False,
        )

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, *path: str, **query: str | int) -> Any:
        return self._call("GET", path, query=query)

    def post(self, *path: str, body: Any = None) -> Any:
        return self._call("POST", path, body)

    def put(self, *path: str, body: Any = None) -> Any:
        return self._call("PUT", path, body)

    def delete(self, *path: str) -> Any:
        return self._call("DELETE", path)

    @contextlib.contextmanager
    def streaming(self, target: str) -> Iterator[httpx.Response]:
        """Ask for a path of the interface for tenants that needs no key, and yield the answer before its body is read.

        Raises like every call; a connection that breaks off in the middle raises UnavailableError.
        """
        try:
            # Without the token of the operator, whom such a path does not know.
            url = f"{self.installation.local_url}{target}"
            with httpx.stream("GET", url, timeout=self._client.timeout, trust_env=False) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _error(answer, "GET", target.partition("?")[0])
                yield answer
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"{self.installation.url} ended the answer early ({type(error).__name__}); try again"
            ) from None

    def _call(
        self, method: str, path: tuple[str, ...], body: Any = None, query: dict[str, str | int] | None = None
    ) -> Any:
        url = "/" + "/".join(_segment(step) for step in path)
        try:
            answer = self._client.request(method, url, json=body, params=query or None)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"{self.installation.url} does not answer ({type(error).__name__}): see `whisperer status`"
            ) from None
        if answer.is_success:
            return answer.json() if answer.content else None
        raise _error(answer, method, url)


def _error(answer: httpx.Response, method: str, url: str) -> WhispererError:
    """Return the error that an answer means."""
    refusal = _refusal(answer)
    kind = _STATUS_TO_ERROR.get(answer.status_code, WhispererError)
    message = refusal.message or refusal.detail or f"{method} {url} answered {answer.status_code}"
    details = [f"  {error.pointer}: {error.message or error.detail}" for error in refusal.errors]
    return kind("\n".join([message, *details]), code=refusal.code or kind.code)


def _segment(step: str) -> str:
    """Return an id as one segment of a path, whatever it contains; one of only dots would be taken for a folder."""
    quoted = quote(step, safe="", errors="replace")
    return quoted.replace(".", "%2E") if step in (".", "..") else quoted


def _refusal(answer: httpx.Response) -> Refusal:
    """Return the refusal that an answer describes; an empty one if something else answered, such as a proxy."""
    try:
        return msgspec.json.decode(answer.content, type=Refusal)
    except msgspec.DecodeError:
        return Refusal()
