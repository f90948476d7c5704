"""Assembles the tree of commands."""

from __future__ import annotations

import typer

from cluster.cli import (
    bench,
    campaign,
    channel,
    decision,
    importing,
    key,
    lifecycle,
    node,
    policy,
    report,
    segment,
    shards,
    simulate,
    template,
    tenant,
    train,
    user,
)
from cluster.cli.exit_codes import EXIT_CODES

app = typer.Typer(
    name="whisperer",
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
lifecycle.register(app)
app.add_typer(tenant.app, name="tenant")
app.add_typer(key.app, name="key")
app.add_typer(segment.app, name="segment")
app.add_typer(template.app, name="template")
app.add_typer(campaign.app, name="campaign")
report.register(app)
simulate.register(app)
train.register(app)
app.add_typer(policy.app, name="policy")
app.add_typer(decision.app, name="decision")
app.add_typer(channel.app, name="channel")
app.add_typer(user.app, name="user")
app.add_typer(shards.app, name="shards")
app.add_typer(node.app, name="node")
importing.register(app)
bench.register(app)
