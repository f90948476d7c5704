"""Files of JSON Lines become calls of many statements, and what was refused is shown by its line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.cli import bulk, entry, user
from cluster.cli.exit_codes import OK, REFUSED, USAGE


class Played:
    """The server: it refuses the user `nobody`."""

    def __init__(self) -> None:
        self.posted: list[tuple[tuple[str, ...], list[Any]]] = []

    def __call__(self, *_: Any, **__: Any) -> Played:
        return self

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None: ...

    def post(self, *path: str, body: list[Any]) -> dict[str, Any]:
        self.posted.append((path, body))
        results: list[dict[str, Any]] = []
        for index, one in enumerate(body):
            if one.get("user_id") == "nobody":
                problem = {"code": "user_not_found", "message": "there is no user 'nobody'", "title": "Not Found"}
                results.append({"index": index, "status": 404, "problem": problem})
            else:
                results.append({"index": index, "status": 200, "result": one})
        n_refused = sum("problem" in one for one in results)
        return {"n_done": len(body) - n_refused, "n_refused": n_refused, "results": results}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Played:
    played = Played()
    monkeypatch.setattr(bulk, "Operator", played)
    return played


def run(*args: str) -> int:
    try:
        sys.argv = ["whisperer", *args]
        entry.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def written(tmp_path: Path, lines: list[str]) -> str:
    file = tmp_path / "lines.jsonl"
    file.write_text("\n".join(lines))
    return str(file)


def test_a_file_is_sent_in_calls_of_a_bounded_size_and_refusals_are_shown_by_line(
    server: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user, "MOST_ERASED", 2)
    lines = [json.dumps({"user_id": name}) for name in ("a", "b", "nobody", "c")]
    lines.insert(1, "")  # an empty line counts, and says nothing
    file = written(tmp_path, lines)
    assert run("user", "erase", "--file", file, "--tenant", "acme", "--yes") == REFUSED
    path = ("tenants", "acme", "users", "erase", "bulk")
    assert server.posted == [
        (path, [{"user_id": "a"}, {"user_id": "b"}]),
        (path, [{"user_id": "nobody"}, {"user_id": "c"}]),
    ]
    shown = capsys.readouterr()
    assert "user_not_found" in shown.out
    assert "4" in shown.out  # the line
    assert "3 done, 1 refused." in shown.out + shown.err


def test_results_have_the_number_of_their_line(
    server: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user, "MOST_STATEMENTS", 1)
    statement = {"user_id": "a", "channel": "email", "granted": True}
    file = written(tmp_path, [json.dumps(statement)] * 3)
    assert run("user", "consent", "--file", file, "--tenant", "acme", "--json") == OK
    document = json.loads(capsys.readouterr().out)
    assert (document["n_done"], document["n_refused"]) == (3, 0)
    assert [one["line"] for one in document["results"]] == [1, 2, 3]


@pytest.mark.parametrize("kind", ["template", "segment", "campaign"])
def test_things_are_created_from_a_file(server: Played, tmp_path: Path, kind: str) -> None:
    file = written(tmp_path, ['{"name": "a"}'])
    assert run(kind, "bulk", "--file", file, "--tenant", "acme") == OK
    assert server.posted == [(("tenants", "acme", f"{kind}s", "bulk"), [{"name": "a"}])]


def test_a_line_that_is_no_json_is_named(server: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, ['{"user_id": "a"}', "{"])
    assert run("user", "erase", "--file", file, "--tenant", "acme", "--yes") == USAGE
    assert "line 2" in capsys.readouterr().err
    assert server.posted == []


def test_one_user_or_a_file(server: Played, tmp_path: Path) -> None:
    file = written(tmp_path, ["{}"])
    assert run("user", "erase", "--tenant", "acme", "--yes") == USAGE
    assert run("user", "erase", "a", "--file", file, "--tenant", "acme", "--yes") == USAGE
    assert run("user", "consent", "a", "--tenant", "acme", "--granted") == USAGE
    assert server.posted == []


def test_a_call_is_no_larger_than_the_server_takes(
    server: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_BODY_BYTES", 50)
    file = written(tmp_path, [json.dumps({"user_id": "x" * 20})] * 3)
    assert run("user", "erase", "--file", file, "--tenant", "acme", "--yes") == OK
    assert [len(body) for _, body in server.posted] == [1, 1, 1]
