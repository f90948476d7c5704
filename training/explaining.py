"""SHAP values of trees: how far each feature moved what is told of a row (Lundberg et al., Nature Machine Intelligence
2020)."""

from __future__ import annotations

import warnings

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

EXPLAINED = 1_000
"""Test rows whose predictions are taken apart."""


def shap_values(booster: xgb.Booster, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of the booster's margin, shape (n, d); with the expected margin each row adds up to its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its plots, which nobody asked for
        import shap
    return np.asarray(shap.TreeExplainer(booster).shap_values(x), np.float64)


def some_rows(n: int) -> NDArray[np.int64]:
    """Evenly spaced ones, of all times."""
    return np.linspace(0, n - 1, min(EXPLAINED, n)).astype(np.int64)
