"""Take jobs for one gateway replica: queued by tenant, done by processes kept for a while, ended with the caller.

Guarantees: the bounds of :mod:`.lanes`; the work ends when the caller leaves, or takes nothing for :data:`STALL_S`;
whatever happens to a job, its turn is left. What an answer means is the caller's affair.
"""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.fair_queue import RETRY_AFTER_S, Turn
from actors.jobs import tasks
from actors.jobs.lanes import LANES, Lane
from actors.jobs.process import Begin, Doing, Process, tidied, tidy
from actors.jobs.tasks import Task
from whisperer.errors import OverloadError, UnavailableError, WhispererError
from whisperer.ids import TenantId

STALL_S = 30.0
"""A caller who takes none of 64 KB for this long is presumed gone."""


@dataclass(frozen=True, slots=True)
class JobsCount:
    """Jobs of one lane, now and since the start; ``endings`` by done, refused, failed, too_large, too_slow, gone."""

    running: int
    waiting: int
    endings: dict[str, int]


class Jobs:
    """Have jobs done in processes. Use from one event loop.

    Parameters
    ----------
    spool : folder for what does not fit into memory
    begin : makes whatever does the work; processes by default
    """

    def __init__(self, spool: Path, lanes: Mapping[type[Task], Lane] = LANES, begin: Begin | None = None) -> None:
        tidy(spool)
        begin = begin or functools.partial(Process.begin, spool=spool)
        rooms = {lane.name: _Room(lane, begin) for lane in lanes.values()}
        self._rooms = {kind: rooms[lane.name] for kind, lane in lanes.items()}

    def counts(self) -> dict[str, JobsCount]:
        """Return the counts by lane."""
        rooms = {room.lane.name: room for room in self._rooms.values()}
        return {
            name: JobsCount(room.queue.n_granted, room.queue.n_waiting, dict(room.endings))
            for name, room in rooms.items()
        }

    async def aclose(self) -> None:
        """End the processes that wait for work, and leave nothing of them."""
        for room in set(self._rooms.values()):
            room.close()
        await tidied()

    def join(self, task: type[Task], tenant: TenantId) -> Turn:
        """Return a turn for such a task, to give to :meth:`stream`. Raises TooManyError (429), OverloadError (503)."""
        room = self._rooms[task]
        try:
            return room.queue.join(tenant)
        except OverloadError:
            room.endings["refused"] += 1
            raise

    async def ask(self, task: Task, turn: Turn | None = None) -> bytes:
        """Return the whole answer, for a task whose answer is small."""
        return b"".join([piece async for piece in self.stream(task, turn)])

    async def stream(self, task: Task, turn: Turn | None = None) -> AsyncGenerator[bytes]:
        """Yield the pieces of the answer. Close it, or the work goes on for :data:`STALL_S`.

        Raises TooManyError and OverloadError before the first piece, TooLargeError (`job_too_large`), UnavailableError.
        """
        room = self._rooms[type(task)]
        turn = turn or self.join(type(task), task.tenant)
        loop = asyncio.get_running_loop()
        doing: Doing | None = None
        given_up = ""

        def give_up(why: str) -> None:
            nonlocal given_up
            given_up = why
            if doing is not None:
                doing.kill()
            turn.leave()

        ending, alarms = "gone", []
        try:
            await room.granted(turn)
            seconds = room.lane.time_limit_s
            why = f"this takes more than {seconds:g} s, which is the most that one job may take"
            alarms.append(loop.call_later(seconds, give_up, why))
            encoded, has_begun = tasks.encode(task), False
            while ending != "done":
                doing, is_new = await room.take()
                try:
                    async for piece in doing.answers(encoded):
                        has_begun = True
                        alarms.append(loop.call_later(STALL_S, give_up, "nobody took the answer"))
                        yield piece
                        alarms.pop().cancel()
                    ending = "done"
                except UnavailableError:
                    if is_new or has_begun or given_up:
                        raise
                    doing.kill()  # it may have ended before this job, so another one does it
        except OverloadError:
            ending = "refused"
            raise
        except WhispererError as error:
            if given_up:
                ending = "too_slow"
                raise UnavailableError(given_up, code="job_too_slow") from None
            ending = "too_large" if error.code == "job_too_large" else "failed"
            raise
        finally:
            for alarm in alarms:
                alarm.cancel()
            room.give_back(doing, is_fit=ending == "done" and not given_up)
            turn.leave()
            room.endings[ending] += 1


class _Room:
    """One lane, its queue, and its processes that wait for work."""

    def __init__(self, lane: Lane, begin: Begin) -> None:
        self.lane = lane
        self.queue = lane.queue()
        self.endings: Counter[str] = Counter()
        self._begin = begin
        self._idle: list[tuple[Doing, asyncio.TimerHandle]] = []

    async def granted(self, turn: Turn) -> None:
        """Wait for the turn. Raises OverloadError after the lane's patience."""
        try:
            async with asyncio.timeout(self.lane.patience_s):
                await turn.granted()
        except TimeoutError:
            raise OverloadError(
                f"no turn within {self.lane.patience_s:g} s: others' jobs take long", retry_after_s=RETRY_AFTER_S
            ) from None

    async def take(self) -> tuple[Doing, bool]:
        """Return a process, and whether it is new."""
        if self._idle:
            doing, end = self._idle.pop()
            end.cancel()
            return doing, False
        try:
            return await self._begin(self.lane), True
        except OSError as error:
            raise UnavailableError(f"no process could be made for this: {error}", retry_after_s=5.0) from error

    def give_back(self, doing: Doing | None, *, is_fit: bool) -> None:
        if doing is None:
            return
        if not is_fit or not self.lane.kept_s:
            doing.kill()
            return

        def end() -> None:
            self._idle.remove(entry)
            doing.kill()

        entry = doing, asyncio.get_running_loop().call_later(self.lane.kept_s, end)
        self._idle.append(entry)

    def close(self) -> None:
        for doing, end in self._idle:
            end.cancel()
            doing.kill()
        self._idle.clear()
