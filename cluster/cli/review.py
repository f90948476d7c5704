"""`whisperer review`: look at what was submitted, and approve or reject it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.answers.drafts import Review, Reviewed
from cluster.cli.answers.reading import read
from cluster.cli.differences import print_difference
from cluster.cli.drafting import say_review
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import all_pages, through

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane

app = typer.Typer(
    name="review", help="Reviews: what waits for somebody else's approval, and what became of it.", no_args_is_help=True
)

ReviewId = Annotated[str, typer.Argument(metavar="ID")]
Reason = Annotated[str, typer.Option(help="Why; kept with the review.")]


@app.command("list")
def list_(
    tenant: TenantOption,
    every: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List the reviews that are open, newest first.

    Example:

        whisperer review list --tenant acme
    """

    def offline(plane: ControlPlane) -> Any:
        from cluster.control_plane.drafts import ReviewState
        from cluster.control_plane.listing import Place

        state = None if every else ReviewState.OPEN
        return plane.page_of_reviews(tenant, Place(descends=True), state=state).items

    query = {} if every else {"filter[state]": "open"}
    found = through(
        data_dir,
        lambda operator: all_pages(operator, "tenants", tenant, "reviews", **query),
        lambda plane, _: offline(plane),
    )
    if json:
        output.print_json(found)
        return
    rows = [(r.id, f"{r.kind} {r.name}", r.state, r.requested_by, r.note) for r in read(found, list[Review])]
    output.print_table(("id", "what", "state", "by", "note"), rows, "Nothing waits for a review.")


@app.command()
def show(review_id: ReviewId, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show a review: who submitted what, and how it differs from what is live.

    Example:

        whisperer review show rv_01m8mg5d403s6e7hyyh08x --tenant acme
    """
    document = through(
        data_dir,
        lambda operator: operator.get("tenants", tenant, "reviews", review_id),
        lambda plane, _: plane.get_review(tenant, review_id),
    )
    if json:
        output.print_json(document)
        return
    review = read(document, Reviewed)
    say_review(document, False)
    for text in (review.note, review.reason):
        if text:
            output.say(f"  {text}")
    print_difference(review.diff)


@app.command()
def approve(
    review_id: ReviewId,
    tenant: TenantOption,
    reason: Reason = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Let what was submitted go live. The operator cannot approve what the operator submitted.

    Example:

        whisperer review approve rv_01m8mg5d403s6e7hyyh08x --tenant acme
    """
    say_review(_decided(data_dir, tenant, review_id, "approve", reason), json)


@app.command()
def reject(
    review_id: ReviewId,
    tenant: TenantOption,
    reason: Reason = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Refuse what was submitted; the draft stays.

    Example:

        whisperer review reject rv_01m8mg5d403s6e7hyyh08x --tenant acme --reason "the link leads nowhere"
    """
    say_review(_decided(data_dir, tenant, review_id, "reject", reason), json)


@app.command()
def withdraw(
    review_id: ReviewId,
    tenant: TenantOption,
    reason: Reason = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """End a review without a decision; the draft stays.

    Example:

        whisperer review withdraw rv_01m8mg5d403s6e7hyyh08x --tenant acme
    """
    say_review(_decided(data_dir, tenant, review_id, "withdraw", reason), json)


def _decided(data_dir: Path, tenant: str, review_id: str, action: str, reason: str) -> Any:
    return through(
        data_dir,
        lambda operator: operator.post("tenants", tenant, "reviews", review_id, action, body={"reason": reason}),
        lambda plane, _: getattr(plane, f"{action}_review")(tenant, review_id, reason=reason),
    )
