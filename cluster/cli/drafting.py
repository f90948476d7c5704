"""The commands that campaigns, templates and segments share: draft, submit, publish, history, diff and rollback.

docs/publishing.md describes the way from draft to live.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.answers.drafts import Difference, Draft, Published, Review, Revision
from cluster.cli.answers.reading import read
from cluster.cli.differences import print_difference
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import all_pages, read_object, through

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane
    from cluster.control_plane.drafts import Kind

Name = Annotated[str, typer.Argument(metavar="NAME")]
Note = Annotated[str, typer.Option(help="What the reviewer should know.")]
From = Annotated[str, typer.Option("--from", metavar="WHICH", help="A version, live, or draft.")]
To = Annotated[str, typer.Option("--to", metavar="WHICH", help="A version, live, or draft.")]


@dataclass(frozen=True, slots=True)
class Drafted:
    """A kind of thing, as the commands name it, and an example's name.

    ``content`` makes a draft of what a file contains.
    """

    kind: str
    plural: str
    example: str
    content: Callable[[dict[str, Any]], dict[str, Any]] = dict


def add_commands(app: typer.Typer, of: Drafted) -> None:
    """Add what a group of commands shares with others, except `publish`."""

    @app.command(help=_draft_help(of))
    def draft(
        name: Name,
        tenant: TenantOption,
        file: Annotated[
            typer.FileText | None, typer.Argument(metavar="FILE", help="Write this, as JSON; - reads stdin.")
        ] = None,
        delete: Annotated[bool, typer.Option("--delete", help="Delete the draft; what is live stays.")] = False,
        data_dir: DataDir = DEFAULT_DATA_DIR,
        json: AsJson = False,
    ) -> None:
        if delete and file is not None:
            raise typer.BadParameter("either write a draft or delete it")
        if delete:
            document = _delete(data_dir, tenant, of, name)
        elif file is None:
            document = _show(data_dir, tenant, of, name)
        else:
            content = read_object(file.read(), f"the {of.kind}")
            content.pop("name", None)
            document = write_draft(data_dir, tenant, of, name, of.content(content))
        if json:
            output.print_json(document)
        elif delete:
            output.say(f"Deleted the draft of {name}.")
        else:
            _say(document, of)
            if file is None:
                output.print_json(read(document, Draft).content)

    @app.command(help=_submit_help(of))
    def submit(
        name: Name, tenant: TenantOption, note: Note = "", data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False
    ) -> None:
        say_review(submit_draft(data_dir, tenant, of, name, note), json)

    @app.command(help=_history_help(of))
    def history(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
        found = through(
            data_dir,
            lambda operator: all_pages(operator, "tenants", tenant, of.plural, name, "history"),
            lambda plane, _: plane.history(tenant, kind_of(of), name, limit=MOST_SHOWN),
        )
        if json:
            output.print_json(found)
            return
        rows = [
            (r.version, r.at, r.by, r.review, r.rolled_back_to, "live" if r.live else "")
            for r in read(found, list[Revision])
        ]
        columns = ("version", "at", "by", "review", "content of", "")
        output.print_table(columns, rows, f"No version of {name} has gone live yet.")

    @app.command(help=_diff_help(of))
    def diff(
        name: Name,
        tenant: TenantOption,
        from_: From = "live",
        to: To = "draft",
        data_dir: DataDir = DEFAULT_DATA_DIR,
        json: AsJson = False,
    ) -> None:
        show_difference(data_dir, tenant, of, name, from_, to, json)

    @app.command(help=_rollback_help(of))
    def rollback(
        name: Name,
        tenant: TenantOption,
        to: Annotated[int, typer.Option("--to", min=1, metavar="VERSION", help="Its content goes live again.")],
        data_dir: DataDir = DEFAULT_DATA_DIR,
        json: AsJson = False,
    ) -> None:
        document = through(
            data_dir,
            lambda operator: operator.post("tenants", tenant, of.plural, name, "rollback", body={"to": to}),
            lambda plane, _: {"name": name, "version": plane.roll_back(tenant, kind_of(of), name, to)},
        )
        if json:
            output.print_json(document)
        else:
            version = read(document, Published).version
            output.say(f"The content of {name} version {to} is live again, as version {version}.")


MOST_SHOWN = 10_000
"""Entries of a history that is read from the database while nothing runs."""


def publish(data_dir: Path, tenant: str, of: Drafted, name: str) -> Any:
    """Take a draft live; the document of what is live then."""
    return through(
        data_dir,
        lambda operator: operator.post("tenants", tenant, of.plural, name, "publish"),
        lambda plane, _: {"name": name, "version": plane.publish_draft(tenant, kind_of(of), name)},
    )


def write_draft(data_dir: Path, tenant: str, of: Drafted, name: str, content: dict[str, Any]) -> Any:
    """Write a draft; its document."""
    return through(
        data_dir,
        lambda operator: operator.put("tenants", tenant, of.plural, name, "draft", body=content),
        lambda plane, _: plane.put_draft(tenant, kind_of(of), name, content),
    )


def submit_draft(data_dir: Path, tenant: str, of: Drafted, name: str, note: str) -> Any:
    """Submit a draft; the review's document."""
    return through(
        data_dir,
        lambda operator: operator.post("tenants", tenant, of.plural, name, "submit", body={"note": note}),
        lambda plane, _: plane.submit_draft(tenant, kind_of(of), name, note=note),
    )


def show_difference(data_dir: Path, tenant: str, of: Drafted, name: str, before: str, after: str, json: bool) -> None:
    """Print what differs between two versions. Raises typer.BadParameter."""
    for which in (before, after):
        if which not in ("draft", "live") and not (which.isascii() and which.isdigit() and len(which) <= 10):
            raise typer.BadParameter(f"{which!r} is neither a version's number nor live or draft")

    def compared(plane: ControlPlane) -> Any:
        return plane.difference(tenant, kind_of(of), name, *(int(w) if w.isdigit() else w for w in (before, after)))

    query: dict[str, str | int] = {"from": before, "to": after}
    document = through(
        data_dir,
        lambda operator: operator.get("tenants", tenant, of.plural, name, "diff", **query),
        lambda plane, _: compared(plane),
    )
    if json:
        output.print_json(document)
    else:
        print_difference(read(document, Difference))


def say_review(document: Any, json: bool) -> None:
    """Print a review, for people or as JSON."""
    if json:
        output.print_json(document)
        return
    review = read(document, Review)
    by = review.decided_by or review.requested_by
    output.say(f"Review {review.id} of the {review.kind} {review.name} is {review.state}, by {by}.")


def kind_of(of: Drafted) -> Kind:
    """Return the control plane's name for a kind; loaded only where nothing runs."""
    from cluster.control_plane.drafts import Kind

    return Kind(of.kind)


def _show(data_dir: Path, tenant: str, of: Drafted, name: str) -> Any:
    return through(
        data_dir,
        lambda operator: operator.get("tenants", tenant, of.plural, name, "draft"),
        lambda plane, _: plane.get_draft(tenant, kind_of(of), name),
    )


def _delete(data_dir: Path, tenant: str, of: Drafted, name: str) -> Any:
    return through(
        data_dir,
        lambda operator: operator.delete("tenants", tenant, of.plural, name, "draft"),
        lambda plane, _: plane.delete_draft(tenant, kind_of(of), name),
    )


def _say(document: Any, of: Drafted) -> None:
    draft = read(document, Draft)
    live = "nothing is live" if draft.live is None else f"version {draft.live} is live meanwhile"
    output.say(f"Draft of the {of.kind} {draft.name}, by {draft.changed_by}, {draft.changed_at}; {live}.")
    if draft.review is not None:
        output.say(f"Review {draft.review} of it is {draft.review_state}.")


def _draft_help(of: Drafted) -> str:
    return f"""Show, write or delete the draft of a {of.kind}, which users do not get.

    Examples:

        whisperer {of.kind} draft {of.example} --tenant acme

        whisperer {of.kind} draft {of.example} {of.example}.json --tenant acme

        whisperer {of.kind} draft {of.example} --tenant acme --delete
    """


def _submit_help(of: Drafted) -> str:
    return f"""Submit the draft of a {of.kind}: somebody else is asked to approve it.

    Example:

        whisperer {of.kind} submit {of.example} --tenant acme --note "shorter, as support asked"
    """


def _history_help(of: Drafted) -> str:
    return f"""Show what went live, newest first: by whom, and by which review.

    Example:

        whisperer {of.kind} history {of.example} --tenant acme
    """


def _diff_help(of: Drafted) -> str:
    return f"""Show what differs between two versions of a {of.kind}, or its draft and what is live.

    Examples:

        whisperer {of.kind} diff {of.example} --tenant acme

        whisperer {of.kind} diff {of.example} --tenant acme --from 1 --to 2
    """


def _rollback_help(of: Drafted) -> str:
    return f"""Take the content of an older version live again, as a new version. A draft stays.

    Example:

        whisperer {of.kind} rollback {of.example} --tenant acme --to 1
    """
