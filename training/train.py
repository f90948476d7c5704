"""Train a model on a Ray cluster, and leave an artifact and a report behind: `python -m training.train --help`.

    run.json       what was asked for; another run is refused there
    rows/          rows that came out of a warehouse, until the run is done
    search/        Ray Tune's own state and checkpoints
    model/         the artifact: `whisperer policy register` takes it from here
    report.html    for people
    result.json    for programs; written last

Guarantees: however a run is interrupted, the same command resumes it; after the end, that command changes nothing.
Leaves to others: the search (:mod:`training.search`), the model (:mod:`training.labelled`, :mod:`training.effects`),
and its promotion.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.fs as pafs
from numpy.typing import NDArray

from training import effects, labelled, report
from training.card import DataCard, examine
from training.connection import connected
from training.dataset import CHURN, UPLIFT, Dataset, below, divide, filesystem, read, without_keys
from training.gather import forget, gather
from training.lineage import manifest_for
from training.outcome import TrainingOutcome
from training.request import Request, parse, say
from training.search import Trial, best_of, booster_of, search, sweep
from training.task import Task, task_of
from whisperer.errors import ConflictError, InputError, RequestError, WhispererError
from whisperer.models import artifact
from whisperer.models.store import ArtifactStore
from whisperer.vocabulary.units import DAY_MS

RUN, RESULT, MODEL, REPORT = "run.json", "result.json", "model", "report.html"


def train(request: Request) -> dict[str, Any]:
    """Run what was asked for, or the rest of it; return the contents of ``result.json``.

    Raises
    ------
    RowsError, TrialError, SearchError, ConflictError, UnavailableError
    """
    files, folder = filesystem(request.out)
    if request.restart:
        files.delete_dir_contents(folder, missing_dir_ok=True)
    files.create_dir(folder)
    _claim(files, folder, request)
    done = _read(files, f"{folder}/{RESULT}")
    if done is not None:
        say(f"done already: {done['headline']}")
        return done
    marks = [time.monotonic()]
    data = _rows(request, files, folder)
    card = examine(data, request.kind, request.seed)
    part = divide(data, window_ms=request.window_days * DAY_MS, seed=request.seed)
    counts = np.bincount(part, minlength=4).tolist()
    say(
        f"{len(data):,} rows of {card.n_users:,} users, {len(data.names)} features: {counts[0]:,} to learn from,"
        f" {counts[1]:,} to choose on, {counts[2]:,} to test on"
    )
    for sentence in card.sentences():
        say(f"note: {sentence}")
    task = task_of(request.kind, data, part, request.seed)
    marks.append(time.monotonic())
    with connected(request, task):
        trials = search(request.kind, task, request.search, files, folder)
    marks.append(time.monotonic())
    with tempfile.TemporaryDirectory(prefix="model-") as made:
        place = Path(made)
        outcome = _finish(request, data, part, task, best_of(trials), place)
        result = _publish(request, data, card, counts, outcome, trials, place, files, folder)
    marks.append(time.monotonic())
    took = np.diff(marks).round(1).tolist()
    result["seconds"] = dict(zip(("rows", "search", "model"), took, strict=True))
    _write(files, f"{folder}/{RESULT}", json.dumps(result, indent=1, allow_nan=False).encode())
    sweep(files, folder)
    forget(files, folder)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    request = parse(arguments)
    try:
        result = train(request)
    except WhispererError as error:
        say(f"error: {error}")
        return 2 if isinstance(error, RequestError | InputError) else 1
    if request.json:
        json.dump(result, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return 0
    say(result["headline"])
    say(f"report: {result['report']}")
    if "://" in result["model"]:
        say(f"next: copy {result['model']} to a FOLDER here, then whisperer policy register FOLDER --tenant NAME")
    else:
        say(f"next: whisperer policy register {result['model']} --tenant NAME")
    return 0


def _rows(request: Request, files: pafs.FileSystem, folder: str) -> Dataset:
    place = request.rows
    if request.source is not None:
        say(f"gathering rows of {request.source.tenant} from the warehouse")
        path = gather(request.kind, request.source, files, folder)
        place = below(request.out, path.rpartition("/")[2])
    return read(place, request.kind, label=request.label, features=request.features, drop=request.drop)


def _finish(
    request: Request, data: Dataset, part: NDArray[np.int8], task: Task, best: Trial, folder: Path
) -> TrainingOutcome:
    say(f"the best was trial {best.number} at {best.best.rounds} rounds; making the model, and testing it")
    if request.kind == UPLIFT:
        return effects.finish(data, part, task, best.parameters, best.best.rounds, folder, request.seed)
    grown, window = booster_of(best), request.window_days
    outcome = labelled.finish(request.kind, data, part, task, best.parameters, grown, folder, window)
    if request.kind == CHURN and request.source is not None and request.source.goal:
        return replace(outcome, parameters={**outcome.parameters, "goal": request.source.goal})
    return outcome


def _publish(
    request: Request, data: Dataset, card: DataCard, counts: list[int], outcome: TrainingOutcome, trials: list[Trial],
    made: Path, files: pafs.FileSystem, folder: str,
) -> dict[str, Any]:  # fmt: skip
    """Write the manifest, the copy in --out, and the store's, if one was named."""
    store, version, now = None, request.version, int(time.time() * 1000)
    if request.store:
        cache = Path(tempfile.gettempdir()) / "whisperer-models"
        store = ArtifactStore(request.store, cache)
        version = version or store.next_version(request.tenant, request.name)
    manifest = manifest_for(made, outcome, data, card, name=request.name, version=version or 1, created_at=now)
    # The manifest last: without it the folder is not an artifact.
    for path in (*(file.path for file in manifest.files), artifact.MANIFEST):
        _write(files, f"{folder}/{MODEL}/{path}", (made / path).read_bytes())
    if store is not None:
        store.put(request.tenant, made, manifest)
    page = report.render(outcome, card, counts, trials, manifest, request.command)
    _write(files, f"{folder}/{REPORT}", page.encode())
    return {
        "kind": outcome.kind,
        "name": manifest.name,
        "version": manifest.version,
        "digest": artifact.digest(manifest),
        "headline": outcome.headline,
        "metrics": manifest.metrics,
        "parameters": outcome.parameters,
        "rows": dict(zip(("train", "held", "test", "left_out"), counts, strict=True)),
        "notes": [*card.sentences(), *outcome.remarks],
        "trials": [one.told() for one in trials],
        "model": without_keys(below(request.out, MODEL)),
        "report": without_keys(below(request.out, REPORT)),
    }


def _claim(files: pafs.FileSystem, folder: str, request: Request) -> None:
    """Claim the folder for this run. Raises ConflictError if it is another run's."""
    asked = json.loads(without_keys(json.dumps(request.identity())))
    held = _read(files, f"{folder}/{RUN}")
    if held is None:
        _write(files, f"{folder}/{RUN}", json.dumps(asked, indent=1).encode())
    elif held != asked:
        other = ", ".join(sorted(key for key in {*held, *asked} if held.get(key) != asked.get(key)))
        raise ConflictError(
            f"{without_keys(request.out)} holds a run with other settings ({other}): name another --out, or --restart"
            " to replace it"
        )


def _read(files: pafs.FileSystem, path: str) -> dict[str, Any] | None:
    if files.get_file_info(path).type == pafs.FileType.NotFound:
        return None
    with files.open_input_stream(path) as stream:
        found: dict[str, Any] = json.loads(stream.read())
    return found


def _write(files: pafs.FileSystem, path: str, data: bytes) -> None:
    files.create_dir(path.rpartition("/")[0])
    with files.open_output_stream(path) as stream:
        stream.write(data)


if __name__ == "__main__":
    sys.exit(main())
