"""Learning curves become panels, of the tables that have them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.benchmarks.tables import curves

RUNGS = [{"decisions": n, "ours": 0.05 + n / 1e6, "t_logit": 0.052} for n in (1_000, 2_000, 4_000)]
MODELS = {name: {"auc": 0.7, "log_loss": 0.6} for name in ("ours", "xgboost_100_bgnbd", "bgnbd", "logistic")}
FIGURES = {
    "T1": {"parts": {"telco": {}, "retail": {"learning_curve": [{"rows": n, **MODELS} for n in (100, 200)]}}},
    "T2a": {"learning_curve": RUNGS},
    "T5": {"coverage": 0.95},
}


def test_a_panel_has_a_line_a_model_and_begins_below_the_lowest() -> None:
    retail, t2a = curves.panels(FIGURES)
    assert [line.name for line in retail.lines] == ["ours", "xgboost_100_bgnbd", "bgnbd"]
    assert dict(t2a.lines[0].points) == pytest.approx({1_000: 0.051, 2_000: 0.052, 4_000: 0.054})
    assert 0.04 < t2a.bottom < 0.051


def test_the_command_draws_what_benchmarks_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, picture = tmp_path / "t2a.json", tmp_path / "curves.svg"
    written.write_text(json.dumps({"figures": {"T2a": FIGURES["T2a"]}}))
    monkeypatch.setattr(sys, "argv", ["curves", str(written), "--svg", str(picture)])
    curves.main()
    assert "t_logit" in picture.read_text()
