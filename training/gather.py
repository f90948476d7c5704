"""Gather a tenant's rows out of the warehouse, as Parquet next to the run that asked for them.

Decides the cutoffs for churn: midnights UTC, evenly spaced, from one window after the first event to one window before
the last. Guarantees: rows are gathered once per run, and count only once all of them are written. Leaves to others: the
rows themselves (:mod:`training.rows`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import duckdb
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from actors.warehouse import Warehouse
from training.dataset import CHURN, RowsError
from training.rows.decisions import decision_rows
from training.rows.replay import Question, churn_rows
from whisperer.ids import TenantId
from whisperer.vocabulary.units import DAY_MS

ROWS, COMPLETE = "rows", "rows.json"


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from.

    Attributes
    ----------
    warehouse : URI
    tenant : id
    campaign : whose decisions; "" for all
    goal : event that counts as coming back; "" for any activity
    window_days, every_days : of churn's labels, and from cutoff to cutoff
    order : one of :data:`training.rows.blocks.ORDERS`
    """

    warehouse: str
    tenant: TenantId
    campaign: str = ""
    goal: str = ""
    window_days: int = 30
    every_days: int = 15
    order: str = "received_at"


def gather(kind: str, source: Source, files: pafs.FileSystem, folder: str) -> str:
    """Write the rows into ``folder`` unless they are there; return their path. Raises RowsError."""
    place, complete = f"{folder}/{ROWS}", f"{folder}/{COMPLETE}"
    if files.get_file_info(complete).type != pafs.FileType.NotFound:
        return place
    files.create_dir(place)
    warehouse, n_rows = Warehouse(source.warehouse), 0
    tables = _churn(warehouse, source) if kind == CHURN else _decisions(warehouse, source)
    for number, table in enumerate(tables):
        pq.write_table(table, f"{place}/{number:05d}.parquet", filesystem=files)
        n_rows += table.num_rows
    if n_rows == 0:
        wanted = "users at any cutoff" if kind == CHURN else "decisions whose rewards are final"
        raise RowsError(f"the warehouse at {source.warehouse} has no {wanted} of tenant {source.tenant} yet")
    with files.open_output_stream(complete) as stream:
        stream.write(json.dumps({"rows": n_rows, **asdict(source)}).encode())
    return place


def forget(files: pafs.FileSystem, folder: str) -> None:
    """Delete the rows of a finished run: they are about users, some of whom may be erased."""
    for place in (f"{folder}/{COMPLETE}", f"{folder}/{ROWS}"):
        match files.get_file_info(place).type:
            case pafs.FileType.File:
                files.delete_file(place)
            case pafs.FileType.Directory:
                files.delete_dir(place)


def cutoffs(first: int, last: int, window_days: int, every_days: int) -> list[int]:
    """Return midnights UTC in ms, ascending, counted back from the last one whose window is over.

    Examples
    --------
    >>> [cutoff // DAY_MS for cutoff in cutoffs(0, 100 * DAY_MS, 30, 15)]
    [40, 55, 70]
    """
    newest, oldest = last // DAY_MS - window_days, first // DAY_MS + window_days
    return [day * DAY_MS for day in range(newest, oldest - 1, -every_days)][::-1]


def _churn(warehouse: Warehouse, source: Source) -> Iterator[pa.Table]:
    connection = duckdb.connect(config={"threads": 1})
    events = warehouse.duckdb_relation(source.tenant, "events", connection)
    ends = events.aggregate(f"epoch_ms(min({source.order})), epoch_ms(max({source.order}))")
    ((first, last),) = ends.fetchall()
    if first is None:
        return
    at = cutoffs(first, last, source.window_days, source.every_days)
    if not at:
        days = (last - first) // DAY_MS
        raise RowsError(
            f"{days} days of events do not hold a cutoff with {source.window_days} days on both sides: wait, or ask for"
            " a shorter --window-days"
        )
    question = Question(at, source.window_days, goal=source.goal or None)
    yield from churn_rows(warehouse, source.tenant, question, order=source.order)


def _decisions(warehouse: Warehouse, source: Source) -> Iterator[pa.Table]:
    found = decision_rows(warehouse, source.tenant, campaign=source.campaign or None)
    if found.num_rows:
        yield found
