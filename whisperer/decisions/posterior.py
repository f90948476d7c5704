"""Derive what is believed of each arm from the statistics: a normal distribution over its coefficients.

The model is hierarchical. A reward is ``theta_a . x + noise``; the arms' coefficients scatter about common ones,
``theta_a ~ N(theta_0, T)``, and ``theta_0`` is free. All of it is Gaussian, so the posterior is exact: an arm with
little data is pulled towards what the others, `no_send` among them, have in common, and an untried arm *equals* what
they have in common. The noise and how far arms differ (in level and in slopes) are estimated from the campaign's own
rewards, by the marginal likelihood. Where arms do not differ, this alone switches personalisation off.

A value model's score (column `SCORE`) is trusted at first: its coefficient is expected to be one standard deviation of
the reward, the unit that scores are in. Rewards that disagree overrule it. Everything scales with the reward: no unit,
no tuning per campaign.

References
----------
Lindley & Smith, JRSS B 1972 (the hierarchical linear model); Bishop 2006, section 3.5 (evidence).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.context import CONTEXT_VERSION, SCORE, D
from whisperer.decisions.linear import FORM_VERSION, CampaignStatistics, OtherContextError
from whisperer.ids import TenantId

Array = NDArray[np.float64]

_FLOAT = "<f8"
_BLOCK = 128  # rows whose working set stays in the cache

FLOOR = 0.02
"""Least probability of an eligible arm; lower with more than 25 arms, so that the policy keeps half of the total."""

LEVELS = (1e-3, 1e-2, 1e-1, 1.0)
SLOPES = (1e-4, 1e-3, 1e-2, 1e-1)
"""How far arms may differ: candidate variances of level and slopes, as multiples of the noise variance."""
_EXPECTED = (1e-2, 1e-3)
"""Messages do little: arms differ by a tenth of the noise in level, and by a third of that in each slope."""
_SURPRISE = (1e-1, 1e-2)
"""An untried arm may differ by at least this much, however alike the others are: it has to be explored."""


@lru_cache
def _assumed(width: int) -> tuple[Array, Array, Array]:
    """Return the precision of the common coefficients over the noise variance, shape (width,), with the level all but
    free; the candidates for T, shape (n_grid, width); and the log prior of each."""
    grid = np.array([np.r_[level, np.full(width - 1, slope)] for level in LEVELS for slope in SLOPES])
    off = [np.log10(grid[:, place] / _EXPECTED[place]) for place in (0, 1)]
    return np.r_[1e-2, np.ones(width - 1)], grid, -0.5 * (off[0] ** 2 + off[1] ** 2)


_N_0 = 10.0
"""Weight, in decisions, given to the plain variance of rewards as an estimate of the noise."""


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What is believed of a campaign's arms, as one publication states it.

    Attributes
    ----------
    number : of the publication
    arms : names; row k of the arrays is arm k, and one extra row stands for any other arm
    mean : float64, shape (n_arms + 1, width)
    root : float64, shape (n_arms + 1, width, width), lower triangular; covariance = root @ root'
    noise : variance of a reward about its mean, in the goal's unit squared
    scatter : float64, shape (width,), variance of arms about the common coefficients, divided by ``noise``
    floor : least probability of an eligible arm: `FLOOR`, or more during an alarm
    """

    number: int
    arms: tuple[str, ...]
    mean: Array
    root: Array
    noise: float = 1.0
    scatter: Array = field(default_factory=lambda: np.ones(D))
    floor: float = FLOOR

    def rows(self, arms: Sequence[str]) -> list[int]:
        """Return the row of each name; unknown names get the last."""
        known = {name: at for at, name in enumerate(self.arms)}
        return [known.get(name, len(self.arms)) for name in arms]

    def score(self, x: Array, rows: Sequence[int], scores: Array | None = None) -> tuple[Array, Array]:
        """Return the mean and standard deviation of each arm's expected reward.

        Sums run over one coordinate after another, never through BLAS, whose rounding depends on the shape: a row's
        result is the same to the bit, alone and in any batch.

        Parameters
        ----------
        x : float64, shape (n, width)
        rows : rows of the k arms asked for
        scores : float64, shape (k, n), column `SCORE` of each arm; by default the column in ``x``, the same for all

        Returns
        -------
        mean, spread : float64, shape (k, n)
        """
        # One matrix per coordinate: k x (1 + width) numbers, the mean's coefficient and the root's row.
        factors = np.concatenate([self.mean[rows][:, None, :], self.root[rows].transpose(0, 2, 1)], axis=1)
        width = factors.shape[2]
        means, spreads = np.empty((2, len(rows), len(x)))
        for at in range(0, len(x), _BLOCK):
            block = np.ascontiguousarray(x[at : at + _BLOCK].T)
            total = factors[:, :, 0, None] * block[0]
            for d in range(1, width):
                column = block[d] if d != SCORE or scores is None else scores[:, None, at : at + _BLOCK]
                # The root is triangular: coordinate d meets its first d + 1 columns only.
                total[:, : d + 2] += factors[:, : d + 2, d, None] * column
            means[:, at : at + _BLOCK] = total[:, 0]
            squares = total[:, 1] ** 2
            for d in range(2, width + 1):
                squares += total[:, d] ** 2
            spreads[:, at : at + _BLOCK] = np.sqrt(squares)
        return means, spreads


def prior(width: int = D) -> Posterior:
    """Return what is believed before any reward: arms differ by their model scores only.

    In units of the noise, which is not known yet, and without the common part, which is not known either.
    """
    scatter = np.r_[_EXPECTED[0], np.full(width - 1, _EXPECTED[1])]
    return Posterior(0, (), _believed(width, 1.0)[None], np.diag(np.sqrt(scatter))[None], 1.0, scatter)


def _believed(width: int, deviation: float) -> Array:
    """Return the expected common coefficients for rewards with this standard deviation."""
    expected = np.zeros(width)
    expected[SCORE] = deviation
    return expected


def posterior(statistics: CampaignStatistics, number: int, floor: float = FLOOR) -> Posterior:
    """Compute the posterior from the statistics.

    In units of the noise until the end: ``grams + 1/T`` are then precisions.
    """
    names, width = tuple(statistics.arms), statistics.width
    if not names:
        return prior(width)
    arms = [statistics.arms[name] for name in names]
    grams = np.stack([arm.gram for arm in arms])
    moments = np.stack([arm.moment for arm in arms])
    n, squares, total = sum(a.n for a in arms), sum(a.squares for a in arms), float(moments[:, 0].sum())
    plain = (squares - total**2 / n) / n if n > 0 else 0.0
    plain = max(plain, 1e-6 * squares / n) if squares > 0 and n > 0 else 1.0
    # The expectation is subtracted from the rewards, and added to the coefficients at the end.
    expected = _believed(width, float(np.sqrt(plain)))
    squares += float(expected @ (grams.sum(axis=0) @ expected - 2 * moments.sum(axis=0)))
    moments = moments - grams @ expected
    # All candidates for T at once: arrays are (n_grid, n_arms, ...).
    precision_0, grid, log_prior = _assumed(width)
    precision = 1 / grid
    conditional = grams[None] + precision[:, None, :, None] * np.eye(width)
    covariance = np.linalg.inv(conditional)
    fitted = np.einsum("gkij,kj->gki", covariance, moments)
    information = (
        precision[:, :, None] * np.eye(width) * len(names)
        - precision[:, :, None] * covariance.sum(axis=1) * precision[:, None, :]
    )
    common_precision = information + np.diag(precision_0)
    common_covariance = np.linalg.inv(common_precision)
    pulled = precision * fitted.sum(axis=1)
    common = np.einsum("gij,gj->gi", common_covariance, pulled)
    explained = np.einsum("gki,ki->g", fitted, moments) + np.einsum("gi,gi->g", pulled, common)
    left = np.maximum(squares - explained, 1e-9 * max(squares, 1e-300)) + _N_0 * plain
    evidence = (
        log_prior
        - 0.5 * np.linalg.slogdet(conditional)[1].sum(axis=1)
        - 0.5 * len(names) * np.log(grid).sum(axis=1)
        - 0.5 * np.linalg.slogdet(common_precision)[1]
        - 0.5 * (n + _N_0) * np.log(left)
    )
    best = int(np.argmax(evidence))
    noise = float(left[best] / (n + _N_0))
    scatter = np.asarray(grid[best], np.float64)
    pull = covariance[best] * precision[best]  # V / T: how an arm follows the common coefficients
    means = fitted[best] + pull @ common[best]
    # What arms share does not distinguish them: of its uncertainty, only the part they follow differently counts.
    pull = np.concatenate([pull, np.eye(width)[None]])
    apart = pull - pull[:-1].mean(axis=0)
    surprise = np.maximum(scatter, np.r_[_SURPRISE[0], np.full(width - 1, _SURPRISE[1])])
    spreads = np.concatenate([covariance[best], np.diag(surprise)[None]])
    spreads += apart @ common_covariance[best] @ apart.transpose(0, 2, 1)
    roots = np.asarray(np.linalg.cholesky(noise * spreads), np.float64)
    mean = np.concatenate([means, common[best][None]]) + expected
    return Posterior(number, names, mean, roots, noise, scatter, floor)


class _Encoded(msgspec.Struct, array_like=True, frozen=True):
    form: int
    context: int
    tenant: TenantId
    campaign: str
    number: int
    arms: list[str]
    mean: bytes
    root: bytes
    noise: float
    scatter: bytes
    floor: float = FLOOR


def encode(policies: Iterable[tuple[tuple[TenantId, str], Posterior]]) -> bytes:
    """Serialise posteriors by (tenant, campaign), for :func:`decode`."""
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
                policy.floor,
            )
            for (tenant, campaign), policy in policies
        ]
    )


def decode(data: bytes) -> dict[tuple[TenantId, str], Posterior]:
    """Read posteriors by (tenant, campaign).

    Raises OtherContextError for posteriors over another context, msgspec.ValidationError for other bytes.
    """
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
            read.floor,
        )
    return policies
