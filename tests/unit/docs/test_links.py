"""Links to headings lead to one, and the index of decisions has each of them once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.docs.naming import PAGES, ROOT

DECISIONS = (ROOT / "docs" / "decisions.md").read_text()


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(text: str) -> list[str]:
    shown = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [anchor(heading) for heading in re.findall(r"^#+ (.*)$", shown, re.MULTILINE)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_lead_to_one(page: Path) -> None:
    for target, wanted in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text()):
        found = page.parent / target if target else page
        assert wanted in anchors(found.read_text()), f"{target}#{wanted}"


def test_the_index_has_each_decision_once_under_its_stage() -> None:
    index, *stages = DECISIONS.split("\n## ")
    rows = re.findall(r"^\| (?:\[([^]]+)\]\([^)]*\))? ?\| (\S+) \| \[(.+)\]\(#(.+)\) \|$", index, re.MULTILINE)
    listed: dict[str, list[tuple[str, str]]] = {}
    for stage, date, title, target in rows:
        assert target == anchor(f"{date}: {title}")
        listed.setdefault(stage or list(listed)[-1], []).append((date, title))
    written = {
        text.partition("\n")[0]: re.findall(r"^### (\d{4}-\d\d-\d\d): (.+)$", text, re.MULTILINE) for text in stages
    }
    assert listed == written
    assert sum(map(len, written.values())) > 90
    assert all(dates == sorted(dates, reverse=True) for dates in ([d for d, _ in of] for of in written.values()))
