"""`whisperer template`: write, inspect, preview and try out a tenant's templates."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cluster.cli import bulk, drafting, output, template_translations, template_writing
from cluster.cli.answers.drafts import Published
from cluster.cli.answers.reading import read
from cluster.cli.answers.templates import Found, Linted, ListedTemplate, Preview, Proof, Template
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import all_pages, named, read_object, through
from cluster.operator_client import Operator

app = typer.Typer(
    name="template", help="Templates: what is written to users, in their languages.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME")]

_OF = drafting.Drafted("template", "templates", "tips-email")
drafting.add_commands(app, _OF)
bulk.add_command(app, "templates", "template")
app.add_typer(template_translations.app, name="translations")
app.command()(template_writing.generate)
app.command()(template_writing.score)
app.command()(template_writing.quality)


@app.command("list")
def list_(tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List a tenant's templates, each at its newest version.

    Example:

        whisperer template list --tenant acme
    """
    found = through(
        data_dir,
        lambda operator: all_pages(operator, "tenants", tenant, "templates"),
        lambda plane, documents: [documents.template_document(row) for row in plane.list_templates(tenant)],
    )
    if json:
        output.print_json(found)
        return
    templates = read(found, list[ListedTemplate])
    rows = [(t.name, t.version, t.channel, ", ".join(t.template.locales)) for t in templates]
    columns = ("name", "version", "channel", "locales")
    output.print_table(columns, rows, "No templates yet: `whisperer template put FILE --tenant NAME`.")


@app.command()
def put(
    file: Annotated[typer.FileText, typer.Argument(metavar="FILE", help="Template as JSON; - reads stdin.")],
    tenant: TenantOption,
    name: Annotated[str | None, typer.Option(help='Its name. [default: "name" in the file]')] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Publish the next version of a template; docs/templates.md describes the language.

    Campaigns keep the version they were published with; publish a campaign again to use the new one.

    Examples:

        whisperer template put tips.json --tenant acme --name tips-email
        echo '{"channel": "sms", "locales": {"en": {"text": "Hi {{ user.name }}"}}}' |
          whisperer template put - --tenant acme --name hello
    """
    body = read_object(file.read(), "the template")
    called = named(body, name, "the file")
    document = through(
        data_dir,
        lambda operator: operator.put("tenants", tenant, "templates", called, body=body),
        lambda plane, documents: documents.template_document(plane.put_template(tenant, called, body)),
    )
    if json:
        output.print_json(document)
    else:
        written = read(document, Template)
        output.say(f"Published {called} version {written.version} for {written.channel}.")


@app.command()
def publish(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Publish the draft of a template as its next version.

    Example:

        whisperer template publish tips-email --tenant acme
    """
    document = drafting.publish(data_dir, tenant, _OF, name)
    if json:
        output.print_json(document)
    else:
        output.say(f"Published {name} version {read(document, Published).version}.")


@app.command()
def show(
    name: Name,
    tenant: TenantOption,
    version: Annotated[int | None, typer.Option(min=1, help="Of the versions; default: the newest.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show a template as it was written.

    Example:

        whisperer template show tips-email --tenant acme --json | jq .template > tips.json
    """
    query = {} if version is None else {"version": version}
    document = through(
        data_dir,
        lambda operator: operator.get("tenants", tenant, "templates", name, **query),
        lambda plane, documents: documents.template_document(plane.get_template(tenant, name, version)),
    )
    if json:
        output.print_json(document)
        return
    found = read(document, Template)
    output.say(f"{name} version {found.version} for {found.channel}, {found.published_at}")
    output.print_json(found.template)


@app.command()
def preview(
    name: Name,
    tenant: TenantOption,
    user: Annotated[str | None, typer.Option(metavar="USER_ID", help="For this user, as known now.")] = None,
    locale: Annotated[str | None, typer.Option(help="Language. [default: the user's]")] = None,
    trait: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Stands for the user's own.")] = None,
    offer: Annotated[str | None, typer.Option(metavar="JSON", help="The arm's offer.")] = None,
    campaign: Annotated[str | None, typer.Option(help="As this campaign would name an e-mail's sender.")] = None,
    arm: Annotated[str | None, typer.Option(help="Of that campaign.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Render a template without sending anything.

    Examples:

        whisperer template preview tips-email --tenant acme --user u-17
        whisperer template preview tips-email --tenant acme --campaign trial-welcome --arm tips
        whisperer template preview offer-email --tenant acme --locale ja --trait name=Ada --offer '{"percent": 20}'
    """
    body = _asked(user, locale, trait, offer) | _sent_by(campaign, arm)
    with Operator(data_dir) as operator:
        document = operator.post("tenants", tenant, "templates", name, "preview", body=body)
    if json:
        output.print_json(document)
        return
    found = read(document, Preview)
    if not found.rendered:
        output.say(f"It would not be sent: {found.reason}: {found.detail}")
        return
    output.say(f"{name} version {found.version} in {found.locale}")
    for title, said in (("from", found.from_name), ("answers to", found.reply_to)):
        if said:
            output.say(f"-- {title} {said}")
    for part, text in found.parts.items():
        output.say(f"-- {part}")
        print(text)
    if found.sms is not None:
        output.say(f"-- {found.sms.segments} segment(s) of {found.sms.encoding}")
    if found.quality is not None:
        output.say(f"-- quality {found.quality.score:.2f} of 5")
    _show_findings(found.findings)


@app.command("test")
def send_test(
    name: Name,
    tenant: TenantOption,
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="One of the tenant's test recipients.")],
    user: Annotated[str | None, typer.Option(metavar="USER_ID", help="As this user would get it.")] = None,
    locale: Annotated[str | None, typer.Option(help="Language. [default: the user's]")] = None,
    trait: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Stands for the user's own.")] = None,
    offer: Annotated[str | None, typer.Option(metavar="JSON", help="The arm's offer.")] = None,
    campaign: Annotated[str | None, typer.Option(help="As this campaign would name an e-mail's sender.")] = None,
    arm: Annotated[str | None, typer.Option(help="Of that campaign.")] = None,
    marked: Annotated[bool, typer.Option("--marked", help="Begin the subject or title with [Test].")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Send a template to be looked at, through the tenant's real channel; it counts nowhere.

    The exit code is 1 if it did not go. Test recipients are among the tenant's settings.

    Examples:

        whisperer template test tips-email --tenant acme --to tests@example.com --user u-17
        whisperer template test nudge-sms --tenant acme --to +4915112345678 --locale ja --trait name=Ada
    """
    body = _asked(user, locale, trait, offer) | _sent_by(campaign, arm) | {"to": to, "marked": marked}
    with Operator(data_dir) as operator:
        document = operator.post("tenants", tenant, "templates", name, "test", body=body)
    found = read(document, Proof)
    if json:
        output.print_json(document)
    elif not found.rendered:
        output.say(f"It cannot be rendered: {found.reason}: {found.detail}")
    else:
        by = f" by {found.provider}" if found.provider else ""
        output.say(f"{name} version {found.version} in {found.locale} to {found.to}: {found.status}{by}")
        if found.detail:
            output.say(found.detail)
    if found.status != "accepted":
        raise typer.Exit(1)


@app.command()
def lint(
    which: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A file of JSON, - for stdin, or a template.")],
    tenant: Annotated[str | None, typer.Option(help="Whose template it is, or whose blocks a file uses.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Say what is wrong with a template, or could be better; exit code 1 if it could not be published.

    A file is looked over here, without an installation and its blocks; with --tenant, there and with them.

    Examples:

        whisperer template lint tips.json
        whisperer template lint tips-email --tenant acme
    """
    if which == "-" or Path(which).is_file():
        text = sys.stdin.read() if which == "-" else Path(which).read_text(encoding="utf-8")
        body = read_object(text, "the template")
        name = body.pop("name", None)
        if tenant is None:
            document: Any = _linted_here(body)
        else:
            with Operator(data_dir) as operator:
                called = name if isinstance(name, str) else "new"
                document = operator.post("tenants", tenant, "templates", called, "lint", body={"template": body})
    else:
        if tenant is None:
            raise typer.BadParameter(f"there is no file {which}; of a published template, name its --tenant")
        with Operator(data_dir) as operator:
            document = operator.post("tenants", tenant, "templates", which, "lint", body={})
    if json:
        output.print_json(document)
    found = read(document, Linted)
    if not json:
        _show_findings(found.findings)
        output.say(f"{found.errors} error(s), {found.warnings} warning(s)")
    if found.errors:
        raise typer.Exit(1)


def _asked(user: str | None, locale: str | None, trait: list[str] | None, offer: str | None) -> dict[str, Any]:
    """Return whom a template is rendered for, as the API takes it."""
    pairs = [text.partition("=") for text in trait or []]
    if any(not separator for _, separator, _ in pairs):
        raise typer.BadParameter("write a trait as NAME=VALUE")
    body: dict[str, Any] = {"traits": {key: value for key, _, value in pairs}, "user_id": user, "locale": locale}
    if offer is not None:
        body["offer"] = read_object(offer, "the offer")
    return body


def _sent_by(campaign: str | None, arm: str | None) -> dict[str, str]:
    if arm is not None and campaign is None:
        raise typer.BadParameter("an arm is one of a --campaign: name that as well")
    return {name: said for name, said in (("campaign", campaign), ("arm", arm)) if said is not None}


def _linted_here(body: dict[str, Any]) -> dict[str, Any]:
    """Return what the lint finds in a template, nothing filled in for its blocks."""
    from whisperer.content.blocks import filled_in  # loads Liquid, which no other command needs
    from whisperer.content.errors import TemplateError
    from whisperer.content.lint.checks import lint_template, unusable

    try:
        found = lint_template(filled_in(body, None).body)
    except TemplateError as error:
        found = unusable(body, error.errors)
    findings = msgspec.to_builtins(found)
    of = Counter(finding["severity"] for finding in findings)
    return {"errors": of["error"], "warnings": of["warning"], "findings": findings}


def _show_findings(findings: list[Found]) -> None:
    rows = [
        (found.severity, found.code, "/".join(filter(None, (found.locale, found.part))), _place(found), found.message)
        for found in findings
    ]
    if rows:
        output.print_table(("severity", "code", "in", "at", "message"), rows, "")


def _place(found: Found) -> str:
    return "" if found.line is None else f"{found.line}:{found.column}"
