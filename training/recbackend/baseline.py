"""What a model must beat: counters alone."""

from __future__ import annotations

import numpy as np

from . import metrics
from .features import Features, Statistic


def click_rates(features: Features) -> np.ndarray:
    """Log odds [R] of a click by the smoothed click rates of the row's item and user before the row, added, as if both said something of their own."""
    return _log_odds(features.item_statistics, features.schema.item_statistics) + user_log_odds(features)


def user_log_odds(features: Features) -> np.ndarray:
    """Log odds [R] of a click by the smoothed click rate of the row's user before the row."""
    return _log_odds(features.user_statistics, features.schema.user_statistics)


def evaluate(features: Features) -> dict[str, dict[str, float]]:
    """AUC and GAUC of `click_rates` on the parts `valid` and `test` that have rows."""
    scores = click_rates(features)
    parts = {"valid": features.rows(1), "test": features.rows(2)}
    return {
        name: {
            "rows": len(rows),
            "auc": round(metrics.auc(features.label[rows], scores[rows]), 6),
            "gauc": round(metrics.gauc(features.label[rows], scores[rows], features.user[rows]), 6),
        }
        for name, rows in parts.items()
        if len(rows)
    }


def _log_odds(values: np.ndarray, statistics: list[Statistic]) -> np.ndarray:
    rate = values[:, [one.name for one in statistics].index("click_rate")].astype(np.float64)
    rate = np.clip(rate, 1e-6, 1 - 1e-6)
    return np.log(rate) - np.log1p(-rate)
