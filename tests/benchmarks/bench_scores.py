"""How long it takes to score every user of a shard, how long ingestion waits meanwhile, and what a replay costs.

A shard of `--users` users, seen on some days of the last two months, is swept chunk by chunk as the actor does it: by
the formula, and by two forests of 200 trees of depth 4. A segment looks at the churn score, and half of the users change
sides. "longest step" is what the event loop does without a pause: taking a chunk from the columns, or applying its
record; "longest tick" is the segment's part. Before, events of some users go into a warehouse and are replayed to two
cutoffs. One core; the model's time is in another thread in the actor, here beside the rest.

`--data DIR` says what the scores are worth on DIR/online_retail: a model is trained on cutoffs 30 days apart, and it and
the formula say of users at the last four, a window later, who buys nothing within 30 days.
"""

from __future__ import annotations

import gc
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost
from scipy.stats import spearmanr
from sklearn.metrics import log_loss, roc_auc_score

from actors.warehouse import ExportRecord, Warehouse
from tests.benchmarks import blocks, report
from tests.benchmarks.blocks import DAY_MS, NOW, TENANT
from tests.support.public_files import ONLINE_RETAIL
from training import labelled
from training.card import examine
from training.dataset import CHURN as KIND
from training.dataset import HELD, TEST, TRAIN, read
from training.lineage import manifest_for
from training.rows.decisions import matrix
from training.rows.replay import Question, churn_rows, rows_of
from training.task import task_of, tried_first
from training.trial import TrialPlan, grow
from whisperer.events.decoding import decode_block
from whisperer.models.loading import load
from whisperer.models.score_evidence import judged
from whisperer.models.scores import BoosterScores, ScorePart, open_model
from whisperer.profiles.features import REPLAYED
from whisperer.profiles.scores import CHURN, BgNbdScores, ScoreModel
from whisperer.shard.machine import Shard
from whisperer.shard.people import scoring
from whisperer.shard.records import (
    RECORD_VERSION,
    ConfigPublished,
    Events,
    Record,
    RecordBody,
    SegmentConfig,
    Tick,
    encode_record,
)

BLOCK = 20_000
WAVES = (60, 31, 12, 5, 1)
"""Days ago on which users are seen: all of them on the first, a random half on each of the others."""


class Scene:
    def __init__(self) -> None:
        self.shard = Shard(0)
        self.n_records = 0

    def write(self, body: RecordBody, now: int) -> None:
        self.shard.apply([(self.n_records, Record(RECORD_VERSION, 1, now, body))])
        self.n_records += 1

    def sweep(self, model: ScoreModel, now: int) -> dict[str, Any]:
        """CPU seconds by part of the work, the longest step as the clock saw it, and what it wrote."""
        tenant, first, n_users, n_bytes = self.shard.tenant(TENANT), 0, 0, 0
        spent = dict.fromkeys(("taking", "model", "applying", "segment"), 0.0)
        longest = dict.fromkeys(spent, 0.0)

        def timed(part: str, work: Callable[[], Any]) -> Any:
            began, cpu_began = time.perf_counter(), time.process_time()
            done = work()
            spent[part] += time.process_time() - cpu_began
            longest[part] = max(longest[part], time.perf_counter() - began)
            return done

        while (found := timed("taking", lambda: scoring.chunk(tenant, model.features, first, now))).n:
            body = timed("model", lambda: scoring.scored(TENANT, model, found))
            if body is not None:
                n_bytes += len(encode_record(Record(RECORD_VERSION, 1, now, body)))
                timed("applying", lambda: self.write(body, now))
            while self.shard.wants_tick(now):
                timed("segment", lambda: self.write(Tick(), now))
            first, n_users = first + found.n, n_users + len(found.rows)
        return {
            "users": n_users,
            "cpu_s": round(sum(spent.values()), 2),
            **{f"{part}_cpu_s": round(took, 2) for part, took in spent.items()},
            "longest_step_ms": round(max(longest["taking"], longest["applying"]) * 1000, 1),
            "longest_tick_ms": round(longest["segment"] * 1000, 1),
            "journal_mib": round(n_bytes / 2**20, 2),
        }


def waves(n_users: int) -> Iterator[tuple[int, bytes]]:
    """(ms UTC, block) of every event, in order."""
    random, number = np.random.default_rng(3), 0
    for days in WAVES:
        seen = np.arange(n_users) if days == WAVES[0] else np.flatnonzero(random.random(n_users) < 0.5)
        for at in range(0, len(seen), BLOCK):
            some = seen[at : at + BLOCK]
            now = NOW - days * DAY_MS + at // BLOCK
            yield now, blocks.block(np.arange(number, number + len(some)), some, now, traits=False)
            number += len(some)


def forests() -> BoosterScores:
    """Two of 200 trees each, of noise: as slow as any."""
    random = np.random.default_rng(5)
    x = random.normal(size=(5_000, len(REPLAYED)))
    settings = {"max_depth": 4, "objective": "binary:logistic", "nthread": 1}
    matrix = xgboost.DMatrix(x, label=x[:, :3].sum(axis=1) + random.normal(size=5_000) > 0)
    booster = xgboost.train(settings, matrix, 200)
    return BoosterScores("noise@1", REPLAYED, len(REPLAYED), ScorePart(booster, None), ScorePart(booster, None))


def replayed(n_users: int) -> dict[str, Any]:
    """Rows at two cutoffs from a warehouse of the same events."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        warehouse, n_blocks, n_events = Warehouse(folder), 0, 0
        for _, data in waves(n_users):
            block = decode_block(data)
            counted = np.ones(len(block), np.bool_)
            warehouse.export(0, n_blocks, n_blocks + 1, [ExportRecord(n_blocks, block, counted)])
            n_blocks, n_events = n_blocks + 1, n_events + len(block)
        question = Question([NOW - 20 * DAY_MS, NOW - 10 * DAY_MS], window_days=9)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        n_rows = sum(table.num_rows for table in churn_rows(warehouse, TENANT, question))
        seconds = time.process_time() - began
    return {
        "events": n_events,
        "rows": n_rows,
        "cpu_s": round(seconds, 2),
        "events_per_cpu_s": round(n_events / seconds),
        "peak_mib_more": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024),
    }


def retail(data: Path) -> pa.RecordBatchReader:
    """The public file's purchases, as :func:`training.rows.blocks.stored_events` would give them."""
    connection = duckdb.connect(config={"threads": 1})
    events = ONLINE_RETAIL.events.format(*(data / path for path, _ in ONLINE_RETAIL.files))
    return connection.sql(
        f"""
        SELECT 'u:' || "user" AS user_key, "user" AS user_id, NULL::VARCHAR AS anonymous_id, 'track' AS type, name AS event,
               at_ms AS at, at_ms AS received, micros AS revenue, 0 AS shard, row_number() OVER (ORDER BY at_ms) AS lsn,
               0 AS "index", at_ms AS arrived, NULL::VARCHAR AS payload, false AS binds
        FROM ({events}) ORDER BY lsn
        """
    ).to_arrow_reader(65_536)


def worth(data: Path) -> dict[str, Any]:
    """AUC and log-loss of the churn score, and how the engagement score orders users."""
    batches = list(retail(data))
    first, last = (batch["arrived"][place].as_py() for batch, place in ((batches[0], 0), (batches[-1], -1)))
    cutoffs = range(first + 90 * DAY_MS, last - 30 * DAY_MS, 30 * DAY_MS)
    tables = list(rows_of(batches, TENANT, Question(cutoffs, 30, seen_within_days=365)))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        artifact = load(trained(tables, cutoffs, Path(folder)))
        learned = open_model(artifact)
        tested = pa.concat_tables(tables[-4:])
        left = ~tested["came_back"].to_numpy(zero_copy_only=False)
        share = tested["active_days"].to_numpy() / 30
        found: dict[str, Any] = {"cutoffs": len(tables), "tested_rows": tested.num_rows, "left": round(left.mean(), 4)}
        model: ScoreModel
        for name, model in (("formula", BgNbdScores()), ("forests", learned)):
            churn, engagement = model.score(matrix(tested, model.features))
            known = ~np.isnan(churn)
            found[name] = {
                "auc": round(roc_auc_score(left[known], churn[known]), 4),
                "log_loss": round(log_loss(left[known], churn[known]), 4),
                "engagement_rank_correlation": round(spearmanr(engagement[known], share[known]).statistic, 4),
            }
        verdict = judged(artifact, None, last)
        found["gate"] = {"promote": verdict.promote, "reasons": [one.sentence for one in verdict.reasons]}
        found["gate"] |= verdict.figures
    return found


def trained(tables: list[pa.Table], cutoffs: Sequence[int], folder: Path) -> Path:
    """The model of `whisperer train churn` without a search: the parameters that it tries first.

    The last four cutoffs test, the two before choose the rounds and calibrate. Windows are of 30 days, cutoffs 30 days
    apart: no label of a part lies behind the next one's first cutoff.
    """
    pq.write_table(pa.concat_tables(tables), folder / "rows.parquet")
    data = read(folder / "rows.parquet", KIND)
    part = np.full(len(data), TRAIN, np.int8)
    part[data.time >= cutoffs[len(tables) - 6]] = HELD
    part[data.time >= cutoffs[len(tables) - 4]] = TEST
    task, made = task_of(KIND, data, part, seed=0), folder / "model"
    steps = [step for _, step in grow(task, tried_first(KIND), TrialPlan())]
    best = min(steps, key=lambda step: step.held)
    *_, (grown, _) = grow(task, tried_first(KIND), TrialPlan(rounds=best.rounds))
    made.mkdir()
    outcome = labelled.finish(KIND, data, part, task, tried_first(KIND), grown, made, window_days=30)
    manifest_for(made, outcome, data, examine(data, KIND), name=KIND, version=1, created_at=0)
    return made


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--replayed-users", type=int, default=200_000, help="0 leaves the replay out")
    parser.add_argument("--data", type=Path, help="folder with online_retail; says what the scores are worth")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    if options.replayed_users:  # first: its peak is told apart from what comes after
        figures["replay"] = replayed(options.replayed_users)
    if options.data:
        figures["worth"] = worth(options.data)
    scene = Scene()
    leaving = json.dumps({"feature": CHURN, "op": "gte", "value": 0.5})
    scene.write(ConfigPublished(TENANT, 1, [SegmentConfig("leaving", 1, leaving)]), NOW - 90 * DAY_MS)
    for now, data in waves(options.users):
        scene.write(Events(data), now)
    gc.collect()
    gc.freeze()  # as the actor does after it has recovered
    for name, model in (("formula", BgNbdScores()), ("forests", forests())):
        figures[name] = scene.sweep(model, NOW)
        figures[f"{name}_again"] = scene.sweep(model, NOW)
    table = scene.shard.tenant(TENANT).people.table
    figures["score_bytes_a_user"] = sum(table[name].itemsize for name in ("score.churn", "score.engagement"))
    report.publish("scores", figures, options.json, durability="none: what a journal's fsync adds is in bench journal")


if __name__ == "__main__":
    main()
