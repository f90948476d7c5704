"""`whisperer template generate` and `whisperer template score`: variants by a model, and how good texts are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cluster.cli import output
from cluster.cli.answers.reading import read
from cluster.cli.answers.templates import Qualities, Scored, Variants
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cluster.cli.options import TenantOption as Tenant
from cluster.cli.resources import read_object
from cluster.operator_client import Operator

PATIENCE_S = 330.0
"""Five variants of a minute each."""


def generate(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    tenant: Tenant,
    brief: Annotated[str, typer.Option(help="What to write, in your words.")],
    locale: Annotated[str | None, typer.Option(help="Language. [default: the template's]")] = None,
    variants: Annotated[int, typer.Option(min=1, max=5, help="How many.")] = 1,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Have the tenant's generator write variants of a template; each becomes a draft that a person publishes.

    Example:

        whisperer template generate tips-email --tenant acme --brief "Shorter, and about saving time" --variants 2
    """
    body = {"brief": brief, "locale": locale, "variants": variants}
    with Operator(data_dir, PATIENCE_S) as operator:
        document = operator.post("tenants", tenant, "templates", name, "variants", body=body)
    if json:
        output.print_json(document)
        return
    found = read(document, Variants)
    for one in found.variants:
        if one.draft is None:
            output.say(f"Variant {one.number} is not used: {one.ruling}{f' ({one.detail})' if one.detail else ''}")
            continue
        score = "" if one.score is None else f", score {one.score:.2f}"
        output.say(f"Variant {one.number}: draft {one.draft}{score}")
        for text in one.texts.values():
            print(text)
    if any(one.draft for one in found.variants):
        output.say("Look at a draft, then publish it: `whisperer template publish NAME`.")


def score(
    which: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A file of JSON, - for stdin, or a template.")],
    tenant: Annotated[str | None, typer.Option(help="Whose template it is; a file needs none.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Score a template from 0 to 5 in each of its languages; docs/quality.md has the rubric.

    A file is scored here, without an installation.

    Examples:

        whisperer template score tips.json
        whisperer template score tips-email --tenant acme
    """
    if which == "-" or Path(which).is_file():
        from whisperer.content.quality.template_scores import scores_of  # loads Liquid and a model of languages
        from whisperer.content.template import parse_template

        text = sys.stdin.read() if which == "-" else Path(which).read_text(encoding="utf-8")
        body = read_object(text, "the template")
        body.pop("name", None)
        document: Any = msgspec.to_builtins(scores_of(parse_template(body)))
    else:
        if tenant is None:
            raise typer.BadParameter(f"there is no file {which}; of a published template, name its --tenant")
        with Operator(data_dir) as operator:
            document = operator.post("tenants", tenant, "templates", which, "score", body={})
    if json:
        output.print_json(document)
        return
    found = read(document, Scored)
    rows = [
        (one.locale, "-" if one.score is None else f"{one.score:.2f}", one.why or _below(one.marks))
        for one in found.locales
    ]
    output.print_table(("locale", "score", "what costs"), rows, "")
    output.say(f"Mean {found.mean:.2f} of 5")


def quality(tenant: Tenant, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show how good what was sent was, by channel, and how often readers of each score opened or clicked.

    Example:

        whisperer template quality --tenant acme
    """
    with Operator(data_dir) as operator:
        document = operator.get("tenants", tenant, "quality")
    if json:
        output.print_json(document)
        return
    found = read(document, Qualities)
    for channel in found.channels:
        mean = "" if channel.mean is None else f", mean {channel.mean:.2f} of 5"
        output.say(f"{channel.channel}: {channel.scored} scored{mean}")
        rows = [
            (f"{one.score:.2f}", one.sent, one.engaged, f"{one.rate:.2%}", f"{one.calibrated:.2f}")
            for one in channel.bins
        ]
        output.print_table(("score", "sent", "engaged", "expected rate", "calibrated"), rows, "")
    if not found.channels:
        output.say("No scored message was sent yet.")


def _below(marks: dict[str, float]) -> str:
    """Name the criteria that cost something, the worst first."""
    costing = sorted((mark, name) for name, mark in marks.items() if mark < 0.995)
    return ", ".join(f"{name} {mark:.2f}" for mark, name in costing)
