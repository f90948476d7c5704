"""`whisperer shards`: where partitions live, and moving them."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption

app = typer.Typer(help="Shards: what each hosts; move partitions between them.", no_args_is_help=True)


@app.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List the shards with their positions and what they hold.

    Example:

        whisperer shards list
    """
    from cluster.operator_client import Operator

    with Operator(data_dir) as operator:
        document = operator.get("shards")
    if json:
        output.print_json(document)
        return
    rows = [
        (
            s.get("shard"),
            str(s.get("pid")),
            s.get("epoch"),
            s.get("sequence"),
            s.get("partitions"),
            s.get("users"),
            output.size(s.get("rss_bytes")),
        )
        for s in document["shards"]
    ]
    columns = ("shard", "pid", "epoch", "sequence", "partitions", "users", "memory")
    output.print_table(columns, rows, "No shards answer.")
    output.say(f"partition map version {document.get('map_version')}")


@app.command()
def move(
    tenant: TenantOption,
    partition: Annotated[int, typer.Option("--partition", "-p", min=0, help="Partition of the tenant.")],
    to: Annotated[int, typer.Option("--to", min=0, help="Shard that shall host it.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Move a partition to another shard. Its users are refused for a moment, with Retry-After; nothing is lost.

    Example:

        whisperer shards move --tenant acme --partition 12 --to 1
    """
    from cluster.operator_client import Operator

    with Operator(data_dir, timeout_s=300.0) as operator:
        answer = operator.post("shards", "move", body={"tenant": tenant, "partition": partition, "to": to})
    if json:
        output.print_json(answer)
    else:
        output.say(f"Partition {partition} of {tenant} is on shard {to}.")
