"""Every journal backend against the battery."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actors.journal import FileJournal, Rules, delete_journal, open_journal
from actors.journal.redis_place import RedisPlace
from actors.journal.redis_streams import RedisJournal
from cluster.errors import SettingsError
from cluster.launch.journal_url import in_force
from tests.contracts.journal_battery import JournalBattery
from tests.support.redis_stand import RedisServer, needs_redis, redis_server
from whisperer.errors import JournalError

NUMBERS = itertools.count()


@dataclass
class FolderHome:
    folder: Path
    segment_bytes: int
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def open(self) -> FileJournal:
        return FileJournal.open(self.folder, segment_bytes=self.segment_bytes)

    def another(self) -> FolderHome:
        return FolderHome(self.folder.with_name(f"another-{next(self._numbers)}"), self.segment_bytes)


class TestFileJournal(JournalBattery):
    @pytest.fixture(params=[1, 500, 64 << 20], ids=["one-group-a-segment", "small-segments", "default-segments"])
    def home(self, tmp_path: Path, request: pytest.FixtureRequest) -> FolderHome:
        return FolderHome(tmp_path / "journal", request.param)


@dataclass
class StreamHome:
    server: RedisServer
    segment_bytes: int
    wait_replicas: int = 0
    shard: int = field(default_factory=lambda: next(NUMBERS))

    def open(self) -> RedisJournal:
        return RedisJournal.open(
            RedisPlace.parse(self.server.url),
            self.shard,
            segment_bytes=self.segment_bytes,
            rules=Rules(wait_replicas=self.wait_replicas),
        )

    def another(self) -> StreamHome:
        return StreamHome(self.server, self.segment_bytes, self.wait_replicas)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    needs_redis()
    with redis_server(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    needs_redis()
    with redis_server(tmp_path_factory.mktemp("master")) as master:
        replica = master.replica(tmp_path_factory.mktemp("replica"))
        yield master
        replica.kill()


class TestRedisJournal(JournalBattery):
    @pytest.fixture(params=[1, 500, 64 << 20], ids=["one-group-a-segment", "small-segments", "default-segments"])
    def home(self, server: RedisServer, request: pytest.FixtureRequest) -> StreamHome:
        return StreamHome(server, request.param)


class TestRedisJournalWithAReplica(JournalBattery):
    @pytest.fixture
    def home(self, replicated: RedisServer) -> StreamHome:
        return StreamHome(replicated, 500, wait_replicas=1)


def test_a_url_chooses_the_backend_and_the_shard_its_folder(tmp_path: Path) -> None:
    url = (tmp_path / "with space").as_uri()
    with open_journal(url, 3) as journal:
        journal.append([b"x"])
        assert isinstance(journal, FileJournal)
        assert journal.folder == tmp_path / "with space" / "shard-0003"
    with open_journal(url, 4) as other:
        assert list(other.replay()) == []


@pytest.mark.parametrize("backend", ["file", "redis"])
def test_of_a_removed_shards_journal_nothing_stays_and_of_others_all(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"file://{tmp_path}" if backend == "file" else f"{request.getfixturevalue('server').url}?prefix=removed"
    for shard in (1, 2):
        journal = open_journal(url, shard)
        journal.append([b"somebody"])
        journal.close()
    for _ in range(2):
        delete_journal(url, 1)
    if backend == "file":
        assert [path.name for path in tmp_path.iterdir()] == ["shard-0002"]
    else:
        keys = {key.decode() for key in request.getfixturevalue("server").client().keys("removed:*")}
        assert {key.split("}")[0] for key in keys} == {"removed:{shard-0002"}
    kept, anew = open_journal(url, 2), open_journal(url, 1)
    assert [record for _, record in kept.replay()] == [b"somebody"]
    assert list(anew.replay()) == []
    for journal in (kept, anew):
        journal.close()


def test_a_writer_that_outlives_its_removed_journal_is_fenced(server: RedisServer) -> None:
    url = f"{server.url}?prefix=outlived"
    journal = open_journal(url, 1)
    journal.append([b"somebody"])
    delete_journal(url, 1)
    with pytest.raises(JournalError):
        journal.append([b"somebody else"])
    assert not server.client().keys("outlived:*")


def test_a_redis_url_chooses_streams_and_the_prefix_keeps_installations_apart(server: RedisServer) -> None:
    shard = next(NUMBERS)
    with open_journal(f"{server.url}?prefix=one", shard) as one, open_journal(f"{server.url}?prefix=two", shard) as two:
        one.append([b"x"])
        assert isinstance(one, RedisJournal)
        assert list(two.replay()) == []
        two.append([b"y"])
        assert [record for _, record in one.replay()] == [b"x"]


@pytest.mark.parametrize("url", ["http://127.0.0.1/0", "file://host/folder", "folder", "kafka://me:secret@there"])
def test_a_url_no_backend_serves_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no journal backend") as refused:
        open_journal(url, 0)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "hosts", "database"),
    [
        ("redis://there", (("there", 6379),), 0),
        ("redis://there:7000/3", (("there", 7000),), 3),
        ("redis://a:1,b,[::1]:3/0", (("a", 1), ("b", 6379), ("::1", 3)), 0),
        ("rediss://u:p%40ss@there/1?prefix=mine", (("there", 6379),), 1),
    ],
)
def test_a_redis_url_is_read(url: str, hosts: tuple[tuple[str, int], ...], database: int) -> None:
    place = RedisPlace.parse(url)
    assert (place.hosts, place.database) == (hosts, database)
    assert place.is_tls == url.startswith("rediss")
    if "@" in url:
        assert (place.username, place.password, place.prefix) == ("u", "p@ss", "mine")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@", "redis://:secret@h:0", "redis://:secret@h:port", "redis://:secret@h/name",
        "redis://:secret@h/0?sl=1", "redis://:secret@h?prefix=a{b}",
    ],
)  # fmt: skip
def test_a_wrong_redis_url_is_refused_without_quoting_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"Redis|prefix") as refused:
        RedisPlace.parse(url)
    assert "secret" not in str(refused.value)


def test_an_installations_own_prefix_is_used_unless_the_url_names_one() -> None:
    own = RedisPlace.parse(in_force("redis://:p%40ss@h:1,i:2", "8a"))
    assert (own.prefix, own.password, own.hosts) == ("whisperer-8a", "p@ss", (("h", 1), ("i", 2)))
    assert RedisPlace.parse(in_force("rediss://:s@h/3?prefix=theirs", "8a")).prefix == "theirs"
    assert RedisPlace.parse(in_force("rediss://h/3?ssl_ca_certs=/ca", "8a")).options == {"ssl_ca_certs": "/ca"}
    assert in_force("file:///journal", "8a") == "file:///journal"


@pytest.mark.parametrize("url", ["s3://:secret@bucket", "redis:secret", "file://host/secret", "secret"])
def test_a_start_with_a_journal_nobody_keeps_is_refused_without_quoting_the_url(url: str) -> None:
    with pytest.raises(SettingsError, match=r"journal\.url must be") as refused:
        in_force(url, "8a")
    assert "secret" not in str(refused.value)
