"""docs/exporting.md says of exports what the code has."""

from __future__ import annotations

import re

from actors.exports import formats, record, store
from actors.exports.columns import TABLES
from actors.jobs import export_runs
from actors.jobs.lanes import EXPORTS
from serve_apps.gateway.services import export_filters, export_gathering, exports
from tests.unit.docs.naming import ROOT
from whisperer.access.download_links import LIFETIME_S
from whisperer.settings import ExportSettings
from whisperer.vocabulary.exports import ExportKind, ExportState
from whisperer.vocabulary.units import DAY_MS

PAGE = (ROOT / "docs" / "exporting.md").read_text()


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the first table below a heading, by their first cell."""
    lines = PAGE.split(heading, 1)[1].splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    return {name.strip(" `"): rest for name, *rest in (row.strip("|").split(" | ") for row in rows)}


def test_every_kind_has_a_row_with_its_filters() -> None:
    rows = {name: cells for name, cells in table("## What there is").items() if name in list(ExportKind)}
    assert list(rows) == list(ExportKind)
    for kind, names in export_filters.EQUAL.items():
        assert re.findall(r"`(\w+)`", rows[kind][-1]) == [*export_filters.TIMES, *names], kind


def test_every_state_is_explained() -> None:
    assert [name for name in table("## Over HTTP") if name in list(ExportState)] == list(ExportState)


def test_the_columns_that_are_named_are_there() -> None:
    users = re.search(r"Users have (.*?)\. All formats", PAGE, re.DOTALL)
    assert users is not None
    assert re.findall(r"`(\w+)`", users[1]) == TABLES[ExportKind.USERS].schema.names
    json = re.search(r"^\| (`sent`.*?) \|", PAGE, re.MULTILINE)
    assert json is not None
    assert set(re.findall(r"`(\w+)`", json[1])) == {name for one in TABLES.values() for name in one.json}


def test_the_bounds_are_those_of_the_code() -> None:
    settings = ExportSettings()
    for told in (
        f"| a file | {settings.most_mib:,} MB |",
        f"| rows of an export | {record.MOST_ROWS:,} |",
        f"| the kept files of a tenant | {settings.tenant_mib:,} MB |",
        f"| exports kept of a tenant | {store.MOST_KEPT} |",
        f"| a file is kept | {settings.keep_days:g} days |",
        f"| the record of an export without a file | {store.RECORDS_KEPT_MS // DAY_MS} days |",
        f"of a tenant on a replica | {EXPORTS.tenant_at_once}, and {EXPORTS.tenant_open} |",
        f"| running on a replica | {EXPORTS.at_once} |",
        f"writing the file each | {EXPORTS.time_limit_s:,.0f} s |",
        f"| filters | {exports.MOST_FILTERS} |",
        f"At most {exports.AT_ONCE} files at once are given by a replica, {exports.TENANT_AT_ONCE} of one tenant",
        f"says `failed` after {store.SILENT_S:g} s",
        f"row groups of at most {formats.GROUP_ROWS:,} rows",
    ):
        assert told in PAGE, told
    assert (LIFETIME_S, export_gathering.PATIENCE_S, export_runs.TIDY_S) == (3_600, 120, 900)
    assert "is good for an hour" in PAGE
    assert "waits for it for two minutes" in PAGE
    assert "every 15 minutes" in PAGE


def test_the_formulas_that_are_guarded_are_named() -> None:
    assert formats.FORMULAS == ("=", "+", "-", "@", "\t", "\r")
    assert "begins with `=`, `+`, `-`, `@`, a tab or a carriage\nreturn" in PAGE
