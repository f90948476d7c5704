"""`whisperer export`, against a server that is played."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.cli import entry, export

CONTENT = b"user_id\r\nu1\r\n"
ID = "exp_0000000000000000000001"
LINK = f"https://whisperer.example.com/v1/exports/{ID}/file?token=dl_x"


class Played:
    """The server: an export takes two looks."""

    def __init__(self) -> None:
        self.posted: list[tuple[tuple[str, ...], Any]] = []
        self.deleted: list[tuple[str, ...]] = []
        self.fetched: list[str] = []
        self.content = CONTENT
        self.n_looks = 0
        self.last: dict[str, Any] = {
            "state": "done",
            "rows": 1,
            "size_bytes": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "expires_at": "2026-12-07T00:00:00.000Z",
            "download_url": LINK,
        }

    def __call__(self, *_: Any) -> Played:
        return self

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None: ...

    def _document(self, **more: Any) -> dict[str, Any]:
        progress = {"rows": 1, "share": 0.5}
        made = {"id": ID, "of": "users", "format": "csv", "created_at": "2026-11-30T00:00:00.000Z", "created_by": "ada"}
        return {**made, "state": "running", "progress": progress, "error": None, **more}

    def post(self, *path: str, body: Any = None) -> dict[str, Any]:
        self.posted.append((path, body))
        return self._document(state="queued", progress={"rows": 0, "share": None})

    def get(self, *path: str, **query: str) -> dict[str, Any]:
        if path == ("tenants", "acme", "exports"):
            return {
                "data": [self._document(**self.last)] if query == {"filter[state]": "done"} else [],
                "next_cursor": None,
            }
        assert path == ("tenants", "acme", "exports", ID)
        self.n_looks += 1
        return self._document(**(self.last if self.n_looks > 1 else {}))

    def delete(self, *path: str) -> dict[str, Any]:
        self.deleted.append(path)
        return self._document(state="cancelled")

    @contextmanager
    def streaming(self, target: str) -> Iterator[Any]:
        self.fetched.append(target)
        yield self

    def iter_bytes(self, size: int) -> Iterator[bytes]:
        yield self.content[:5]
        yield self.content[5:]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    made = Played()
    monkeypatch.setattr(export, "Operator", made)
    monkeypatch.setattr(export.time, "sleep", lambda _: None)
    return made


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["whisperer", "export", *arguments, "--tenant", "acme"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    return int(ended.value.code or 0)


def test_an_export_is_begun_waited_for_and_saved(
    played: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "u.csv"
    file.write_bytes(b"before")
    filters = ("-f", "traits.plan=pro", "-f", "score[gte]=0.7", "-f", "score[lt]=0.9")
    assert run(monkeypatch, "create", "users", "--format", "csv", *filters, "-o", str(file), "--json") == 0
    assert file.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [file]
    asked = {"traits.plan": "pro", "score": {"gte": "0.7", "lt": "0.9"}}
    assert played.posted == [(("tenants", "acme", "exports"), {"of": "users", "format": "csv", "filter": asked})]
    assert played.fetched == [f"/v1/exports/{ID}/file?token=dl_x"]
    assert json.loads(capsys.readouterr().out)["state"] == "done"


def test_what_did_not_arrive_whole_is_not_saved(
    played: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played.content = CONTENT[:-1] + b"x"
    file = tmp_path / "u.csv"
    file.write_bytes(b"before")
    assert run(monkeypatch, "download", ID, "-o", str(file)) == 1
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]
    assert "SHA-256" in capsys.readouterr().err


def test_one_that_fails_says_why(
    played: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played.last = {"state": "failed", "error": "an export has 5 rows at most; narrow its filter"}
    assert run(monkeypatch, "create", "events", "-o", str(tmp_path / "e")) == 1
    assert "narrow its filter" in capsys.readouterr().err
    assert not (tmp_path / "e").exists()


def test_one_in_the_background_is_not_waited_for(
    played: Played, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "create", "audit", "--background", "--json") == 0
    assert (played.n_looks, json.loads(capsys.readouterr().out)["state"]) == (0, "queued")
    assert run(monkeypatch, "create", "audit", "--background", "-o", "x") == 2


def test_exports_are_listed_shown_and_deleted(
    played: Played, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "list", "--state", "done") == 0
    assert ID in capsys.readouterr().out
    played.n_looks = 1
    assert run(monkeypatch, "show", ID) == 0
    told = capsys.readouterr()
    assert ("users" in told.out, LINK in told.err) == (True, True)
    assert run(monkeypatch, "delete", ID) == 0
    assert "was cancelled" in capsys.readouterr().err
    assert played.deleted == [("tenants", "acme", "exports", ID)]


@pytest.mark.parametrize("written", ["campaign", "=x", ""])
def test_what_is_no_filter_is_refused(played: Played, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    assert run(monkeypatch, "create", "events", "-f", written) == 2
    assert played.posted == []
