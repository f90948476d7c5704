"""`whisperer template translations`: the texts of a template, out to translators and back in."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.cli import drafting, output
from cluster.cli.answers.reading import read
from cluster.cli.answers.templates import Template
from cluster.cli.options import DEFAULT_DATA_DIR, DataDir, TenantOption
from cluster.cli.resources import read_object, through

app = typer.Typer(help="Texts of a template, out to translators and back in.", no_args_is_help=True)


class Format(StrEnum):
    JSON = "json"
    XLIFF = "xliff"


_OF = drafting.Drafted("template", "templates", "tips-email")


@app.command("export")
def export_(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    tenant: TenantOption,
    locale: Annotated[str, typer.Option(metavar="TAG", help="The language to translate into.")],
    format: Annotated[Format, typer.Option(help="XLIFF is 2.0, for translators' tools.")] = Format.JSON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Print the texts of what is live for translators; an empty target is missing.

    Examples:

        whisperer template translations export tips-email --tenant acme --locale fr > tips.fr.json
        whisperer template translations export tips-email --tenant acme --locale fr --format xliff > tips.fr.xlf
    """
    from whisperer.content.translations import exported  # loads Liquid, which hardly any command needs
    from whisperer.content.xliff import written

    document = exported(name, _live(data_dir, tenant, name), locale)
    if format is Format.XLIFF:
        print(written(document), end="")
    else:
        output.print_json(document)


@app.command("import")
def import_(
    file: Annotated[typer.FileText, typer.Argument(metavar="FILE", help="What export printed, translated.")],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write what is live, with the translated texts in it, as the template's draft, and list what is missing.

    The file is JSON, or XLIFF 2.0 or 1.2.

    Examples:

        whisperer template translations import tips.fr.json --tenant acme
        whisperer template translations import tips.fr.xlf --tenant acme
    """
    from whisperer.content.translations import imported, missing
    from whisperer.content.xliff import read

    text = file.read()
    is_xliff = text.lstrip("\ufeff").lstrip().startswith("<")
    document = read(text.encode()) if is_xliff else read_object(text, "the translations")
    name = str(document.get("template", ""))
    body = imported(_live(data_dir, tenant, name), document)
    drafting.write_draft(data_dir, tenant, _OF, name, body)
    output.say(f"Wrote the draft of {name}: `whisperer template publish {name} --tenant {tenant}` takes it live.")
    for locale in body["locales"]:
        if lacking := missing(body, locale):
            output.say(f"Missing in {locale}: {', '.join(lacking)}.")


def _live(data_dir: Path, tenant: str, name: str) -> dict[str, Any]:
    document = through(
        data_dir,
        lambda operator: operator.get("tenants", tenant, "templates", name),
        lambda plane, documents: documents.template_document(plane.get_template(tenant, name)),
    )
    return read(document, Template).template
