from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `training` is not installed")

from training.churn.cutoffs import Histories, Rows, rolling_rows  # noqa: E402
from training.churn.mixing import log_loss  # noqa: E402
from training.churn.sequence import N_STEPS, Recipe, SequenceModel, sequences, wins  # noqa: E402
from whisperer.vocabulary.units import DAY_MS  # noqa: E402

CUTOFF, HORIZON = 400 * DAY_MS, 30 * DAY_MS
QUICK = Recipe(width=12, epochs=12, batch=64, rate=2e-2)


def made(n: int = 400, seed: int = 0) -> tuple[Histories, Rows]:
    """Everybody came four times, on the same days, and spent the same; who spent more and more comes again."""
    rng = np.random.default_rng(seed)
    grows = rng.random(n) < 0.5
    spent = np.where(grows[:, None], [5.0, 20.0, 60.0, 100.0], [60.0, 5.0, 20.0, 100.0])
    user, at = np.repeat(np.arange(n), 4), np.tile([300, 330, 360, 390], n) * DAY_MS
    back = np.flatnonzero(rng.random(n) < np.where(grows, 0.85, 0.15))
    histories = Histories.of(
        np.concatenate([user, back]),
        np.concatenate([at, np.full(len(back), CUTOFF + DAY_MS)]),
        np.concatenate([spent.ravel(), np.ones(len(back))]),
    )
    return histories, rolling_rows(histories, [CUTOFF], HORIZON, 365 * DAY_MS, CUTOFF + HORIZON)


def trained() -> tuple[Histories, Rows, SequenceModel]:
    histories, rows = made()
    return histories, rows, SequenceModel.fit(sequences(histories, rows), rows.returned, QUICK)


@pytest.fixture(scope="module")
def learned() -> tuple[Histories, Rows, SequenceModel]:
    torch.set_num_threads(1)
    return trained()


def test_it_learns_an_order_that_no_count_shows(learned: tuple[Histories, Rows, SequenceModel]) -> None:
    histories, rows = made(seed=1)
    p = learned[2].probability(sequences(histories, rows))
    assert log_loss(p, rows.returned) < 0.5  # 0.42 is the least possible, 0.69 without the order


def test_what_comes_after_the_cutoff_is_not_seen() -> None:
    histories, rows = made(20)
    past = histories.before(CUTOFF)
    for name in ("steps", "length", "context", "prior"):
        seen, known = (getattr(sequences(h, rows), name) for h in (histories, past))
        assert seen.tobytes() == known.tobytes()


def test_steps_are_the_latest_events_oldest_first() -> None:
    n = N_STEPS + 10
    histories = Histories.of(np.zeros(n, int), (CUTOFF - np.arange(n, 0, -1) * DAY_MS), np.arange(n) - 40.0)
    rows = rolling_rows(histories, [CUTOFF], HORIZON, 365 * DAY_MS, CUTOFF + HORIZON)
    told = sequences(histories, rows)
    assert told.length.tolist() == [N_STEPS]
    assert told.steps[0, 0].tolist() == pytest.approx([np.log(2), np.log1p(N_STEPS), -np.log1p(30), 1])
    assert told.steps[0, -1].tolist() == pytest.approx([np.log(2), np.log(2), np.log1p(1), 0])


def test_before_anything_is_learned_it_says_what_the_prior_says() -> None:
    histories, rows = made(50)
    told = sequences(histories, rows)
    untrained = SequenceModel.fit(told, rows.returned, Recipe(epochs=1, rate=1e-12))
    assert untrained.probability(told) == pytest.approx(rows.columns()["p_purchase"], abs=1e-5)


def test_the_same_rows_give_the_same_weights(learned: tuple[Histories, Rows, SequenceModel]) -> None:
    histories, rows, model = learned
    _, _, again = trained()
    told = sequences(histories, rows)
    assert again.probability(told).tobytes() == model.probability(told).tobytes()


def test_a_saved_network_scores_to_the_last_bit(learned: tuple[Histories, Rows, SequenceModel], tmp_path: Path) -> None:
    histories, rows, model = learned
    model.save(tmp_path)
    told = sequences(histories, rows)
    assert SequenceModel.load(tmp_path).probability(told).tobytes() == model.probability(told).tobytes()


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


def test_a_file_with_more_than_weights_is_refused_unread(
    learned: tuple[Histories, Rows, SequenceModel], tmp_path: Path
) -> None:
    learned[2].save(tmp_path)
    torch.save({"head": Bomb()}, tmp_path / "sequence.pt")
    with pytest.raises(pickle.UnpicklingError):
        SequenceModel.load(tmp_path)


def test_a_challenger_wins_only_beyond_chance_and_rows_of_one_user_are_one_witness() -> None:
    rng = np.random.default_rng(0)
    label, user = rng.random(400) < 0.5, np.arange(400)
    dull = np.full(400, 0.5)
    good = np.where(label, 0.55, 0.45)
    assert wins(good, dull, label, user)
    assert not wins(dull, dull, label, user)
    assert not wins(dull, good, label, user)
    mixed = np.where(rng.random(400) < 0.52, np.where(label, 0.7, 0.3), np.where(label, 0.34, 0.66))
    assert not wins(mixed, dull, label, user)
    lucky = np.where(user < 300, np.where(label, 0.6, 0.4), np.where(label, 0.45, 0.55))
    assert wins(lucky, dull, label, user)
    assert not wins(lucky, dull, label, user // 100)
