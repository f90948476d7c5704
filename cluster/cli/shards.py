"""`whisperer shards`: show what shards hold, move partitions, and add, drain, remove and upgrade shards."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer

from cluster.cli import output, sends_under_way, shard_moves
from cluster.cli.answers.installation import AddedShard, Shard, Shards, Upgraded
from cluster.cli.answers.reading import read
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cluster.operator_client import Operator
from whisperer.errors import RequestError
from whisperer.shard.move.placement import balance

app = typer.Typer(
    name="shards",
    help="""Shards: what each holds; move partitions, add, empty, remove and upgrade shards while everything runs.

    A tenant's users are spread over 64 partitions; each lives on one shard and can be moved alone. Clients notice a
    pause of well under a second for the users of the partition that moves, and none for others; nothing is lost.
    What is changed here stays so after `whisperer down` and `up`.
    """,
    invoke_without_command=True,
)

ORDER_TIMEOUT_S = 900.0
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and end.")]
ShardNumber = Annotated[
    int, typer.Argument(metavar="N", min=0, help="Number of the shard, as `whisperer shards` lists it.")
]


@app.callback()
def shards(context: typer.Context, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_(data_dir, json)


@app.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List the shards: where each runs, what it holds and what it is doing.

    Example:

        whisperer shards list
    """
    with Operator(data_dir) as operator:
        document = operator.get("shards")
        look = shard_moves.look(operator)
    loads = shard_moves.by_shard(look)
    found = read(document, Shards)
    listed = [(shard, loads.get(shard.number, shard_moves.Load()), _state_bytes(shard)) for shard in found.shards]
    if json:
        for plain, (_, load, n_bytes) in zip(document["shards"], listed, strict=True):
            plain |= {**asdict(load), "bytes": n_bytes}
        output.print_json(document)
        return
    rows = [
        (
            shard.number,
            shard.node or "local",
            str(shard.pid or ""),
            shard.state,
            load.partitions_held,
            shard.users,
            f"{load.events_per_s:,.0f}",
            output.size(n_bytes),
            output.size(shard.rss_bytes),
        )
        for shard, load, n_bytes in listed
    ]
    columns = ("shard", "node", "pid", "state", "partitions", "users", "events/s", "state size", "memory")
    output.print_table(columns, rows, "No shards answer.")
    output.say(f"partition map version {found.map_version}")


def _state_bytes(shard: Shard) -> int:
    return sum(sum(tenant.bytes.values()) for tenant in shard.tenants.values())


@app.command()
def move(
    to: Annotated[int, typer.Option("--to", min=0, help="Shard that shall host them.")],
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", metavar="NAME", help="Only this tenant's.")] = None,
    partition: Annotated[
        str | None, typer.Option("--partition", "-p", metavar="LIST", help="Such as 12, 0-15 or 3,5,8-11.")
    ] = None,
    source: Annotated[int | None, typer.Option("--from", min=0, help="Everything of this shard.")] = None,
    dry_run: DryRun = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Move partitions to another shard, one after another. If interrupted, run it again.

    Examples:

        whisperer shards move --tenant acme --partition 12 --to 1
        whisperer shards move --tenant acme --partition 0-15 --to 2
        whisperer shards move --from 0 --to 2
    """
    if partition is not None and tenant is None:
        raise RequestError("say whose partitions: --tenant NAME")
    if partition is None and source is None:
        raise RequestError("say what to move: --tenant NAME --partition LIST, or --from N")
    wanted = None if partition is None else shard_moves.numbers(partition)
    with Operator(data_dir, timeout_s=ORDER_TIMEOUT_S) as operator:
        look = shard_moves.look(operator, seconds=0.0)
        plan = shard_moves.chosen(look, to, tenant, wanted, source)
        _carry_out(operator, plan, dry_run, json)


@app.command()
def rebalance(dry_run: DryRun = False, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Move partitions until shards carry equal load, by users and events per second. The plan is shown first.

    Examples:

        whisperer shards rebalance --dry-run
        whisperer shards rebalance
    """
    with Operator(data_dir, timeout_s=ORDER_TIMEOUT_S) as operator:
        look = shard_moves.look(operator)
        _carry_out(operator, balance(look.held, look.shards, look.draining), dry_run, json, look)


@app.command()
def add(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Start one more shard, empty; the next `up` starts it too. `rebalance` then gives it its share.

    Example:

        whisperer shards add && whisperer shards rebalance
    """
    with Operator(data_dir, timeout_s=ORDER_TIMEOUT_S) as operator:
        answer = operator.post("shards", "add")
    if json:
        output.print_json(answer)
    else:
        number = read(answer, AddedShard).shard
        output.say(f"Shard {number} runs, empty. `whisperer shards rebalance` gives it its share.")


@app.command()
def drain(
    shard: ShardNumber,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running, empty, instead of removing it.")] = False,
    dry_run: DryRun = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Move everything off a shard, then stop it. No client request is refused.

    If interrupted, run it again; what was moved stays moved. The shard's number is not reused.

    Examples:

        whisperer shards drain 2
        whisperer shards drain 2 --dry-run
    """
    with Operator(data_dir, timeout_s=ORDER_TIMEOUT_S) as operator:
        if not dry_run:
            operator.post("shards", str(shard), "close")
        look = shard_moves.look(operator)
        away = balance(look.held, look.shards, {*look.draining, shard})
        _carry_out(operator, [step for step in away if step.held.shard == shard], dry_run, json, look)
        if dry_run or keep:
            return
        operator.post("shards", str(shard), "remove")
    output.say(f"Shard {shard} is empty and stopped; its sums are part of another's.")


@app.command()
def remove(shard: ShardNumber, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop a shard emptied by `drain --keep`. Its journal and snapshots stay on disk and are not read again.

    Example:

        whisperer shards remove 2
    """
    with Operator(data_dir, timeout_s=ORDER_TIMEOUT_S) as operator:
        operator.post("shards", str(shard), "remove")
    output.say(f"Shard {shard} is stopped.")


@app.command()
def upgrade(
    shard: Annotated[
        int | None, typer.Argument(metavar="[N]", min=0, help="One shard; without it, each in turn.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Replace shard processes with new ones, which run the code now on disk, while traffic continues.

    The old process steps down only after the new one has loaded everything and the sends under way have finished (at
    most delivery.stop_timeout_s, 60 s). Its users then wait while the journal's tail is read; that wait is reported as
    the pause.

    Examples:

        whisperer shards upgrade
        whisperer shards upgrade 1
    """

    done = []
    with Operator(data_dir, timeout_s=ORDER_TIMEOUT_S) as operator:
        numbers = [shard] if shard is not None else _numbers(operator)
        for number in numbers:
            answer = sends_under_way.shown(
                operator,
                f"upgrading shard {number}",
                partial(operator.post, "shards", str(number), "upgrade"),
            )
            done.append(answer)
            if not json:
                upgraded = read(answer, Upgraded)
                output.say(
                    f"Shard {number} is now {upgraded.name}: prepared in {upgraded.prepared_s:.1f} s, "
                    f"pause {upgraded.pause_s:.2f} s, {upgraded.records} records replayed"
                )
    if json:
        output.print_json(done)


def _numbers(operator: Operator) -> list[int]:
    return [shard.number for shard in read(operator.get("shards"), Shards).shards]


def _carry_out(operator: Any, plan: list[Any], dry_run: bool, json: bool, look: Any = None) -> None:
    """Show a plan and, unless it is a dry run, carry it out."""
    if not json:
        shard_moves.show(plan, look)
    moved = [] if dry_run or not plan else shard_moves.carry_out(operator, plan)
    if json:
        output.print_json({"plan": [shard_moves.document(step) for step in plan], "moved": moved})
    elif moved:
        output.say(shard_moves.told(moved))
