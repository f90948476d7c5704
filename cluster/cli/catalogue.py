"""`whisperer catalogue`: items of a tenant's own, such as products, that templates pick from.

The commands read and write the control plane themselves, so that a file of any allowed size is one change; what renders
messages sees it within a second.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import named, read_object
from whisperer.errors import RequestError, TooLargeError

app = typer.Typer(
    name="catalogue",
    help="Catalogues: items of your own, such as products, that templates pick from.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME")]


@app.command("list")
def list_(tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List a tenant's catalogues.

    Example:

        whisperer catalogue list --tenant acme
    """
    from cluster.control_plane.supply_documents import catalogue_document  # 0.6 s of CPU, which help does without

    with open_control_plane(data_dir) as plane:
        found = [catalogue_document(one) for one in plane.list_catalogues(tenant)]
    if json:
        output.print_json(msgspec.to_builtins(found))
        return
    rows = [(one.name, one.n_items, one.n_bytes, ", ".join(one.fields)) for one in found]
    empty = "No catalogues yet: `whisperer catalogue put FILE --tenant NAME`."
    output.print_table(("name", "items", "bytes", "fields"), rows, empty)


@app.command()
def put(
    file: Annotated[typer.FileText, typer.Argument(metavar="FILE", help="Its fields as JSON; - reads stdin.")],
    tenant: TenantOption,
    name: Annotated[str | None, typer.Option(help='Its name. [default: "name" in the file]')] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Make a catalogue, or add fields to one; docs/catalogues.md has the kinds of fields.

    Example:

        echo '{"fields": {"name": "string", "price": "number", "tags": "list"}}' |
          whisperer catalogue put - --tenant acme --name products
    """
    from cluster.control_plane.supply_documents import catalogue_document

    body = read_object(file.read(), "the catalogue")
    called = named(body, name, "the file")
    if set(body) != {"fields"}:
        raise RequestError('write {"fields": {...}} and nothing else', code="invalid_request")
    with open_control_plane(data_dir) as plane:
        made = plane.put_catalogue(tenant, called, body["fields"])
    if json:
        output.print_json(msgspec.to_builtins(catalogue_document(made)))
    else:
        output.say(f"Catalogue {called} has the fields {', '.join(made.fields)}.")


@app.command()
def show(
    name: Name,
    tenant: TenantOption,
    item: Annotated[str | None, typer.Option(metavar="ID", help="One item of it.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Most items shown.")] = 20,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show a catalogue with its first items, or one item.

    Examples:

        whisperer catalogue show products --tenant acme
        whisperer catalogue show products --tenant acme --item p-1
    """
    from cluster.control_plane.listing import Place
    from cluster.control_plane.supply_documents import catalogue_document, item_document

    with open_control_plane(data_dir) as plane:
        if item is not None:
            output.print_json(msgspec.to_builtins(item_document(plane.get_item(tenant, name, item))))
            return
        found = catalogue_document(plane.get_catalogue(tenant, name))
        items = [item_document(one) for one in plane.page_of_items(tenant, name, Place(limit)).items]
    if json:
        output.print_json(msgspec.to_builtins(found) | {"items": msgspec.to_builtins(items)})
        return
    fields = ", ".join(f"{field} ({kind})" for field, kind in found.fields.items())
    output.say(f"{name}: {found.n_items:,} items, {found.n_bytes:,} bytes; {fields}")
    rows = [(one.id, ", ".join(f"{field}={value}" for field, value in one.values.items())) for one in items]
    output.print_table(("id", "values"), rows, "No items yet.")


@app.command()
def upload(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, a JSON array or JSON Lines; - reads stdin.")],
    tenant: TenantOption,
    replace: Annotated[bool, typer.Option("--replace", help="Remove items that the file does not name.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Write a file of items, all or none: what is wrong is shown by its line.

    Examples:

        whisperer catalogue upload products products.csv --tenant acme
        whisperer catalogue upload products all.jsonl --tenant acme --replace
    """
    from cluster.control_plane.catalogues import MAX_BYTES, MAX_ITEMS
    from cluster.control_plane.supply_documents import upload_document
    from whisperer.content.catalogue.upload import read_items

    body = read_file(file, MAX_BYTES)
    with open_control_plane(data_dir) as plane:
        fields = plane.get_catalogue(tenant, name).fields
        media_type = "text/csv" if file.suffix.lower() == ".csv" else "application/json"
        items = read_items(fields, body, media_type, MAX_ITEMS)
        done = plane.upload_items(tenant, name, fields, items, replace=replace)
    if json:
        output.print_json(msgspec.to_builtins(upload_document(done)))
    else:
        output.say(
            f"{done.n_added:,} added, {done.n_changed:,} changed, {done.n_removed:,} removed; {name} has "
            f"{done.n_items:,} items."
        )


@app.command()
def delete(
    name: Name,
    tenant: TenantOption,
    item: Annotated[str | None, typer.Option(metavar="ID", help="Only this item of it.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Delete a catalogue with its items, or one item.

    Example:

        whisperer catalogue delete products --tenant acme --item p-1
    """
    with open_control_plane(data_dir) as plane:
        if item is None:
            plane.delete_catalogue(tenant, name)
        else:
            plane.delete_item(tenant, name, item)
    output.say(f"Deleted {name if item is None else f'{item} of {name}'}.")


def read_file(file: Path, most: int) -> bytes:
    """Return the content of a file, or of stdin for "-". Raises TooLargeError and RequestError."""
    try:
        content = sys.stdin.read(most + 1).encode() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}", code="invalid_request") from None
    if len(content) > most:
        raise TooLargeError(f"a file has at most {most >> 20} MB")
    return content
