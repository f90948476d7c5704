"""`whisperer channel`: choose and show the providers of a tenant's channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from cluster.cli import answers, output
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import read_object, through
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.providers import PROVIDER_NAMES

app = typer.Typer(
    name="channel", help="Channels: e-mail, SMS, push and webhooks, and who carries each.", no_args_is_help=True
)


def _any_of(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}."


@app.command("list")
def list_(tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List the channels and their providers, without secrets.

    Example:

        whisperer channel list --tenant acme
    """
    found = through(
        data_dir,
        lambda operator: operator.get("tenants", tenant, "channels")["data"],
        lambda plane, documents: [documents.channel_document(*entry) for entry in plane.list_channels(tenant).items()],
    )
    if json:
        output.print_json(found)
        return
    channels = answers.read(found, list[answers.Channel])
    rows = [(c.channel, c.provider, c.config.get("host") or c.config.get("url")) for c in channels]
    output.print_table(("channel", "provider", "where"), rows, "No channels.")


@app.command("set")
def set_(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help=_any_of(tuple(CHANNELS)))],
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help=_any_of(PROVIDER_NAMES))],
    tenant: TenantOption,
    config: Annotated[
        typer.FileText | None,
        typer.Option(metavar="FILE", help="The provider's settings as JSON; - reads stdin. docs/delivery.md has them."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Choose the provider for a channel, from now on. Secrets are read from a file, never from the command line.

    Examples:

        whisperer channel set email smtp --config smtp.json --tenant acme
        whisperer channel set email sink --tenant acme
    """
    settings = {} if config is None else read_object(config.read(), "the configuration")
    document = through(
        data_dir,
        lambda operator: operator.put(
            "tenants", tenant, "channels", channel, body={"provider": provider, "config": settings}
        ),
        lambda plane, documents: documents.channel_document(
            channel, plane.set_channel(tenant, channel, provider, settings)
        ),
    )
    if json:
        output.print_json(document)
    else:
        output.say(f"{channel} goes through {answers.read(document, answers.Channel).provider}.")
