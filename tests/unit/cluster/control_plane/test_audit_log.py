"""The audit log: entered with every change, and whole, or known not to be."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from cluster.control_plane import AuditQuery, ControlPlane
from cluster.control_plane.audit.acting import Actor, ActorKind, acting_as
from cluster.control_plane.audit.chain import COLUMNS, START, entry_hash
from cluster.control_plane.audit.entries import MAX_VALUE_BYTES, Entry, Verb
from cluster.control_plane.audit.witness import KEPT_HEADS, MAX_BYTES, Witness
from tests.support.keyring import KEYRING
from whisperer.errors import NotFoundError

ADA = Actor(ActorKind.PERSON, "pe_1", "ada@example.com", "PUT /v1/experiment", "203.0.113.7", "r-1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@pytest.fixture
def plane(file: Path, tmp_path: Path) -> Iterator[ControlPlane]:
    with ControlPlane(f"sqlite:///{file}", tmp_path / "heads.jsonl", keyring=KEYRING) as plane:
        yield plane


def test_a_change_says_who_did_what_from_where_and_how_it_was_before(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    with acting_as(ADA):
        plane.set_experiment("acme", holdout=0.25)
    entry = plane.audit_entries("acme")[0]
    assert (entry.actor_kind, entry.actor_id, entry.actor_name) == ("person", "pe_1", "ada@example.com")
    assert (entry.operation, entry.address, entry.request_id) == ("PUT /v1/experiment", "203.0.113.7", "r-1")
    assert (entry.verb, entry.resource) == ("changed", "experiments")
    assert (entry.before, entry.after) == ({"holdout": 0.05}, {"holdout": 0.25})


def test_what_changes_nothing_is_not_entered(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    before = len(plane.audit_entries("acme"))
    plane.set_experiment("acme", holdout=0.05)
    assert len(plane.audit_entries("acme")) == before


def test_a_change_that_fails_leaves_no_entry(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    before = [entry.hash for entry in plane.audit_entries("acme")]
    with pytest.raises(NotFoundError):
        plane.archive_segment("acme", "none")
    assert [entry.hash for entry in plane.audit_entries("acme")] == before


def test_no_secret_is_in_the_log(plane: ControlPlane) -> None:
    tenant = plane.create_tenant("acme")
    made = plane.create_key("acme", "secret", "nightly")
    config = {
        "host": "mail.example.com",
        "port": 25,
        "sender": "a@example.com",
        "username": "u",
        "password": "geheim-7",
    }
    further = {"failover": [{"provider": "smtp", "name": "backup", "config": config | {"password": "geheim-8"}}]}
    plane.set_channel("acme", "email", "smtp", config, further)
    told = json.dumps([(entry.before, entry.after) for entry in plane.audit_entries("acme")])
    salt = plane.experiment(tenant.id).salt
    assert "nightly" in told
    assert "mail.example.com" in told
    assert made.key not in told
    assert "backup" in told
    assert "geheim-7" not in told
    assert "geheim-8" not in told
    assert salt not in told


def test_a_large_value_is_entered_by_its_digest(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    predicate = {"all": [{"trait": "plan", "is": "x" * 200}] * 400}
    plane.publish_segment("acme", "large", predicate)
    after = plane.audit_entries("acme", AuditQuery(resource="segments"))[0].after
    assert after is not None
    assert set(after["predicate"]) == {"sha256", "characters"}
    assert after["predicate"]["characters"] > MAX_VALUE_BYTES


def test_each_tenant_has_a_log_of_its_own(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    plane.create_tenant("globex")
    plane.create_key("globex", "write")
    assert {entry.resource for entry in plane.audit_entries("acme")} == {"tenants", "experiments"}
    assert [entry.serial for entry in plane.audit_entries("globex")] == [3, 2, 1]


def test_entries_are_found_by_who_and_what_and_when(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    with acting_as(ADA):
        plane.create_key("acme", "write")
    newest = plane.audit_entries("acme")[0]
    for query in (
        AuditQuery(actor="ada@example.com"),
        AuditQuery(actor="pe_1"),
        AuditQuery(resource="api_keys"),
        AuditQuery(resource_id=newest.resource_id),
        AuditQuery(verb="created", since=newest.at, resource="api_keys"),
    ):
        assert [entry.serial for entry in plane.audit_entries("acme", query)] == [newest.serial]
    assert plane.audit_entries("acme", AuditQuery(until=0)) == []
    assert [entry.serial for entry in plane.audit_entries("acme", limit=1, beyond=newest.serial)] == [newest.serial - 1]


def test_looking_is_entered_and_is_no_change(plane: ControlPlane) -> None:
    tenant = plane.create_tenant("acme")
    version = plane.version()
    with acting_as(ADA):
        plane.note_in_audit_log([Entry(tenant.id, Verb.READ, "users", "user:1")])
    assert plane.version() == version
    assert plane.audit_entries("acme")[0].verb == "read"
    assert plane.verify_audit("acme").broken is None


def test_writers_in_many_threads_make_one_chain(plane: ControlPlane) -> None:
    tenant = plane.create_tenant("acme")

    def write(number: int) -> None:
        if number % 2:
            plane.create_key("acme", "write", str(number))
        else:
            plane.note_in_audit_log([Entry(tenant.id, Verb.READ, "users", str(number))])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(60)))
    verified = plane.verify_audit("acme")
    assert (verified.n_entries, verified.broken) == (62, None)
    assert verified.n_witnessed > 0


def test_the_database_refuses_to_alter_an_entry(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    for statement in ("UPDATE audit SET verb = 'x'", "DELETE FROM audit"):
        with (
            pytest.raises(DatabaseError, match="may neither be changed nor deleted"),
            plane._engine.begin() as connection,
        ):
            connection.execute(text(statement))


def unguarded(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file)
    connection.execute("DROP TRIGGER audit_is_kept_update")
    connection.execute("DROP TRIGGER audit_is_kept_delete")
    return connection


@pytest.mark.parametrize("column", COLUMNS[2:])
def test_an_altered_column_is_found(plane: ControlPlane, file: Path, column: str) -> None:
    plane.create_tenant("acme")
    plane.create_key("acme", "write")
    with unguarded(file) as connection:
        value = 7 if column == "at" else '{"a": 1}' if column in ("before", "after") else "x" * 64
        connection.execute(f"UPDATE audit SET {column} = ? WHERE serial = 2", (value,))
    broken = plane.verify_audit("acme").broken
    assert broken is not None
    assert broken.serial == 2


@pytest.mark.parametrize("serial", [1, 2, 3])
def test_a_removed_entry_is_found(plane: ControlPlane, file: Path, serial: int) -> None:
    plane.create_tenant("acme")
    plane.create_key("acme", "write")
    with unguarded(file) as connection:
        connection.execute("DELETE FROM audit WHERE serial = ?", (serial,))
    broken = plane.verify_audit("acme").broken
    assert broken is not None
    assert broken.serial == serial


def forged(connection: sqlite3.Connection, tenant_id: str, first: int) -> None:
    """Compute all hashes from ``first`` on anew, as somebody would who covers their tracks."""
    connection.row_factory = sqlite3.Row
    previous = START
    for row in connection.execute("SELECT * FROM audit WHERE tenant_id = ? ORDER BY serial", (tenant_id,)).fetchall():
        values = dict(row)
        for column in ("before", "after"):
            values[column] = None if values[column] is None else json.loads(values[column])
        if values["serial"] >= first:
            values["previous"] = previous
            values["hash"] = entry_hash(values)
            connection.execute(
                "UPDATE audit SET previous = ?, hash = ? WHERE tenant_id = ? AND serial = ?",
                (previous, values["hash"], tenant_id, values["serial"]),
            )
        previous = values["hash"]
    connection.execute("UPDATE audit_heads SET hash = ? WHERE tenant_id = ?", (previous, tenant_id))


def test_a_history_written_anew_contradicts_what_was_noted_elsewhere(plane: ControlPlane, file: Path) -> None:
    tenant = plane.create_tenant("acme")
    plane.create_key("acme", "write")
    with unguarded(file) as connection:
        connection.execute("UPDATE audit SET actor_name = 'somebody else' WHERE serial = 3")
        forged(connection, tenant.id, 3)
    with ControlPlane(f"sqlite:///{file}", keyring=KEYRING) as without:
        assert without.verify_audit("acme").broken is None
    broken = plane.verify_audit("acme").broken
    assert broken is not None
    assert broken.serial == 3


def test_entries_cut_off_at_the_end_contradict_an_export(plane: ControlPlane, file: Path) -> None:
    tenant = plane.create_tenant("acme")
    plane.create_key("acme", "write")
    exported = list(plane.audit_export("acme"))
    with unguarded(file) as connection:
        connection.execute("DELETE FROM audit WHERE serial = 3")
        connection.execute("UPDATE audit_heads SET serial = 2, hash = ?", (exported[1].hash,))
    with ControlPlane(f"sqlite:///{file}", keyring=KEYRING) as without:
        assert without.verify_audit(tenant.id).broken is None
        broken = without.verify_audit(tenant.id, [entry.head for entry in exported]).broken
    assert broken is not None
    assert broken.serial == 3


def test_the_file_of_heads_is_bounded_and_survives_a_torn_line(tmp_path: Path, plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    heads = [entry.head for entry in plane.audit_export("acme")]
    path = tmp_path / "noted.jsonl"
    witness = Witness(path)
    witness.note(heads * (MAX_BYTES // 300))
    assert path.stat().st_size > MAX_BYTES // 2
    while path.stat().st_size > MAX_BYTES // 2:
        witness.note(heads * 20_000)
    assert len(list(witness.known())) <= KEPT_HEADS
    path.write_bytes(path.read_bytes() + b'["tn_')
    assert list(witness.known())[-1] == heads[-1]
