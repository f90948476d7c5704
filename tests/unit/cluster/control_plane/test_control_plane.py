from __future__ import annotations

import re
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from cluster.control_plane import Changes, ControlPlane, changes, keys, segments
from cluster.control_plane.models import SegmentRow
from tests.support.keyring import KEYRING
from whisperer.errors import ConflictError, InvariantError, NotFoundError, RequestError

PREDICATE = {"op": "did", "event": "order", "at_least": 3, "within_days": 7}


on_sqlite = pytest.mark.parametrize("plane_url", ["sqlite"], indirect=True)


@pytest.fixture
def plane(plane_url: str):
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        yield plane


def test_a_tenant_is_found_by_name_in_any_case_and_by_id(plane: ControlPlane) -> None:
    made = plane.create_tenant("Acme")
    assert plane.get_tenant("acme") == made
    assert plane.get_tenant(made.id) == made
    assert plane.list_tenants() == [made]


def test_a_second_tenant_of_the_same_name_is_a_conflict(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    with pytest.raises(ConflictError) as caught:
        plane.create_tenant("ACME")
    assert caught.value.code == "tenant_exists"
    assert len(plane.list_tenants()) == 1


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "tn_1", "é", "x" * 64, "a\n", "'; drop table tenants"])
def test_an_unusable_tenant_name_is_refused(plane: ControlPlane, name: str) -> None:
    with pytest.raises(RequestError) as caught:
        plane.create_tenant(name)
    assert caught.value.code == "invalid_name"


@pytest.mark.parametrize("kind", ["write", "secret"])
def test_a_key_is_shown_once_and_speaks_for_its_tenant(plane: ControlPlane, kind: str) -> None:
    tenant = plane.create_tenant("acme")
    key = plane.create_key("acme", kind, label="web").key
    assert re.fullmatch(r"[ws]k_[A-Za-z0-9_-]{43}", key)
    assert key[0] == kind[0]
    found = plane.find_key(key)
    assert found is not None
    assert (found.tenant_id, found.tenant_name, found.kind) == (tenant.id, "acme", kind)
    (listed,) = plane.list_keys("acme")
    assert listed.shown == f"{key[:3]}…{key[-4:]}"
    assert listed.label == "web"


@on_sqlite
def test_nothing_on_disk_reveals_a_key(plane: ControlPlane, tmp_path: Path) -> None:
    plane.create_tenant("acme")
    key = plane.create_key("acme", "secret").key
    for path in tmp_path.iterdir():
        assert key.encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("presented", ["", "wk_", "wk_" + "a" * 43, "\ud800", "x" * 100_000])
def test_an_unknown_key_speaks_for_nobody(plane: ControlPlane, presented: str) -> None:
    plane.create_tenant("acme")
    plane.create_key("acme", "write")
    assert plane.find_key(presented) is None


def test_a_key_of_other_case_is_another_key(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    assert plane.find_key(plane.create_key("acme", "write").key.swapcase()) is None


def test_a_revoked_key_stops_working_and_stays_listed(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    by_text, by_id, kept = (plane.create_key("acme", "write") for _ in range(3))
    plane.revoke_key(by_text.key)
    plane.revoke_key(by_id.id)
    assert plane.find_key(by_text.key) is None
    assert plane.find_key(by_id.key) is None
    assert plane.find_key(kept.key) is not None
    assert [k.revoked_at is None for k in plane.list_keys()] == [False, False, True]


def test_revoking_an_unknown_key_says_so(plane: ControlPlane) -> None:
    with pytest.raises(NotFoundError):
        plane.revoke_key("wk_" + "a" * 43)


def test_every_change_raises_the_version_and_reading_does_not(plane: ControlPlane) -> None:
    seen = [plane.version()]

    def raised() -> bool:
        seen.append(plane.version())
        return seen[-1] == seen[-2] + 1

    plane.create_tenant("acme")
    assert raised()
    key = plane.create_key("acme", "write")
    assert raised()
    plane.publish_segment("acme", "regulars", PREDICATE)
    assert raised()
    plane.archive_segment("acme", "regulars")
    assert raised()
    plane.revoke_key(key.key)
    assert raised()
    plane.revoke_key(key.key)
    plane.archive_segment("acme", "regulars")
    plane.find_key(key.key), plane.list_keys(), plane.list_tenants(), plane.list_segments("acme")
    with pytest.raises(ConflictError):
        plane.create_tenant("acme")
    assert not raised()


def test_publishing_again_makes_a_new_version_and_leaves_the_old_one(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    assert plane.publish_segment("acme", "regulars", PREDICATE) == 1
    assert plane.publish_segment("acme", "regulars", {**PREDICATE, "at_least": 5}) == 2
    (newest,) = plane.list_segments("acme")
    assert (newest.version, newest.predicate["at_least"]) == (2, 5)
    assert [s.predicate["at_least"] for s in plane.list_segments("acme", all_versions=True)] == [3, 5]


def test_a_published_predicate_cannot_be_edited(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    plane.publish_segment("acme", "regulars", PREDICATE)
    with Session(plane._engine) as session:
        session.query(SegmentRow).one().predicate = {"op": "all"}
        with pytest.raises(InvariantError):
            session.flush()


def test_an_archived_segment_is_hidden_until_published_again(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    plane.publish_segment("acme", "regulars", PREDICATE)
    plane.archive_segment("acme", "regulars")
    assert plane.list_segments("acme") == []
    assert len(plane.list_segments("acme", include_archived=True)) == 1
    assert plane.publish_segment("acme", "regulars", PREDICATE) == 2
    assert [s.version for s in plane.list_segments("acme")] == [2]


def test_segments_of_one_tenant_are_not_seen_by_another(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    plane.create_tenant("globex")
    plane.publish_segment("acme", "regulars", PREDICATE)
    assert plane.list_segments("globex") == []
    assert plane.publish_segment("globex", "regulars", PREDICATE) == 1
    with pytest.raises(NotFoundError):
        plane.archive_segment("globex", "other")


def test_writers_in_several_processes_lose_nothing(new_url: str) -> None:
    script = (
        "import sys; from cluster.control_plane import ControlPlane\n"
        "with ControlPlane(sys.argv[1]) as plane:\n"
        "    for i in range(5): plane.create_tenant(f'{sys.argv[2]}-{i}'); plane.create_key(f'{sys.argv[2]}-{i}', 'write')\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", script, new_url, name]) for name in ("a", "b", "c")]
    assert [p.wait(60) for p in started] == [0, 0, 0]
    with ControlPlane(new_url, keyring=KEYRING) as plane:
        assert len(plane.list_tenants()) == 15
        assert len(plane.list_keys()) == 15
        assert plane.version() == 30


def test_writers_in_several_threads_count_every_version(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda _: plane.publish_segment("acme", "regulars", PREDICATE), range(40)))
    assert sorted(versions) == list(range(1, 41))


def test_state_is_there_when_it_is_opened_again(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        plane.create_tenant("acme")
        key = plane.create_key("acme", "write").key
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        assert plane.find_key(key) is not None


@on_sqlite
def test_the_database_is_in_wal_mode(plane: ControlPlane, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "control.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_the_stored_form_of_a_key_is_pinned() -> None:
    # Changing it would lock every client out.
    assert keys.key_hash("wk_a") == "a69d55cac0688eb403df079d411828b8a04ddd2e7bc2a92f080bef2a25d7ee0f"
    assert len(keys.new_key("write")) == keys.KEY_CHARACTERS


def test_every_change_says_whose_it_is_and_of_which_key(plane: ControlPlane) -> None:
    assert plane.changes_since(-1).everything
    acme, other = plane.create_tenant("acme"), plane.create_tenant("other")
    start = plane.version()
    plane.publish_segment(acme.id, "s", {"event": "Paid", "op": "gte", "count": 1, "days": 7})
    found = plane.changes_since(start)
    assert (found.version, found.everything, found.tenants, found.keys) == (start + 1, False, {acme.id}, frozenset())
    made = plane.create_key(other.id, "write")
    plane.revoke_key(made.key)
    both = plane.changes_since(start)
    assert both.tenants == {acme.id, other.id}
    assert both.keys == {keys.key_hash(made.key)}
    assert plane.changes_since(both.version) == Changes(both.version)
    third = plane.create_tenant("third")
    assert plane.changes_since(both.version).all_keys_of == {third.id}


def test_a_reader_of_too_long_ago_forgets_everything(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "KEPT_VERSIONS", 3)
    acme = plane.create_tenant("acme")
    start = plane.version()
    for n in range(4):
        plane.publish_segment(acme.id, f"s{n}", {"event": "Paid", "op": "gte", "count": 1, "days": 7})
    assert plane.changes_since(start).everything
    assert not plane.changes_since(start + 1).everything


def test_the_conditions_of_live_segments_are_bounded_together(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MOST_CONDITIONS", 3)
    tenant = plane.create_tenant("acme").id
    plane.publish_segment(tenant, "a", {"all": [PREDICATE, PREDICATE]})
    plane.publish_segment(tenant, "b", PREDICATE)
    with pytest.raises(ConflictError, match="4 conditions, of at most 3") as refused:
        plane.publish_segment(tenant, "c", PREDICATE)
    assert refused.value.code == "too_many_segments"
    plane.publish_segment(tenant, "a", PREDICATE)  # a version takes the place of the one before
    plane.publish_segment(tenant, "c", PREDICATE)


def test_live_segments_are_bounded_and_an_archived_one_makes_room(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MOST_LIVE", 2)
    tenant = plane.create_tenant("acme").id
    for name in ("a", "b", "b", "a"):
        plane.publish_segment(tenant, name, PREDICATE)
    with pytest.raises(ConflictError, match="archive one first"):
        plane.publish_segment(tenant, "c", PREDICATE)
    plane.archive_segment(tenant, "a")
    plane.publish_segment(tenant, "c", PREDICATE)
    with pytest.raises(ConflictError):
        plane.publish_segment(tenant, "a", PREDICATE)  # back from the archive it is one more
    assert [(s.name, s.version) for s in plane.list_segments(tenant)] == [("b", 2), ("c", 1)]
    assert [s.version for s in plane.list_segments(tenant, include_archived=True, all_versions=True)] == [1, 2, 1, 2, 1]
