"""How fast a simulation replays history, how fast it decides, what it holds in memory, and what lift by day costs.

`--users` users state their addresses and come on some of 28 days, each time with a few events, of which one triggers the
campaign for every third user. The history is exported to a warehouse; then one process does what `whisperer simulate`
has done: it reads it, replays it, renders, decides, and evaluates. Lift by day is asked over a tenth as many decisions. CPU seconds of one core.
"""

from __future__ import annotations

import resource
import tempfile
import time

import numpy as np

from actors.simulation.process import carry_out
from actors.simulation.record import Task
from actors.warehouse import ExportRecord, LogRecord, Warehouse
from actors.warehouse.lift_days import closed_by_day
from tests.benchmarks import report
from tests.unit.actors.warehouse.conftest import decision
from whisperer.events.parts import PartBuilder, merge
from whisperer.events.types import EventType, Flag
from whisperer.ids import key_hash, message_hash, partition_of, tenant_seed
from whisperer.journeys.campaign import to_json
from whisperer.journeys.parse import parse_campaign
from whisperer.simulation.plan import SimulationPlan

TENANT, DAY = "tn_bench", 86_400_000
T0, DAYS = 1_790_000_000_000, 28
NAMES = ("Opened", "Searched", "Exported", "Shared")
CAMPAIGN = parse_campaign(
    {
        "trigger": {"event": "Exported"},
        "goal": {"event": "Shared", "window": "24h"},
        "arms": [
            {"id": "tips", "channel": "email", "template": "tips"},
            {"id": "nudge", "channel": "sms", "template": "nudge", "cost": 0.05},
        ],
        "caps": [{"most": 3, "per": "rolling", "hours": 168}],
    },
    "bench",
)
TEMPLATES = {
    "tips@0": {"channel": "email", "locales": {"en": {"subject": "Hi {{ user.name }}", "text": "Try exports."}}},
    "nudge@0": {"channel": "sms", "locales": {"en": {"text": "Hi {{ user.name }}"}}},
}
BLOCK = 20_000


def export(warehouse: Warehouse, users: int, n_events: int) -> None:
    """A history of ``n_events`` beside what users state of themselves."""
    rng, seed = np.random.default_rng(11), tenant_seed(TENANT)
    keys = [f"u:user-{u}" for u in range(users)]
    hashes = [key_hash(key, seed) for key in keys]
    who = np.r_[np.arange(users), rng.integers(0, users, n_events)]
    at = np.r_[np.full(users, T0 - DAY), T0 + np.sort(rng.integers(0, DAYS * DAY, n_events))]
    called = rng.integers(0, len(NAMES), len(who))
    for lsn, start in enumerate(range(0, len(who), BLOCK)):
        builder = PartBuilder()
        for n in range(start, min(start + BLOCK, len(who))):
            user, states = int(who[n]), n < users
            name = NAMES[called[n]]
            traits = f'{{"traits":{{"email":"u{user}@example.com","phone":"+4915{user:09}","name":"Ada"}}}}'
            builder.add(
                key=keys[user],
                hashed=hashes[user],
                partition=partition_of(keys[user], seed),
                kind=EventType.IDENTIFY if states else EventType.TRACK,
                name="$identify" if states else name if name != "Exported" or user % 3 == 0 else "Opened",
                timestamp=int(at[n]),
                received=int(at[n]),
                message_id=f"m{n}",
                message_hash=message_hash(f"m{n}"),
                payload=(traits if states else '{"properties":{"screen":"reports","duration_ms":1234}}').encode(),
                flags=int(Flag.TRAITS) if states else 0,
            )
        block = merge(TENANT, [builder.build()])
        rows = [
            decision(keys[int(who[n])], f"dec_{n}", int(at[n]), TENANT, campaign="bench", group="policy")
            for n in range(start, min(start + BLOCK, len(who)), 10)
        ]
        counted = ExportRecord(2 * lsn, block, np.ones(len(block), np.bool_))
        warehouse.export(0, 2 * lsn, 2 * lsn + 2, [counted, LogRecord(2 * lsn + 1, rows)])


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=200_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(folder, pseudonym_key=b"k")
        export(warehouse, options.users, options.events)
        began = time.process_time()
        closed, _ = closed_by_day(warehouse, TENANT, CAMPAIGN, T0 + 90 * DAY)
        lift_s = time.process_time() - began
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        plan = SimulationPlan(
            TENANT, "bench", 1, to_json(CAMPAIGN), T0, T0 + DAYS * DAY, "uniform", templates=TEMPLATES
        )
        began = time.process_time()
        record = carry_out(Task("sim_1", "simulations/sim_1.json", folder, plan, b"", 0))
        took_s = time.process_time() - began
        assert record.result is not None, record.error
        figures = {
            "simulation_cpu_s": took_s,
            "events_per_cpu_s": record.n_done / took_s,
            "candidates": record.result.candidates,
            "sent": record.result.sent,
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "memory_before_mb": before_mb,
            "lift_by_day_cpu_s": lift_s,
            "lift_users": sum(tally.users for _, _, tally in closed),
        }
        report.publish("simulation", figures, options.json, users=options.users, events=options.events)


if __name__ == "__main__":
    main()
