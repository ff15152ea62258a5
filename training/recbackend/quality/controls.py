"""What a gain must be measured against: content that means nothing, and predictions that need no network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from .. import baseline
from ..data import TRAIN, VALID, Dataset
from ..features import Features
from ..train import TrainedModel, fit_calibration

RARE = 20
"""Training rows up to which an item's ID is taken for unknown in the control of unknown IDs."""
_STRENGTHS = np.logspace(-1, 3, 17)


def with_shuffled_content(dataset: Dataset, seed: int) -> Dataset:
    """Each item gets the title, text, tags and picture of another, always the same one. Categories and attributes, which every recipe reads, stay."""
    order = np.random.default_rng(seed).permutation(len(dataset.items))
    items = list(dataset.items)
    for place, other in zip(order, np.roll(order, 1)):  # one cycle through all: nobody keeps its own
        source = dataset.items[other]
        items[place] = replace(
            items[place], title=source.title, text=source.text, tags=source.tags, image=source.image, image_features=source.image_features
        )
    return replace(dataset, items=items)


def without_ids(model: TrainedModel, ids: Iterable[str]) -> TrainedModel:
    """The model with the unknown vector in place of what it has learned of these items' IDs."""
    dropped = set(ids)
    kept = [place for place, name in enumerate(model.item_ids) if name not in dropped]
    rows = [0, *(place + 1 for place in kept)]
    return replace(model, item_ids=[model.item_ids[place] for place in kept], item_table=model.item_table[rows])


def popularity(features: Features) -> np.ndarray:
    """float64 [R]: click probabilities from the click rates of item and user before the row (`baseline.click_rates`), calibrated on the validation part."""
    return _calibrated(baseline.click_rates(features), features)


def ridge(features: Features) -> np.ndarray:
    """float64 [R]: click probabilities from the user's click rate before the row and a ridge regression of items' log odds on categories, attributes and text; calibrated.

    The regression is of the items with training rows, each weighing as much as its rows say beside the prior. Its strength is that of the least leave-one-out error on them, so that
    nothing of a new item is used.
    """
    trained = features.split == TRAIN
    count = len(features.item_ids)
    rows = np.bincount(features.item[trained], minlength=count).astype(np.float64)
    clicks = np.bincount(features.item[trained], features.label[trained], minlength=count)
    strength = 20.0
    rate = (clicks + strength * features.schema.prior) / (rows + strength)
    known = np.flatnonzero(rows > 0)
    inputs = item_inputs(features, known)
    predicted = kernel_ridge(inputs @ inputs[known].T, known, np.log(rate[known] / (1 - rate[known])), rows[known] / (rows[known] + strength))
    return _calibrated(predicted[features.item] + baseline.user_log_odds(features), features)


def item_inputs(features: Features, known: np.ndarray) -> np.ndarray:
    """float64 [I, F]: which categories and values of attributes an item has, and its tokens by TF-IDF, each of the three of length 1. How rare a token is, is counted over the items `known` [K]."""
    items, schema = features.items, features.schema
    blocks = []
    if items.categories is not None:
        blocks.append(_counted(items.categories, schema.categories.size))
    for place, one in enumerate(schema.attributes):
        blocks.append(_counted(items.attributes[:, place : place + 1], one.size))
    if items.text is not None:
        tokens = _counted(items.text, schema.text_size)
        tokens[:, :3] = 0  # padding and separators
        weight = np.log((1 + len(known)) / (1 + (tokens[known] > 0).sum(0)))
        blocks.append(np.log1p(tokens) * weight)
    return np.concatenate([block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12) for block in blocks], axis=1)


def kernel_ridge(kernel: np.ndarray, known: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Ridge regression in its dual form. kernel [I, K] of all items with the known ones, known [K], target and weight [K] -> prediction [I].

    The strength is chosen by the weighted leave-one-out error, which needs no fit anew: the residual without row k is `a_k / (A^-1)_kk` (Rasmussen and Williams 2006, section 5.4.2).
    """
    mean = np.average(target, weights=weight)
    # Scaled by the weights' roots, the noise is the same for all rows, and one decomposition serves every strength.
    root = np.sqrt(weight)
    values, vectors = np.linalg.eigh(root[:, None] * kernel[known] * root)
    rotated = vectors.T @ (root * (target - mean))
    best, chosen = np.inf, None
    for strength in _STRENGTHS:
        shrunk = 1 / (np.maximum(values, 0) + strength)
        dual = vectors @ (shrunk * rotated)
        residual = dual / (vectors**2 @ shrunk)  # of a row without itself, times its root of weight
        error = residual @ residual
        if error < best:
            best, chosen = error, root * dual
    return mean + kernel @ chosen


def _counted(ids: np.ndarray, size: int) -> np.ndarray:
    """ids [I, K] -> how often an item has each [I, size]; 0 is padding."""
    counts = np.zeros((len(ids), size))
    np.add.at(counts, (np.arange(len(ids))[:, None], ids), 1.0)
    counts[:, 0] = 0
    return counts


def _calibrated(log_odds: np.ndarray, features: Features) -> np.ndarray:
    rows = features.rows(VALID)
    scale, bias = fit_calibration(log_odds[rows], features.label[rows])
    return 0.5 * (1 + np.tanh(0.5 * (scale * log_odds + bias)))
