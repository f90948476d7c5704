"""`whisperer user`: list users; show, export or erase what is known about one, their inbox, and record consent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.cli import bulk, output
from cluster.cli.answers.people import Inbox, Profile, UserToken
from cluster.cli.answers.reading import read
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.operator_client import Operator
from cluster.private_files import write_private
from whisperer.errors import RequestError
from whisperer.vocabulary.channels import CHANNELS

app = typer.Typer(
    name="user",
    help="Users: list and search; show, export or erase what is held on one; record consent.",
    no_args_is_help=True,
)

UserId = Annotated[str, typer.Argument(metavar="USER_ID", help="The client's userId.")]
OneOrFile = Annotated[str | None, typer.Argument(metavar="[USER_ID]", help="The client's userId; or --file.")]
Lines = Annotated[
    typer.FileText | None, typer.Option("--file", metavar="FILE", help="Many: one JSON object a line; - reads stdin.")
]
MOST_STATEMENTS, MOST_ERASED = 1_000, 100
"""Of one call; a file may have any number of lines."""


@app.command(name="list")
def list_users(
    tenant: TenantOption,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", "-f", metavar="NAME=VALUE", help="Whom to list, below; repeat it to narrow the list down."
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="user_id, last_seen, first_seen, events, score or engagement; -last_seen: newest first."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most users of one page.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended: its next_cursor.")] = None,
    fields: Annotated[
        str | None, typer.Option(metavar="A,B", help="What to show, such as last_seen,score,traits.email.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List a tenant's users: all of them, or those who pass every filter, a page at a time.

    Filters are written as NAME=VALUE:

        traits.plan=pro             a trait that is equal, as a text, number or bool
        traits.email[prefix]=ann    a trait that begins so
        segment=regulars            members of a published segment
        user_id[prefix]=u-          a userId that begins so
        known=true                  identified; false: only ever anonymous
        last_seen[after]=2026-01-31 later than that (also before; also first_seen)
        score[gte]=0.5              at least (also gt, lt, lte; also engagement, events)

    Score is the probability of leaving, engagement the share of active days to expect.

    Examples:

        whisperer user list --tenant acme --sort=-last_seen --limit 20
        whisperer user list --tenant acme -f traits.plan=pro -f "score[gte]=0.7" --sort=-score --json
        whisperer user list --tenant acme -f "traits.email[prefix]=ann" --fields last_seen,traits.email
    """
    query: dict[str, str | int] = {"limit": limit}
    for written in filters or ():
        name, equals, value = written.partition("=")
        if not equals or not name:
            raise RequestError(f"a filter is NAME=VALUE, such as traits.plan=pro, not {written[:80]!r}")
        query[f"filter[{name.removesuffix(']').replace('[', '][') if name.endswith(']') else name}]"] = value
    given = {"sort": sort, "cursor": cursor, "fields": fields}
    query |= {name: value for name, value in given.items() if value is not None}
    with Operator(data_dir) as operator:
        page = operator.get("tenants", tenant, "users", **query)
    if json:
        output.print_json(page)
        return
    columns = tuple(dict.fromkeys(name for user in page["data"] for name in user))
    rows = [tuple(_shown(user.get(name)) for name in columns) for user in page["data"]]
    output.print_table(columns, rows, "Nobody.")
    if page["next_cursor"] is not None:
        output.say(f"There are more: --cursor {page['next_cursor']}")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {json.dumps(one, ensure_ascii=False)}" for name, one in value.items())
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


@app.command()
def show(
    user_id: UserId,
    tenant: TenantOption,
    fields: Annotated[
        str | None, typer.Option(metavar="NAMES", help="With --json: these members only, separated by commas.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show a user's current state: traits, features, segments, recent events, and campaign decisions.

    Examples:

        whisperer user show u-17 --tenant acme
        whisperer user show u-17 --tenant acme --json --fields traits,segments
    """
    if fields is not None and not json:
        raise typer.BadParameter("add --json: a table shows what it shows", param_hint="--fields")
    with Operator(data_dir) as operator:
        document = operator.get("tenants", tenant, "users", user_id, **({"fields": fields} if fields else {}))
    if json:
        output.print_json(document)
        return
    found = read(document, Profile)
    output.say(f"{found.user_id}, first seen {found.first_seen}, last {found.last_seen}")
    output.say(f"segments: {', '.join(found.segments) or 'none'}")
    output.print_table(("trait", "value"), sorted(found.traits.items()), "No traits.")
    output.print_table(("feature", "value"), sorted(found.features.items()), "No features.")
    rows = [(entry.timestamp, entry.event, entry.type) for entry in found.timeline]
    output.print_table(("time", "event", "type"), rows, "No events.")
    considered = [
        (one.at, one.campaign, one.arm or "", one.status, one.reason or "", one.id) for one in found.candidacies
    ]
    columns = ("considered", "campaign", "arm", "status", "reason", "decision")
    output.print_table(columns, considered, "No campaign has considered this user.")


@app.command()
def export(
    user_id: UserId,
    tenant: TenantOption,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write here instead of to stdout.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Export everything held on a user as one JSON document, to answer a subject access request.

    Example:

        whisperer user export u-17 --tenant acme --to u-17.json
    """

    with Operator(data_dir, timeout_s=600.0) as operator:
        document = operator.get("tenants", tenant, "users", user_id, "export")
    if to is None:
        output.print_json(document)
    else:
        write_private(to, json.dumps(document, indent=2, ensure_ascii=False).encode())
        output.say(f"Written to {to}, readable by you only.")


@app.command()
def erase(
    tenant: TenantOption,
    user_id: OneOrFile = None,
    file: Lines = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Erase a user, or many: their state at once, files within the retention. Late events do not bring them back.

    Examples:

        whisperer user erase u-17 --tenant acme --yes
        echo '{"user_id": "u-17"}' | whisperer user erase --file - --tenant acme --yes
    """
    _one_or_file(user_id, file)
    if file is not None:
        if not yes:
            typer.confirm(f"Erase all users of {file.name} from {tenant} for good?", abort=True, err=True)
        bulk.send(data_dir, ("tenants", tenant, "users", "erase", "bulk"), file, MOST_ERASED, json=json)
        return
    assert user_id is not None
    if not yes:
        typer.confirm(f"Erase user {user_id} of {tenant} for good?", abort=True, err=True)
    with Operator(data_dir) as operator:
        answer = operator.delete("tenants", tenant, "users", user_id)
    if json:
        output.print_json(answer if answer is not None else {"user_id": user_id, "erased": True})
    else:
        output.say(f"Erased {user_id}.")


@app.command()
def token(
    user_id: UserId,
    tenant: TenantOption,
    minutes: Annotated[int, typer.Option(metavar="N", help="For how long it is good.", min=1)] = 60,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Make a token with which the user's browser sees and changes the user's own preferences.

    Example:

        whisperer user token u-17 --tenant acme --minutes 30
    """
    with Operator(data_dir) as operator:
        answer = operator.post("tenants", tenant, "users", user_id, "token", body={"minutes": minutes})
    if json:
        output.print_json(answer)
    else:
        made = read(answer, UserToken)
        print(made.token)
        output.say(f"For {made.user_id}, until {made.expires_at}.")


@app.command()
def inbox(
    user_id: UserId,
    tenant: TenantOption,
    state: Annotated[str | None, typer.Option(help="unread, read or archived; all of them otherwise.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most messages.")] = 100,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show a user's in-app messages that have not expired, newest first.

    Examples:

        whisperer user inbox u-17 --tenant acme
        whisperer user inbox u-17 --tenant acme --state unread --json
    """
    query: dict[str, str | int] = {"limit": limit} | ({"filter[state]": state} if state else {})
    with Operator(data_dir) as operator:
        document = operator.get("tenants", tenant, "users", user_id, "inbox", **query)
    if json:
        output.print_json(document)
        return
    found = read(document, Inbox)
    output.say(f"{found.unread} unread")
    rows = [(one.sent_at, one.state, one.kind, one.campaign, one.title, one.id) for one in found.data]
    output.print_table(("sent", "state", "kind", "campaign", "title", "message"), rows, "No messages.")


@app.command()
def consent(
    tenant: TenantOption,
    user_id: OneOrFile = None,
    channel: Annotated[
        str | None, typer.Argument(metavar="[CHANNEL]", help=f"{', '.join(CHANNELS)}, or * for all.")
    ] = None,
    file: Lines = None,
    granted: Annotated[bool | None, typer.Option("--granted/--withdrawn", help="Whether the user agrees.")] = None,
    purpose: Annotated[str, typer.Option(help="What for; * for everything.")] = "marketing",
    source: Annotated[str, typer.Option(help="Where the user said so.")] = "operator",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Record that a user agreed to messages on a channel, or withdrew consent; or what many said, from a file.

    Examples:

        whisperer user consent u-17 email --withdrawn --tenant acme
        whisperer user consent u-17 sms --granted --source "phone call" --tenant acme
        echo '{"user_id": "u-17", "channel": "email", "granted": false}' |
          whisperer user consent --file - --tenant acme
    """
    _one_or_file(user_id, file)
    if file is not None:
        bulk.send(data_dir, ("tenants", tenant, "users", "consent", "bulk"), file, MOST_STATEMENTS, json=json)
        return
    assert user_id is not None
    if channel is None or granted is None:
        raise typer.BadParameter("say CHANNEL, and --granted or --withdrawn")
    body = {"channel": channel, "purpose": purpose, "granted": granted, "source": source}
    with Operator(data_dir) as operator:
        answer = operator.post("tenants", tenant, "users", user_id, "consent", body=body)
    if json:
        output.print_json(answer)
    else:
        said = "agreed to" if granted else "withdrew from"
        output.say(f"{user_id} {said} {purpose} by {channel}.")


def _one_or_file(user_id: str | None, file: typer.FileText | None) -> None:
    if (user_id is None) == (file is None):
        raise typer.BadParameter("say USER_ID, or --file")
