"""A Serve application that is called over its replica's socket, and through Serve where it cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.calls import applications
from actors.calls.applications import Application
from actors.calls.call_log import Calls
from actors.calls.socket_server import DirectServer
from tests.unit.actors.applications import until
from whisperer.errors import UnavailableError

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


class Replica:
    """Doubles numbers, by both ways, and counts the calls of each."""

    def __init__(self, path: Path) -> None:
        self.server = DirectServer(path, {"double": self.double_directly}, Calls().run)
        self.n_direct = self.n_serve = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def double_directly(self, batch: memoryview) -> bytes:
        self.n_direct += 1
        await self.gate.wait()
        return encode([2 * n for n in decode(batch)])

    async def double(self, batch: bytes) -> bytes:
        self.n_serve += 1
        return encode([2 * n for n in decode(batch)])

    async def direct_way(self) -> tuple[str, str] | None:
        await self.server.start()
        return str(self.server.path), self.server.token


class Handle:
    """What Serve's handle is to a caller: the method by option, one replica of those there are."""

    def __init__(self, serve: Serve, method: str) -> None:
        self._serve, self._method = serve, method

    def options(self, *, method_name: str) -> Handle:
        return Handle(self._serve, method_name)

    async def remote(self, *args: Any) -> Any:
        if self._serve.replica is None:
            raise RuntimeError("no replica")
        return await getattr(self._serve.replica, self._method)(*args)


class Serve:
    """At most one replica at a time; every application and replica of a test ends with it."""

    replica: Replica | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Replica] = []
        self._callers: list[Application[int, int]] = []

    def start(self) -> Replica:
        self.replica = Replica(self._folder / str(len(self._made)))
        self._made.append(self.replica)
        return self.replica

    def application(self, *, has_socket: bool = True) -> Application[int, int]:
        made: Application[int, int] = Application("doubles", "Doubles", "double", list[int], 5.0, has_socket=has_socket)
        self._callers.append(made)
        return made

    async def end(self) -> None:
        for caller in self._callers:
            caller.close()
        for replica in self._made:
            replica.gate.set()
            replica.server.close()
        await asyncio.sleep(0)


@pytest.fixture
async def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    made = Serve(tmp_path)
    made.start()
    monkeypatch.setattr(Application, "_find", lambda _: Handle(made, ""))
    yield made
    await made.end()


async def test_a_replica_with_a_socket_is_called_over_it(serve: Serve) -> None:
    called, replica = serve.application(), serve.replica
    assert replica is not None
    assert not called.is_direct
    assert [await called.call([n]) for n in (1, 2)] == [[2], [4]]
    assert called.is_direct
    assert (replica.n_direct, replica.n_serve) == (2, 0)


async def test_one_without_is_called_through_serve(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(_: Replica) -> None:
        return None

    assert serve.replica is not None
    plain = serve.application(has_socket=False)
    assert await plain.call([1]) == [2]
    monkeypatch.setattr(Replica, "direct_way", none)
    other = serve.application()
    assert await other.call([1]) == [2]
    assert (serve.replica.n_direct, serve.replica.n_serve) == (0, 2)


async def test_a_socket_of_another_machine_is_not_one(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def elsewhere(_: Replica) -> tuple[str, str]:
        return "/no/such/socket", "token"

    assert serve.replica is not None
    monkeypatch.setattr(Replica, "direct_way", elsewhere)
    called = serve.application()
    assert [await called.call([n]) for n in (1, 2)] == [[2], [4]]
    assert serve.replica.n_serve == 2


async def test_when_the_replica_dies_the_call_fails_and_the_next_one_finds_another(serve: Serve) -> None:
    called, first = serve.application(), serve.replica
    assert first is not None
    await called.call([1])
    first.gate.clear()
    under_way = asyncio.ensure_future(called.call([2]))
    await until(lambda: first.n_direct == 2)
    assert called._direct is not None
    called._direct.close()  # as the kernel does it for a process that was killed
    with pytest.raises(UnavailableError):
        await under_way
    second = serve.start()
    assert await called.call([3]) == [6]
    assert second.n_direct == 1


async def test_load_follows_the_replicas_there_are_and_calls_under_way_are_answered(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applications, "LOOK_EVERY_S", 0.0)
    called, first = serve.application(), serve.replica
    assert first is not None
    await called.call([1])
    first.gate.clear()
    under_way = asyncio.ensure_future(called.call([2]))
    await until(lambda: first.n_direct == 2)
    left, second = called._direct, serve.start()
    beside = asyncio.ensure_future(called.call([3]))  # Serve is asked beside it, and not waited for
    await until(lambda: called._direct is not left)
    assert await called.call([4]) == [8]
    assert second.n_direct == 1
    assert left is not None
    assert left.is_open
    first.gate.set()
    assert [await under_way, await beside] == [[4], [6]]
    assert not left.is_open
