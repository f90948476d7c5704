"""Many threads and several planes on one database: nobody gets an error that is no answer, and no version is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.control_plane import Changes, ControlPlane
from cluster.control_plane.changes import read_since
from cluster.control_plane.etags import StaleError
from cluster.control_plane.segments import segments_of
from tests.support.keyring import KEYRING
from tests.unit.cluster.control_plane.test_published_configuration import CAMPAIGN, SMS
from whisperer.errors import ConflictError, NotFoundError

PREDICATE = {"op": "did", "event": "order", "at_least": 3, "within_days": 7}
TENANTS = ("acme", "globex")
CALLS: dict[str, Any] = {
    "tenant": lambda plane, tenant: plane.create_tenant("another"),
    "key": lambda plane, tenant: plane.revoke_key(plane.create_key(tenant, "write").key),
    "segment": lambda plane, tenant: plane.publish_segment(tenant, "regulars", PREDICATE),
    "archive": lambda plane, tenant: plane.archive_segment(tenant, "regulars"),
    "template": lambda plane, tenant: plane.put_template(tenant, "hello", SMS),
    "campaign": lambda plane, tenant: plane.create_campaign(tenant, "welcome", CAMPAIGN, publish=True),
    "edit": lambda plane, tenant: plane.put_campaign(tenant, "welcome", CAMPAIGN | {"purpose": "onboarding"}),
    "publish": lambda plane, tenant: plane.publish_campaign(tenant, "welcome"),
    "end": lambda plane, tenant: plane.end_campaign(tenant, "welcome"),
    "experiment": lambda plane, tenant: plane.set_experiment(tenant, holdout=0.1),
    "begin": lambda plane, tenant: plane.begin_call(plane.get_tenant(tenant).id, "k", "f", 0),
}
ANSWERS = (ConflictError, NotFoundError, StaleError)
"""What a caller may be told besides success."""
HEALTH = list(HealthCheck)


class Crowd:
    """Three processes' planes, as far as the database can tell, with threads of their own."""

    def __init__(self, url: str) -> None:
        self._stack = ExitStack()
        self.planes = [self._stack.enter_context(ControlPlane(url, keyring=KEYRING)) for _ in range(3)]
        self.pool = self._stack.enter_context(ThreadPoolExecutor(12))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def crowd(plane_url_of_module: str):
    made = Crowd(plane_url_of_module)
    for tenant in TENANTS:
        made.planes[0].create_tenant(tenant)
        made.planes[0].put_template(tenant, "hello", SMS)
    yield made
    made.close()


@settings(max_examples=10, deadline=None, suppress_health_check=HEALTH)
@given(calls=st.lists(st.tuples(st.sampled_from(sorted(CALLS)), st.sampled_from(TENANTS)), min_size=8, max_size=24))
def test_any_calls_at_once_are_each_done_or_refused_and_each_change_is_a_version_of_its_own(
    crowd: Crowd, calls: list[tuple[str, str]]
) -> None:
    before = crowd.planes[0].version()
    start = threading.Barrier(min(12, len(calls)))

    def do(numbered: tuple[int, tuple[str, str]]) -> bool:
        number, (call, tenant) = numbered
        if number < start.parties:
            start.wait(60)
        try:
            CALLS[call](crowd.planes[number % 3], tenant)
        except ANSWERS:
            return False
        return True

    list(crowd.pool.map(do, enumerate(calls)))
    changes = crowd.planes[0].changes_since(before)
    assert changes.version - before <= sum(2 if call == "key" else 1 for call, _ in calls)
    if not changes.everything:  # each version between the two has been written down
        owners = {plane.get_tenant(name).id for plane in crowd.planes for name in TENANTS}
        assert changes.tenants - changes.all_keys_of <= owners
    assert not (changes.everything and before >= 0)
    for tenant in TENANTS:
        versions = [s.version for s in crowd.planes[1].list_segments(tenant, include_archived=True, all_versions=True)]
        assert versions == list(range(1, len(versions) + 1))


@pytest.mark.parametrize("call", ["tenant", "campaign", "begin"])
def test_of_many_who_do_the_same_at_once_one_does_it_and_the_others_get_a_conflict(plane_url: str, call: str) -> None:
    with ExitStack() as stack:
        planes = [stack.enter_context(ControlPlane(plane_url, keyring=KEYRING)) for _ in range(3)]
        tenant = planes[0].create_tenant("acme")
        planes[0].put_template("acme", "hello", SMS)
        start = threading.Barrier(9)

        def do(number: int) -> str:
            start.wait(60)
            try:
                CALLS[call](planes[number % 3], "acme")
            except ConflictError as error:
                return error.code
            return "done"

        with ThreadPoolExecutor(9) as pool:
            found = sorted(pool.map(do, range(9)))
        code = {"tenant": "tenant_exists", "campaign": "campaign_exists", "begin": "call_in_progress"}[call]
        assert found == sorted(["done", *[code] * 8])
        assert planes[0].get_tenant("acme") == tenant


def test_a_reader_sees_one_state_of_all_tables_whatever_is_written_meanwhile(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=KEYRING) as writer, ControlPlane(plane_url, keyring=KEYRING) as reader:
        tenant = writer.create_tenant("acme").id
        before = reader.version()
        with reader._reading() as session:
            assert read_since(session, before).version == before
            writer.publish_segment(tenant, "regulars", PREDICATE)
            assert read_since(session, before) == Changes(before)
            assert segments_of(session, tenant) == []
        assert reader.changes_since(before) == Changes(before + 1, tenants=frozenset([tenant]))
