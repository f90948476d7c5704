"""Parse the command line of training into one value: what is asked for, and what may not change while it runs."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.dataset import CHURN, KINDS, without_keys
from training.gather import Source
from training.rows.blocks import ORDERS
from training.search import SearchSettings
from training.trial import TrialPlan
from whisperer.ids import TenantId

_FREE = {"restart", "json", "local", "at_once", "command"}
"""Options that may differ when a run is resumed."""

_USUAL = SearchSettings()

ABOUT = """Train a model on a Ray cluster, and leave an artifact and a report behind.

Rows come from files (--rows), or out of a tenant's warehouse (--warehouse with --tenant). Parameters are sought by Ray
Tune with Optuna and ASHA; the best ones make the model, which is tested on rows that nothing was chosen on: later ones,
or other users where rows have no time. Interrupted in whatever way, the same command goes on.
"""
EXAMPLES = """examples:
  python -m training.train --kind churn --rows rows.parquet --out out/churn
  python -m training.train --kind uplift --warehouse var/warehouse --tenant t_1 --campaign offers --out s3://bucket/offers
  ray job submit --address http://127.0.0.1:8265 -- python -m training.train --kind value --rows s3://... --out s3://...

A cluster is used where RAY_ADDRESS names one (as inside a Ray job); otherwise a small Ray is started here. --out is a
folder that only you can write to: Ray Tune keeps its own state there as pickles. docs/training.md has the columns.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """The options, with ``source`` if rows come out of a warehouse; ``tenant``: of the store or the warehouse."""

    kind: str
    out: str
    rows: str
    source: Source | None
    label: str
    features: tuple[str, ...]
    drop: tuple[str, ...]
    window_days: int
    seed: int
    name: str
    version: int
    store: str
    tenant: TenantId
    search: SearchSettings
    local: bool
    restart: bool
    json: bool
    command: str

    def identity(self) -> dict[str, Any]:
        """Return the options that must not change when the run is resumed."""
        found = {key: value for key, value in asdict(self).items() if key not in _FREE}
        found["search"].pop("at_once")
        return found


def parse(arguments: Sequence[str] | None = None) -> Request:
    """Parse the arguments; exits with an explanation if the options do not fit together."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kind", required=True, choices=KINDS, help="who leaves; how much; what each arm adds")
    parser.add_argument("--out", required=True, metavar="URI", help="folder of the run, on any pyarrow.fs")
    rows = parser.add_argument_group("rows")
    rows.add_argument("--rows", default="", metavar="URI", help="Parquet or Arrow file, or a folder of Parquet files")
    rows.add_argument("--label", default="", metavar="COLUMN", help="[default: came_back, or reward_micros]")
    rows.add_argument("--features", default="", metavar="A,B", help="columns [default: all numbers]")
    rows.add_argument("--drop", default="", metavar="A,B", help="columns that are no features")
    rows.add_argument(
        "--window-days", type=int, metavar="N",
        help="a label looks so far ahead: rows whose window reaches into the next part are left out"
        " [default: 30 with --warehouse, else 0]",
    )  # fmt: skip
    house = parser.add_argument_group("rows out of a warehouse")
    house.add_argument("--warehouse", default="", metavar="URI")
    house.add_argument("--tenant", default="", metavar="ID", help="of the warehouse, and of --store")
    house.add_argument("--campaign", default="", metavar="NAME", help="whose decisions (value, uplift) [default: all]")
    house.add_argument(
        "--goal", default="", metavar="EVENT", help="what coming back is (churn) [default: any activity]"
    )
    house.add_argument("--every-days", type=int, default=15, metavar="N", help="from cutoff to cutoff [default: 15]")
    house.add_argument("--order", default=ORDERS[0], choices=ORDERS, help="timestamp for imported histories")
    sought = parser.add_argument_group("search")
    sought.add_argument("--trials", type=int, default=_USUAL.trials, metavar="N", help="[default: %(default)s]")
    sought.add_argument(
        "--rounds", type=int, default=_USUAL.plan.rounds, metavar="N", help="trees of a trial that is not cut"
    )
    sought.add_argument("--stride", type=int, default=_USUAL.plan.stride, metavar="N", help="trees from look to look")
    sought.add_argument(
        "--at-once", type=int, default=_USUAL.at_once, metavar="N", help="1: the same seed, the same model"
    )
    sought.add_argument("--seed", type=int, default=0)
    sought.add_argument("--local", action="store_true", help="a Ray of its own, whatever RAY_ADDRESS says")
    kept = parser.add_argument_group("what is made")
    kept.add_argument("--name", default="", help="of the policy or model [default: the kind]")
    kept.add_argument("--store", default="", metavar="URI", help="put it into this store of models, too")
    kept.add_argument("--version", type=int, default=0, metavar="N", help="[default: the store's next, or 1]")
    kept.add_argument("--restart", action="store_true", help="throw away what --out holds")
    kept.add_argument("--json", action="store_true", help="print the result on stdout")
    told = parser.parse_args(arguments)
    if bool(told.rows) == bool(told.warehouse):
        parser.error("say where rows are: either --rows, or --warehouse with --tenant")
    if (told.warehouse or told.store) and not told.tenant:
        parser.error("--warehouse and --store need a --tenant")
    if min(told.trials, told.rounds, told.stride, told.at_once) < 1 or told.seed < 0 or told.every_days < 1:
        parser.error("--trials, --rounds, --stride, --at-once and --every-days are at least 1, --seed at least 0")
    if (told.window_days or 0) < 0:
        parser.error("--window-days is not below 0")
    source, window = None, told.window_days or 0
    if told.warehouse:
        window = 30 if told.window_days is None else told.window_days
        source = Source(
            told.warehouse, TenantId(told.tenant), told.campaign, told.goal, max(1, window), told.every_days, told.order
        )
        window = window if told.kind == CHURN else told.window_days or 0
    return Request(
        told.kind,
        told.out,
        told.rows,
        source,
        told.label,
        _names(told.features),
        _names(told.drop),
        window,
        told.seed,
        told.name or told.kind,
        told.version,
        told.store,
        TenantId(told.tenant),
        SearchSettings(told.trials, told.at_once, told.seed, TrialPlan(told.rounds, told.stride)),
        told.local,
        told.restart,
        told.json,
        without_keys(shlex.join(["python", "-m", "training.train", *arguments])),
    )


def say(words: str) -> None:
    """Print a remark on stderr, next to the result."""
    print(without_keys(words), file=sys.stderr, flush=True)


def _names(told: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in told.split(",") if name.strip())
