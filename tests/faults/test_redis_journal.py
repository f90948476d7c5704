"""Real Redis servers killed, stopped, promoted and misconfigured under a journal: nothing acknowledged is lost."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from actors.journal import Rules, open_journal, redis_streams, redis_trust
from actors.journal.redis_streams import RedisJournal
from tests.support.redis_stand import RedisServer, needs_redis, redis_server
from tests.support.stand import until
from whisperer.errors import FencedError, JournalDamagedError, JournalError, UnavailableError

SECRET = "correct-horse"


@pytest.fixture(autouse=True)
def _redis() -> None:
    needs_redis()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as started:
        yield started


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    with redis_server(tmp_path / "master") as master:
        replica = master.replica(tmp_path / "replica")
        yield master, replica
        replica.kill()


def opened(*servers: RedisServer, **rules: Any) -> RedisJournal:
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    journal = open_journal(f"redis://{hosts}/0", 0, rules=Rules(**rules))
    assert isinstance(journal, RedisJournal)
    return journal


def hurried(journal: RedisJournal) -> None:
    """Take the journal's patience once it is open; a busy machine needs some to open it."""
    rules = dataclasses.replace(journal._rules, wait_timeout_s=0.05, patience_s=0.2)
    journal._rules = journal._server._rules = rules


@contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    """SIGSTOP inside the block: it holds its connections and does nothing, as on a machine that has lost its way."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def in_background(work: Any, *arguments: Any) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work(*arguments))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def records(journal: RedisJournal) -> list[bytes]:
    return [record for _, record in journal.replay(journal.oldest)]


def test_kill_9_of_redis_between_groups_loses_nothing_and_the_journal_goes_on(server: RedisServer) -> None:
    journal = opened(server)
    expected = []
    for n in range(4):
        expected.append(b"%d" % n * 1000)
        journal.append(expected[-1:])
        server.kill()
        server.start()
    journal.append([b"after"])
    assert records(journal) == [*expected, b"after"]
    assert opened(server).epoch == journal.epoch + 1


def test_an_append_waits_while_redis_is_away_and_says_so(server: RedisServer) -> None:
    journal = opened(server)
    server.kill()
    appending, found = in_background(journal.append, [b"patient"])
    until(lambda: journal.trouble, "the journal to say what is in its way")
    server.start()
    appending.join()
    assert found == [[0]]
    assert journal.trouble is None
    assert records(journal) == [b"patient"]


def test_a_redis_that_stays_away_kills_the_journal_and_keeps_a_new_one_from_opening(server: RedisServer) -> None:
    journal = opened(server, patience_s=0.2)
    server.kill()
    with pytest.raises(JournalError, match="is not known"):
        journal.append([b"a"])
    with pytest.raises(JournalError, match="accepts nothing more"):
        journal.append([b"b"])
    with pytest.raises(UnavailableError):
        opened(server, patience_s=0.2)


@pytest.mark.parametrize("n_lost", [1, 3])
def test_a_group_whose_answer_is_lost_is_stored_once(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, n_lost: int
) -> None:
    journal = opened(server)
    left = n_lost
    together = redis_streams.together

    def answer_lost(client: redis.Redis, *commands: Any) -> Any:
        nonlocal left
        answer = together(client, *commands)
        if left:
            left -= 1
            raise redis.ConnectionError("the answer was lost")
        return answer

    monkeypatch.setattr(redis_streams, "together", answer_lost)
    positions = journal.append([b"once", b"and this"])
    left = n_lost
    journal.roll()
    left = n_lost
    assert opened(server).epoch == journal.epoch + 1, "an epoch that was taken unheard is not taken twice"
    assert list(opened(server).replay()) == list(zip(positions, [b"once", b"and this"], strict=True))


def test_of_two_incarnations_that_write_at_once_the_older_stores_nothing_from_the_newers_opening_on(
    server: RedisServer,
) -> None:
    older = opened(server)
    stored: list[bytes] = []

    def write_until_fenced() -> None:
        for n in range(100_000):
            record = b"older %d" % n
            older.append([record])
            stored.append(record)

    writing, found = in_background(write_until_fenced)
    until(lambda: len(stored) > 50, "the older one to be in full swing")
    newer = opened(server)
    newer.append([b"newer"])
    writing.join()
    assert isinstance(found[0], FencedError)
    assert records(newer) == [*stored, b"newer"]


def test_a_restart_with_its_append_only_file_loses_nothing(server: RedisServer) -> None:
    with opened(server) as journal:
        for n in range(50):
            journal.append([b"%d" % n * 2000])
        journal.roll()
        segments = journal.segments()
        with server.client() as client:
            client.bgrewriteaof()  # killed in the middle of it, or after
    server.kill()
    server.start()
    with opened(server) as again:
        assert len(records(again)) == 50
        assert again.segments()[0] == segments[0]


def test_promoting_a_replica_that_acknowledged_loses_nothing(pair: tuple[RedisServer, RedisServer]) -> None:
    master, replica = pair
    journal = opened(master, replica, wait_replicas=1)
    expected = [b"%d" % n * 500 for n in range(20)]
    for record in expected:
        journal.append([record])
    master.kill()
    replica.promote()
    with opened(replica, master) as again:
        assert records(again) == expected
        assert again.epoch == journal.epoch + 1


def test_a_writer_finds_the_promoted_replica_by_itself(pair: tuple[RedisServer, RedisServer]) -> None:
    master, replica = pair
    journal = opened(master, replica, wait_replicas=0)
    journal.append([b"before"])
    with replica.client() as client:
        until(lambda: client.xlen(journal._keys[0]) == 1, "the replica to have it")
    master.kill()
    replica.promote()
    journal.append([b"after"])
    assert records(journal) == [b"before", b"after"]


def test_a_master_left_behind_by_a_promotion_acknowledges_nothing(pair: tuple[RedisServer, RedisServer]) -> None:
    master, replica = pair
    journal = opened(master, wait_replicas=1)
    journal.append([b"before"])
    hurried(journal)
    replica.promote()
    with pytest.raises(JournalError, match="0 of 1 replicas"):
        journal.append([b"never acknowledged"])
    with opened(replica) as again:
        assert records(again) == [b"before"]
    with pytest.raises(UnavailableError, match="0 of 1 replicas"):
        opened(master, wait_replicas=1, wait_timeout_s=0.05, patience_s=0.3)


def test_a_group_that_too_few_replicas_have_is_acknowledged_once_they_do(pair: tuple[RedisServer, RedisServer]) -> None:
    master, replica = pair
    journal = opened(master, wait_replicas=1, wait_timeout_s=0.05)
    with stopped(replica):
        appending, found = in_background(journal.append, [b"a"])
        until(lambda: journal.trouble, "the journal to say that replicas are missing")
        assert found == []
    appending.join()
    assert found == [[0]]
    assert records(journal) == [b"a"]


def test_a_group_that_was_given_up_for_want_of_replicas_is_not_lost(pair: tuple[RedisServer, RedisServer]) -> None:
    master, replica = pair
    journal = opened(master, wait_replicas=1)
    hurried(journal)
    with stopped(replica), pytest.raises(JournalError):
        journal.append([b"stored, not acknowledged"])
    with opened(master, wait_replicas=1) as again:
        assert records(again) == [b"stored, not acknowledged"]


def test_a_promoted_replica_that_lacks_acknowledged_records_is_told_from_a_whole_one(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    master, replica = pair
    journal = opened(master, replica)
    journal.append([b"both have it"])
    with replica.client() as client:
        until(lambda: client.xlen(journal._keys[0]) == 1, "the replica to have it")
    replica.promote()
    journal.append([b"the master alone has it"])
    master.kill()
    with pytest.raises(JournalDamagedError, match="acknowledged is everything before"):
        journal.append([b"next"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"appendfsync": "everysec"}, "appendfsync everysec"),
        ({"appendonly": "no"}, "appendonly no"),
        ({"no-appendfsync-on-rewrite": "yes"}, "no-appendfsync-on-rewrite yes"),
        ({"user": "default on nopass ~* &* +@all -config"}, "cannot be seen"),
    ],
)
def test_a_server_that_does_not_sync_is_refused_unless_allowed(
    tmp_path: Path, options: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server(tmp_path / "redis", **options) as server:
        with pytest.raises(JournalError, match=said):
            opened(server)
        told: list[str] = []
        # Of its own: what earlier tests did to the loggers of this process is not asked here.
        logger = logging.Logger("trust")
        logger.addFilter(lambda record: told.append(record.getMessage()) or True)
        monkeypatch.setattr(redis_trust, "_log", logger)
        with opened(server, require_fsync=False) as journal:
            journal.append([b"x"])
        assert said in "".join(told)


def test_a_server_that_may_evict_journals_is_refused_always(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path / "redis", **{"maxmemory-policy": "allkeys-lru"}) as server,
        pytest.raises(JournalError, match="noeviction"),
    ):
        opened(server, require_fsync=False)


def test_a_server_without_room_stores_nothing_until_it_has_some(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:
        journal = opened(server)
        journal.append([b"a"])
        with server.client() as client:
            client.config_set("maxmemory", 1)
            appending, found = in_background(journal.append, [b"b" * 10_000])
            until(lambda: journal.trouble, "the journal to say what is in its way")
            assert client.xlen(journal._keys[0]) == 1
            client.config_set("maxmemory", 0)
        appending.join()
        assert found == [[17]]
        assert [len(record) for record in records(journal)] == [1, 10_000]


def test_a_missing_or_altered_entry_is_found_and_its_place_named(server: RedisServer) -> None:
    journal = opened(server)
    positions = journal.append([b"a", b"b", b"c"])
    stream = journal._keys[0]
    with server.client() as client:
        client.xdel(stream, f"{positions[1]}-{journal.epoch}")
        with pytest.raises(JournalDamagedError, match=f"next is at {positions[2]}, at journal position {positions[1]}"):
            records(journal)
        assert journal.read(positions[2]) == b"c"
        client.xdel(stream, f"{positions[2]}-{journal.epoch}")
        with pytest.raises(JournalDamagedError, match="newest record"):
            opened(server)
        client.xadd(stream, {"c": b"0000", "r": b"C"}, id=f"{positions[2]}-{journal.epoch + 1}")
        with pytest.raises(JournalDamagedError, match=f"no valid record at journal position {positions[2]}"):
            journal.read(positions[2])


@pytest.mark.parametrize("lost", ["everything", "the state"])
def test_a_journal_that_was_deleted_under_its_writer_is_not_begun_anew(server: RedisServer, lost: str) -> None:
    journal = opened(server)
    journal.append([b"a"])
    with server.client() as client:
        client.flushall() if lost == "everything" else client.delete(journal._keys[1])
    with pytest.raises(JournalDamagedError, match="gone"):
        journal.append([b"b"])
    if lost == "the state":
        with pytest.raises(JournalDamagedError, match="state is missing"):
            opened(server)


def test_the_password_is_used_and_never_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(tmp_path / "redis", requirepass=SECRET) as server, caplog.at_level(logging.DEBUG):
        url = f"redis://:{SECRET}@127.0.0.1:{server.port}/0"
        journal = open_journal(url, 0, rules=Rules(patience_s=0.2))
        journal.append([b"x"])
        with pytest.raises(JournalError, match="refuses the user or password") as wrong:
            open_journal(url.replace(SECRET, SECRET + "x"), 0)
        server.kill()
        with pytest.raises(JournalError) as away:
            journal.append([b"y"])
        assert isinstance(journal, RedisJournal)
        for text in (str(wrong.value), str(away.value), caplog.text, repr(journal._server.place), journal.name):
            assert SECRET not in text


def test_tls_is_spoken_and_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    from tests.support.certificates import authority

    authority(tmp_path, "127.0.0.1")
    pem = tmp_path / "server.pem"
    options = {"tls-cert-file": pem, "tls-key-file": pem, "tls-ca-cert-file": pem, "tls-auth-clients": "no"}
    with redis_server(tmp_path / "redis") as probe:
        tls_port = probe.port + 1 if probe.port < 65_000 else probe.port - 1
    try:
        context = redis_server(tmp_path / "tls", **options, **{"tls-port": tls_port})
        with context:
            url = f"rediss://127.0.0.1:{tls_port}/0"
            with open_journal(f"{url}?ssl_ca_certs={pem}", 0) as journal:
                journal.append([b"x"])
                assert list(journal.replay()) == [(0, b"x")]
            with pytest.raises(UnavailableError, match="certificate verify failed"):
                open_journal(url, 0, rules=Rules(patience_s=0.1))
    except AssertionError as error:
        if "connection type tls" in str(error) or ("tls" in str(error).lower() and "Bad directive" in str(error)):
            pytest.skip("this Redis was built without TLS")
        raise
