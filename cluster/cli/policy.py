"""`whisperer policy`: register trained versions, roll them out step by step, and roll them back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from cluster.cli import drafting, output
from cluster.cli.answers.policies import ListedPolicy, Policy, PolicyEvent
from cluster.cli.answers.reading import read
from cluster.cli.control import open_control_plane, settings_in_force
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import all_pages, read_object, through
from whisperer.errors import RequestError
from whisperer.models.rollout import SCORES, Evidence

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane
    from cluster.control_plane import Policy as StoredPolicy
    from whisperer.models.store import ArtifactStore

app = typer.Typer(
    name="policy", help="Policies: trained versions, who decides for whom, and on what evidence.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME")]
Reason = Annotated[str, typer.Option(help="Why; kept in the history.")]
BY = "command line"
_OF = drafting.Drafted("policy", "policies", "offers")


@app.command("list")
def list_(tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List a tenant's policies: the live version, and the candidate with its stage.

    Example:

        whisperer policy list --tenant acme
    """
    found = through(
        data_dir,
        lambda operator: all_pages(operator, "tenants", tenant, "policies"),
        lambda plane, documents: [documents.listed_policy(policy) for policy in plane.list_policies(tenant)],
    )
    if json:
        output.print_json(found)
        return
    policies = read(found, list[ListedPolicy])
    rows = [(p.name, p.live, p.candidate, p.stage, f"{p.share:.0%}", p.since) for p in policies]
    columns = ("name", "live", "candidate", "stage", "users", "since")
    output.print_table(columns, rows, "No policies yet: `whisperer policy register FOLDER --tenant NAME`.")


@app.command()
def show(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show a policy: which version decides, what the next step requires, and where each version came from.

    Example:

        whisperer policy show offers --tenant acme --json
    """
    document = through(
        data_dir,
        lambda operator: operator.get("tenants", tenant, "policies", name),
        lambda plane, documents: documents.policy_document(plane.get_policy(tenant, name)),
    )
    if json:
        output.print_json(document)
        return
    rows = [
        (v.version, v.status, v.kind, v.data.rows, v.data.last, v.code_version, v.digest[:12])
        for v in _say(document).versions
    ]
    output.print_table(("version", "status", "kind", "rows", "data until", "code", "digest"), rows, "No versions.")


@app.command()
def register(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="With its manifest.json.", exists=True)],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Store an artifact as a model and register it as a version of the policy that its manifest names.

    Every file in the folder is verified; pickles and anything else that may name code are refused. docs/models.md
    describes the formats.

    Example:

        whisperer policy register out/offers-2 --tenant acme
    """
    # pyarrow and scoring take 0.4 s of CPU, which only this command needs.
    from whisperer.models.loading import load
    from whisperer.models.score_evidence import check

    artifact = load(folder)
    if artifact.manifest.kind == SCORES:
        check(artifact)  # before it is in the store, where it would take its version number for good
    with open_control_plane(data_dir) as plane:
        tenant_id = plane.get_tenant(tenant).id
    _store(data_dir).put(tenant_id, folder, artifact.manifest)
    body = {"name": artifact.manifest.name, "version": artifact.manifest.version}
    document = through(
        data_dir,
        lambda operator: operator.post("tenants", tenant, "policies", body=body),
        lambda plane, documents: documents.policy_document(plane.register_policy(tenant, artifact.manifest, by=BY)),
    )
    _told(document, json)


@app.command()
def submit(
    name: Name,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1)],
    tenant: TenantOption,
    note: drafting.Note = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Submit a version: somebody else is asked to approve that it is rolled out.

    Where the tenant asks for it, no step is taken without. One approval is good for all steps.

    Example:

        whisperer policy submit offers 2 --tenant acme --note "trained on the new prices"
    """
    drafting.write_draft(data_dir, tenant, _OF, name, {"version": version})
    drafting.say_review(drafting.submit_draft(data_dir, tenant, _OF, name, note), json)


@app.command()
def diff(
    name: Name,
    tenant: TenantOption,
    from_: drafting.From = "live",
    to: drafting.To = "draft",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show how the manifests of two versions differ; the draft is the version that was submitted.

    Example:

        whisperer policy diff offers --tenant acme --from 1 --to 2
    """
    drafting.show_difference(data_dir, tenant, _OF, name, from_, to, json)


@app.command()
def promote(
    name: Name,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1)],
    tenant: TenantOption,
    evidence: Annotated[
        typer.FileText | None,
        typer.Option(metavar="FILE", help="The gate's verdict as JSON; - reads stdin. Not needed into shadow."),
    ] = None,
    reason: Reason = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Promote a version by one step: to shadow, 5 % of users, 25 %, live. Reports what the step still lacks.

    A model that scores users (the policy `churn`) goes straight from shadow to live. It is judged on its own test rows
    and takes no evidence.

    Examples:

        whisperer policy promote offers 2 --tenant acme
        whisperer policy promote offers 2 --tenant acme --evidence verdict.json
    """

    told = None if evidence is None else read_object(evidence.read(), "the evidence")
    try:
        verdict = None if told is None else msgspec.convert(told, Evidence)
    except msgspec.ValidationError as error:
        raise RequestError(f"the evidence: {error}") from None

    def promoted(plane: ControlPlane) -> StoredPolicy:

        # pyarrow and scoring take 0.4 s of CPU, which the gateway spends while it runs.
        from cluster.control_plane.score_steps import evidence_for

        taken_on = evidence_for(plane, _store(data_dir), tenant, name, version, verdict)
        return plane.promote_policy(tenant, name, version, by=BY, evidence=taken_on, reason=reason)

    body = {"version": version, "evidence": told, "reason": reason}
    document = through(
        data_dir,
        lambda operator: operator.post("tenants", tenant, "policies", name, "promote", body=body),
        lambda plane, documents: documents.policy_document(promoted(plane)),
    )
    _told(document, json)


@app.command()
def rollback(
    name: Name,
    tenant: TenantOption,
    version: Annotated[int | None, typer.Option(min=1, help="[default: the candidate, else the live one]")] = None,
    reason: Reason = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Roll a version back at once; the previous one decides again.

    Example:

        whisperer policy rollback offers --tenant acme --reason "complaints about the new offers"
    """
    body = {"version": version, "reason": reason}
    document = through(
        data_dir,
        lambda operator: operator.post("tenants", tenant, "policies", name, "rollback", body=body),
        lambda plane, documents: documents.policy_document(
            plane.roll_back_policy(tenant, name, by=BY, version=version, reason=reason)
        ),
    )
    _told(document, json)


@app.command()
def history(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show every step of a policy, newest first: who, why, and on what evidence (in full with --json).

    Example:

        whisperer policy history offers --tenant acme
    """
    found = through(
        data_dir,
        lambda operator: all_pages(operator, "tenants", tenant, "policies", name, "history"),
        lambda plane, documents: [documents.event_document(event) for event in plane.policy_history(tenant, name)],
    )
    if json:
        output.print_json(found)
        return
    rows = [
        (e.at, e.version, e.action, e.before, e.after, e.live, e.by, e.reason) for e in read(found, list[PolicyEvent])
    ]
    output.print_table(("at", "version", "action", "from", "to", "live then", "by", "why"), rows, "Nothing yet.")


def _store(data_dir: Path) -> ArtifactStore:
    """Open the installation's model store: as recorded if it is running, otherwise as configured."""
    # numpy takes 0.1 s of CPU, which commands that only show or order something do without.
    from whisperer.models.store import ArtifactStore

    return ArtifactStore(settings_in_force(data_dir).models.uri, data_dir / "spool" / "models")


def _told(document: Any, json: bool) -> None:
    if json:
        output.print_json(document)
    else:
        _say(document)


def _say(document: Any) -> Policy:
    policy = read(document, Policy)
    live = f"version {policy.live}" if policy.live else "what is built in"
    output.say(f"{policy.name}: {live} decides for {1 - policy.share:.0%} of users since {policy.since}.")
    if policy.candidate is not None and policy.needs is not None:
        needs = policy.needs
        first = f"{needs.hours:g} h and {needs.decisions:,} decisions there, and " if needs.hours else ""
        output.say(
            f"Version {policy.candidate} is at stage {policy.stage}. Its next step needs {first}the gate's consent."
        )
    return policy
