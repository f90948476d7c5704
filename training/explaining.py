"""Compute SHAP values of trees: how far each feature moved a row's prediction (Lundberg et al., Nature MI 2020)."""

from __future__ import annotations

import warnings

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

EXPLAINED = 1_000
"""Test rows whose predictions are explained."""


def shap_values(booster: xgb.Booster, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return SHAP values of the booster's margin, shape (n, d); with the expected margin, each row sums to its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its plots, which nobody asked for
        import shap
    return np.asarray(shap.TreeExplainer(booster).shap_values(x), np.float64)


def some_rows(n: int) -> NDArray[np.int64]:
    """Return evenly spaced row numbers, so that all times are covered."""
    return np.linspace(0, n - 1, min(EXPLAINED, n)).astype(np.int64)
