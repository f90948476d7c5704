"""The result of an import, over all its runs: ``rows`` = ``sent`` + sum of ``skipped`` + sum of ``rejected``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    ``sent`` events were accepted by the gateway (which drops those it already had). ``finished`` is false if the import
    was interrupted: the same call resumes after row ``rows``. ``rows_this_run``, ``seconds``, ``n_requests`` and
    ``n_retries`` describe this run only.
    """

    file: str
    rows: int
    sent: int
    skipped: dict[str, int]
    rejected: dict[str, int]
    finished: bool
    resumed_from: int
    rows_this_run: int
    seconds: float
    n_requests: int
    n_retries: int
    checkpoint_path: str
    rejects_path: str
