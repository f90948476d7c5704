"""`whisperer tenant generator`: which endpoint writes a tenant's texts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cluster.control_plane.access_documents import generator_document

if TYPE_CHECKING:
    from cluster.control_plane.tenancy.generators import TenantGenerator

app = typer.Typer(
    help="The generator of a tenant: an OpenAI-compatible endpoint that writes texts.", no_args_is_help=True
)

TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="Name or id.")]


@app.command()
def show(tenant: TenantArgument, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show a tenant's generator, without its key.

    Example:

        whisperer tenant generator show acme
    """
    with open_control_plane(data_dir) as plane:
        _print(plane.tenant_generator(tenant), json)


@app.command("set")
def set_(
    tenant: TenantArgument,
    base_url: Annotated[str, typer.Option(help="Of the endpoint, such as https://llm.example.com/v1.")],
    model: Annotated[str, typer.Option(help="The model's name there.")],
    key_from_stdin: Annotated[
        bool, typer.Option("--key-from-stdin", help="Read the endpoint's key from stdin; otherwise it stays.")
    ] = False,
    requests_per_minute: Annotated[int, typer.Option(min=1, help="Most questions a minute.")] = 60,
    tokens_per_day: Annotated[int, typer.Option(min=1, help="Most tokens a day, UTC.")] = 1_000_000,
    at_send_time: Annotated[
        bool, typer.Option("--at-send-time/--not-at-send-time", help="Whether campaigns may ask it for each message.")
    ] = False,
    voice: Annotated[str, typer.Option(help="How the brand sounds.")] = "",
    banned_claim: Annotated[list[str] | None, typer.Option(help="What no message claims; repeat.")] = None,
    allowed_host: Annotated[list[str] | None, typer.Option(help="Host of links that a text may have; repeat.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Set a tenant's generator. Its key is never an argument: other programs can read those.

    Example:

        whisperer tenant generator set acme --base-url https://llm.example.com/v1 --model small-writer \\
          --at-send-time --key-from-stdin < key.txt
    """
    body: dict[str, Any] = {
        "base_url": base_url,
        "model": model,
        "requests_per_minute": requests_per_minute,
        "tokens_per_day": tokens_per_day,
        "at_send_time": at_send_time,
        "voice": voice,
        "banned_claims": banned_claim or [],
        "allowed_hosts": allowed_host or [],
    }
    if key_from_stdin:
        body["api_key"] = sys.stdin.read().strip()
    with open_control_plane(data_dir) as plane:
        _print(plane.set_generator(tenant, body), json)


@app.command()
def delete(tenant: TenantArgument, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Forget a tenant's generator and its key; templates keep their own words.

    Example:

        whisperer tenant generator delete acme
    """
    with open_control_plane(data_dir) as plane:
        plane.delete_generator(tenant)
    output.say("Forgotten.")


def _print(generator: TenantGenerator, json: bool) -> None:
    document = msgspec.to_builtins(generator_document(generator))
    if json:
        output.print_json(document)
        return
    rows = [(name.replace("_", " "), _shown(value)) for name, value in document.items()]
    output.print_table(("setting", "value"), rows, "")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value in (None, "") else str(value)
