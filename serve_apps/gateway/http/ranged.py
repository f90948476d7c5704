"""Answers with a file from a blob folder, whole or one range of it (RFC 9110), in pieces of :data:`PIECE_BYTES`.

A piece is read, in a thread, once the connection has taken the one before. One range is answered with 206; several, or
what is no range, with the whole; one that lies beyond the end with 416. `If-Range` with another ETag gives the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import pyarrow as pa
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from actors.files.blobs import BlobFolder
from whisperer.errors import NotFoundError

PIECE_BYTES = 256 << 10

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))", re.ASCII)

Span = tuple[int, int]
"""First byte, and the one after the last."""


def span_of(header: str | None, size: int) -> Span | None:
    """Return what a Range header asks of ``size`` bytes: (0, size) for all of it, None for nothing that is there."""
    found = None if header is None else _RANGE.fullmatch(header.strip())
    if found is None:
        return 0, size
    first, last, n_last = found.groups()
    if n_last is not None:
        return None if int(n_last) == 0 or not size else (max(0, size - int(n_last)), size)
    if last is not None and int(last) < int(first):
        return 0, size  # no range at all
    if int(first) >= size:
        return None
    return int(first), size if last is None else min(size, int(last) + 1)


class RangedFile(Response):
    """A file as an answer.

    Parameters
    ----------
    size : of the file, as whoever gives it knows
    headers : of the request: `range` and `if-range` count
    leave : called when it is over, whatever ends it
    """

    def __init__(
        self,
        folder: BlobFolder,
        place: str,
        size: int,
        etag: str,
        headers: Mapping[str, str],
        *,
        media_type: str,
        more: Mapping[str, str],
        leave: Callable[[], None],
    ) -> None:
        asked = headers.get("range") if headers.get("if-range", etag) == etag else None
        span = span_of(asked, size)
        told = {"Accept-Ranges": "bytes", "ETag": etag, **more}
        if span is None:
            told["Content-Range"] = f"bytes */{size}"
            span = 0, 0
            status = 416
        elif span == (0, size):
            status = 200
        else:
            told["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{size}"
            status = 206
        super().__init__(status_code=status, headers={**told, "Content-Length": str(span[1] - span[0])})
        if status != 416:
            self.headers["Content-Type"] = media_type
        self._folder, self._place, self._span, self._leave = folder, place, span, leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first, end = self._span
        opened = ExitStack()
        try:
            try:
                file: pa.NativeFile = await asyncio.to_thread(opened.enter_context, self._folder.reading(self._place))
            except FileNotFoundError:  # it was deleted a moment ago
                raise NotFoundError("this file is not there any more") from None
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD" and first < end:
                while first < end:
                    piece = await asyncio.to_thread(file.read_at, min(PIECE_BYTES, end - first), first)
                    if not piece:
                        raise EOFError(f"{self._place} is shorter than it was")  # the connection ends before the answer
                    first += len(piece)
                    await send({"type": "http.response.body", "body": piece, "more_body": first < end})
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._leave()
            with contextlib.suppress(OSError):
                opened.close()
