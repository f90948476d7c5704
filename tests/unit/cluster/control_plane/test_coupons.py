"""Coupon codes, in both databases: a code goes to one user, a user has one of a pool for each campaign, whoever asks
how often from where, and whatever is killed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from cluster.control_plane import ControlPlane, coupons
from cluster.control_plane.coupons import ERASED_MS, Ask
from cluster.control_plane.etags import StaleError
from cluster.control_plane.listing import Place
from cluster.control_plane.models import CouponCodeRow
from tests.support.keyring import KEYRING
from whisperer.errors import ConflictError, NotFoundError, RequestError
from whisperer.ids import TenantId, UserKey, known_key
from whisperer.vocabulary.reasons import Reason

NOW = 1_772_359_200_000
ADA, BOB = known_key("ada"), known_key("bob")


@pytest.fixture
def plane(plane_url: str):
    with ControlPlane(plane_url, keyring=KEYRING) as made:
        yield made


@pytest.fixture
def tenant(plane: ControlPlane) -> TenantId:
    return pool_of(plane, "acme", 3)


def pool_of(plane: ControlPlane, name: str, n_codes: int) -> TenantId:
    id = plane.create_tenant(name).id
    plane.put_pool(id, "spring")
    plane.add_codes(id, "spring", [f"C{n}" for n in range(n_codes)])
    return id


def ask(plane: ControlPlane, tenant: TenantId, user: UserKey, campaign: str = "c", pool: str = "spring", at: int = NOW):
    return plane.give_codes(tenant, [Ask(pool, campaign, user)], at)[Ask(pool, campaign, user)]


def test_codes_are_given_in_their_order_once_per_user_and_campaign(plane: ControlPlane, tenant: TenantId) -> None:
    version = plane.version()
    assert [ask(plane, tenant, ADA), ask(plane, tenant, BOB), ask(plane, tenant, ADA)] == ["C0", "C1", "C0"]
    assert ask(plane, tenant, ADA, "another") == "C2"
    assert ask(plane, tenant, BOB, "another") is Reason.COUPONS_EXHAUSTED
    assert ask(plane, tenant, ADA, "another") == "C2", "an empty pool still knows what it gave"
    assert ask(plane, tenant, ADA, pool="nowhere") is Reason.COUPONS_EXHAUSTED
    pool = plane.get_pool(tenant, "spring")
    assert (pool.n_codes, pool.n_given, pool.n_left) == (3, 3, 0)
    assert plane.version() == version, "giving codes changes no configuration"


def test_a_batch_is_served_as_far_as_there_are_codes(plane: ControlPlane, tenant: TenantId) -> None:
    asks = [Ask("spring", "c", known_key(f"u{n}")) for n in range(5)]
    found = plane.give_codes(tenant, [*asks, *asks], NOW)
    assert [found[one] for one in asks] == ["C0", "C1", "C2", *[Reason.COUPONS_EXHAUSTED] * 2]
    assert plane.give_codes(tenant, [], NOW) == {}


def test_another_tenants_codes_are_another_matter(plane: ControlPlane, tenant: TenantId) -> None:
    other = pool_of(plane, "globex", 1)
    assert ask(plane, other, ADA) == "C0"
    assert ask(plane, other, BOB) is Reason.COUPONS_EXHAUSTED
    assert ask(plane, tenant, BOB) == "C0"
    assert plane.codes_of(other, [BOB]) == []
    with pytest.raises(NotFoundError):
        plane.get_pool(plane.create_tenant("initech").id, "spring")


def test_codes_that_are_there_already_are_reported_and_stay_as_they_are(plane: ControlPlane, tenant: TenantId) -> None:
    assert ask(plane, tenant, ADA) == "C0"
    assert plane.add_codes(tenant, "spring", ["C0", "N1", "N1", "C2", "N2"]) == [0, 2, 3]
    assert plane.get_pool(tenant, "spring").n_codes == 5
    assert [ask(plane, tenant, known_key(f"u{n}")) for n in range(4)] == ["C1", "C2", "N1", "N2"]


def test_limits_are_kept(plane: ControlPlane, tenant: TenantId, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coupons, "MAX_CODES", 4)
    monkeypatch.setattr(coupons, "MAX_POOLS", 2)
    with pytest.raises(ConflictError) as full:
        plane.add_codes(tenant, "spring", ["N1", "N2"])
    assert full.value.code == "pool_full"
    assert plane.get_pool(tenant, "spring").n_codes == 3, "nothing of a refused upload stays"
    plane.put_pool(tenant, "summer", "hot")
    with pytest.raises(ConflictError):
        plane.put_pool(tenant, "autumn")
    with pytest.raises(RequestError):
        plane.put_pool(tenant, "no name")


def test_a_pool_is_changed_and_deleted_by_who_read_it(
    plane: ControlPlane, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coupons, "_DELETED", 2)
    before = plane.get_pool(tenant, "spring").etag
    after = plane.put_pool(tenant, "spring", "10 %", before).etag
    with pytest.raises(StaleError):
        plane.put_pool(tenant, "spring", "20 %", before)
    with pytest.raises(StaleError):
        plane.delete_pool(tenant, "spring", before)
    plane.add_codes(tenant, "spring", [f"D{n}" for n in range(6)])
    ask(plane, tenant, ADA)
    plane.delete_pool(tenant, "spring", after)
    assert plane.list_pools(tenant) == []
    assert plane.codes_of(tenant, [ADA]) == []
    assert plane.add_codes(plane.put_pool(tenant, "spring").name and tenant, "spring", ["C0"]) == []


def test_who_got_which_code_is_listed_in_pages(plane: ControlPlane, tenant: TenantId) -> None:
    ask(plane, tenant, ADA, at=NOW)
    ask(plane, tenant, BOB, at=NOW + 5)
    ask(plane, tenant, ADA, "another", at=NOW + 9)
    newest = plane.page_of_given(tenant, "spring", Place(2, descends=True, sort="given_at"))
    assert [(one.code, one.user_key, one.campaign) for one in newest.items] == [
        ("C2", ADA, "another"),
        ("C1", BOB, "c"),
    ]
    rest = plane.page_of_given(tenant, "spring", Place(2, newest.last, descends=True, sort="given_at"))
    assert [one.code for one in rest.items] == ["C0"]
    mine = plane.page_of_given(tenant, "spring", Place(), user_keys=[ADA], campaign="c")
    assert [(one.code, one.given_at) for one in mine.items] == [("C0", NOW)]
    assert [one.code for one in plane.codes_of(tenant, [ADA])] == ["C0", "C2"]


@pytest.mark.parametrize("user", [known_key("x" * 4_000), known_key("a\x00b"), known_key("\ud800"), known_key("名")])
def test_any_user_id_may_have_a_code(plane: ControlPlane, tenant: TenantId, user: UserKey) -> None:
    assert ask(plane, tenant, user) == ask(plane, tenant, user) == "C0"
    assert plane.codes_of(tenant, [user])[0].user_key == user


def test_an_erased_user_is_forgotten_and_the_code_stays_used(plane: ControlPlane, tenant: TenantId) -> None:
    ask(plane, tenant, ADA)
    ask(plane, tenant, BOB)
    plane.forget_coupons(tenant, [ADA, known_key("ada-before")], NOW)
    assert plane.codes_of(tenant, [ADA]) == []
    given_ = plane.page_of_given(tenant, "spring", Place(sort="given_at")).items
    assert [(one.code, one.user_key, one.campaign) for one in given_] == [("C0", None, "c"), ("C1", BOB, "c")]
    assert plane.get_pool(tenant, "spring").n_left == 1
    late = ask(plane, tenant, ADA, at=NOW + ERASED_MS - 1)
    assert late is Reason.ERASED, "a message that was under way takes none"
    plane.forget_coupons(tenant, [BOB], NOW + ERASED_MS)
    assert ask(plane, tenant, ADA, at=NOW + ERASED_MS + 1) == "C2", "who comes back is somebody new"


def test_the_database_itself_refuses_a_second_code(plane: ControlPlane, tenant: TenantId) -> None:
    ask(plane, tenant, ADA)
    (mine,) = plane.codes_of(tenant, [ADA])
    again = {"tenant_id": tenant, "pool": "spring", "code": "X", "number": 9, "campaign": mine.campaign}
    with plane._reading() as session:
        taken = session.query(CouponCodeRow).filter_by(code="C0").one()
        again |= {"user_hash": taken.user_hash, "user_key": taken.user_key, "given_at": NOW}
    with pytest.raises(IntegrityError), plane._noting() as session:
        session.execute(insert(CouponCodeRow), [again])


@pytest.fixture(scope="module")
def planes(plane_url_of_module: str):
    made = [ControlPlane(plane_url_of_module, keyring=KEYRING) for _ in range(3)]
    yield made
    for one in made:
        one.close()


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    n_codes=st.integers(0, 12),
    asks=st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["a", "b"])), min_size=1, max_size=30),
)
def test_however_many_ask_at_once_nobody_shares_a_code_and_nobody_has_two(
    planes: list[ControlPlane], n_codes: int, asks: list[tuple[int, str]]
) -> None:
    tenant = planes[0].create_tenant(f"t{len(planes[0].list_tenants())}").id
    planes[0].put_pool(tenant, "spring")
    planes[0].add_codes(tenant, "spring", [f"C{n}" for n in range(n_codes)])
    with ThreadPoolExecutor(6) as pool:
        told = list(
            pool.map(lambda n: ask(planes[n % 3], tenant, known_key(f"u{asks[n][0]}"), asks[n][1]), range(len(asks)))
        )
    by_ask: dict[tuple[int, str], set[str | Reason]] = {}
    for one, code in zip(asks, told, strict=True):
        by_ask.setdefault(one, set()).add(code)
    codes = [code for found in by_ask.values() for code in found if code is not Reason.COUPONS_EXHAUSTED]
    assert len(codes) == len(set(codes)) == min(n_codes, len(by_ask))
    assert all(len(found) == 1 for found in by_ask.values())
    assert planes[0].get_pool(tenant, "spring").n_given == len(codes)


def test_killed_at_any_moment_no_code_goes_to_two_users_and_no_user_has_two(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        tenant = pool_of(plane, "acme", 300)
        rounds = ["12", "7"]
        command = [sys.executable, "-m", "tests.support.coupon_takers", plane_url, tenant, "spring", *rounds]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        told = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
        stored = {
            one.code: one.user_key
            for start in [plane.page_of_given(tenant, "spring", Place(1_000))]
            for one in start.items
        }
        pool = plane.get_pool(tenant, "spring")
    given_ = {(user, code) for user, code in told if code != Reason.COUPONS_EXHAUSTED}
    assert len(told) > 100, "the processes must have got somewhere"
    assert len({user for user, _ in given_}) == len({code for _, code in given_}) == len(given_)
    assert all(stored[code] == user for user, code in given_)
    assert len(set(stored.values())) == len(stored) == pool.n_given, "those who were killed took none for nobody"
