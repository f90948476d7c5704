"""Writes ``docs/licences.md``: the licence of every package that ``requirements.lock`` pins.

Read from the metadata of the installed packages, so run it in the project's environment:

    python docs/make_licences.py           # write the page
    python docs/make_licences.py --check   # fail if it is out of date, or a licence is new to us

A licence nobody has looked at yet stops the check: it is then read, and put into :data:`PERMISSIVE` or explained in
:data:`NOTES`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"

_SPELLINGS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd license": "BSD",
    "gplv2": "GPL-2.0",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}

PERMISSIVE = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU"),
    *("PSF-2.0", "Unlicense", "Zlib"),
}

NOTES = {
    "GPL-2.0": "Free to use. `ray[serve]` brings it: the HAProxy program, started by Ray Serve as a process of its own "
    "and spoken to over sockets. User Whisperer neither links nor changes it, so its own licence is not touched. "
    "Whoever passes the program on, in a container image for instance, must offer its source code.",
    "LGPL-3.0-only": "The PostgreSQL driver, imported unchanged and only when the control plane is PostgreSQL. Whoever "
    "passes it on must let it be replaced, as `pip` does.",
    "MPL-2.0": "Copyleft by file: only changes to its own files must be published. All are used unchanged.",
}

# Pinned for other systems or versions of Python than the one that writes the page, or without a word in their metadata;
# from the registry, and from the licence file they bring.
_ELSEWHERE = {
    "atheris": "Apache-2.0",
    "async-timeout": "Apache-2.0",
    "colorama": "BSD",
    "dkimpy": "Zlib",
    "pgserver": "Apache-2.0",
    "tzdata": "Apache-2.0",
    "xgboost": "Apache-2.0",
}

UNKNOWN = "unknown"
_PIN = re.compile(r"([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)")


class Package(NamedTuple):
    name: str
    version: str
    licence: str
    shipped: bool  # needed by the product, not only by its developers


def pinned(lock: str) -> list[tuple[str, str]]:
    """(canonical name, version) of every pin."""
    return [(canonicalize_name(pin[1]), pin[2]) for pin in map(_PIN.match, lock.splitlines()) if pin]


def licence_of(name: str) -> str:
    """An SPDX expression where the package gives one, else what its metadata comes to."""
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:
        return _ELSEWHERE.get(name, UNKNOWN)
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [
        c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier") or [] if c.startswith("License :: OSI")
    ]
    told = (metadata.get_all("License") or [""])[0]
    if told.startswith("BSD 3-Clause License"):
        told = "BSD 3-Clause License"  # followed by the whole text
    named = spdx(told)
    if "\n" not in told and named not in ("", "BSD") and parts_of(named) <= PERMISSIVE | NOTES.keys():
        return named
    return " OR ".join(sorted({spdx(c) for c in classifiers})) or _ELSEWHERE.get(name, UNKNOWN)


def spdx(told: str) -> str:
    return _SPELLINGS.get(told.strip().lower(), told.strip())


def parts_of(expression: str) -> set[str]:
    """The licences that an SPDX expression names."""
    # An exception to a licence (`WITH`) only allows more.
    without = re.sub(r" WITH [\w.-]+", "", expression)
    return set(re.findall(r"[\w.-]+", without)) - {"AND", "OR"}


def shipped_names(lock: str) -> set[str]:
    """Canonical names of everything the product itself needs, at any depth, on any system: from the lock's `# via`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: set[str] = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    name_to_users = users(lock)
    while more := {name for name, by in name_to_users.items() if name not in found and by & found}:
        found |= more
    return found


def users(lock: str) -> dict[str, set[str]]:
    """Package -> packages that need it."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in lock.splitlines():
        if pin := _PIN.match(line):
            name = canonicalize_name(pin[1])
            found.setdefault(name, set())
        elif user := re.fullmatch(r" +#(?: via |   )(\w[\w.-]*)(?: .*)?", line):
            found[name].add(canonicalize_name(user[1]))
    return found


def packages() -> list[Package]:
    lock = (ROOT / "requirements.lock").read_text()
    shipped = shipped_names(lock)
    name_to_versions: dict[str, list[str]] = {}
    for name, version in pinned(lock):
        name_to_versions.setdefault(name, []).append(version)
    return [
        Package(name, ", ".join(versions), licence_of(name), name in shipped)
        for name, versions in name_to_versions.items()
    ]


def unread(found: list[Package]) -> list[Package]:
    """Packages with a licence that is neither permissive nor explained."""
    return [p for p in found if p.licence == UNKNOWN or parts_of(p.licence) - PERMISSIVE - NOTES.keys()]


def render(found: list[Package]) -> str:
    lines = [
        "# Licences",
        "",
        "User Whisperer is under the [Apache License 2.0](../LICENSE). It is installed with these packages, pinned in",
        "`requirements.lock`. `docs/make_licences.py` writes this page from the packages' own metadata.",
        "",
        "## Worth knowing",
        "",
    ]
    for licence, note in NOTES.items():
        names = ", ".join(f"`{p.name}`" for p in found if licence in parts_of(p.licence))
        if names:
            lines += [f"- **{licence}** ({names}). {note}"]
    for title, shipped in (("Needed to run", True), ("Needed only to develop and test", False)):
        lines += ["", f"## {title}", "", "| package | version | licence |", "|---|---|---|"]
        lines += [f"| {p.name} | {p.version} | {p.licence} |" for p in found if p.shipped is shipped]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    found = packages()
    page = render(found)
    if "--check" not in arguments:
        PAGE.write_text(page)
    for package in (strangers := unread(found)):
        print(f"{package.name}: licence {package.licence!r} has not been looked at", file=sys.stderr)
    if stale := PAGE.read_text() != page:
        print("docs/licences.md is out of date: run python docs/make_licences.py", file=sys.stderr)
    return int(stale or bool(strangers))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
