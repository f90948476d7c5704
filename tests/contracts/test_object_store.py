"""Snapshots and warehouse on S3 itself, as moto speaks it: real HTTP, real multipart uploads, no rename and no fsync."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.files.blobs import BlobFolder
from actors.processes.forked import Forked
from actors.snapshots.chunks import CHUNK_ROWS
from actors.snapshots.store import SnapshotStore
from actors.warehouse import ExportRecord, LogRecord, Warehouse
from tests.unit.actors.warehouse.conftest import Event, decision, erased, logged, record

moto_server = pytest.importorskip("moto.server", reason="moto, which plays S3, is not installed")

REGION, BUCKET = "eu-central-1", "whisperer-test"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """``host:port`` of a server with an empty bucket."""
    import boto3  # type: ignore[import-untyped]

    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):  # asked again by boto, after a slow answer
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    client.close()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def uri(s3: str, request: pytest.FixtureRequest) -> str:
    name = f"{abs(hash(request.node.name)):x}"
    return f"s3://test:test@{BUCKET}/{name}?scheme=http&region={REGION}&endpoint_override={s3.replace(':', '%3A')}"


def state(version: int) -> dict[str, pa.Table]:
    changing = np.random.default_rng(version).integers(0, 1 << 60, CHUNK_ROWS)
    still = np.random.default_rng(0).integers(0, 1 << 60, 3 * CHUNK_ROWS)
    return {"changing": pa.table({"a": changing}), "still": pa.table({"b": still})}


async def test_snapshots_written_by_a_child_are_uploaded_read_back_and_pruned(uri: str, tmp_path: Path) -> None:
    store = SnapshotStore(uri, "shard-0000", spool=tmp_path / "spool")
    n_new = []
    for version in range(1, 6):
        draft = store.draft()
        child = Forked.start(lambda draft=draft, version=version: draft.write(state(version).items()), [draft.fd])  # type: ignore[misc]
        await child.wait(60)
        n_new.append(draft.publish({"version": version}, lsn=version, epoch=1).n_new)
        assert store.prune(keep=2) == max(1, version - 1)
        found = SnapshotStore(uri, "shard-0000").latest()
        assert found is not None
        assert (found.meta, found.lsn) == ({"version": version}, version)
        for title, table in state(version).items():
            assert found.tables[title].equals(table)
    assert n_new == [4, 4, 1, 1, 1]
    assert len(store.names()) == 2
    assert os.listdir(tmp_path / "spool") == []


def test_a_snapshot_larger_than_one_part_of_an_upload_comes_back(uri: str, tmp_path: Path) -> None:
    large = {"large": pa.table({"a": np.random.default_rng(1).integers(0, 1 << 62, 3 << 20)})}
    store = SnapshotStore(uri, spool=tmp_path)
    store.save(large, {}, lsn=1, epoch=1)
    found = store.latest()
    assert found is not None
    assert found.tables["large"].equals(large["large"])


def test_the_spool_of_a_killed_process_is_cleared(uri: str, tmp_path: Path) -> None:
    store = SnapshotStore(uri, "shard-0000", spool=tmp_path)
    lost = store.draft()
    os.close(lost.fd)
    assert len(os.listdir(tmp_path)) == 1
    store.save(state(1), {}, lsn=1, epoch=1)
    store.prune()
    assert os.listdir(tmp_path) == []


def test_the_warehouse_is_exported_compacted_erased_and_asked(uri: str) -> None:
    warehouse = Warehouse(uri, pseudonym_key=b"secret")
    for n in range(3):
        records: list[ExportRecord | LogRecord] = [
            record(n * 10, "acme", Event("u:1"), Event("u:2")),
            logged(n * 10, decision("u:2", f"dec_{n}")),
        ]
        assert warehouse.export(0, n * 10, n * 10 + 10, records).committed
    assert not warehouse.export(0, 0, 10, []).committed
    assert warehouse.compact("acme", "2026-01-01") == 6
    assert len(warehouse.duckdb_relation("acme")) == 6
    assert warehouse.erase("acme", erased("u:2")) == 6
    assert [event.user_key for event in warehouse.read_events("acme", ["u:1", "u:2"])] == ["u:1"] * 3
    assert warehouse.lookup_decision("acme", "dec_1") is not None
    warehouse.vacuum()
    stored = {file.path for file in Warehouse(uri).files()}
    assert {name for name in BlobFolder(uri).names() if name.startswith("tenant=")} == stored
