"""Errors travel between processes whole; ids are what they say."""

from __future__ import annotations

import ast
import builtins
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer import errors, ids

ROOT = Path(__file__).parents[2]
PACKAGES = ("whisperer", "actors", "serve_apps", "training", "cluster")
ROOT_ERROR = errors.WhispererError.__name__
ALL = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.WhispererError)]
PLAIN = [kind for kind in ALL if kind is not errors.ProblemsError]


@dataclass(frozen=True)
class Defined:
    """A class of exceptions as the sources define it. ``bases`` are names without their modules."""

    name: str
    module: str
    bases: tuple[str, ...]
    members: frozenset[str]


def exceptions() -> dict[str, Defined]:
    """Return every class of exceptions in the packages by its name, without importing them."""
    classes = {found.name: found for package in PACKAGES for found in _classes(ROOT / package)}
    return {name: found for name, found in classes.items() if _is_error(name, classes)}


def _classes(folder: Path) -> Iterator[Defined]:
    for path in folder.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases)
                members = frozenset(one.name for one in node.body if isinstance(one, ast.FunctionDef))
                yield Defined(node.name, module, bases, members)


def _is_error(name: str, classes: dict[str, Defined]) -> bool:
    if name in classes:
        return any(_is_error(base, classes) for base in classes[name].bases if base != name)
    known = getattr(builtins, name, None)
    if isinstance(known, type):
        return issubclass(known, Exception)
    return name.endswith(("Error", "Exception"))  # a library's


EXCEPTIONS = exceptions()
DELIBERATE = {name: found for name, found in EXCEPTIONS.items() if not name.startswith("_")}


def drawn() -> dict[str, tuple[str, str]]:
    """Return the tree in the docstring: of each class its parent, and its module where the line names one."""
    above: list[str] = []
    tree = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"    ([ │├└─]*)(\w+Error)(?: +(\S.*))?", line)
        if found:
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            module = (found[3] or "") if re.fullmatch(r"\w+(\.\w+)+", found[3] or "") else errors.__name__
            tree[found[2]] = (above[depth - 1] if depth else "", module)
    return tree


def test_every_deliberate_error_is_in_the_tree_under_what_it_derives_from() -> None:
    assert len(DELIBERATE) > 40
    bases = {name: ("" if name == ROOT_ERROR else found.bases[0]) for name, found in DELIBERATE.items()}
    assert drawn() == {name: (bases[name], found.module) for name, found in DELIBERATE.items()}


def test_what_is_outside_of_the_tree_never_leaves_its_module() -> None:
    texts = {path: path.read_text("utf-8") for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    for name in EXCEPTIONS.keys() - DELIBERATE.keys():
        assert len([path for path, text in texts.items() if re.search(rf"\b{name}\b", text)]) == 1, name


def test_an_error_with_a_constructor_of_its_own_says_how_it_is_pickled() -> None:
    for name, found in DELIBERATE.items():
        assert "__init__" not in found.members or "__reduce__" in found.members, name


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling_with_all_it_says(kind: type[errors.WhispererError]) -> None:
    error = kind("what to do", code="special", retry_after_s=2.5)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.message, copy.code, copy.retry_after_s) == (kind, "what to do", "special", 2.5)
    assert str(copy) == "what to do"


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("whisperer.segments.errors:PredicateError", ([{"pointer": "", "code": "x", "message": "y"}],)),
        ("serve_apps.gateway.http.exchange:InvalidBodyError", ("/name", "say its name")),
        ("whisperer.profiles.bgnbd:HistoryError", ("it ends before it begins", 3)),
        ("whisperer.evaluation.logged:InvalidLogError", ("shape", "it has none", None)),
        ("training.uplift.trial:TrialError", ("shape", "it has none", 1)),
        ("cluster.errors:StartError", ("`ray start` failed", Path("/x/ray.log"))),
    ],
)
def test_so_does_one_with_a_constructor_of_its_own(kind: str, arguments: tuple[object, ...]) -> None:
    module, _, name = kind.partition(":")
    error = getattr(import_module(module), name)(*arguments)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.code) == (type(error), str(error), error.code)
    assert vars(copy) | vars(error) == vars(copy)


def test_problems_are_counted_in_the_message_and_keep_their_places() -> None:
    problems = [errors.Problem(pointer=f"/{n}" if n else "", code="x", message="write it") for n in range(5)]
    error = errors.ProblemsError(problems, code="special")
    assert str(error) == "The request cannot be used: request: write it; /1: write it; /2: write it (and 2 more)"
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.errors, copy.code, str(copy)) == (problems, "special", str(error))


def test_only_overload_absence_and_slowness_are_worth_trying_again() -> None:
    assert {e.__name__ for e in ALL if e.retryable} == {
        "OverloadError",
        "TooManyError",
        "TooSlowError",
        "UnavailableError",
        "StaleMapError",
    }
    other = {e.__name__: e.status for e in ALL if e.retryable and e.status != 503}
    assert other == {"TooManyError": 429, "TooSlowError": 408}


@given(a=st.integers(0, 2**47), b=st.integers(0, 2**47))
def test_new_ids_sort_by_time(a: int, b: int) -> None:
    first, second = ids.new_id("tn", min(a, b)), ids.new_id("tn", max(a, b))
    assert (first <= second) or a == b


@given(key=st.text(max_size=40), tenant=st.text(max_size=10))
def test_every_key_has_a_partition(key: str, tenant: str) -> None:
    assert 0 <= ids.partition_of(ids.known_key(key), ids.tenant_seed(tenant)) < ids.N_PARTITIONS
    assert ids.bare_id(ids.anonymous_key(key)) == key
