"""Render the report of a training run: one self-contained HTML file, for the person who answers for the model.

Guarantees: it first says what the model is worth and what is odd about it, then how that came about; each picture is
also given in words or as a table. Leaves to others: every figure (:mod:`training.outcome`, :mod:`training.card`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from training import pictures
from training.card import DataCard
from training.dataset import CHURN, UPLIFT
from training.outcome import TrainingOutcome
from training.search import Trial, best_of
from training.task import EFFECT_RISK, LOG_LOSS, RMSE
from whisperer.models import artifact
from whisperer.models.artifact import Manifest

_TITLES = {CHURN: "Who is about to leave", UPLIFT: "What each arm adds", "value": "What a user will bring"}
_LOSSES = {CHURN: LOG_LOSS, UPLIFT: EFFECT_RISK, "value": RMSE}
_SHOWN: dict[str, tuple[tuple[str, str, str], ...]] = {
    CHURN: (
        ("auc", "AUC", "chance that one who leaves is ranked above one who stays"),
        ("log_loss", "log-loss", "lower is better; what the mere share of leavers gives: {log_loss_of_share:.4f}"),
        ("brier", "Brier score", "mean squared error of the probability"),
        ("precision", "precision", "of those called leaving, who left"),
        ("recall", "recall", "of those who left, who was called leaving"),
    ),
    "value": (
        ("r2", "R²", "share of the variance that is explained"),
        ("rmse", "RMSE", "root mean squared error"),
        ("mae", "mean error", "mean absolute error"),
        ("rank_correlation", "rank correlation", "Spearman's, of told and observed"),
    ),
    UPLIFT: (
        ("value", "value a decision", "of the policy, doubly robust"),
        ("gain", "over the best single arm", "95 %: {gain_low:+.4g} to {gain_high:+.4g}"),
        ("value_nobody", "value of nobody", "what leaving everybody alone is worth"),
        ("qini", "Qini", "area between the curve and chance"),
    ),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its title and caption; ``wide`` ones take a whole row."""

    title: str
    told: str
    svg: str
    wide: bool = False


def render(
    outcome: TrainingOutcome,
    card: DataCard,
    counts: Sequence[int],
    trials: Sequence[Trial],
    manifest: Manifest,
    command: str,
) -> str:
    """Render the page. ``counts``: rows of the parts TRAIN, HELD, TEST, LEFT_OUT."""
    best = best_of(trials)
    links = sorted(card.columns, key=lambda column: -_weight(outcome).get(column.name, 0.0))
    page: str = (
        _environment()
        .get_template("report.html")
        .render(
            title=_TITLES[card.kind],
            outcome=outcome,
            card=card,
            counts=counts,
            notes=[*card.sentences(), *outcome.remarks],
            figures=[
                (name, _number(outcome.metrics[key]), told.format(**outcome.metrics))
                for key, name, told in _SHOWN[card.kind]
                if key in outcome.metrics
            ],
            pictures=_pictures(outcome, trials, best, card.kind),
            columns=links,
            weight=_weight(outcome),
            trials=trials,
            best=best,
            loss=_LOSSES[card.kind].replace("_", " "),
            sought=sorted({key for one in trials for key in one.parameters}),
            manifest=manifest,
            digest=artifact.digest(manifest),
            command=command,
            first=_day(card.first),
            last=_day(card.last),
            made=_day(manifest.created_at),
        )
    )
    return page


def _pictures(outcome: TrainingOutcome, trials: Sequence[Trial], best: Trial, kind: str) -> list[Picture]:
    made: list[Picture] = []
    scored, policy = outcome.scored, outcome.policy
    if kind == CHURN and scored is not None:
        told = "Of users who were told the same probability, how many left; bars are 95 % intervals."
        made.append(Picture("Calibration", told, pictures.calibration(scored)))
        told = (
            f"The tenth with the highest probability holds {_reach(scored.predicted, scored.label):.0%} of all leavers."
        )
        made.append(Picture("Lift", told, pictures.gains(scored, "share of all leavers")))
    elif scored is not None:
        told = "What was told beside what came; steps that rise alike are well calibrated."
        made.append(Picture("Calibration", told, pictures.deciles(scored)))
        told = f"The tenth expected to bring most brought {_reach(scored.predicted, scored.label):.0%} of everything."
        made.append(Picture("Lift", told, pictures.gains(scored, "share of all value")))
    if policy is not None:
        told = (
            "Users in order of the effect promised; the higher above the dashed line, the better they are told apart."
        )
        made.append(Picture("Qini", told, pictures.qini(policy)))
        told = "What the new policy would have given at the test rows, and what the log gave."
        made.append(Picture("Arms", told, pictures.arms(policy)))
        told = "Ours beside what is simpler, with 95 % intervals; the table below has the figures."
        made.append(Picture("What policies are worth", told, pictures.values(policy)))
    if outcome.confusion is not None:
        told = f"What was called leaving at a probability of {outcome.confusion.threshold:.3g}, and what became of it."
        made.append(Picture("At the chosen threshold", told, pictures.confusion(outcome.confusion)))
    told = f"Trial {best.number} was best, after {best.best.rounds} rounds. {_cut(trials)}"
    drawn = pictures.learning(trials, best, _LOSSES[kind].replace("_", " "))
    made.append(Picture("Learning curves", told, drawn, wide=len(made) % 2 == 0))
    told = (
        "A dot is a test row: to the right the feature raised what is told of it, to the left it lowered it; red is a"
        " high value of the feature, blue a low one, grey a missing one (SHAP)."
    )
    made.append(Picture("What the model looks at", told, pictures.attribution(outcome.attribution), wide=True))
    return made


def _cut(trials: Sequence[Trial]) -> str:
    longest = max(one.steps[-1].rounds for one in trials if one.steps)
    n = sum(1 for one in trials if one.steps and one.steps[-1].rounds < longest)
    failed = sum(1 for one in trials if one.failed)
    return f"{n} of {len(trials)} trials ended early{f', {failed} failed' if failed else ''}."


def _reach(predicted: Any, label: Any) -> float:
    top = np.argsort(-predicted, kind="stable")[: max(1, len(predicted) // 10)]
    return float(label[top].sum() / (label.clip(0).sum() or 1.0))


def _weight(outcome: TrainingOutcome) -> dict[str, float]:
    """Return the mean size of each feature's SHAP values, as a share of the largest."""
    found = np.abs(outcome.attribution.values).mean(axis=0)
    whole = float(found.max(initial=0.0)) or 1.0
    return {name: float(value) / whole for name, value in zip(outcome.attribution.names, found, strict=True)}


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"number": _number, "count": lambda n: f"{n:,}"}
    return made


def _number(value: Any) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:,.0f}"


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC") if ms else "no time"
