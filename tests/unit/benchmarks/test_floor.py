"""The floor does the whole work, exactly: what is compared with the product must not have left anything out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks import floor, floor_columns, floor_hash, floor_kernels
from tests.benchmarks.floor_plain import Plain
from tests.support.stand import ROOT
from training.simulator import load_batches

N_USERS = 300
BODIES = list(load_batches(3, 3_000, 500, n_users=N_USERS))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def _scan(body: bytes) -> int:
    rows = np.empty((500, floor_kernels.N_FIELDS), np.int64)
    return int(floor_kernels.scan(np.frombuffer(body + b"\0", np.uint8)[: len(body)], rows, 7))


@settings(deadline=None)  # the first call compiles
@given(st.binary(max_size=90), st.integers(0, 2**64 - 1))
def test_its_hash_is_xxh64(data: bytes, seed: int) -> None:
    buffer = np.frombuffer(data + b"\0", np.uint8)
    hashed = floor_hash.hashed(buffer, 0, len(data), np.uint64(seed).astype(np.int64))
    assert int(hashed) & (2**64 - 1) == xxhash.xxh64_intdigest(data, seed)


@settings(deadline=None)  # the first call compiles
@given(_JSON)
def test_its_scan_takes_whatever_json_a_client_adds(extra: object) -> None:
    event = {
        "type": "page",
        "userId": "u",
        "messageId": "m",
        "name": "Home",
        "extra": extra,
        "context": {"more": extra},
    }
    for ensure_ascii in (True, False):
        text = json.dumps({"sentAt": extra, "batch": [event, event]}, ensure_ascii=ensure_ascii)
        try:
            body = text.encode()
        except UnicodeEncodeError:  # a lone surrogate is no UTF-8
            continue
        assert _scan(body) == 2


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 400), st.sampled_from(b'"{}[],:\\\x00\x19\xff\xc0'))
def test_its_scan_agrees_with_a_json_parser_on_damaged_bodies(at: int, byte: int) -> None:
    event = {
        "type": "track",
        "event": "Clicked",
        "userId": "u",
        "messageId": "m",
        "properties": {"a": [1, {"b": "\u00e9"}]},
    }
    whole = json.dumps({"batch": [event]}, ensure_ascii=False).encode()
    damaged = bytearray(whole)
    damaged[at % len(whole)] = byte
    try:
        json.loads(bytes(damaged).decode())
    except ValueError:
        assert _scan(bytes(damaged)) <= 0
    else:
        assert _scan(bytes(damaged)) >= -1


@pytest.mark.parametrize("make", [lambda: floor.Compiled(N_USERS, 10_000), lambda: Plain(N_USERS)])
def test_it_counts_every_event_once_whatever_the_group(make: object, tmp_path: Path) -> None:
    kind = make()  # type: ignore[operator]
    found = floor.measure(kind, BODIES, tmp_path, 1_000)
    assert (found["events"], found["counted"], found["groups"]) == (3_000, 3_000, 3)
    again = floor.measure(kind, BODIES, tmp_path, 500)
    assert (again["events"], again["counted"], again["groups"]) == (3_000, 0, 6)


def test_it_syncs_once_a_group_after_all_of_it_is_written(tmp_path: Path) -> None:
    sizes = []
    floor.measure(
        floor.Compiled(N_USERS, 10_000),
        BODIES,
        tmp_path,
        1_500,
        sync=lambda _: sizes.append((tmp_path / "floor").stat().st_size),
    )
    written = sum(map(len, BODIES)) + 3_000 * 8 * floor_kernels.N_STORED + 2 * 8
    assert len(sizes) == 2
    assert sizes[-1] == written


def test_its_columns_say_what_the_events_say(tmp_path: Path) -> None:
    kind = floor.Compiled(N_USERS, 10_000)
    floor.measure(kind, BODIES, tmp_path, 1_000)
    events = [event for body in BODIES for event in json.loads(body)["batch"]]
    state = kind.state
    n = int(state.counts[floor_columns.N_USERS])
    assert n == len({event["userId"] for event in events})
    assert state.long[:n, floor_columns.EVENTS].sum() == len(events) == state.daily[:n].sum()
    revenue = sum(event.get("properties", {}).get("revenue") or 0 for event in events)
    assert state.long[:n, floor_columns.MONEY].sum() == revenue * 1_000_000
    assert state.history[:, 1].sum() == 2 * len(events)
    assert len(kind.traits) == len({event["userId"] for event in events if event["type"] == "identify"})


def test_it_imports_nothing_of_the_product() -> None:
    code = (
        "import sys, tests.benchmarks.floor\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(roots & {'whisperer', 'actors', 'serve_apps', 'cluster', 'training'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
