"""Read rows to learn from, out of Parquet or Arrow files: one matrix of features, a label, and who and when.

Decides which columns are features and which part each row belongs to. Guarantees: only the matrix is held, as float32,
filled batch by batch; a part is later than the one before it or, where rows have no time, of other users; rows that
cannot be learned from are refused with the column, the row and what to do. Leaves to others: where rows come from
(:mod:`training.rows`), and what is odd about them (:mod:`training.card`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from numpy.typing import NDArray

from training.rows.decisions import HASH_KEY
from whisperer.errors import RequestError

CHURN, VALUE, UPLIFT = KINDS = ("churn", "value", "uplift")
CAME_BACK, REWARD, NO_SEND, HOLDOUT = "came_back", "reward_micros", "no_send", "holdout"
ACTIVE_DAYS = "active_days"
TIMES, USERS = ("cutoff", "occurred_at"), ("user_key", "user_id", "user")
NOT_FEATURES = {
    ACTIVE_DAYS,  # of the window after the cutoff: the label of engagement
    *(CAME_BACK, REWARD, "mature", "decision_id", "campaign", "campaign_version", "experiment_group"),
    *("policy_version", "arm", "arms", "propensity", "propensities", *TIMES, *USERS),
}
TRAIN, HELD, TEST, LEFT_OUT = 0, 1, 2, 3
PARTS = (0.6, 0.8)
"""Shares of the rows before the held-out part, and before the test part."""

_BATCH_ROWS = 65_536
_MICROS = 1_000_000
_KEYS = re.compile(r"(\w+://)[^/@\s]+@")


class RowsError(RequestError):
    """Raised for rows that nothing can be learned from as they are; the message says what to change."""

    code = "unusable_rows"
    status = 422


@dataclass(frozen=True, eq=False)
class DecisionRows:
    """What was done at each row, for uplift.

    Attributes
    ----------
    arms : names, ``no_send`` first
    action : int64, shape (n,), number of the arm
    propensity : float64, shape (n, n_arms), 0 for an arm that was not eligible
    """

    arms: tuple[str, ...]
    action: NDArray[np.int64]
    propensity: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of one kind of model.

    Attributes
    ----------
    names : of the d features
    x : float32, shape (n, d), NaN where missing
    label : float64, shape (n,); 1 for a user who left (churn), or a number (value, uplift)
    time : int64, shape (n,), ms UTC, all 0 where rows have none
    user : int64, shape (n,), numbers from 0
    registry : hash of the features' definitions
    digest : of everything above
    decisions : for uplift
    active_days : float64, shape (n,), within the window; None if the rows do not say
    """

    names: tuple[str, ...]
    x: NDArray[np.float32]
    label: NDArray[np.float64]
    time: NDArray[np.int64]
    user: NDArray[np.int64]
    registry: str
    decisions: DecisionRows | None = None
    active_days: NDArray[np.float64] | None = None
    digest: str = field(default="")

    def __len__(self) -> int:
        return len(self.label)


def read(
    uri: str | os.PathLike[str], kind: str, *, label: str = "", features: Sequence[str] = (), drop: Sequence[str] = ()
) -> Dataset:
    """Read the rows of a file, or of all files in a folder.

    Parameters
    ----------
    uri : any ``pyarrow.fs`` URI or a path; ``.parquet``, or ``.arrow`` (IPC)
    kind : one of :data:`KINDS`
    label : its column; by default ``came_back``, of which churn is the opposite, or ``reward_micros``
    features : columns; by default all numeric ones that are not known to be something else
    drop : columns that are not features

    Raises
    ------
    RowsError
    """
    source = _open(uri)
    schema = source.schema
    target = label or (CAME_BACK if kind == CHURN else REWARD)
    names = tuple(features) or tuple(f.name for f in schema if _is_number(f.type) and f.name not in NOT_FEATURES)
    names = tuple(name for name in names if name not in {target, *drop})
    needed = [*names, target, *(("arm", "arms", "propensities") if kind == UPLIFT else ())]
    if absent := [name for name in needed if name not in schema.names]:
        raise RowsError(f"the rows have no column {', '.join(absent)}; they have {', '.join(schema.names)[:400]}")
    if not names:
        raise RowsError("no column of numbers is left to learn from; name some with --features")
    words = [name for name in (*names, target) if not _is_number(schema.field(name).type)]
    if words:
        raise RowsError(f"{', '.join(words)}: numbers are needed; encode words as columns of 0 and 1")
    time, user = (next((name for name in known if name in schema.names), None) for known in (TIMES, USERS))
    wanted = (*needed[len(names) :], time, user, "experiment_group", ACTIVE_DAYS)
    others = [name for name in wanted if name in schema.names]
    x, rest = _fill(source, names, others)
    found = Dataset(
        names,
        x,
        _label(rest[target], kind, target),
        _ms(rest[time]) if time else np.zeros(len(x), np.int64),
        _codes(rest[user]) if user else np.arange(len(x)),
        _registry(schema, names),
        _decisions(rest) if kind == UPLIFT else None,
        _label(rest[ACTIVE_DAYS], ACTIVE_DAYS, ACTIVE_DAYS) if ACTIVE_DAYS in schema.names else None,
    )
    if kind == UPLIFT and "experiment_group" in rest.column_names:
        # Propensities are conditional on the group: the holdout's say nothing about what arms do.
        kept = pc.not_equal(rest["experiment_group"], HOLDOUT).to_numpy(zero_copy_only=False)
        found = at(found, np.flatnonzero(kept))
    return replace(found, digest=_digest(found))


def at(data: Dataset, rows: NDArray[np.int64]) -> Dataset:
    """Return some of the rows, in the order given."""
    did = data.decisions
    chosen = None if did is None else DecisionRows(did.arms, did.action[rows], did.propensity[rows])
    return replace(
        data,
        x=data.x[rows],
        label=data.label[rows],
        time=data.time[rows],
        user=np.unique(data.user[rows], return_inverse=True)[1],
        decisions=chosen,
        active_days=None if data.active_days is None else data.active_days[rows],
    )


def divide(data: Dataset, *, window_ms: int = 0, seed: int = 0) -> NDArray[np.int8]:
    """Assign each row to TRAIN, HELD, TEST or LEFT_OUT; shape (n,).

    By time if rows have enough of it, otherwise by user, whose rows stay together. ``window_ms`` is how far a label
    looks ahead; rows whose window reaches into the next part are left out, because they reveal some of it.

    Raises
    ------
    RowsError
        If a part would be empty.
    """
    moments = np.sort(data.time)
    first_held, first_test = (int(moments[int(share * len(moments))]) for share in PARTS)
    if moments[0] < first_held < first_test:
        part = np.full(len(data), TRAIN, np.int8)
        part[data.time >= first_held] = HELD
        part[data.time >= first_test] = TEST
        for of, until in ((TRAIN, first_held), (HELD, first_test)):
            part[(part == of) & (data.time + window_ms > until)] = LEFT_OUT
    else:
        n_users = int(data.user.max()) + 1
        place = np.random.default_rng(seed).permutation(n_users)[data.user] / n_users
        part = np.digitize(place, PARTS).astype(np.int8)
    if (np.bincount(part, minlength=3)[:3] == 0).any():
        raise RowsError(
            f"{len(data):,} rows do not make a training, a held-out and a test part: bring more users or cutoffs, or a"
            " shorter --window-days"
        )
    return part


def filesystem(uri: str | os.PathLike[str]) -> tuple[pafs.FileSystem, str]:
    """Return the filesystem and path of any ``pyarrow.fs`` URI or path. Raises RowsError."""
    text = os.fspath(uri)
    try:
        found: tuple[pafs.FileSystem, str] = pafs.FileSystem.from_uri(
            text if urlsplit(text).scheme else Path(text).absolute().as_uri()
        )
    except (pa.ArrowException, ValueError, OSError) as error:
        raise RowsError(f"{text}: {error}") from None
    return found


def below(uri: str, name: str) -> str:
    """Return the place of ``name`` in a folder; what follows a URI's path stays at the end.

    >>> below("s3://bucket/run?region=eu-central-1", "model"), below("out/", "model")
    ('s3://bucket/run/model?region=eu-central-1', 'out/model')
    """
    if "://" not in uri:
        return f"{uri.rstrip('/')}/{name}"
    parts = urlsplit(uri)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl()


def without_keys(text: str) -> str:
    """Remove users and passwords from the URIs in a text, so that it may be shown.

    >>> without_keys("--out s3://AKIA:secret@bucket/run?region=eu")
    '--out s3://bucket/run?region=eu'
    """
    return _KEYS.sub(r"\1", text)


def _open(uri: str | os.PathLike[str]) -> ds.Dataset:
    files, path = filesystem(uri)
    try:
        kind = files.get_file_info(path).type
        if kind == pafs.FileType.NotFound:
            raise RowsError(f"there is nothing at {without_keys(os.fspath(uri))}")
        is_arrow = path.endswith((".arrow", ".feather"))
        return ds.dataset(path, filesystem=files, format="ipc" if is_arrow else "parquet")
    except (pa.ArrowException, OSError) as error:
        raise RowsError(
            f"{without_keys(os.fspath(uri))} cannot be read as Parquet or Arrow: {str(error)[:200]}"
        ) from None


def _fill(source: ds.Dataset, names: Sequence[str], others: Sequence[str]) -> tuple[NDArray[np.float32], pa.Table]:
    n = source.count_rows()
    if n == 0:
        raise RowsError("there are no rows")
    x, rest, start = np.empty((n, len(names)), np.float32), [], 0
    columns = list(dict.fromkeys((*names, *others)))
    for batch in source.to_batches(columns=columns, batch_size=_BATCH_ROWS, fragment_readahead=1, batch_readahead=1):
        stop = start + batch.num_rows
        for place, name in enumerate(names):
            values = batch[name].cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
            x[start:stop, place] = values
        rest.append(batch.select(list(others)))
        start = stop
    infinite = np.isinf(x)
    if infinite.any():
        row, place = np.argwhere(infinite)[0].tolist()
        raise RowsError(f"{names[place]} is infinite at row {row}; leave a value that is missing empty")
    return x, pa.Table.from_batches(rest)


def _label(column: pa.ChunkedArray, kind: str, name: str) -> NDArray[np.float64]:
    values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    bad = ~np.isfinite(values) if kind != CHURN else ~np.isin(values, (0.0, 1.0))
    if bad.any():
        wanted = "true or false" if kind == CHURN else "a finite number"
        raise RowsError(f"the label {name} is not {wanted} at row {int(bad.argmax())}")
    if kind == CHURN and name == CAME_BACK:
        return 1.0 - values
    return values / _MICROS if name == REWARD else values


def _decisions(rows: pa.Table) -> DecisionRows:
    lists, vectors = (rows[name].combine_chunks() for name in ("arms", "propensities"))
    lengths = [np.asarray(pc.list_value_length(one).fill_null(0)) for one in (lists, vectors)]
    if (lengths[0] != lengths[1]).any():
        raise RowsError(f"arms and propensities differ in length at row {int((lengths[0] != lengths[1]).argmax())}")
    flat = lists.flatten().dictionary_encode()
    known = flat.dictionary.to_pylist()
    if NO_SEND not in known:
        raise RowsError(f"no row could have been left alone: {NO_SEND} is not among the arms {', '.join(known[:20])}")
    arms = (NO_SEND, *sorted(set(known) - {NO_SEND}))
    order = np.array([arms.index(name) for name in known], np.int64)
    propensity = np.zeros((len(rows), len(arms)))
    row = np.repeat(np.arange(len(rows)), lengths[0])
    propensity[row, order[flat.indices.to_numpy()]] = vectors.flatten().to_numpy(zero_copy_only=False)
    action = pc.index_in(rows["arm"].combine_chunks(), pa.array(arms)).fill_null(-1).to_numpy().astype(np.int64)
    if (action < 0).any():
        raise RowsError(f"the arm chosen at row {int((action < 0).argmax())} was not among the eligible ones")
    return DecisionRows(arms, action, propensity)


def _ms(column: pa.ChunkedArray) -> NDArray[np.int64]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    if column.null_count:
        raise RowsError("a row has no time; give all rows one, or none")
    return np.asarray(column.to_numpy(), np.int64)


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False), np.int64)


def _registry(schema: pa.Schema, names: Sequence[str]) -> str:
    """Return the hash that the rows state for their features; a hash of its own for a selection or foreign columns."""
    stated: str = (schema.metadata or {}).get(HASH_KEY, b"").decode()
    held = [f.name for f in schema if _is_number(f.type) and f.name not in NOT_FEATURES]
    if stated and list(names) == held:
        return stated
    return hashlib.blake2b("\n".join([stated, *names]).encode(), digest_size=16).hexdigest()


def _digest(data: Dataset) -> str:
    found = hashlib.blake2b("\n".join((*data.names, data.registry)).encode(), digest_size=16)
    did = data.decisions
    more = () if did is None else (did.action, did.propensity, np.frombuffer("\n".join(did.arms).encode(), np.uint8))
    more = more if data.active_days is None else (*more, data.active_days)
    for array in (data.x, data.label, data.time, data.user, *more):
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))
