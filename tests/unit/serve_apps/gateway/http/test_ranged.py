"""Files as answers: each range is exactly those bytes, what is no range is the whole, nothing is read ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from actors.files.blobs import BlobFolder
from serve_apps.gateway.http import ranged
from serve_apps.gateway.http.ranged import RangedFile, span_of
from whisperer.errors import NotFoundError

CONTENT = bytes(range(256)) * 40


class Client:
    """Asks, and counts what it is sent; ``takes`` pieces, then it is gone."""

    def __init__(self, folder: Path, takes: int = 1_000) -> None:
        self.folder = BlobFolder(folder)
        self.n_left = 0
        self.sent: list[dict[str, Any]] = []
        self._takes = takes

    async def ask(self, method: str = "GET", place: str = "a", **headers: str) -> tuple[int, Headers, bytes]:
        asked = Headers({name.replace("_", "-"): value for name, value in headers.items()})
        size = len(CONTENT)
        more = {"Content-Disposition": "attachment"}
        answer = RangedFile(self.folder, place, size, '"e"', asked, media_type="text/csv", more=more, leave=self._leave)
        self.sent = []
        await answer({"type": "http", "method": method}, self._receive, self._send)
        start, *pieces = self.sent
        return start["status"], Headers(raw=start["headers"]), b"".join(piece["body"] for piece in pieces)

    def _leave(self) -> None:
        self.n_left += 1

    async def _receive(self) -> Any:
        raise AssertionError("nothing is to be read")

    async def _send(self, message: Any) -> None:
        if len(self.sent) >= self._takes:
            raise ConnectionError
        self.sent.append(message)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    BlobFolder(tmp_path).put("a", CONTENT)
    return tmp_path


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_what_the_specification_says(size: int, first: int, last: int) -> None:
    content = bytes(range(size))

    def asked(header: str) -> bytes | None:
        span = span_of(header, size)
        return None if span is None else content[span[0] : span[1]]

    whole = content
    assert asked(f"bytes={first}-{last}") == (whole if last < first else content[first : last + 1] or None)
    assert asked(f"bytes={first}-") == (content[first:] or None)
    assert asked(f"bytes=-{last}") == (content[max(0, size - last) :] if last and size else None)


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "bytes=x-", "lines=0-1", "bytes=0-1,3-4", "bytes=0x1-2", "bytes=٣-4"]
)
def test_what_is_no_range_is_the_whole(header: str | None) -> None:
    assert span_of(header, 10) == (0, 10)


async def test_a_file_comes_whole_in_pieces_or_in_the_range_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranged, "PIECE_BYTES", 1_000)
    client = Client(folder)
    status, headers, body = await client.ask()
    assert (status, body, len(client.sent)) == (200, CONTENT, 12)
    assert dict(headers) == {
        "accept-ranges": "bytes",
        "etag": '"e"',
        "content-disposition": "attachment",
        "content-length": str(len(CONTENT)),
        "content-type": "text/csv",
    }
    status, headers, body = await client.ask(range="bytes=10-1500")
    assert (status, headers["content-range"], headers["content-length"]) == (
        206,
        f"bytes 10-1500/{len(CONTENT)}",
        "1491",
    )
    assert body == CONTENT[10:1501]
    status, headers, body = await client.ask(range="bytes=10-1500", if_range='"e"')
    assert (status, body) == (206, CONTENT[10:1501])
    status, headers, body = await client.ask(range="bytes=10-1500", if_range='"other"')
    assert (status, body) == (200, CONTENT)
    status, headers, body = await client.ask(range="bytes=99999-")
    assert (status, headers["content-range"], body) == (416, f"bytes */{len(CONTENT)}", b"")
    status, headers, body = await client.ask("HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(CONTENT)), b"")
    assert client.n_left == 6


async def test_whatever_ends_it_the_turn_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranged, "PIECE_BYTES", 1_000)
    gone = Client(folder, takes=3)
    with pytest.raises(ConnectionError):
        await gone.ask()
    assert gone.n_left == 1
    nowhere = Client(folder)
    with pytest.raises(NotFoundError):
        await nowhere.ask(place="b")
    assert (nowhere.n_left, nowhere.sent) == (1, [])
