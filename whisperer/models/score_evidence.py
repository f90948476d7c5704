"""Judge score models: a candidate against the formula and the live version, on the test rows that it brings.

A score model takes no decisions, so nothing has to be estimated from a log: all three score users of the past, whose
later behaviour is known. Guarantees: the verified files themselves are compared, not figures that somebody states; a
version that cannot be compared on the rows prevents promotion. Leaves to others: when the candidate is better
(:mod:`whisperer.evaluation.forecasts`), and the step that follows (:mod:`.rollout`).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from whisperer.evaluation import forecasts
from whisperer.models.artifact import TEST_ROWS
from whisperer.models.errors import ArtifactError
from whisperer.models.loading import Artifact
from whisperer.models.rollout import BUILT_IN, Evidence, Objection
from whisperer.models.scores import LABEL, USER, WINDOW_DAYS, open_model
from whisperer.profiles.bgnbd import HistoryError
from whisperer.profiles.scores import HORIZON_DAYS, BgNbdScores, ScoreModel

FORMULA = "the formula"
NOT_COMPARABLE = "not_comparable"


def check(artifact: Artifact) -> None:
    """Check that an artifact may become a version: it scores, and can be judged on its own rows. Raises as
    :func:`judged`."""
    judged(artifact, None, 0)


def judged(candidate: Artifact, live: Artifact | None, now: int) -> Evidence:
    """Return the verdict on a candidate, for :func:`whisperer.models.rollout.promote`.

    Parameters
    ----------
    live : None while the formula is live
    now : ms UTC

    Raises
    ------
    ArtifactError, UnavailableError
    """
    scored = open_model(candidate)
    rows, label, user = _test_rows(candidate)
    window_days = candidate.manifest.parameters.get(WINDOW_DAYS) or HORIZON_DAYS
    if not isinstance(window_days, int | float) or not 0 < window_days < math.inf:
        raise ArtifactError(f"{WINDOW_DAYS} is not a number of days: {window_days!r}"[:200], code="invalid_manifest")
    others: dict[str, ScoreModel] = {FORMULA: BgNbdScores(horizon_days=window_days)}
    if live is not None:
        others[f"version {live.manifest.version}"] = open_model(live)
    said, reasons = {}, list[Objection]()
    for name, model in others.items():
        if absent := [feature for feature in model.features if feature not in rows.column_names]:
            sentence = f"The rows in the artifact have no {absent[0]!r}, which {name} needs: train on all features."
            reasons.append(Objection(NOT_COMPARABLE, sentence))
        else:
            said[name] = _said(model, rows, label)
    verdict = forecasts.judge(label, user, _said(scored, rows, label), said)
    reasons += [Objection(one.reason, one.sentence) for one in verdict.reasons]
    figures = {"rows": len(label), "left": int(label.sum()), "candidate": verdict.quality, "against": verdict.against}
    return Evidence(
        promote=not reasons,
        against=BUILT_IN if live is None else live.manifest.version,
        judged_at=datetime.fromtimestamp(now / 1000, UTC),
        reasons=reasons,
        figures=msgspec.json.decode(msgspec.json.encode(figures)),  # NaN becomes null
        rule=msgspec.to_builtins(forecasts.RULE),
    )


def _test_rows(artifact: Artifact) -> tuple[pa.Table, NDArray[np.float64], NDArray[np.int64]]:
    """Return all columns; whether each user left, as 0 and 1; and users as numbers from 0."""
    try:
        table = artifact.table(TEST_ROWS)
    except ArtifactError as error:
        if error.code != "missing_file" or TEST_ROWS not in artifact.paths():
            raise
        message = "the test rows have aged out of the store (`snapshots.retention_days`): train the model anew"
        raise ArtifactError(message, code="missing_file") from None
    needed = (LABEL, USER, *artifact.manifest.features)
    if absent := [name for name in needed if table.column_names.count(name) != 1]:
        raise ArtifactError(f"{TEST_ROWS} has no column {absent[0]!r}, or has it twice", code="broken_model")
    if texts := [
        field.name for field in table.schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]:
        raise ArtifactError(f"{TEST_ROWS}: {texts[0]!r} is text", code="broken_model")
    label = table[LABEL].to_numpy().astype(np.float64)
    if not np.isin(label, (0.0, 1.0)).all():
        raise ArtifactError(f"{TEST_ROWS}: a label is neither 0 nor 1", code="broken_model")
    return table, label, np.unique(table[USER].to_numpy(), return_inverse=True)[1].astype(np.int64)


def _said(model: ScoreModel, rows: pa.Table, label: NDArray[np.float64]) -> NDArray[np.float64]:
    columns = [rows[name].to_numpy().astype(np.float64) for name in model.features]
    try:
        churn = model.score(np.stack(columns, axis=1))[0]
    except HistoryError as error:
        raise ArtifactError(f"{TEST_ROWS}: {error}", code="broken_model") from None
    # Where a model has no score for a user, the overall share stands in: the best guess without knowledge.
    return np.where(np.isnan(churn), label.mean(), churn)
