"""Paired bootstrap over users (Efron and Tibshirani 1993, chapter 6): how far a difference could be that of other users.

Rows of a user are not independent, so users are drawn, with all their rows. Both models are measured on the same draws. A draw gives each user a weight, so that an AUC needs no sorting anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import metrics

_DRAWS_AT_ONCE = 50


@dataclass(frozen=True)
class Interval:
    """A difference on all rows, and the middle 95 % of what the draws give."""

    difference: float
    low: float
    high: float


class WeightedAuc:
    """AUC of fixed scores under changing weights of rows; ties count as one half."""

    def __init__(self, labels: np.ndarray, scores: np.ndarray):
        """labels and scores [R]"""
        self._order = np.argsort(scores, kind="stable")
        sorted_scores = np.asarray(scores)[self._order]
        self._starts = np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]])
        self._positive = (np.asarray(labels)[self._order] > 0).astype(np.float64)

    def __call__(self, weights: np.ndarray) -> float:
        """weights [R], in the order of `labels`. NaN when one class has no weight."""
        weight = np.asarray(weights, np.float64)[self._order]
        positive = np.add.reduceat(weight * self._positive, self._starts)
        negative = np.add.reduceat(weight * (1 - self._positive), self._starts)
        pairs = positive.sum() * negative.sum()
        return float(positive @ (np.cumsum(negative) - 0.5 * negative) / pairs) if pairs > 0 else float("nan")


def paired(labels: np.ndarray, users: np.ndarray, ours: list[np.ndarray], theirs: list[np.ndarray], draws: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """`auc` and `gauc` of `ours` minus those of `theirs`, each the mean over the models (seeds) of a side: lists of scores [R]."""
    _, user = np.unique(np.asarray(users), return_inverse=True)
    count = int(user.max()) + 1
    sides = [[_Measured(labels, user, count, scores) for scores in side] for side in (ours, theirs)]
    whole = _difference(sides, np.ones((1, count)))[:, 0]
    random = np.random.default_rng(seed)
    parts = []
    for begin in range(0, draws, _DRAWS_AT_ONCE):
        parts.append(_difference(sides, random.multinomial(count, np.full(count, 1 / count), min(_DRAWS_AT_ONCE, draws - begin))))
    low, high = np.nanpercentile(np.concatenate(parts, axis=1), (2.5, 97.5), axis=1)
    return {name: Interval(float(whole[n]), float(low[n]), float(high[n])) for n, name in enumerate(("auc", "gauc"))}


class _Measured:
    """AUC and GAUC of one model under weights of users."""

    def __init__(self, labels: np.ndarray, user: np.ndarray, users: int, scores: np.ndarray):
        self._user = user
        self._auc = WeightedAuc(labels, scores)
        area = metrics.auc_of_groups(np.asarray(labels), np.asarray(scores), user)
        self._known = ~np.isnan(area)
        self._area = np.where(self._known, area, 0)
        self._rows = np.bincount(user, minlength=users) * self._known

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """weights of users [D, U] -> AUC and GAUC of each draw [2, D]."""
        auc = [self._auc(weight[self._user]) for weight in weights]
        with np.errstate(invalid="ignore"):
            gauc = weights @ (self._rows * self._area) / (weights @ self._rows)
        return np.array([auc, gauc])


def _difference(sides: list[list[_Measured]], weights: np.ndarray) -> np.ndarray:
    """[2, D]"""
    ours, theirs = (np.mean([model(weights) for model in side], axis=0) for side in sides)
    return ours - theirs
