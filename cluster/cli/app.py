"""Assembles the tree of commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import typer

from cluster.cli.exit_codes import EXIT_CODES
from cluster.cli.lazy_group import Entry, LazyGroup


class Commands(LazyGroup):
    """The commands and groups of `whisperer`, in the order of its help.

    A test compares each summary with the first paragraph of the command's own help.
    """

    entries: ClassVar[Mapping[str, Entry]] = {
        "up": Entry(
            "cluster.cli.up", "Start everything and return when it is ready; do nothing if it is already running."
        ),
        "down": Entry(
            "cluster.cli.down",
            "Stop everything: let sends under way finish, snapshot the shards, then end exactly this installation's "
            "processes.",
        ),
        "status": Entry(
            "cluster.cli.status",
            "Show what is running: tenants with their counts, shards with their positions, memory.",
        ),
        "report": Entry(
            "cluster.cli.report",
            "Show a campaign's accounting and its lift over the holdout, like `whisperer campaign report`.",
        ),
        "analytics": Entry(
            "cluster.cli.analytics",
            "Analytics: how much there was, who went from step to step, who came back. Exact, up to this moment.",
        ),
        "simulate": Entry(
            "cluster.cli.simulate",
            "Replay stored history with a campaign live but nothing sent: who is reached or refused, the value, a "
            "checklist.",
        ),
        "train": Entry(
            "cluster.cli.train", "Train a model, and write its artifact and a report for people to a folder."
        ),
        "import": Entry(
            "cluster.cli.importing",
            "Import a file of events. If interrupted, run it again to resume; running it twice changes nothing.",
        ),
        "export": Entry(
            "cluster.cli.export", "Exports: a tenant's data as NDJSON, CSV or Parquet, made in the background."
        ),
        "bench": Entry("cluster.cli.bench", "Run a benchmark. Further options are passed to the benchmark itself."),
        "tenant": Entry("cluster.cli.tenant", "Tenants: isolated customers of this installation."),
        "key": Entry("cluster.cli.key", "API keys: write keys send events, secret keys read and change."),
        "token": Entry("cluster.cli.token", "Tokens: act for a tenant with a role, for a while; who is signed in."),
        "person": Entry(
            "cluster.cli.person", "People who sign in: new passwords, second factors, keeping somebody out."
        ),
        "issuer": Entry(
            "cluster.cli.issuer", "Issuers: sign in with OpenID Connect, and take another service's tokens."
        ),
        "audit": Entry(
            "cluster.cli.audit", "The audit log: who changed what, who looked at whom, verified and exported."
        ),
        "member": Entry("cluster.cli.member", "Members: people of a tenant, their roles, and invitations."),
        "role": Entry("cluster.cli.role", "Roles: what members may do; built-in ones, and a tenant's own."),
        "segment": Entry("cluster.cli.segment", "Segments: groups of users by a predicate, kept up to date."),
        "template": Entry("cluster.cli.template", "Templates: what is written to users, in their languages."),
        "catalogue": Entry(
            "cluster.cli.catalogue", "Catalogues: items of your own, such as products, that templates pick from."
        ),
        "coupons": Entry("cluster.cli.coupons", "Coupon pools: codes, of which a message takes one for its user."),
        "campaign": Entry(
            "cluster.cli.campaign", "Campaigns: who is considered when, what may be sent, what it was worth."
        ),
        "policy": Entry(
            "cluster.cli.policy", "Policies: trained versions, who decides for whom, and on what evidence."
        ),
        "review": Entry(
            "cluster.cli.review", "Reviews: what waits for somebody else's approval, and what became of it."
        ),
        "decision": Entry("cluster.cli.decision", "Decisions: the whole audit of one."),
        "delivery": Entry("cluster.cli.delivery", "Deliveries: what became of each message, dead letters among them."),
        "channel": Entry("cluster.cli.channel", "Channels: e-mail, SMS, push and webhooks, and who carries each."),
        "user": Entry(
            "cluster.cli.user", "Users: list and search; show, export or erase what is held on one; record consent."
        ),
        "shards": Entry(
            "cluster.cli.shards",
            "Shards: what each holds; move partitions, add, empty, remove and upgrade shards while everything runs.",
        ),
        "tls": Entry("cluster.cli.tls", "TLS: use a renewed certificate without dropping a request."),
        "secrets": Entry("cluster.cli.secrets", "Secrets at rest: the keys that seal passwords and signing keys."),
        "node": Entry(
            "cluster.cli.node", "Nodes: further machines that an installation's shards and replicas may live on."
        ),
    }


app = typer.Typer(
    name="whisperer",
    cls=Commands,
    help="""Watches how each user of a product behaves, and decides whether, when and how to reach them.

    First steps:

        whisperer up                                     # start everything
        whisperer tenant create acme                     # a customer, isolated
        whisperer key create --tenant acme --kind write
        curl -u KEY: http://127.0.0.1:8000/v1/track \\
             -d '{"userId": "u1", "event": "Signed Up"}'
        whisperer user show u1 --tenant acme             # known a moment later
        whisperer down                                   # the state is kept
    """,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def whisperer() -> None:
    pass  # Typer makes a group only of what has a callback or commands of its own
