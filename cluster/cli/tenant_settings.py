"""`whisperer tenant settings`: tier, approval, second factors, origins, brand, tests, links; users' tokens' secret."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane
from cluster.cli.durations import span_ms
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir

if TYPE_CHECKING:
    from cluster.control_plane.tenancy.tenant_settings import TenantSettings

app = typer.Typer(
    help="Settings of a tenant: tier, approval, second factors, origins of web pages.", no_args_is_help=True
)

TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="Name or id.")]


@app.command()
def show(tenant: TenantArgument, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show a tenant's settings.

    Example:

        whisperer tenant settings show acme
    """
    with open_control_plane(data_dir) as plane:
        _print(plane.tenant_settings(tenant), json)


@app.command("set")
def set_(
    tenant: TenantArgument,
    tier: Annotated[str | None, typer.Option(metavar="NAME", help='Whose limits count; "" for the default.')] = None,
    approval: Annotated[
        bool | None, typer.Option("--approval/--no-approval", help="A second person must approve what goes live.")
    ] = None,
    second_factor: Annotated[
        bool | None, typer.Option("--second-factor/--no-second-factor", help="Members must sign in with one.")
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Whose pages may call the API; repeat: these replace the ones before."),
    ] = None,
    no_origins: Annotated[bool, typer.Option("--no-origins", help="No page may call the API.")] = False,
    brand: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What templates know as brand.NAME; repeat; NAME= takes it out."),
    ] = None,
    postal_address: Annotated[
        bool | None,
        typer.Option("--postal-address/--no-postal-address", help="Marketing mails must show one."),
    ] = None,
    test_recipient: Annotated[
        list[str] | None,
        typer.Option(metavar="CHANNEL=ADDRESS", help="Tests of templates may go there; repeat: these replace all."),
    ] = None,
    no_test_recipients: Annotated[bool, typer.Option("--no-test-recipients", help="There are none.")] = False,
    links_base_url: Annotated[
        str | None, typer.Option(metavar="URL", help='Address of links in messages; "" for the usual one.')
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Change a tenant's settings; what is not named stays.

    Examples:

        whisperer tenant settings set acme --tier pro --approval
        whisperer tenant settings set acme --origin https://app.example.com
        whisperer tenant settings set acme --brand name=Acme --brand 'primary=#0b6e5f'
        whisperer tenant settings set acme --test-recipient email=tests@example.com --test-recipient sms=+4915112345678
        whisperer tenant settings set acme --links-base-url https://go.example.com
    """
    pairs = [text.partition("=") for text in brand or []]
    if any(not separator for _, separator, _ in pairs):
        raise typer.BadParameter("write a brand's value as NAME=VALUE")
    recipients: dict[str, list[str]] = {}
    for text in test_recipient or []:
        channel, separator, address = text.partition("=")
        if not separator:
            raise typer.BadParameter("write a test recipient as CHANNEL=ADDRESS")
        recipients.setdefault(channel, []).append(address)
    with open_control_plane(data_dir) as plane:
        changed = plane.set_tenant_settings(
            tenant,
            tier=tier,
            approval=approval,
            second_factor=second_factor,
            origins=[] if no_origins else origin or None,
            brand={name: value for name, _, value in pairs} or None,
            test_recipients={} if no_test_recipients else recipients or None,
            links_base_url=links_base_url,
            postal_address=postal_address,
        )
    _print(changed, json)


@app.command()
def rotate(
    tenant: TenantArgument,
    overlap: Annotated[str, typer.Option(metavar="HOW_LONG", help="How long tokens made before still work.")] = "24h",
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Sign users' tokens with a new secret from now on.

    Examples:

        whisperer tenant settings rotate acme
        whisperer tenant settings rotate acme --overlap 0     # all tokens of users end now
    """
    with open_control_plane(data_dir) as plane:
        rotated = plane.rotate_user_secret(tenant, span_ms(overlap))
    until = output.when(rotated.previous_until)
    output.say(f"Tokens made before work until {until}." if until else "No token made before works any more.")


def _print(settings: TenantSettings, json: bool) -> None:
    if json:
        output.print_json(asdict(settings))
        return
    rows = [
        ("tier", settings.tier or "the installation's default"),
        ("approval", "by a second person" if settings.approval else "none"),
        ("second factor", "required" if settings.second_factor else "as each likes"),
        ("origins", " ".join(settings.origins) or "none"),
        *((f"brand.{name}", value) for name, value in settings.brand.items()),
        *((f"test recipients, {channel}", " ".join(to)) for channel, to in settings.test_recipients.items()),
        ("postal address", "required in marketing mails" if settings.postal_address else "as each likes"),
        ("links", settings.links_base_url or "under the installation's own address"),
    ]
    output.print_table(("setting", "value"), rows, "")
