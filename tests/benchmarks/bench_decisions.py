"""Decisions a second on one core, with 64 draws and the whole propensity vector, beside VW and a plain numpy sampler.

    python -m tests.benchmarks.bench_decisions [--arms 5] [--batch 1000] [--rounds 30] [--json FILE]
    python -m tests.benchmarks.bench_decisions --table T1|T2|T3|T4|T5|all --data DIR [--set NAME=VALUE ...] [--json FILE]

All in one process on one thread, by turns, on the same features; the median round counts. `ours` is
`whisperer.decisions.thompson.choose` from candidates to choices; `ours_bytes` is what a replica does, from a batch's
bytes to the choices' bytes; `ours_20_campaigns` has the batch spread over as many policies. `numpy` is the same
arithmetic with matrix products and fresh normals, without ids, records, floors by eligibility or repeatability. `vw` is
Vowpal Wabbit's SquareCB over action-dependent features, predicting from lines that were made before, `mabwiser` its
LinTS. Learning is `tests/benchmarks/learning_speed.py`.

With --table it judges decisions instead of timing them: ours beside the baselines, in this process, on the same rows.
T1 churn, T2 Hillstrom (T2a uplift, T2b replay), T3 Starbucks rewards, T4 Starbucks A/B, T5 off-policy evaluation. --data
is the folder of the data sets, each in a folder of its own (telco_ibm, hillstrom, ...); an absolute path. What it is
doing goes to the error output, the figures to the output and, with --json, to a file. For example

    whisperer bench decisions --table T5 --data /data --set worlds=200 --json t5.json
    whisperer bench decisions --table all --data /data
"""

from __future__ import annotations

import asyncio
import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from serve_apps.decisions.app import Answering
from serve_apps.decisions.counting import VersionCounts
from serve_apps.decisions.scoring import Scorer
from tests.benchmarks import learning_speed, report
from tests.benchmarks.bandits import MabWiser
from tests.benchmarks.tables import catalogue
from training.simulator.truth import a_population
from whisperer.decisions.context import D, transform
from whisperer.decisions.decision import NO_SEND, Candidate
from whisperer.decisions.linear import CampaignStatistics
from whisperer.decisions.posterior import Posterior, posterior
from whisperer.decisions.thompson import N_DRAWS, choose
from whisperer.vocabulary.groups import Group

N_VW = 200
N_SINGLE = 500
N_CAMPAIGNS = 20


def learned(arms: list[str], raw: np.ndarray) -> Posterior:
    x = transform(raw)
    rng = np.random.default_rng(5)
    kept = CampaignStatistics()
    for at, arm in enumerate(arms):
        reward = (rng.random(len(x)) < 0.1 + 0.1 * (x[:, 2 + at % 10] > 0)).astype(np.float64)
        kept.arm(arm).add(x, reward, np.ones(len(x)))
    return posterior(kept, 1)


def plain_numpy(x: np.ndarray, policy: Posterior, n_arms: int, rng: np.random.Generator) -> np.ndarray:
    """The usual way: scores by matrix products, one normal a draw, the share of wins, one arm sampled."""
    means = x @ policy.mean[:n_arms].T
    spreads = np.stack([np.linalg.norm(x @ policy.root[arm], axis=1) for arm in range(n_arms)], axis=1)
    draws = rng.standard_normal((len(x), N_DRAWS, n_arms)) * spreads[:, None, :] + means[:, None, :]
    winner = draws.argmax(axis=2)
    shares = np.stack([(winner == arm).mean(axis=1) for arm in range(n_arms)], axis=1)
    p = shares * (1 - n_arms * 0.02) + 0.02
    return np.asarray((p.cumsum(axis=1) < rng.random((len(x), 1))).sum(axis=1))


def vw_lines(x: np.ndarray, arms: list[str]) -> list[list[str]]:
    rows = []
    for row in x:
        shared = " ".join(f"f{at}:{value:.4f}" for at, value in enumerate(row[1:]))
        rows.append([f"shared |u {shared}", *(f"|a {arm}" for arm in arms)])
    return rows


def measure(n_arms: int, batch: int, rounds: int) -> dict[str, object]:
    import vowpalwabbit as vw

    arms = [NO_SEND, *(f"arm-{at}" for at in range(1, n_arms))]
    raw, _ = a_population(max(batch, 2_000), seed=1)
    policy = learned(arms, raw[:2_000])
    raw = raw[:batch]
    x = transform(raw)
    asked = [
        Candidate(f"dec_{at:026d}", "tenant", "c0", 1, Group.POLICY, arms, row, 0)
        for at, row in enumerate(raw.tolist())
    ]
    spread = [msgspec.structs.replace(one, campaign=f"c{at % N_CAMPAIGNS}") for at, one in enumerate(asked)]
    policies = {("tenant", f"c{at}"): policy for at in range(N_CAMPAIGNS)}
    encoded = msgspec.msgpack.encode(asked)
    loop, answering = asyncio.new_event_loop(), Answering(Scorer(), VersionCounts())
    rng = np.random.default_rng(1)
    workspace = vw.Workspace("--cb_explore_adf --squarecb -q ua --quiet")
    lines = vw_lines(x[:N_VW], arms)
    wiser = MabWiser("LinTS", 1.0, n_arms, 0.0, 1)
    wiser.learn(x, rng.integers(0, n_arms, len(x)), x[:, 0], rng.random(len(x)))
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "ours": (lambda: choose(asked, policies), batch),
        "ours_bytes": (lambda: loop.run_until_complete(answering.answer(encoded, policies, {})), batch),
        "ours_20_campaigns": (lambda: choose(spread, policies), batch),
        "numpy": (lambda: plain_numpy(x, policy, n_arms, rng), batch),
        "vw": (lambda: [workspace.predict(row) for row in lines], len(lines)),
        "mabwiser": (lambda: wiser.decide(x[:N_VW]), N_VW),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):  # the first warms up
        for name, (way, n) in ways.items():
            begun = time.perf_counter()
            way()
            taken[name].append((time.perf_counter() - begun) / n)
    workspace.finish()
    single = []
    for at in range(N_SINGLE):
        begun = time.perf_counter()
        choose([asked[at % batch]], policies)
        single.append(time.perf_counter() - begun)
    figures: dict[str, object] = {
        f"{name}_per_s": round(1 / statistics.median(seconds[1:])) for name, seconds in taken.items()
    }
    figures.update(learning_speed.measure(raw, arms))
    figures["one_decision_p50_ms"] = round(float(np.quantile(single, 0.5)) * 1e3, 3)
    figures["one_decision_p99_ms"] = round(float(np.quantile(single, 0.99)) * 1e3, 3)
    return figures


def judge_by_table(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.data is None or not options.data.is_dir():
        parser.error(f"--table needs --data, the folder of the data sets; {options.data} is none")
    try:
        wanted, own = catalogue.modules(options.table), catalogue.settings(options.set)
    except KeyError:
        parser.error(f"there is no table {options.table!r}; known: {', '.join(catalogue.TABLES)}, {catalogue.ALL}")
    except ValueError as error:
        parser.error(str(error))
    figures, failed = catalogue.run(wanted, options.data, own)
    report.publish("decisions", figures, options.json, tables=list(wanted), options=own, threads=1)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--arms", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--table", metavar="NAME", help="judge by a table instead: T1 to T5, T2a, T2b, or all")
    parser.add_argument("--data", type=Path, metavar="DIR", help="of a table: the folder of the data sets")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="of a table: an option of its own"
    )
    options = parser.parse_args()
    if options.table:
        judge_by_table(parser, options)
        return
    figures = measure(options.arms, options.batch, options.rounds)
    report.publish(
        "decisions",
        figures,
        options.json,
        arms=options.arms,
        batch=options.batch,
        rounds=options.rounds,
        draws=N_DRAWS,
        context=D,
        threads=1,
    )


if __name__ == "__main__":
    main()
