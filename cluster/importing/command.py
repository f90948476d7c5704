"""`whisperer import`: imports one file into one tenant over HTTP, resumable and idempotent.

Connects the steps and guarantees the sums: every row of the file is sent, skipped for a reason or rejected with a code,
over however many runs it took. The command line (options, exit status) is left to the CLI.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import xxhash
from rich.console import Console

from whisperer.errors import InvariantError, RequestError

from .checkpoint import Ledger, Totals
from .chunk import MappedChunk
from .lanes import Lanes
from .map_file import ImportMap, load_map
from .progress import ImportProgress, print_report
from .raw_file import file_identity
from .readers import FileError, Source, open_source
from .report import ImportReport
from .sending import Gateway

_SEGMENT_MAP_ID = "segment"


def import_file(
    file: Path | str,
    *,
    url: str,
    write_key: str,
    tenant: str,
    format: str,
    map_path: Path | str | None = None,
    segment: bool = False,
    data_dir: Path | str,
    batch: int = 500,
    concurrency: int = 4,
    progress: bool = True,
    console: Console | None = None,
    restart: bool = False,
    patience_s: float = 3_600.0,
    compress: bool | None = None,
) -> ImportReport:
    """Import a file; return when it is done or Ctrl-C stopped it (``finished`` is then false).

    Parameters
    ----------
    file : the file; `.gz` of CSV and JSON lines is unpacked on the way
    url : the gateway, e.g. ``http://127.0.0.1:8000``
    write_key, tenant : the tenant's write key and its name (used only to file the checkpoint)
    format : ``csv``, ``jsonl`` or ``parquet``
    map_path, segment : an import map, or True for a file of Segment events: exactly one of the two
    data_dir : where checkpoint and rejected rows are kept, under ``imports/``
    batch : events per request, at most 2,500
    concurrency : lanes; rows of one user always keep their order, and with 1 so does the whole file
    restart : discard the checkpoint and send everything again (with the same messageIds)
    patience_s : seconds to keep trying a batch before the import gives up
    compress : gzip requests; None means only if the gateway is on another machine

    Raises
    ------
    MapError, FileError : the map or the file cannot be used; nothing was sent
    InvalidKeyError, UnavailableError, RequestError : the gateway refused or stayed unreachable; the checkpoint is kept
    ConflictError : the same import is already running
    """
    path = Path(file)
    rules, map_id = _rules(map_path, segment)
    if not 1 <= batch <= 2_500 or concurrency < 1:
        raise RequestError("batch is 1 to 2,500 events, concurrency at least 1")
    if not path.is_file():
        raise FileError(f"there is no file {path}")
    file_id = file_identity(path)
    folder = Path(data_dir) / "imports" / quote(tenant, safe="") / f"{file_id[:16]}-{map_id}"
    gateway = Gateway(
        url,
        write_key,
        context=rules.context if rules else {},
        connections=concurrency,
        patience_s=patience_s,
        compress=compress,
    )
    console = console or Console(stderr=True)
    started = time.monotonic()
    with ExitStack() as cleanup:
        source = open_source(path, format, rules, file_id)
        cleanup.callback(source.close)
        ledger = Ledger(folder, Totals(str(path), file_id, map_id, tenant), restart=restart)
        cleanup.callback(ledger.close)
        cleanup.callback(ledger.save)
        lanes = Lanes(concurrency, batch, gateway.send, ledger.settle)
        try:
            with ImportProgress(console, path.name, enabled=progress, rows_before=ledger.resumed_from) as bar:
                asyncio.run(_send_all(source, ledger, gateway, lanes, bar))
            _check(ledger)
            ledger.totals.finished = True
        except KeyboardInterrupt:
            pass  # what was answered is in the ledger; the report says where to resume
        except BaseExceptionGroup as group:
            raise _first(group) from group
    report = _report(ledger, gateway, time.monotonic() - started)
    if progress:
        print_report(report, console)
    return report


def _rules(map_path: Path | str | None, segment: bool) -> tuple[ImportMap | None, str]:
    if segment == (map_path is not None):
        raise RequestError("say what the rows are: either --map MAP.json or --segment (Segment events, one a line)")
    if map_path is None:
        return None, _SEGMENT_MAP_ID
    rules, text = load_map(Path(map_path))
    return rules, xxhash.xxh3_64_hexdigest(text)[:8]


async def _send_all(source: Source, ledger: Ledger, gateway: Gateway, lanes: Lanes, bar: ImportProgress) -> None:
    def read() -> Iterator[MappedChunk]:
        for chunk in source.chunks(ledger.resumed_from):
            ledger.opened(chunk)
            yield chunk

    async def watch() -> None:
        while True:
            bar.show(source.fraction(), ledger.totals, gateway.waiting_for)
            await asyncio.sleep(0.1)

    async with gateway:
        watching = asyncio.create_task(watch())
        try:
            if not ledger.totals.finished:
                await lanes.run(read(), lambda: ledger.n_open)
        finally:
            watching.cancel()


def _check(ledger: Ledger) -> None:
    totals = ledger.totals
    if ledger.n_open or totals.rows != totals.sent + totals.n_skipped + totals.n_rejected:
        raise InvariantError(f"rows do not add up at the end of an import: {totals}, {ledger.n_open} chunks open")


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """Return the error to show: the group's first leaf, since all lanes share one gateway and fail alike."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _report(ledger: Ledger, gateway: Gateway, seconds: float) -> ImportReport:
    totals = ledger.totals
    return ImportReport(
        file=totals.file,
        rows=totals.rows,
        sent=totals.sent,
        skipped=dict(totals.skipped),
        rejected=dict(totals.rejected),
        finished=totals.finished,
        resumed_from=ledger.resumed_from,
        rows_this_run=totals.rows - ledger.resumed_from,
        seconds=seconds,
        n_requests=gateway.n_requests,
        n_retries=gateway.n_retries,
        checkpoint_path=str(ledger.path),
        rejects_path=str(ledger.rejects_path),
    )
