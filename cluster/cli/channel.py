"""`whisperer channel`: choose and show the providers of a tenant's channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.answers.channels import AccountState, Channel, ChannelAccount, ChannelCounts, ChannelState
from cluster.cli.answers.reading import read
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import read_object, through
from cluster.operator_client import Operator
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.providers import PROVIDER_NAMES

DNS_RECORD = "dns_record"
"""The part of a configuration that a provider has computed for whoever looks after the DNS."""

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
    channels = read(found, list[Channel])
    rows = []
    for one in channels:
        providers = ", ".join([one.provider, *(account.provider for account in one.failover)])
        rows.append((one.channel, providers, one.config.get("host") or one.config.get("url")))
    output.print_table(("channel", "provider", "where"), rows, "No channels.")


@app.command("show")
def show(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help=_any_of(tuple(CHANNELS)))],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show a channel's provider, without its secrets, and the URL for the provider's callbacks, which is a secret.

    The URL is known only while the installation runs.

    Example:

        whisperer channel show email --tenant acme
    """
    found = through(
        data_dir,
        lambda operator: operator.get("tenants", tenant, "channels", channel),
        lambda plane, documents: documents.channel_document(channel, plane.list_channels(tenant)[channel]),
    )
    if json:
        output.print_json(found)
    else:
        _print(read(found, Channel))


@app.command("state")
def state(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help=_any_of(tuple(CHANNELS)))],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show how a channel's provider accounts do: whether one is left alone because it fails, and what is held.

    Known only while the installation runs; figures are of the delivery application's replicas since they started. Below
    are the channel's messages of 30 days, dead letters among them: `whisperer delivery list` has them one by one.

    Example:

        whisperer channel state email --tenant acme
    """
    with Operator(data_dir) as operator:
        found = operator.get("tenants", tenant, "channels", channel, "state")
        counted = operator.get("tenants", tenant, "channels", channel, "deliveries")
    if json:
        output.print_json({**found, "deliveries": counted})
        return
    rows = [
        (
            one.account,
            one.provider,
            one.weight,
            _breaker(one),
            _rate(one),
            one.under_way,
            _counted(one.receipts),
            _counted(one.held),
            one.taken_over or "",
            _counted(one.searches),
            one.last_trouble,
        )
        for one in read(found, ChannelState).accounts
    ]
    heads = (
        *("account", "provider", "weight", "breaker", "a second", "under way"),
        *("attempts", "held", "taken over", "searches", "last trouble"),
    )
    shown = [at for at in range(len(heads)) if at < _ALWAYS or any(row[at] != "" for row in rows)]
    output.print_table([heads[at] for at in shown], [[row[at] for at in shown] for row in rows], "No accounts.")
    counts = read(counted, ChannelCounts)
    by_status = _counted({status: n for status, n in counts.by_status.items() if n})
    output.say(f"Messages of {counts.days} days: {by_status or 'none'}")


_ALWAYS = 6
"""Columns of a channel's state that are there even if they are empty: with all eleven no terminal is wide enough."""


def _breaker(one: AccountState) -> str:
    left_alone = f", {one.left_alone_s:.0f} s" if one.left_alone_s else ""
    since = f" since {one.breaker_since}" if one.breaker_since else ""
    return f"{one.breaker}{since}{left_alone}"


def _rate(one: AccountState) -> str:
    of = "" if one.per_second is None else f" of {one.per_second:g}"
    warming = one.warm_up
    day = f"; day {warming.day} of {warming.days}, {warming.given} of {warming.limit}" if warming is not None else ""
    return f"{one.per_second_lately:g}{of}{day}"


def _counted(by_name: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(by_name.items()))


@app.command("rotate-callback")
def rotate_callback(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help=_any_of(tuple(CHANNELS)))],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Replace the URL for the provider's callbacks. The old one is void within a second: give the provider the new one.

    Example:

        whisperer channel rotate-callback email --tenant acme
    """
    document = through(
        data_dir,
        lambda operator: operator.post("tenants", tenant, "channels", channel, "callback", "rotate"),
        lambda plane, documents: documents.channel_document(channel, plane.replace_callback_token(tenant, channel)),
    )
    if json:
        output.print_json(document)
    else:
        _print(read(document, Channel))


def _print(channel: Channel) -> None:
    first = ChannelAccount(
        channel.name,
        channel.provider,
        channel.config,
        channel.weight,
        channel.rates,
        channel.warm_up,
        channel.callback_url,
    )
    several = bool(channel.failover)
    rows: list[tuple[str, object]] = []
    for account in (first, *channel.failover):
        rows += [("account", account.name), ("weight", account.weight)] if several else []
        rows += [("provider", account.provider), *_settings(account.config)]
        rows += [(name, value) for name, value in (account.rates or {}).items() if value is not None]
        if account.warm_up is not None:
            rows += [("warms up from", account.warm_up["started_at"]), ("per day", account.warm_up["per_day"])]
        rows.append(("callback URL", account.callback_url or "none"))
    output.print_table(("setting", "value"), rows, "")
    for account in (first, *channel.failover):
        _print_records(account.config)


def _settings(config: dict[str, Any], at: str = "") -> Iterator[tuple[str, object]]:
    """Yield the settings of a configuration by name, those of a part of it, such as `dkim`, one by one."""
    for name, value in sorted(config.items()):
        if name == DNS_RECORD:
            continue  # too long for a table, where nobody could copy it
        if isinstance(value, dict):
            yield from _settings(value, f"{at}{name}.")
        else:
            yield at + name, value


def _print_records(config: dict[str, Any]) -> None:
    """Print the DNS records that a configuration wants published, in one piece each."""
    for part in config.values():
        record = part.get(DNS_RECORD) if isinstance(part, dict) else None
        if record is not None:
            lines = (f"Publish in the DNS, as {record['type']}:", f"  {record['name']}", f"  {record['value']}")
            output.print_styled((line, "") for line in lines)


@app.command("set")
def set_(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help=_any_of(tuple(CHANNELS)))],
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help=_any_of(PROVIDER_NAMES))],
    tenant: TenantOption,
    config: Annotated[
        typer.FileText | None,
        typer.Option(metavar="FILE", help="The provider's settings as JSON; - reads stdin. docs/delivery.md has them."),
    ] = None,
    plan: Annotated[
        typer.FileText | None,
        typer.Option(metavar="FILE", help="Rates, warm-up and further accounts as JSON; docs/delivery.md has them."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Choose the provider for a channel, from now on. Secrets are read from a file, never from the command line.

    Examples:

        whisperer channel set email smtp --config smtp.json --tenant acme
        whisperer channel set email smtp --config smtp.json --plan plan.json --tenant acme
        whisperer channel set email sink --tenant acme
    """
    settings = {} if config is None else read_object(config.read(), "the configuration")
    rest = {} if plan is None else read_object(plan.read(), "the plan")
    document = through(
        data_dir,
        lambda operator: operator.put(
            "tenants", tenant, "channels", channel, body={**rest, "provider": provider, "config": settings}
        ),
        lambda plane, documents: documents.channel_document(
            channel, plane.set_channel(tenant, channel, provider, settings, rest)
        ),
    )
    if json:
        output.print_json(document)
    else:
        changed = read(document, Channel)
        output.say(f"{channel} goes through {changed.provider}.")
        _print_records(changed.config)
        if changed.callback_url is not None:
            output.say(f"Its callbacks go to {changed.callback_url}")
