"""The direct way into a shard: what comes over the socket, what is refused, and how a caller learns of the end."""

from __future__ import annotations

import asyncio
import itertools
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.calls.call_log import Calls
from actors.calls.inline_blocks import INLINE_BYTES, to_blocks, to_pieces
from actors.calls.partition_map import PartitionMap
from actors.calls.shards import CallStatus, ShardCalls
from actors.calls.socket_client import CallFailedError, DirectConnection, connect
from actors.calls.socket_frames import MOST_BYTES, PREFIX, decode_answer, frame
from actors.calls.socket_server import READ_BYTES, DirectServer, _Caller
from actors.calls.user_views import document
from whisperer.eligibility.standing import Standing
from whisperer.shard.views.decision import DecisionBrief
from whisperer.shard.views.user import UserView

TRACE = [("request", "trace")]


class Shard:
    """Has the methods that tests call; answers of `wait` are given out by hand."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def echo(self, *arguments: Any) -> Any:
        plain = [a for a in arguments if not isinstance(a, memoryview)]
        return "", [plain, *map(bytes, arguments[len(plain) :])]

    async def wait(self, number: int) -> Any:
        await self.gate.wait()
        return "", number

    async def fail(self) -> Any:
        raise LookupError("no such thing")

    @property
    def methods(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        return {"echo": self.echo, "wait": self.wait, "fail": self.fail}


@pytest.fixture
def shard() -> Shard:
    return Shard()


@pytest.fixture
async def server(tmp_path: Path, shard: Shard) -> AsyncIterator[DirectServer]:
    made = DirectServer(tmp_path / "s", shard.methods, Calls().run)
    await made.start()
    yield made
    made.close()


@pytest.fixture
async def connection(server: DirectServer) -> AsyncIterator[DirectConnection]:
    made = await connect(str(server.path), server.token)
    yield made
    made.close()


async def closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    try:
        left = await reader.read()
    except ConnectionError:
        left = b""
    writer.close()
    return left == b""


async def test_arguments_and_tail_come_whole_however_large(connection: DirectConnection) -> None:
    parts = [bytes([i]) * size for i, size in enumerate((0, 1, 70_000, 3_000_000))]
    status, (plain, tail) = await connection.call(TRACE, "echo", [7, [1, 2]], parts)
    assert (status, plain, tail) == ("", [7, [1, 2]], b"".join(parts))


async def test_a_call_without_a_tail_has_its_arguments_alone(connection: DirectConnection) -> None:
    assert await connection.call(TRACE, "echo", [7, [["u:ann", "o"]]]) == ["", [[7, [["u:ann", "o"]]]]]


async def test_calls_that_are_under_way_together_get_their_own_answers(
    connection: DirectConnection, shard: Shard
) -> None:
    waiting = [asyncio.ensure_future(connection.call(TRACE, "wait", [n])) for n in range(20)]
    assert (await connection.call(TRACE, "echo", [1]))[1] == [[1]]  # it does not wait behind them
    shard.gate.set()
    assert [answer for _, answer in await asyncio.gather(*waiting)] == list(range(20))


async def test_what_the_method_raises_is_told_and_the_connection_goes_on(connection: DirectConnection) -> None:
    with pytest.raises(CallFailedError, match="LookupError: no such thing"):
        await connection.call(TRACE, "fail", [])
    with pytest.raises(CallFailedError, match="drain"):
        await connection.call(TRACE, "drain", [])
    assert (await connection.call(TRACE, "echo", []))[0] == ""


async def test_a_caller_that_gives_up_disturbs_nobody(connection: DirectConnection, shard: Shard) -> None:
    impatient = asyncio.ensure_future(connection.call(TRACE, "wait", [1]))
    patient = asyncio.ensure_future(connection.call(TRACE, "wait", [2]))
    await connection.call(TRACE, "echo", [])
    impatient.cancel()
    shard.gate.set()
    assert (await patient)[1] == 2


async def test_when_the_shard_ends_every_call_under_way_is_told(server: DirectServer, shard: Shard) -> None:
    connection = await connect(str(server.path), server.token)
    call = asyncio.ensure_future(connection.call(TRACE, "wait", [1]))
    await connection.call(TRACE, "echo", [])
    connection.close()
    with pytest.raises(ConnectionError):
        await call
    with pytest.raises(ConnectionError):
        await connection.call(TRACE, "echo", [])
    shard.gate.set()


async def test_without_the_token_nobody_is_served(server: DirectServer) -> None:
    with pytest.raises(OSError, match="closed"):
        await connect(str(server.path), "0" * 64)
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600


def test_it_works_on_the_loop_that_ray_gives_actors(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def ask() -> Any:
        server = DirectServer(tmp_path / "s", Shard().methods, Calls().run)
        await server.start()
        connection = await connect(str(server.path), server.token)
        answer = await connection.call(TRACE, "echo", [1], [b"x" * 2_000_000])
        connection.close()
        server.close()
        return answer

    assert uvloop.run(ask())[1] == [[1], b"x" * 2_000_000]


async def test_a_path_where_nobody_listens_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await connect(str(tmp_path / "nobody"), "token")


@pytest.mark.parametrize(
    "sent",
    [
        PREFIX.pack(2 << 10, 4),  # more than a token, from a stranger
        PREFIX.pack(0, 0),
        PREFIX.pack(4, 8),
        frame({"no": "token"}),
        b"GET / HTTP/1.1\r\nhost: somebody\r\n\r\n",
    ],
)
async def test_strangers_are_shown_out(server: DirectServer, sent: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    writer.write(sent)
    assert await closed(reader, writer)


@pytest.mark.parametrize(
    "sent", [PREFIX.pack(MOST_BYTES + 1, 4), frame(["no", "request"]), PREFIX.pack(1, 1) + b"\xc1"]
)
async def test_nonsense_ends_the_connection_of_a_known_caller(server: DirectServer, sent: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    writer.write(frame(server.token))
    n_bytes, _ = PREFIX.unpack(await reader.readexactly(PREFIX.size))
    assert decode_answer(await reader.readexactly(n_bytes)) == (0, "", None)
    writer.write(sent)
    assert await closed(reader, writer)


@given(st.lists(st.binary(max_size=3 * INLINE_BYTES // 2).map(lambda b: b * 3), min_size=1, max_size=5))
def test_pieces_are_the_blocks_again_and_each_fits_into_a_call_that_is_small(blocks: list[bytes]) -> None:
    sizes, pieces = to_pieces(blocks)
    assert len(pieces) == 1 or max(map(len, pieces)) <= INLINE_BYTES
    assert to_blocks(sizes, b"".join(pieces)) == to_blocks(sizes, memoryview(b"".join(pieces))) == blocks


class OneShard(ShardCalls):
    """A shard on this machine, or, without a way, on another."""

    def __init__(self, way: tuple[str, str] | None) -> None:
        super().__init__()
        self.places.current = PartitionMap(3, 1, 1)
        self._way = way
        self.through_ray: list[tuple[str, tuple[Any, ...]]] = []

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = 30.0) -> Any:
        if method == "direct_way":
            return CallStatus.OK, self._way
        self.through_ray.append((method, args))
        return CallStatus.OK, [{"id": "dec_2", "status": "sent"}]


ASKED = ("acme", "nudge", [("u:ann", "o")], 2.0)


async def test_a_shard_on_this_machine_is_asked_over_its_socket(tmp_path: Path) -> None:
    heard: list[tuple[Any, ...]] = []

    async def ask(*arguments: Any) -> Any:
        heard.append(arguments)
        return CallStatus.OK, [{"id": "dec_1", "status": "sent"}]

    server, told = DirectServer(tmp_path / "s", {"ask": ask}, Calls().run), []
    await server.start()
    shards = OneShard((str(server.path), server.token))
    shards._on_call = lambda *call: told.append(call[:2])
    assert await shards.ask(0, *ASKED, timeout_s=5.0) == (CallStatus.OK, [DecisionBrief(id="dec_1", status="sent")])
    assert heard == [(3, "acme", "nudge", [["u:ann", "o"]], 2.0)]
    assert (shards.through_ray, told) == ([], [("ask", "answered")])
    server.close()
    shards._forget_way(0)


async def test_a_shard_on_another_machine_is_asked_through_ray() -> None:
    shards = OneShard(None)
    assert await shards.ask(0, *ASKED, timeout_s=5.0) == (CallStatus.OK, [DecisionBrief(id="dec_2", status="sent")])
    assert shards.through_ray == [("ask", (3, *ASKED))]


def a_view() -> UserView:
    return UserView(
        "u:ann",
        traits={"plan": msgspec.Raw(b'{"a" : 1e2}')},
        features={"n": 1, "share": 0.1, "none": None},
        daily_counts=[("x", 1, 2)],
        standing=Standing(),
    )


async def test_a_user_comes_over_the_socket_as_they_are(tmp_path: Path) -> None:
    async def user_document(*arguments: Any) -> Any:
        return CallStatus.OK, document(a_view())

    server = DirectServer(tmp_path / "s", {"user_document": user_document}, Calls().run)
    await server.start()
    shards = OneShard((str(server.path), server.token))
    found = await shards.user("acme", 1, "u:ann", None)
    assert found == a_view()
    assert bytes(found.traits["plan"]) == b'{"a" : 1e2}'
    assert shards.through_ray == []
    server.close()
    shards._forget_way(0)


async def test_a_shard_of_the_release_before_is_asked_through_ray_and_only_tried_once(tmp_path: Path) -> None:
    server = DirectServer(tmp_path / "s", {}, Calls().run)
    await server.start()
    shards = OneShard((str(server.path), server.token))
    for _ in range(2):
        assert (await shards._call_any_way(0, "payloads", ("acme", [], True), timeout_s=5.0))[0] == CallStatus.OK
    assert [method for method, _ in shards.through_ray] == ["payloads"] * 2
    assert shards._direct[0] is not None
    assert shards._direct[0].lacks == {"payloads"}
    server.close()
    shards._forget_way(0)


class Written:
    """A transport that only keeps what is written."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def writelines(self, parts: list[bytes]) -> None:
        self.data += b"".join(parts)

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        raise AssertionError("the connection was refused")


def answers_in(data: bytes) -> list[Any]:
    found, at = [], 0
    while at < len(data):
        n_bytes, _ = PREFIX.unpack_from(data, at)
        found.append(decode_answer(data[at + PREFIX.size : at + PREFIX.size + n_bytes]))
        at += PREFIX.size + n_bytes
    return found


@given(
    tails=st.lists(
        st.sampled_from([0, 1, 700, READ_BYTES - 60, READ_BYTES, READ_BYTES + 1, 3 * READ_BYTES]), max_size=9
    ),
    cuts=st.lists(st.integers(1, 2 * READ_BYTES), min_size=1, max_size=9),
)
def test_frames_are_read_whole_however_they_come_in(tails: list[int], cuts: list[int]) -> None:
    sent = bytearray(frame("the token"))
    for number, size in enumerate(tails, 1):
        sent += frame((number, [], "echo", [number]), size) + bytes([number]) * size

    async def read() -> bytes:
        server = DirectServer(Path("s"), Shard().methods, Calls().run)
        server.token = "the token"
        caller, transport = _Caller(server), Written()
        caller.connection_made(transport)  # type: ignore[arg-type]
        at = 0
        lengths = itertools.cycle(cuts)
        while at < len(sent):
            most = next(lengths)
            room = caller.get_buffer(-1)
            n = min(most, len(room), len(sent) - at)
            room[:n] = sent[at : at + n]
            room.release()
            caller.buffer_updated(n)
            at += n
            await asyncio.sleep(0)
        await asyncio.gather(*caller._answers)
        await asyncio.sleep(0)
        return bytes(transport.data)

    welcome, *answers = answers_in(asyncio.run(read()))
    assert welcome == (0, "", None)
    expected = [[[n]] + ([bytes([n]) * size] if size else []) for n, size in enumerate(tails, 1)]
    assert [answer[1] for _, _, answer in sorted(answers)] == expected
