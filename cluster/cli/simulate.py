"""`whisperer simulate`: what a campaign would have done with the users of the past, and what speaks against it."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cluster.cli import output
from cluster.cli.answers.reading import read
from cluster.cli.answers.simulations import Cost, Interval, Simulated, Simulation, Worth
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import read_object
from cluster.operator_client import Operator

LOOK_S = 0.5
BLOCKED = 1
"""Exit code with --strict when an item of the checklist blocks."""


app = typer.Typer()


@app.command()
def simulate(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its name; it need not exist with --definition.")],
    tenant: TenantOption,
    definition: Annotated[
        typer.FileText | None,
        typer.Option(metavar="FILE", help="A campaign as JSON; - reads stdin. [default: its draft, else its version]"),
    ] = None,
    policy: Annotated[
        str, typer.Option(help="learned, uniform, arm:ID for always the same arm, or NAME@VERSION of a model.")
    ] = "learned",
    days: Annotated[int, typer.Option(min=1, max=92, help="Of the history's end.")] = 28,
    budget: Annotated[float | None, typer.Option(min=0, help="Of these days, in the goal's unit.")] = None,
    detectable_lift: Annotated[
        float | None, typer.Option(min=0, help="A user, that should be seen. [default: 10 % of what users do anyway]")
    ] = None,
    largest_audience: Annotated[float, typer.Option(min=0, max=1, help="Share of users that is no surprise.")] = 0.5,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 where something blocks a launch.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Replay stored history with a campaign live but nothing sent: who is reached or refused, the value, a checklist.

    Examples:

        whisperer simulate trial-welcome --tenant acme
        whisperer simulate trial-welcome --tenant acme --policy trial-welcome@3
        whisperer simulate idea --definition idea.json --tenant acme --policy uniform --budget 500
    """
    body: dict[str, Any] = {
        "policy": policy,
        "days": days,
        "budget": budget,
        "detectable_lift": detectable_lift,
        "largest_audience": largest_audience,
    }
    if definition is not None:
        told = read_object(definition.read(), "the campaign")
        told.pop("name", None)
        told.pop("publish", None)
        body["definition"] = told
    with Operator(data_dir) as operator:
        begun = operator.post("tenants", tenant, "campaigns", campaign, "simulate", body=body)
        document = _awaited(operator, tenant, begun, quiet=json)
    found = read(document, Simulation)
    if json:
        output.print_json(document)
    elif found.result is not None:
        print_simulation(found.result)
    if found.status != "done" or found.result is None:
        output.fail(f"the simulation failed: {found.error}", 1)
    if strict and any(item.level == "block" for item in found.result.checklist):
        raise typer.Exit(BLOCKED)


def _awaited(operator: Operator, tenant: str, document: Any, *, quiet: bool) -> Any:
    """Wait for the simulation and return its document, showing its progress on stderr."""
    found = read(document, Simulation)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        bar = progress.add_task("events", total=None)
        while found.status == "running":
            time.sleep(LOOK_S)
            document = operator.get("tenants", tenant, "campaigns", found.campaign, "simulations", found.id)
            found = read(document, Simulation)
            progress.update(bar, completed=found.progress.events, total=found.progress.of or None)
    return document


def print_simulation(result: Simulated) -> None:
    """Print a simulation for people."""
    share = "" if result.share == 1 else f", {result.share:.1%} of users"
    output.say(
        f"{result.campaign}, policy {result.policy}, {result.since[:10]} to {result.until[:10]}: "
        f"{result.events:,} events of {result.users:,} users replayed{share}. Nothing was sent."
    )
    refused = sorted(result.refused.items(), key=lambda entry: (-entry[1], entry[0]))
    reach = result.reach
    rows = [
        ("sent", result.sent),
        ("no_send", result.no_send),
        *((f"refused: {reason}", count) for reason, count in refused),
        ("candidates", result.candidates),
        ("users considered", reach.considered),
        ("users eligible", reach.eligible),
        ("users reached", reach.reached),
    ]
    output.print_table(("what became of candidates", "count"), rows, "Nobody was considered.")
    output.print_table(
        ("arm", "channel", "decisions", "sent", "cost", "not to be had"),
        [
            (
                arm.arm,
                arm.channel,
                arm.decisions,
                arm.sent,
                f"{arm.spent:,.2f}",
                ", ".join(f"{reason} {count:,}" for reason, count in arm.refused.items()),
            )
            for arm in result.arms
        ],
        "No arms.",
    )
    output.say(f"Cost: {_budget(result.budget)}")
    if result.budget.windows:
        output.print_table(
            ("budget from", "until", "amount", "spent", "price", "withheld"),
            [
                (
                    one.begins_at[:10],
                    one.ends_at[:10],
                    f"{one.amount:,.2f}",
                    f"{one.spent:,.2f}",
                    f"{one.price:,.4g}",
                    f"{one.withheld:,.0f}",
                )
                for one in result.budget.windows
            ],
            "",
        )
    output.say(f"Worth: {_value(result.value)}")
    output.print_table(
        ("", "check", "what was found", "what to do"),
        [(item.level, item.code, item.sentence, item.advice) for item in result.checklist],
        "No checks.",
    )
    for caveat in [*result.caveats, *result.value.caveats]:
        output.say(f"- {caveat}")


def _budget(budget: Cost) -> str:
    used = "" if budget.used is None else f" of {budget.amount:,.2f}, {budget.used:.0%}"
    return f"{budget.spent:,.2f}{used}"


def _value(value: Worth) -> str:
    if value.not_estimated is not None:
        return value.not_estimated
    over = "" if value.over_no_send is None else f"; {_interval(value.over_no_send)} over sending nothing"
    log = f"from {value.decisions:,} decisions of {value.source}, worth {value.effective:,.0f} of its own"
    return f"{_interval(value.per_decision)} a decision{over}; {_interval(value.total)} in all ({log})"


def _interval(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{interval.value:,.4g} (no interval)"
    return f"{interval.value:,.4g} (95 %: {interval.low:,.4g} to {interval.high:,.4g})"
