"""What errors of a database mean, and who may try one that is away. Servers that are killed or hang: tests/faults."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from cluster.control_plane import ControlPlane, database
from cluster.control_plane.postgresql import CONNECTIONS, WRITERS_LOCK
from cluster.control_plane.reach import Reach
from cluster.errors import InstallationError, SettingsError
from tests.support.keyring import KEYRING
from tests.support.postgres_stand import PASSWORD, PostgresServer
from whisperer.errors import NotFoundError, UnavailableError

on_sqlite = pytest.mark.parametrize("plane_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("plane_url", ["postgresql"], indirect=True)


def refused(plane: ControlPlane) -> None:
    with pytest.raises(UnavailableError) as caught:
        plane.create_tenant("acme")
    assert (caught.value.status, caught.value.retry_after_s) == (503, 1.0)


@on_sqlite
@pytest.mark.parametrize("pragma", ["busy_timeout=0", "query_only=1", "max_page_count=1"])
def test_a_file_that_is_locked_read_only_or_full_is_away_to_writers_only(plane_url: str, pragma: str) -> None:
    with ControlPlane(plane_url, keyring=KEYRING) as plane, ControlPlane(plane_url, keyring=KEYRING) as other:
        with plane._engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA {pragma}")  # the pool gives it to the next who asks
            if pragma.startswith("max"):
                full = connection.exec_driver_sql("PRAGMA page_count").scalar()
                connection.exec_driver_sql(f"PRAGMA max_page_count={full}")
        if pragma.startswith("busy"):
            with database.writing(other._engine):
                refused(plane)
                assert plane.list_tenants() == []
        elif pragma.startswith("max"):
            with pytest.raises(UnavailableError):
                list(map(plane.create_tenant, (f"t{n}" for n in range(1000))))
        else:
            refused(plane)
        assert not plane.is_away
        assert len(plane.list_tenants()) == plane.version()
        other.create_tenant("acme")


@on_postgresql
def test_a_standby_that_was_a_primary_is_away_to_writers_until_it_is_one_again(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        with plane._engine.connect() as connection:
            connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
            connection.commit()
        refused(plane)
        assert plane.list_tenants() == []
        plane._engine.dispose()
        plane.create_tenant("acme")


@on_postgresql
def test_whoever_waits_too_long_for_another_writer_may_try_again(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=KEYRING) as plane, ControlPlane(plane_url, keyring=KEYRING) as other:
        with other._engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
            refused(plane)
            assert plane.list_tenants() == []
        plane.create_tenant("acme")


@on_postgresql
def test_connections_that_the_server_ends_are_replaced(plane_url: str, postgres: PostgresServer) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        postgres.admin(f"{end} AND pid <> pg_backend_pid()", plane_url.rpartition("/")[2])
        assert plane.list_tenants() == []  # it is tried before it is used

        def end_it_midway() -> None:
            with plane._reading() as session:
                session.execute(text("SELECT 1"))
                postgres.admin(f"{end} AND pid <> pg_backend_pid()", plane_url.rpartition("/")[2])
                session.execute(text("SELECT 1"))

        with pytest.raises(UnavailableError):
            end_it_midway()
        plane.create_tenant("acme")


@on_postgresql
def test_connections_are_bounded_and_whoever_gets_none_may_try_again(plane_url: str, postgres: PostgresServer) -> None:
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        held = [plane._engine.connect() for _ in range(CONNECTIONS)]
        with pytest.raises(UnavailableError):
            plane.list_tenants()
        for connection in held:
            connection.close()
        with ThreadPoolExecutor(24) as pool:
            assert list(pool.map(lambda _: plane.list_tenants(), range(100))) == [[]] * 100
        name = plane_url.rpartition("/")[2]
        ((n_open,),) = postgres.admin(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'")
        assert n_open <= CONNECTIONS


def test_while_it_is_away_one_tries_it_and_the_others_are_refused_at_once() -> None:
    reach, trying, end = Reach(), threading.Event(), threading.Event()
    absence = UnavailableError

    def fail() -> None:
        with reach.asking():
            raise _away()

    with pytest.raises(absence):
        fail()
    assert reach.is_away

    def try_it() -> None:
        with reach.asking():
            trying.set()
            assert end.wait(60)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(try_it)
        assert trying.wait(60)
        for _ in range(3):
            with pytest.raises(absence), reach.asking():
                raise AssertionError("two at once")
        end.set()
        first.result()
    assert not reach.is_away
    with reach.asking(), reach.asking():  # now all are let in
        pass


def test_an_answer_that_is_no_is_an_answer() -> None:
    reach = Reach()
    with pytest.raises(UnavailableError), reach.asking():
        raise _away()
    with pytest.raises(NotFoundError), reach.asking():
        raise NotFoundError("there is no such thing", code="tenant_not_found")
    assert not reach.is_away


def _away() -> Exception:
    from sqlalchemy.exc import OperationalError

    return OperationalError("SELECT 1", {}, Exception("server closed the connection unexpectedly"))


def test_a_database_that_cannot_be_opened_is_named_without_its_password(postgres: PostgresServer) -> None:
    url = postgres.url("postgres")
    wrong = url.replace(PASSWORD, "another-password")
    nowhere = url.replace(str(postgres.port), "1")
    for tried, word in ((wrong, "password authentication failed"), (nowhere, "refused")):
        with pytest.raises(UnavailableError, match=word) as caught:
            ControlPlane(tried, keyring=KEYRING)
        assert "whisperer:***@127.0.0.1" in caught.value.message
        assert "--database" in caught.value.message
        for secret in (PASSWORD, "another-password"):
            assert secret not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


def test_a_role_without_rights_is_told_which_it_needs(postgres: PostgresServer) -> None:
    url = postgres.database()
    name = url.rpartition("/")[2]
    postgres.admin(f"CREATE ROLE r_{name} LOGIN PASSWORD 'x'")
    try:
        with pytest.raises(InstallationError, match=r"permission denied.*rights to create and change tables"):
            ControlPlane(url.replace(f"whisperer:{PASSWORD}", f"r_{name}:x"), keyring=KEYRING)
        postgres.admin(f"ALTER DATABASE {name} OWNER TO r_{name}")
        with ControlPlane(url.replace(f"whisperer:{PASSWORD}", f"r_{name}:x"), keyring=KEYRING) as plane:
            plane.create_tenant("acme")
    finally:
        postgres.drop(url)
        postgres.admin(f"DROP ROLE r_{name}")


@pytest.mark.parametrize("text", ["postgresql://a:hunter2@h:x/d", "postgresql://a:hunter2@h1:1,h2:2/d"])
def test_a_url_that_is_none_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(SettingsError, match="no database URL") as caught:
        database.open_engine(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_the_url_asks_for_goes_before_what_we_would_choose(postgres: PostgresServer) -> None:
    url = postgres.url("postgres") + "?application_name=mine&options=-c%20statement_timeout%3D1234"
    engine = database.open_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "1234ms"
        assert connection.scalar(text("SHOW application_name")) == "mine"
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "30s"
    engine.dispose()
