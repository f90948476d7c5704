"""`whisperer bench`: run a benchmark from the source checkout, or list them."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.exit_codes import NOT_FOUND

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / "tests" / "benchmarks"
_PREFIX = "bench_"


app = typer.Typer()


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Which one; without it they are listed.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures here.")] = None,
) -> None:
    """Run a benchmark. Further options are passed to the benchmark itself.

    Examples:

        whisperer bench
        whisperer bench journal --json journal.json
    """
    modules = _modules()
    if name is None:
        rows = [(known, _first_line(path)) for known, path in modules.items()]
        output.print_table(("benchmark", "what it measures"), rows, "This checkout has no benchmarks.")
        return
    module = modules.get(name.removeprefix(_PREFIX))
    if module is None:
        known = ", ".join(modules) or "none: benchmarks come with a source checkout, not with an installed package"
        output.fail(f"there is no benchmark {name!r}; known: {known}", NOT_FOUND)
    # The benchmark runs in the checkout, but paths are relative to the directory the command was given in.
    arguments = [str(Path(word).resolve()) if Path(word).exists() else word for word in context.args]
    command = [sys.executable, "-m", f"tests.benchmarks.{module.stem}", *arguments]
    if json is not None:
        command += ["--json", str(json.resolve())]
    with subprocess.Popen(command, cwd=_ROOT) as running:  # noqa: S603  a module of our own
        # Whatever ends this command also ends the benchmark, which in turn ends what it started.
        signal.signal(signal.SIGTERM, lambda *_: running.terminate())
        raise typer.Exit(running.wait())


def _modules() -> dict[str, Path]:
    paths = sorted(_FOLDER.glob("*.py")) if _FOLDER.is_dir() else []
    return {path.stem.removeprefix(_PREFIX): path for path in paths if _first_line(path) and _is_program(path)}


def _is_program(path: Path) -> bool:
    return '__name__ == "__main__"' in path.read_text("utf-8")


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0]
