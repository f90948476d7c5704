"""What docs/metrics.md says there is, and what an exposition has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

DOCUMENT = Path(__file__).parents[4] / "docs" / "metrics.md"
_ROW = re.compile(
    r"^\| `(?P<name>whisperer_\w+)` \| (?P<kind>\w+) \| (?P<labels>[^|]*) \| [^|]* \| (?P<text>[^|]+) \| [^|]* \|$",
    re.MULTILINE,
)
_OWN_LABELS = {"le"}


class Told(NamedTuple):
    kind: str
    labels: tuple[str, ...]
    text: str


def documented() -> dict[str, Told]:
    rows = _ROW.finditer(DOCUMENT.read_text())
    return {
        row["name"]: Told(row["kind"], tuple(re.findall(r"`(\w+)`", row["labels"])), row["text"].strip())
        for row in rows
    }


def exposed(text: str) -> dict[str, Told]:
    """By the name under which people ask for it: counters with their `_total`. Labels are those of the samples."""
    found = {}
    for family in text_string_to_metric_families(text):
        name = family.name + "_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - _OWN_LABELS
        found[name] = Told(family.type, tuple(sorted(labels)), family.documentation)
    return found


def labels_documented() -> set[str]:
    table = DOCUMENT.read_text().partition("## Labels")[2].partition("## ")[0]
    first_cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    return {label for cell in first_cells for label in re.findall(r"`(\w+)`", cell)}
