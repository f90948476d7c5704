"""Fit the churn model: additive logits and shallow trees, mixed by how they predict rows they did not see, calibrated.

Guarantees: everything that is chosen (rounds, weights, calibration) is chosen on training rows that were held out; a
saved model is JSON and UBJ, never a pickle, and scores like the fitted one to the last bit. Leaves to others: which
rows (:mod:`training.churn.cutoffs`), where it is kept, and whether the files are the right ones (the registry).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import ArrayLike, NDArray

from training.churn.encode import Columns, Encoding
from training.churn.mixing import Calibration, Mix, log_loss, logit, sigmoid
from training.churn.report import DataReport, report
from training.churn.spline_logit import SplineLogit
from training.churn.trees import Trees, fit_trees

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

FORM = 1
N_FOLDS = 5
PENALTIES = (3.0, 30.0, 300.0)
DEPTHS = (2, 3, 4)
MANIFEST = "churn.json"

_SUREST = 6.0
"""Log-odds that a prior is limited to: a prior that is certain leaves nothing to learn."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Where learning starts: another model's probability of the label, or the label's share in training.

    Attributes
    ----------
    column : with that probability; None for the share
    share : of training rows with the label; also used for rows whose probability is missing
    """

    column: str | None
    share: float

    def margin(self, columns: Columns) -> Floats:
        """Return log-odds, shape (n_rows,)."""
        n = len(next(iter(columns.values())))
        p = np.full(n, self.share) if self.column is None else np.asarray(columns[self.column], np.float64)
        return np.clip(logit(np.where(np.isfinite(p), p, self.share)), -_SUREST, _SUREST)


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A fitted model and the prior it starts from."""

    prior: Prior
    model: SplineLogit | Trees

    def margin(self, columns: Columns, x: Floats) -> Floats:
        """Return log-odds of the label, shape (n_rows,)."""
        return self.model.margin(x, self.prior.margin(columns))


@dataclass(frozen=True, slots=True, eq=False)
class ChurnModel:
    """Predict the label from columns.

    Attributes
    ----------
    encoding : columns to matrix
    members : by name, in the order of the weights
    """

    encoding: Encoding
    members: Mapping[str, Member]
    mix: Mix
    calibration: Calibration

    def probability(self, columns: Columns) -> Floats:
        """Return the probability of the label, shape (n_rows,), in (0, 1).

        Raises
        ------
        ColumnError
            For a missing column that training had.
        """
        x = self.encoding.matrix(columns)
        margins = np.column_stack([member.margin(columns, x) for member in self.members.values()])
        return self.calibration.probability(self.mix.margin(margins))

    def save(self, folder: Path) -> None:
        """Write ``churn.json`` and one ``.ubj`` per booster."""
        folder.mkdir(parents=True, exist_ok=True)
        members: dict[str, Any] = {}
        for name, member in self.members.items():
            members[name] = {"prior": asdict(member.prior)}
            if isinstance(member.model, Trees):
                files = [f"{name}.{at}.ubj" for at in range(len(member.model.boosters))]
                for file, booster in zip(files, member.model.boosters, strict=True):
                    booster.save_model(folder / file)
                members[name]["trees"] = files
            else:
                members[name]["logit"] = member.model.to_plain()
        manifest = {
            "form": FORM,
            "encoding": asdict(self.encoding),
            "members": members,
            "mix": asdict(self.mix),
            "calibration": asdict(self.calibration),
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))

    @classmethod
    def load(cls, folder: Path) -> ChurnModel:
        """Read what :meth:`save` wrote. Raises ValueError for a manifest of another form."""
        read = json.loads((folder / MANIFEST).read_bytes())
        if read.get("form") != FORM:
            raise ValueError(f"a churn model of form {read.get('form')}, not {FORM}")
        members = {}
        for name, kept in read["members"].items():
            if "trees" in kept:
                files = [folder / Path(file).name for file in kept["trees"]]
                model: SplineLogit | Trees = Trees(tuple(xgb.Booster(model_file=file) for file in files))
            else:
                model = SplineLogit.from_plain(kept["logit"])
            members[name] = Member(Prior(**kept["prior"]), model)
        encoding = read["encoding"]
        calibration: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in read["calibration"].items()
        }
        return cls(
            Encoding(tuple(encoding["numbers"]), {name: tuple(v) for name, v in encoding["categories"].items()}),
            members,
            Mix(read["mix"]["intercept"], tuple(read["mix"]["weights"])),
            Calibration(**calibration),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted model and what is known about it.

    Attributes
    ----------
    model : fitted to all rows
    report : what is odd about the rows
    held_out : name -> log-loss on rows the member did not see; ``mix`` is all members together
    """

    model: ChurnModel
    report: DataReport
    held_out: dict[str, float]


def fit_churn(
    columns: Columns,
    label: ArrayLike,
    *,
    block: ArrayLike | None = None,
    later: ArrayLike | None = None,
    prior: str | None = None,
    penalties: Sequence[float] = PENALTIES,
    depths: Sequence[int] = DEPTHS,
) -> Fitted:
    """Fit to training rows.

    Parameters
    ----------
    columns : name -> numbers or words, each of shape (n_rows,)
    label : bool, shape (n_rows,)
    block : int64, shape (n_rows,), 0..K-1, the period of each row of rolling cutoffs
        (:meth:`training.churn.cutoffs.Rows.blocks`): rows are held out by it, and members get equal weights, because
        their differences over a handful of periods are chance. By default five folds with as many labels in each
    later : bool, shape (n_rows,), the latest cutoffs: calibration, and weights, are learned on them alone, from members
        fitted to the rest; the members are then refitted to all rows. By default they are learned out of fold
    prior : column with another model's probability of the label (BG/NBD's ``p_purchase``). Additional members learn
        the departure from it, so that with little data they agree with it; the others start from the label's share
    penalties, depths : an additive logit for each penalty, a set of trees for each depth, from each start

    Raises
    ------
    AbsentClassError, ValueError
        See :func:`training.churn.report.report`.
    """
    y = np.asarray(label, np.bool_)
    found = report(columns, y)
    usable = {name: column for name, column in columns.items() if name not in found.unusable}
    encoding = Encoding.learn(usable)
    x = encoding.matrix(usable)
    held = stratified(y, N_FOLDS) if block is None else np.asarray(block, np.int64)
    shapes = _Shapes(tuple(penalties), tuple(depths), tuple({None: 0, prior: 0}))
    members, out = shapes.fit(columns, x, y, held)
    judged = np.ones(len(y), np.bool_)
    if later is not None:
        judged = np.asarray(later, np.bool_)
        before, after = ({name: column[rows] for name, column in columns.items()} for rows in (~judged, judged))
        _, at = np.unique(held[~judged], return_inverse=True)
        earlier, _ = shapes.fit(before, x[~judged], y[~judged], at)
        out = np.column_stack([member.margin(after, x[judged]) for member in earlier.values()])
    mix = Mix.fit(out, y[judged]) if block is None else Mix.equal(out.shape[1])
    calibration = Calibration.fit(mix.margin(out), y[judged], stratified(y[judged], N_FOLDS))
    held_out = {name: log_loss(sigmoid(out[:, at]), y[judged]) for at, name in enumerate(members)}
    held_out["mix"] = log_loss(sigmoid(mix.margin(out)), y[judged])
    return Fitted(ChurnModel(encoding, members, mix, calibration), found, held_out)


def stratified(label: Labels, n_folds: int) -> NDArray[np.int64]:
    """Return the fold of each row, shape (n_rows,), 0..n_folds-1, with as many labels in each; deterministic."""
    order = np.lexsort((np.random.default_rng(0).random(len(label)), label))
    made = np.empty(len(label), np.int64)
    made[order] = np.arange(len(label)) % n_folds
    return made


@dataclass(frozen=True, slots=True)
class _Shapes:
    penalties: tuple[float, ...]
    depths: tuple[int, ...]
    starts: tuple[str | None, ...]

    def fit(self, columns: Columns, x: Floats, y: Labels, fold: NDArray[np.int64]) -> tuple[dict[str, Member], Floats]:
        """Return members fitted to all rows, and their held-out margins of each row, shape (n_rows, n_members)."""
        members: dict[str, Member] = {}
        out = []
        for start in self.starts:
            prior = Prior(start, float(y.mean()))
            base = prior.margin(columns)
            suffix = "" if start is None else f"_from_{start}"
            for penalty in self.penalties:
                margin = np.empty(len(y))
                for held in (fold == k for k in range(int(fold.max()) + 1)):
                    margin[held] = SplineLogit.fit(x[~held], y[~held], base[~held], penalty).margin(x[held], base[held])
                members[f"logit_{penalty:g}{suffix}"] = Member(prior, SplineLogit.fit(x, y, base, penalty))
                out.append(margin)
            for depth in self.depths:
                trees, margin = fit_trees(x, y, base, fold, max_depth=depth)
                members[f"trees_{depth}{suffix}"] = Member(prior, trees)
                out.append(margin)
        return members, np.column_stack(out)
