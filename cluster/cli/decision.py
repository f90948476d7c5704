"""`whisperer decision`: why a user was sent a message, or was not."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.answers.people import Audit
from cluster.cli.answers.reading import read
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.operator_client import Operator

app = typer.Typer(name="decision", help="Decisions: the whole audit of one.", no_args_is_help=True)


@app.command()
def show(
    decision_id: Annotated[str, typer.Argument(metavar="ID", help="dec_…, from `user show` or a page.")],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show one decision: what was known, which arms were eligible, the choice and its probability, and the outcomes.

    Example:

        whisperer decision show dec_0f6jkq2w1m9r4v7x3s8c5b2n0d --tenant acme
    """
    with Operator(data_dir) as operator:
        document = operator.get("tenants", tenant, "decisions", decision_id)
    if json:
        output.print_json(document)
    else:
        _say(read(document, Audit))


def _say(found: Audit) -> None:
    output.say(
        f"{found.id}: {found.campaign} version {found.campaign_version} considered "
        f"{found.user_key} at {found.at} ({found.trigger} {found.occurrence})"
    )
    why = found.reason_text or found.reason
    output.say(f"{found.status}{f': {why}' if why else ''}; group {found.group or 'none yet'}")
    rows: list[tuple[Any, ...]] = [
        (f"> {arm}" if arm == found.arm else f"  {arm}", *(f"{number:.4f}" for number in numbers))
        for arm, *numbers in zip(found.arms, found.propensities, found.means, found.spreads, strict=False)
    ]
    rows += [(f"  {arm}", reason, "", "") for arm, reason in found.refused_arms.items()]
    output.print_table(("arm", "propensity", "mean", "spread"), rows, "No arm was chosen.")
    output.print_table(("feature", "value"), sorted(found.features.items()), "No features were looked at.")
    if send := found.send:
        sent = f"sent {send.sent_at}" if send.sent_at else "not sent yet"
        output.say(f"{send.send_key} by {send.channel}: {send.attempts} attempts, {sent}")
    outcomes = [(o.at, o.kind, o.detail) for o in found.outcomes]
    output.print_table(("time", "outcome", "detail"), outcomes, "No outcomes yet.")
    if found.reward is not None:
        output.say(f"reward {found.reward:+.6f}, {'final' if found.matured else 'as known so far'}")
