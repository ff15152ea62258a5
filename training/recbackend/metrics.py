"""How well predicted click probabilities rank and how far they can be trusted.

All functions take `labels` [R] of 0 and 1 and `scores` [R]; none of them changes its inputs.
"""

from __future__ import annotations

import numpy as np


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a click scores above a non-click, ties counted as one half.

    NaN when only one class is present.
    """
    return auc_of_groups(np.asarray(labels), np.asarray(scores), np.zeros(len(labels), dtype=np.int64))[0]


def gauc(labels: np.ndarray, scores: np.ndarray, users: np.ndarray) -> float:
    """AUC within each user, averaged with the user's number of rows as weight.

    Users whose rows are all of one class have no AUC and are left out. NaN when no user is left.
    """
    _, groups = np.unique(np.asarray(users), return_inverse=True)
    areas = auc_of_groups(np.asarray(labels), np.asarray(scores), groups)
    rows = np.bincount(groups)
    known = ~np.isnan(areas)
    return float(np.average(areas[known], weights=rows[known])) if known.any() else float("nan")


def precision_at(count: int, labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> float:
    """Share of clicks among the `count` best-scored rows of a group, averaged over the groups.

    Groups with no more than `count` rows are left out: there is nothing to choose. Of equal scores the earlier row counts as the better. NaN when no group is left.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    scores = np.asarray(scores, dtype=np.float64)
    order = np.lexsort((np.arange(len(scores)), -scores, group))
    rows = np.bincount(group)
    place = np.arange(len(order)) - np.repeat(np.r_[0, np.cumsum(rows)[:-1]], rows)
    best = order[(place < count) & (rows[group[order]] > count)]
    return float(np.mean(np.asarray(labels)[best] > 0)) if len(best) else float("nan")


def log_loss(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean negative log-likelihood in nats. Probabilities are kept 1e-7 away from 0 and 1."""
    probability = np.clip(np.asarray(scores, dtype=np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(np.asarray(labels) > 0, np.log(probability), np.log1p(-probability))))


def calibration_error(labels: np.ndarray, scores: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: |click rate - mean probability| in bins of equal width, averaged over rows."""
    scores = np.asarray(scores, dtype=np.float64)
    place = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    gap = np.bincount(place, weights=np.asarray(labels, dtype=np.float64) - scores, minlength=bins)
    return float(np.abs(gap).sum() / len(scores))


def evaluate(labels: np.ndarray, scores: np.ndarray, users: np.ndarray) -> dict[str, float]:
    """All of the above under the manifest's names: `rows`, `auc`, `gauc`, `logloss`, `ece`."""
    return {
        "rows": int(len(labels)),
        "auc": auc(labels, scores),
        "gauc": gauc(labels, scores, users),
        "logloss": log_loss(labels, scores),
        "ece": calibration_error(labels, scores),
    }


def auc_of_groups(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """AUC of each group [G] by the rank-sum statistic, NaN for a group of one class."""
    if len(labels) == 0:
        return np.full(1, np.nan)
    order = np.lexsort((scores, groups))
    group, score, positive = groups[order], scores[order], labels[order] > 0
    place = np.arange(len(order), dtype=np.float64)
    # Equal scores within a group share the mean of their places.
    starts = np.flatnonzero(np.r_[True, (group[1:] != group[:-1]) | (score[1:] != score[:-1])])
    sizes = np.diff(np.r_[starts, len(order)])
    ranks = np.repeat(np.add.reduceat(place, starts) / sizes, sizes)
    count = groups.max() + 1
    rows = np.bincount(group, minlength=count)
    first_place = np.r_[0, np.cumsum(rows)[:-1]]
    positives = np.bincount(group, weights=positive, minlength=count)
    rank_sum = np.bincount(group, weights=(ranks - first_place[group]) * positive, minlength=count)
    pairs = positives * (rows - positives)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (rank_sum - positives * (positives - 1) / 2) / pairs
    return np.where(pairs > 0, area, np.nan)
