"""Fit a recurrent network to event histories: what came when and in which amount, rather than counts of it.

Guarantees: it sees only events before the cutoff, in the same rows as :mod:`training.churn.model`, and starts from the
same prior; the same rows give the same weights (one thread, one seed); a saved network is JSON and a state_dict, read
with ``weights_only``. It replaces the other model only if :func:`wins` says so on validation cutoffs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.churn.cutoffs import Histories, Rows
from training.churn.mixing import logit, sigmoid
from whisperer.vocabulary.units import DAY_MS

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

FORM = 1
N_STEPS, N_NUMBERS, N_CONTEXT = 32, 4, 3
"""How many of a user's latest events are read, numbers per event, and further numbers per row."""

MANIFEST, WEIGHTS = "sequence.json", "sequence.pt"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    width : of the recurrent state
    epochs, batch, rate, decay : of AdamW
    """

    width: int = 24
    epochs: int = 6
    batch: int = 256
    rate: float = 4e-3
    decay: float = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """The network's inputs.

    Attributes
    ----------
    steps : float32, shape (n_rows, N_STEPS, N_NUMBERS), oldest first, zeros after the end: log days since the previous
        event, log days until the cutoff, signed log value, whether something was taken back
    length : int64, shape (n_rows,), at least 1
    context : float32, shape (n_rows, N_CONTEXT): log days since the first event and since the last, log count
    prior : float32, shape (n_rows,), log-odds to start from
    """

    steps: NDArray[np.float32]
    length: NDArray[np.int64]
    context: NDArray[np.float32]
    prior: NDArray[np.float32]


def sequences(histories: Histories, rows: Rows, prior: str | None = "p_purchase") -> Sequences:
    """Collect the events that lie before each row's cutoff.

    Parameters
    ----------
    prior : feature of ``rows`` with another model's probability; None for even odds
    """
    n = len(rows.user)
    steps = np.zeros((n, N_STEPS, N_NUMBERS), np.float32)
    length, context = np.ones(n, np.int64), np.zeros((n, N_CONTEXT), np.float32)
    for cutoff in np.unique(rows.cutoff_ms):
        of = np.flatnonzero(rows.cutoff_ms == cutoff)
        known = histories.before(int(cutoff))
        begin, end = (np.searchsorted(known.user, rows.user[of], side=side) for side in ("left", "right"))
        at = np.maximum(begin, end - N_STEPS)[:, None] + np.arange(N_STEPS)
        there = at < end[:, None]
        at = np.where(there, at, 0)
        age = (cutoff - known.at_ms) / DAY_MS
        gap = np.where(at > begin[:, None], age[np.maximum(at - 1, 0)] - age[at], 0.0)
        value = known.value[at]
        told = (np.log1p(gap), np.log1p(age[at]), np.sign(value) * np.log1p(np.abs(value)), value < 0)
        steps[of] = np.stack([np.where(there, number, 0.0) for number in told], axis=2)
        length[of] = there.sum(axis=1)
        context[of] = np.column_stack([np.log1p(age[begin]), np.log1p(age[end - 1]), np.log1p(end - begin)])
    base = np.zeros(n) if prior is None else logit(rows.columns()[prior])
    return Sequences(steps, length, context, np.clip(base, -6, 6).astype(np.float32))


class _Network(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(N_NUMBERS, width, batch_first=True)
        self.head = nn.Sequential(nn.Linear(width + N_CONTEXT, width), nn.ReLU(), nn.Linear(width, 1))
        nn.init.zeros_(self.head[-1].weight)  # before anything is learned, the prediction is the prior
        nn.init.zeros_(self.head[-1].bias)
        self.register_buffer("centre", torch.zeros(N_NUMBERS + N_CONTEXT))
        self.register_buffer("scale", torch.ones(N_NUMBERS + N_CONTEXT))

    def forward(
        self, steps: torch.Tensor, length: torch.Tensor, context: torch.Tensor, prior: torch.Tensor
    ) -> torch.Tensor:
        longest = int(length.max())
        states, _ = self.recurrent((steps[:, :longest] - self.centre[:N_NUMBERS]) / self.scale[:N_NUMBERS])
        last = states[torch.arange(len(length)), length - 1]
        beside = (context - self.centre[N_NUMBERS:]) / self.scale[N_NUMBERS:]
        return prior + self.head(torch.cat([last, beside], dim=1)).squeeze(1)


@dataclass(frozen=True, slots=True, eq=False)
class SequenceModel:
    """Predict the label from sequences."""

    recipe: Recipe
    network: _Network

    @classmethod
    def fit(cls, told: Sequences, label: Labels, recipe: Recipe = Recipe(), seed: int = 0) -> SequenceModel:
        """Train for as many epochs as the recipe says, on all rows.

        References
        ----------
        Cho et al., EMNLP 2014 (gated recurrent unit); Loshchilov & Hutter, ICLR 2019 (AdamW).
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _Network(recipe.width)
        rows = _tensors(told)
        there = np.arange(N_STEPS) < told.length[:, None]
        numbers = told.steps[there]
        network.centre.copy_(torch.from_numpy(np.concatenate([numbers.mean(axis=0), told.context.mean(axis=0)])))
        spread = np.concatenate([numbers.std(axis=0), told.context.std(axis=0)])
        network.scale.copy_(torch.from_numpy(np.where(spread > 1e-6, spread, 1.0).astype(np.float32)))
        y = torch.from_numpy(label.astype(np.float32))
        n_batches = -(-len(label) // recipe.batch)
        step = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.decay)
        pace = torch.optim.lr_scheduler.OneCycleLR(step, recipe.rate, total_steps=recipe.epochs * n_batches)
        network.train()
        for _ in range(recipe.epochs):
            order = torch.randperm(len(label), generator=generator)
            for batch in order.split(recipe.batch):
                step.zero_grad()
                margin = network(*(part[batch] for part in rows))
                nn.functional.binary_cross_entropy_with_logits(margin, y[batch]).backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                step.step()
                pace.step()
        network.eval()
        return cls(recipe, network)

    def probability(self, told: Sequences) -> Floats:
        """Return the probability of the label, shape (n_rows,)."""
        with torch.no_grad():
            parts = zip(*(part.split(4096) for part in _tensors(told)), strict=True)
            margins = [self.network(*part).numpy() for part in parts]
        return sigmoid(np.concatenate(margins).astype(np.float64))

    def save(self, folder: Path) -> None:
        """Write ``sequence.json`` and ``sequence.pt``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_text(json.dumps({"form": FORM, "recipe": asdict(self.recipe)}))
        torch.save(self.network.state_dict(), folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> SequenceModel:
        """Read what :meth:`save` wrote.

        Raises ValueError for another form, pickle.UnpicklingError for a file that holds more than weights.
        """
        read = json.loads((folder / MANIFEST).read_bytes())
        if read.get("form") != FORM:
            raise ValueError(f"a sequence model of form {read.get('form')}, not {FORM}")
        recipe = Recipe(**read["recipe"])
        network = _Network(recipe.width)
        network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
        return cls(recipe, network.eval())


def _tensors(told: Sequences) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(part) for part in (told.steps, told.length, told.context, told.prior))


def wins(challenger: Floats, incumbent: Floats, label: Labels, user: NDArray[np.int64]) -> bool:
    """Return whether a challenger's probabilities of validation rows are better, beyond chance.

    The mean difference in log-loss, with an error clustered by user (a user's rows are not independent), must be more
    than 1.96 errors below zero: a model that costs more to run has to be better, not just as good.
    """

    def nats(p: Floats) -> Floats:
        found: Floats = -np.log(np.clip(np.where(label, p, 1 - p), 1e-12, 1))
        return found

    gain = nats(incumbent) - nats(challenger)
    _, at = np.unique(user, return_inverse=True)
    apart = np.bincount(at, gain - gain.mean())
    return bool(gain.mean() * len(gain) > 1.96 * np.sqrt((apart**2).sum()))
