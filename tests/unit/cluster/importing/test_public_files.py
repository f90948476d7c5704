"""The example maps on the first rows of two public event files, against DuckDB over the same rows."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from cluster.importing.command import import_file
from cluster.importing.report import ImportReport
from tests.unit.cluster.importing.recording_gateway import RecordingGateway
from tests.unit.whisperer.events.ingesting import Stored, ingest

CHECKOUT = Path(__file__).parents[4]
DATA = Path(os.environ.get("USER_WHISPERER_SHARED", CHECKOUT.parent / "shared")) / "data"
N_ROWS = 2_000

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the public data folder ../shared/data is not here")

# user key, event -> (count, revenue in micro-units, first and last in ms UTC)
Sums = dict[tuple[str, str], tuple[int, int, int, int]]


def slice_of(name: str, tmp_path: Path, where: str = "true") -> Path:
    """The first rows of a file, in its order (and some around a condition), as a Parquet file of the same types."""
    out = tmp_path / Path(name).name
    source = f"read_parquet('{DATA / name}', file_row_number = true)"
    query = f"SELECT * EXCLUDE (file_row_number) FROM {source} WHERE {where} ORDER BY file_row_number LIMIT {N_ROWS}"
    duckdb.sql(f"COPY ({query}) TO '{out}' (FORMAT parquet)")
    assert pq.ParquetFile(out).metadata.num_rows == N_ROWS
    return out


def run(file: Path, map_name: str, gateway: RecordingGateway, tmp_path: Path) -> ImportReport:
    report = import_file(
        file,
        url=gateway.url,
        write_key="wk_test",
        tenant="t",
        format="parquet",
        map_path=CHECKOUT / "examples" / map_name,
        data_dir=tmp_path,
        progress=False,
    )
    assert report.rows == N_ROWS == report.sent + sum(report.skipped.values())
    return report


def sums_of(batches: list[dict[str, Any]]) -> Sums:
    """What ingestion makes of the batches: revenue and time are those of the blocks that go to the shards."""
    groups: dict[tuple[str, str], list[Stored]] = defaultdict(list)
    for batch in batches:
        ingested = ingest(batch, "import")
        assert ingested.status == 200
        assert ingested.rejected == []
        assert ingested.notices == {}
        for event in ingested.events:
            groups[event.key, event.name].append(event)
    return {
        key: (len(g), sum(e.revenue for e in g), min(e.timestamp for e in g), max(e.timestamp for e in g))
        for key, g in groups.items()
    }


def sums_in_duckdb(query: str) -> Sums:
    return {("u:" + u, e): (n, r, lo, hi) for u, e, n, r, lo, hi in duckdb.sql(query).fetchall()}


def test_starbucks_rewards_matches_duckdb(gateway: RecordingGateway, tmp_path: Path) -> None:
    file = slice_of("starbucks_rewards/transcript.parquet", tmp_path, "file_row_number % 100 = 0")
    report = run(file, "starbucks_rewards.map.json", gateway, tmp_path)
    assert report.skipped == {}
    expected = sums_in_duckdb(
        f"""SELECT person, event, count(*), sum(coalesce(round(amount * 1000000), 0))::bigint,
                   epoch_ms(min(TIMESTAMP '2026-01-01' + to_hours(time::int))),
                   epoch_ms(max(TIMESTAMP '2026-01-01' + to_hours(time::int)))
            FROM '{file}' GROUP BY ALL"""
    )
    assert {event for _, event in expected} == {"offer received", "offer viewed", "offer completed", "transaction"}
    assert sums_of(gateway.batches) == expected


@pytest.mark.parametrize(
    ("year", "where", "reasons"),
    [
        ("2009_2010", "true", {"no_customer"}),
        ("2009_2010", "InvoiceDate >= '2010-11-30 15:00'", {"no_customer", "overlap_with_2010_2011"}),
        ("2010_2011", "Quantity < 0 OR file_row_number % 50 = 0", {"no_customer"}),
    ],
)
def test_online_retail_matches_duckdb(
    gateway: RecordingGateway, tmp_path: Path, year: str, where: str, reasons: set[str]
) -> None:
    file = slice_of(f"online_retail/online_retail_{year}.parquet", tmp_path, where)
    report = run(file, f"online_retail_{year}.map.json", gateway, tmp_path)
    kept = "InvoiceDate < '2010-12-01'" if year == "2009_2010" else "true"
    expected = sums_in_duckdb(
        f"""SELECT CustomerID::varchar, 'Purchase', count(*),
                   sum(Quantity::bigint * round(UnitPrice * 1000000)::bigint)::bigint,
                   epoch_ms(min(InvoiceDate)), epoch_ms(max(InvoiceDate))
            FROM '{file}' WHERE CustomerID IS NOT NULL AND {kept} GROUP BY ALL"""
    )
    assert sums_of(gateway.batches) == expected
    assert set(report.skipped) == reasons
    assert (
        report.skipped["no_customer"]
        == duckdb.sql(f"SELECT count(*) FROM '{file}' WHERE CustomerID IS NULL AND {kept}").fetchall()[0][0]
    )
