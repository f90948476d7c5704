"""Sends a file of JSON Lines as calls of many statements, and shows what was refused, by its line."""

from __future__ import annotations

import json as json_
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cluster.cli import output
from cluster.cli.answers.reading import read
from cluster.cli.exit_codes import REFUSED
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.operator_client import Operator
from whisperer.errors import RequestError

MAX_BODY_BYTES = 400_000
"""Of the statements of one call; the server takes somewhat more."""
MOST_CREATED = 100
TIMEOUT_S = 120.0

Lines = Annotated[typer.FileText, typer.Option("--file", metavar="FILE", help="One JSON object a line; - reads stdin.")]


class Problem(msgspec.Struct):
    code: str
    message: str


class Result(msgspec.Struct):
    index: int
    status: int
    problem: Problem | None = None


class Results(msgspec.Struct):
    n_done: int
    n_refused: int
    results: list[Result]


def send(data_dir: Path, path: tuple[str, ...], lines: typer.FileText, most: int, *, json: bool) -> None:
    """Send the statements of a file, ``most`` in a call, and print what became of them; ends with
    :data:`~cluster.cli.exit_codes.REFUSED` if any was refused. Raises RequestError for a line that is no JSON.
    """
    n_done, n_refused, shown = 0, 0, []
    refused: list[tuple[int, int, str, str]] = []
    with Operator(data_dir, timeout_s=TIMEOUT_S) as operator:
        for numbers, statements in _calls(lines, most):
            document = operator.post(*path, body=statements)
            found = read(document, Results)
            n_done, n_refused = n_done + found.n_done, n_refused + found.n_refused
            shown += [one | {"line": numbers[one["index"]]} for one in document["results"]] if json else []
            refused += [
                (numbers[one.index], one.status, one.problem.code, one.problem.message)
                for one in found.results
                if one.problem is not None
            ]
    if json:
        output.print_json({"n_done": n_done, "n_refused": n_refused, "results": shown})
    else:
        if refused:
            output.print_table(("line", "status", "code", "what"), refused, "")
        output.say(f"{n_done:,} done, {n_refused:,} refused.")
    if n_refused:
        raise typer.Exit(REFUSED)


def add_command(app: typer.Typer, plural: str, example: str) -> None:
    """Add `bulk` to the commands of a kind of thing that is created."""

    @app.command(
        help=f"Create {plural} from a file, each by itself: one that is wrong keeps no other back.\n\n"
        f"A line is what `POST /v1/{plural}` takes, name included.\n\n"
        f"Example:\n\n    whisperer {example} bulk --file {plural}.jsonl --tenant acme"
    )
    def bulk(file: Lines, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
        send(data_dir, ("tenants", tenant, plural, "bulk"), file, MOST_CREATED, json=json)


def _calls(lines: typer.FileText, most: int) -> Iterator[tuple[list[int], list[Any]]]:
    """Yield the numbers of the lines of each call, with its statements."""
    numbers: list[int] = []
    statements: list[Any] = []
    size_bytes = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            statement = json_.loads(line)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"line {number} is not JSON: {error}", code="malformed_json") from None
        n_bytes = len(line.encode("utf-8", "surrogatepass"))
        if numbers and (len(numbers) == most or size_bytes + n_bytes > MAX_BODY_BYTES):
            yield numbers, statements
            numbers, statements, size_bytes = [], [], 0
        numbers.append(number)
        statements.append(statement)
        size_bytes += n_bytes
    if numbers:
        yield numbers, statements
