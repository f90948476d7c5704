"""Find what a page names: files, and what is defined in them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *ROOT.glob("CONTRIBUTING.md")]
_FILE = re.compile(r"(?:whisperer|actors|serve_apps|training|cluster|tests|examples|docs)/[\w/{},.-]*\.\w+")
_FOLDER = re.compile(
    r"(?<![\w/.])(?:whisperer|actors|serve_apps|training|cluster|tests|examples|docs)(?:/\w+)+/?(?![\w/.{<*-])"
)
_DEFINED = re.compile(rf"({_FILE.pattern}):([A-Za-z_][\w.]*)")


def files_named(page: Path) -> list[str]:
    """Return the files of this repository that a page names, `{a,b}` written out."""
    return sorted({path for found in _FILE.findall(page.read_text()) for path in _written_out(found)})


def folders_named(page: Path) -> list[str]:
    """Return what a page names that has no ending: folders, and modules without theirs."""
    return sorted(set(_FOLDER.findall(page.read_text())))


def definitions_named(page: Path) -> list[tuple[str, str]]:
    """Return (file, name) for each `file.py:name` on a page."""
    return sorted(set(_DEFINED.findall(page.read_text())))


@lru_cache
def definitions(path: Path) -> frozenset[str]:
    """Return what a module defines: `name`, and `Class.name` for what is in a class."""
    return frozenset(_names(ast.parse(path.read_text()).body))


def _names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.ClassDef(name=name, body=inner):
                yield prefix + name
                yield from _names(inner, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case ast.Assign(targets=targets):
                yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name


def _written_out(path: str) -> Iterator[str]:
    parts = [part.split(",") for part in re.split(r"[{}]", path)]
    # Only every second part was between braces; a comma elsewhere belongs to the name.
    choices = [part if at % 2 else [",".join(part)] for at, part in enumerate(parts)]
    return ("".join(chosen) for chosen in product(*choices))
