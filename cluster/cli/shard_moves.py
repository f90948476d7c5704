"""Plans and carries out moves of partitions: reads what shards hold, selects the partitions and shows progress."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cluster.cli import output
from cluster.cli.answers.installation import Holdings, Moved
from cluster.cli.answers.reading import read
from cluster.operator_client import Operator
from whisperer.errors import NotFoundError, RequestError
from whisperer.ids import N_PARTITIONS, Partition
from whisperer.shard.move.placement import Held, Planned, loads

LOOK_S = 1.0
MOST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Look:
    """What shards held at one moment, with the event rates measured just before."""

    shards: list[int]
    draining: list[int]
    held: list[Held]


def look(operator: Operator, seconds: float = LOOK_S) -> Look:
    """Read what shards hold, twice to measure event rates; with ``seconds`` 0 once, without rates."""
    found = _holdings(operator)
    before, began = _events(found), time.monotonic()
    if seconds:
        time.sleep(seconds)
        found = _holdings(operator)
    passed = max(time.monotonic() - began, 1e-3)
    held = [
        Held(
            one.tenant,
            Partition(partition),
            one.shard,
            users,
            max(0, events - before.get((one.tenant, partition), events)) / passed,
        )
        for one in found.holdings
        for partition, users, events in zip(one.partition, one.users, one.events, strict=True)
    ]
    return Look(found.shards, found.draining, held)


def _holdings(operator: Operator) -> Holdings:
    return read(operator.get("shards", "holdings"), Holdings)


def _events(found: Holdings) -> dict[tuple[str, int], int]:
    return {
        (one.tenant, partition): events
        for one in found.holdings
        for partition, events in zip(one.partition, one.events, strict=True)
    }


@dataclass(slots=True)
class Load:
    """What one shard holds: partitions, and their events per second."""

    partitions_held: int = 0
    events_per_s: float = 0.0


def by_shard(seen: Look) -> dict[int, Load]:
    """Count the partitions each shard holds and add up their events per second."""
    found = {shard: Load() for shard in seen.shards}
    for held in seen.held:
        found[held.shard].partitions_held += 1
        found[held.shard].events_per_s += held.events_per_s
    return found


def numbers(text: str) -> list[int]:
    """Parse partition numbers: 12, 0-15, or 3,5,8-11. Raises RequestError."""
    found: list[int] = []
    try:
        for piece in text.split(","):
            first, _, last = piece.strip().partition("-")
            found += range(int(first), int(last or first) + 1)
    except ValueError:
        raise RequestError(f"{text!r} names no partitions: write 12, 0-15 or 3,5,8-11") from None
    outside = [p for p in found if not 0 <= p < N_PARTITIONS]
    if outside or not found:
        raise RequestError(f"{text!r} is not within 0-{N_PARTITIONS - 1}, the partitions that every tenant has")
    return found


def chosen(
    seen: Look, to: int, tenant: str | None, partitions: Sequence[int] | None, source: int | None
) -> list[Planned]:
    """Return the moves that the options ask for. Raises RequestError, NotFoundError."""
    for shard in (to, *(() if source is None else (source,))):
        if shard not in seen.shards:
            raise NotFoundError(f"there is no shard {shard}; there are {', '.join(map(str, seen.shards))}")
    held = [
        h
        for h in seen.held
        if (tenant is None or h.tenant == tenant)
        and (partitions is None or h.partition in partitions)
        and (source is None or h.shard == source)
    ]
    if tenant is not None and partitions is not None and source is None:  # include partitions that hold no users yet
        known = {h.partition for h in held}
        held += [Held(tenant, Partition(p), -1, 0) for p in partitions if p not in known]
    return [Planned(h, to) for h in held if h.shard != to]


def document(step: Planned) -> Mapping[str, object]:
    """Return a planned move as a JSON document."""
    held = step.held
    return {"tenant": held.tenant, "partition": held.partition, "from": held.shard if held.shard >= 0 else None,
            "to": step.target, "users": held.users, "events_per_s": round(held.events_per_s, 1)}  # fmt: skip


def show(plan: Sequence[Planned], seen: Look | None = None) -> None:
    """Print a plan and, if ``seen`` is given, each shard's share of the load before and after."""
    rows = [
        (s.held.tenant, s.held.partition, "" if s.held.shard < 0 else s.held.shard, s.target, s.held.users,
         f"{s.held.events_per_s:,.0f}")
        for s in plan[:MOST_SHOWN]
    ]  # fmt: skip
    columns = ("tenant", "partition", "from", "to", "users", "events/s")
    output.print_table(columns, rows, "Nothing to move.")
    if len(plan) > MOST_SHOWN:
        output.say(f"and {len(plan) - MOST_SHOWN} more")
    if seen is not None and plan:
        before = loads(seen.held, seen.shards)
        moved = {step.held: step.target for step in plan}
        after = loads([_at(h, moved.get(h, h.shard)) for h in seen.held], seen.shards)
        total = sum(before.values()) or 1.0
        for shard in seen.shards:
            output.say(f"shard {shard}: {before[shard] / total:.0%} of the load -> {after[shard] / total:.0%}")


def _at(held: Held, shard: int) -> Held:
    return Held(held.tenant, held.partition, shard, held.users, held.events_per_s)


def carry_out(operator: Operator, plan: Sequence[Planned]) -> list[Any]:
    """Carry out the moves one after another and return each move's answer, with what was ordered, as JSON."""
    columns = (
        TextColumn("moving {task.fields[now]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("longest pause {task.fields[longest]:.0f} ms"),
    )
    moved: list[Any] = []
    longest = 0.0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(plan), now="", longest=0.0)
        for step in plan:
            held = step.held
            bar.update(task, now=f"{held.tenant}/{held.partition}")
            body = {"tenant": held.tenant, "partition": held.partition, "to": step.target}
            answer = operator.post("shards", "move", body=body)
            moved.append({**body, **answer})
            longest = max(longest, read(answer, Moved).pause_ms)
            bar.update(task, advance=1, longest=longest)
    return moved


def told(moved: Sequence[Any]) -> str:
    """Summarise finished moves in one sentence."""
    done = read(moved, list[Moved])
    users = sum(one.users for one in done)
    longest = max((one.pause_ms for one in done), default=0.0)
    n = len(moved)
    return f"{n} partition{'s' if n != 1 else ''} moved with {users:,} users; longest pause {longest:.0f} ms."
