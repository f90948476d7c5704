"""What is believed of each arm of a campaign: a normal distribution over its coefficients, from the statistics.

The model is hierarchical. A reward is ``theta_a . x + noise``; the arms' coefficients scatter about common ones,
``theta_a ~ N(theta_0, T)``, and ``theta_0`` is free. All of it is Gaussian, so the posterior is exact: an arm with
little data is drawn to what the others, `no_send` among them, have in common, and one nobody has tried *is* what they
have in common. The noise and how far arms differ (in level, and in what they answer to) come from the campaign's own
rewards, by the marginal likelihood. Where arms do not differ, this switches personalisation off, and nothing else does.

Everything scales with the reward: no unit, no tuning by campaign.

References
----------
Lindley & Smith, JRSS B 1972 (the hierarchical linear model); Bishop 2006, section 3.5 (evidence).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.context import CONTEXT_VERSION, D
from whisperer.decisions.linear import FORM_VERSION, CampaignStatistics, OtherContextError

Array = NDArray[np.float64]

_FLOAT = "<f8"
_BLOCK = 128  # rows whose working set stays in the cache

_PRECISION_0 = np.r_[1e-2, np.ones(D - 1)]
"""Of the common coefficients, over the noise variance: the level is all but free."""

LEVELS = (1e-3, 1e-2, 1e-1, 1.0)
SLOPES = (1e-4, 1e-3, 1e-2, 1e-1)
"""How far arms may differ: candidate variances of level and slopes, over the noise variance."""
_GRID = np.array([np.r_[level, np.full(D - 1, slope)] for level in LEVELS for slope in SLOPES])
_EXPECTED = (1e-1, 1e-2)
_LOG_PRIOR = -0.5 * (np.log10(_GRID[:, 0] / _EXPECTED[0]) ** 2 + np.log10(_GRID[:, 1] / _EXPECTED[1]) ** 2)

_N_0 = 10.0
"""Decisions' worth of trust in the plain variance of rewards as the noise."""


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Attributes
    ----------
    number : of the publication
    arms : names; row k of the arrays is arm k, and one row more stands for any other arm
    mean : float64, shape (n_arms + 1, D)
    root : float64, shape (n_arms + 1, D, D), lower triangular; covariance = root @ root'
    noise : variance of a reward about its mean, in the goal's unit squared
    scatter : float64, shape (D,), variance of arms about the common coefficients over ``noise``
    """

    number: int
    arms: tuple[str, ...]
    mean: Array
    root: Array
    noise: float = 1.0
    scatter: Array = field(default_factory=lambda: np.ones(D))

    def rows(self, arms: Sequence[str]) -> list[int]:
        """Row of each name; unknown ones have the last."""
        known = {name: at for at, name in enumerate(self.arms)}
        return [known.get(name, len(self.arms)) for name in arms]

    def score(self, x: Array, rows: Sequence[int]) -> tuple[Array, Array]:
        """Mean and standard deviation of each arm's expected reward.

        Sums run over one coordinate after the other, never through BLAS, whose rounding depends on the shape: a row's
        result is the same, to the bit, alone and in any batch.

        Parameters
        ----------
        x : float64, shape (n, D)
        rows : of the arms asked for, k of them

        Returns
        -------
        mean, spread : float64, shape (k, n)
        """
        # One matrix a coordinate: k x (1 + D) numbers, the mean's coefficient and the root's row.
        factors = np.concatenate([self.mean[rows][:, None, :], self.root[rows].transpose(0, 2, 1)], axis=1)
        means, spreads = np.empty((2, len(rows), len(x)))
        for at in range(0, len(x), _BLOCK):
            block = np.ascontiguousarray(x[at : at + _BLOCK].T)
            total = factors[:, :, 0, None] * block[0]
            for d in range(1, D):
                # The root is triangular: coordinate d meets its first d + 1 columns only.
                total[:, : d + 2] += factors[:, : d + 2, d, None] * block[d]
            means[:, at : at + _BLOCK] = total[:, 0]
            squares = total[:, 1] ** 2
            for d in range(2, D + 1):
                squares += total[:, d] ** 2
            spreads[:, at : at + _BLOCK] = np.sqrt(squares)
        return means, spreads


def prior() -> Posterior:
    """Before any reward: every arm alike. In units of the noise, unknown yet; without the common part, unknown too."""
    scatter = np.r_[_EXPECTED[0], np.full(D - 1, _EXPECTED[1])]
    return Posterior(0, (), np.zeros((1, D)), np.diag(np.sqrt(scatter))[None], 1.0, scatter)


def posterior(statistics: CampaignStatistics, number: int) -> Posterior:
    """What the statistics say. In units of the noise until the end: ``grams + 1/T`` are then precisions."""
    names = tuple(statistics.arms)
    if not names:
        return prior()
    arms = [statistics.arms[name] for name in names]
    grams = np.stack([arm.gram for arm in arms])
    moments = np.stack([arm.moment for arm in arms])
    n, squares, total = sum(a.n for a in arms), sum(a.squares for a in arms), float(moments[:, 0].sum())
    plain = (squares - total**2 / n) / n if n > 0 else 0.0
    plain = max(plain, 1e-6 * squares / n) if squares > 0 and n > 0 else 1.0
    # All candidates for T at once: arrays are (n_grid, n_arms, ...).
    precision = 1 / _GRID
    conditional = grams[None] + precision[:, None, :, None] * np.eye(D)
    covariance = np.linalg.inv(conditional)
    fitted = np.einsum("gkij,kj->gki", covariance, moments)
    information = (
        precision[:, :, None] * np.eye(D) * len(names)
        - precision[:, :, None] * covariance.sum(axis=1) * precision[:, None, :]
    )
    common_precision = information + np.diag(_PRECISION_0)
    common_covariance = np.linalg.inv(common_precision)
    pulled = precision * fitted.sum(axis=1)
    common = np.einsum("gij,gj->gi", common_covariance, pulled)
    explained = np.einsum("gki,ki->g", fitted, moments) + np.einsum("gi,gi->g", pulled, common)
    left = np.maximum(squares - explained, 1e-9 * max(squares, 1e-300)) + _N_0 * plain
    evidence = (
        _LOG_PRIOR
        - 0.5 * np.linalg.slogdet(conditional)[1].sum(axis=1)
        - 0.5 * len(names) * np.log(_GRID).sum(axis=1)
        - 0.5 * np.linalg.slogdet(common_precision)[1]
        - 0.5 * (n + _N_0) * np.log(left)
    )
    best = int(np.argmax(evidence))
    noise = float(left[best] / (n + _N_0))
    scatter = np.asarray(_GRID[best], np.float64)
    pull = covariance[best] * precision[best]  # V / T: an arm's answer to the common coefficients
    means = fitted[best] + pull @ common[best]
    spreads = covariance[best] + pull @ common_covariance[best] @ pull.transpose(0, 2, 1)
    new_arm = np.diag(scatter) + common_covariance[best]
    roots = np.asarray(np.linalg.cholesky(noise * np.concatenate([spreads, new_arm[None]])), np.float64)
    return Posterior(number, names, np.concatenate([means, common[best][None]]), roots, noise, scatter)


class _Encoded(msgspec.Struct, array_like=True, frozen=True):
    form: int
    context: int
    tenant: str
    campaign: str
    number: int
    arms: list[str]
    mean: bytes
    root: bytes
    noise: float
    scatter: bytes


def encode(policies: Iterable[tuple[tuple[str, str], Posterior]]) -> bytes:
    """Posteriors by (tenant, campaign), to be read by :func:`decode`."""
    return msgspec.msgpack.encode(
        [
            _Encoded(
                FORM_VERSION,
                CONTEXT_VERSION,
                tenant,
                campaign,
                policy.number,
                list(policy.arms),
                policy.mean.astype(_FLOAT).tobytes(),
                policy.root.astype(_FLOAT).tobytes(),
                policy.noise,
                policy.scatter.astype(_FLOAT).tobytes(),
            )
            for (tenant, campaign), policy in policies
        ]
    )


def decode(data: bytes) -> dict[tuple[str, str], Posterior]:
    """Raises OtherContextError for posteriors over another context, msgspec.ValidationError for other bytes."""
    policies = {}
    for read in msgspec.msgpack.decode(data, type=list[_Encoded]):
        if (read.form, read.context) != (FORM_VERSION, CONTEXT_VERSION):
            raise OtherContextError(f"form {read.form} over context {read.context}")
        policies[read.tenant, read.campaign] = Posterior(
            read.number,
            tuple(read.arms),
            np.frombuffer(read.mean, _FLOAT).reshape(-1, D),
            np.frombuffer(read.root, _FLOAT).reshape(-1, D, D),
            read.noise,
            np.frombuffer(read.scatter, _FLOAT),
        )
    return policies
