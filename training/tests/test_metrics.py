"""Metrics against definitions written out row by row."""

import math

import numpy as np
import pytest

from recbackend import metrics


def brute_auc(labels, scores):
    positives, negatives = scores[labels == 1], scores[labels == 0]
    if len(positives) == 0 or len(negatives) == 0:
        return math.nan
    wins = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    return float(np.mean(wins))


def random_rows(seed, rows=300, users=25, levels=20):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, rows)
    scores = random.integers(0, levels, rows) / levels  # few levels: many ties
    return labels, scores, random.integers(0, users, rows)


@pytest.mark.parametrize("seed", range(5))
def test_auc_counts_ties_as_half(seed):
    labels, scores, _ = random_rows(seed)
    assert metrics.auc(labels, scores) == pytest.approx(brute_auc(labels, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_gauc_weighs_users_by_rows_and_leaves_out_users_of_one_class(seed):
    labels, scores, users = random_rows(seed, users=80)
    areas = {user: brute_auc(labels[users == user], scores[users == user]) for user in set(users)}
    known = [user for user, area in areas.items() if not math.isnan(area)]
    assert len(known) < len(areas)
    weights = [np.sum(users == user) for user in known]
    expected = np.average([areas[user] for user in known], weights=weights)
    assert metrics.gauc(labels, scores, users) == pytest.approx(expected, abs=1e-12)


def test_one_class_has_no_auc():
    assert math.isnan(metrics.auc(np.ones(4), np.arange(4.0)))
    assert math.isnan(metrics.gauc(np.ones(4), np.arange(4.0), np.arange(4)))


def test_log_loss_is_the_mean_negative_log_likelihood():
    labels, scores = np.array([1, 0, 1]), np.array([0.9, 0.2, 0.5])
    expected = -(math.log(0.9) + math.log(0.8) + math.log(0.5)) / 3
    assert metrics.log_loss(labels, scores) == pytest.approx(expected)
    assert math.isfinite(metrics.log_loss(np.array([1]), np.array([0.0])))


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_averages_the_gap_of_ten_bins_over_rows(seed):
    random = np.random.default_rng(seed)
    labels, scores = random.integers(0, 2, 500), random.random(500)
    scores[0] = 1.0  # the right edge belongs to the last bin
    total = 0.0
    for place in range(10):
        inside = (scores >= place / 10) & ((scores < (place + 1) / 10) | (place == 9))
        if inside.any():
            total += abs(labels[inside].mean() - scores[inside].mean()) * inside.sum()
    assert metrics.calibration_error(labels, scores) == pytest.approx(total / 500, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_precision_is_of_the_best_rows_of_each_group_that_has_more(seed):
    labels, scores, groups = random_rows(seed, users=120)
    shares = []
    for group in set(groups):
        rows = sorted(np.flatnonzero(groups == group), key=lambda row: (-scores[row], row))
        if len(rows) > 2:
            shares.append(labels[rows[:2]].mean())
    assert 0 < len(shares) < len(set(groups))
    assert metrics.precision_at(2, labels, scores, groups) == pytest.approx(np.mean(shares), abs=1e-12)


def test_precision_without_a_group_to_choose_from_is_unknown():
    assert math.isnan(metrics.precision_at(2, np.array([1, 0]), np.array([0.1, 0.2]), np.array([5, 5])))
