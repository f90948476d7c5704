"""docs/architecture.md names what there is: every file, function, room, contract and fault, and every bound's figure."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

from tests.unit.docs.naming import PAGES, ROOT, definitions, definitions_named, files_named, folders_named
from whisperer.settings import Settings

PAGE = ROOT / "docs" / "architecture.md"
TEXT = PAGE.read_text()
UNITS = {"KB": 1 << 10, "MB": 1 << 20, "ms": 0.001, "s": 1.0, "": 1}
CONSTANT_UNITS = {"_MS": 0.001, "_US": 1e-6, "_mib": 1 << 20}
FOLDERS_OF_DATA = {"static", "templates", "versions", "migrations"}


def section(title: str) -> str:
    """The text under a heading, up to the next one of its level."""
    level = title.split(" ")[0]
    return TEXT.partition(f"\n{title}\n")[2].partition(f"\n{level} ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables in a text, without their headings."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {at - 1 for at, line in enumerate(lines) if line.startswith("|---")}
    kept = [line for at, line in enumerate(lines) if at not in heads and not line.startswith("|---")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in kept]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    missing = [path for path in files_named(page) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_folder_that_a_page_names_exists(page: Path) -> None:
    assert [path for path in folders_named(page) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_function_that_a_page_names_is_defined_there(page: Path) -> None:
    missing = [f"{path}:{name}" for path, name in definitions_named(page) if name not in definitions(ROOT / path)]
    assert missing == []


def test_a_name_that_is_not_there_would_be_noticed() -> None:
    assert len(definitions_named(PAGE)) > 80
    assert {"Shard.apply", "HANDLERS"} <= definitions(ROOT / "whisperer/shard/machine.py")
    assert "Shard.applied" not in definitions(ROOT / "whisperer/shard/machine.py")


ROOMS = {
    "whisperer": "### `whisperer/`",
    "actors": "### `actors/`",
    "serve_apps": "### `serve_apps/`",
    "training": "### `training/`",
    "cluster": "### `cluster/`",
    "tests": "### `tests/`",
}


@pytest.mark.parametrize("package", ROOMS)
def test_every_room_is_on_the_page_and_no_other(package: str) -> None:
    heading = next(line for line in TEXT.splitlines() if line.startswith(ROOMS[package]))
    tables = section(heading).split("\n\n| room of ")
    assert named_rooms(tables[0]) == rooms_of(ROOT / package)
    for table in tables[1:]:
        folder = table[1:].partition("/`")[0]
        assert named_rooms("| room of " + table) == rooms_of(ROOT / folder), folder


def named_rooms(text: str) -> set[str]:
    return {name for cells in rows(text) for name in re.findall(r"`(\w+)/`", cells[0])}


def rooms_of(folder: Path) -> set[str]:
    """The folders that hold modules, or what tests are compared with."""
    return {
        path.name
        for path in folder.iterdir()
        if path.is_dir() and path.name not in FOLDERS_OF_DATA and not path.name.startswith(("_", "."))
    }


def test_every_kind_of_contract_of_imports_is_on_the_page() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rooms = "depend on lower ones only, and each has its place"
    kinds = {
        "rooms" if c["name"].endswith(rooms) else c["type"] if c["type"] == "protected" else c["name"]
        for c in contracts
    }
    numbered = re.findall(r"^(\d)\. ", section("## The rules"), re.MULTILINE)
    assert numbered == [str(n) for n in range(1, len(kinds) + 1)]
    assert f"contracts of {('no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven')[len(kinds)]} kinds" in TEXT


def test_every_promise_is_proved_by_faults_and_tests_that_exist() -> None:
    promises = rows(section("## The promises"))
    faults = {path.stem for path in (ROOT / "tests" / "faults" / "cases").glob("[a-z]*.py")}
    assert len(promises) > 10
    for promise, _, proof in promises:
        named = re.findall(r"`(\w+)`", proof)
        assert set(named) <= faults, promise
        assert named or "tests/" in proof, promise


BOUNDS = rows(section("## The bounds"))


@pytest.mark.parametrize(("what", "bound", "where"), BOUNDS, ids=[cells[0] for cells in BOUNDS])
def test_every_bound_has_the_figure_that_the_code_has(what: str, bound: str, where: str) -> None:
    figure, _, unit = bound.partition(" ")
    place = where.removeprefix("setting ").strip("`")
    if where.startswith("setting"):
        group, key = place.split(".")
        value = getattr(getattr(Settings(), group), key)
    else:
        path, key = place.split(":")
        value = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), key)
    scale = next((size for end, size in CONSTANT_UNITS.items() if key.endswith(end)), 1)
    assert float(figure.replace(",", "")) * UNITS[unit] == pytest.approx(value * scale), what
