"""Protocols A, B and C as data sets, and the warm-up phases of C."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import convert, data
from ..data import HELD_OUT, TRAIN, DataError, Dataset

PROTOCOLS = ("A", "B", "C")
COLD = "cold"
PHASES = {"a": 20, "b": 40, "c": 60}
"""The warm-up rows that each new item has had by the end of a phase of protocol C."""


def prepare(source: Path, folder: Path, protocol: str, pixels: bool = False, text: str = "abstract") -> Dataset:
    """Converts the source to `folder`, with the given features of the posters or with their pixels, and reads it. `text`: of `convert.movielens_1m`.

    DataError where pixels are asked for and no item has a poster."""
    convert.movielens_1m(source, folder, protocol, image_features="none" if pixels else "pca128", posters=pixels, text=text)
    dataset = data.read(folder)
    if pixels and not any(item.image for item in dataset.items):
        raise DataError(source / "posters", None, "has no poster of any item, as ID.jpg")
    return dataset


def after(dataset: Dataset, phase: str) -> Dataset:
    """The data set at the end of a phase: the first rows of each new item are in histories and statistics. They stay out of training and test."""
    warm = np.flatnonzero(dataset.split == HELD_OUT)
    item = dataset.item[warm]
    order = np.argsort(item, kind="stable")
    sorted_item = item[order]
    starts = np.flatnonzero(np.r_[True, sorted_item[1:] != sorted_item[:-1]])
    within = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    warmed = np.zeros(dataset.rows, bool)
    warmed[warm[order[within < PHASES[phase]]]] = True
    return replace(dataset, warmed=warmed)


def thinned(dataset: Dataset, rows: int) -> Dataset:
    """Every n-th row, for a run that is to show that all works. Its figures mean nothing."""
    if rows >= dataset.rows:
        return dataset
    kept = np.linspace(0, dataset.rows - 1, rows).astype(np.int64)
    columns = {name: getattr(dataset, name)[kept] for name in ("user", "item", "timestamp", "label", "split")}
    return replace(dataset, **columns)


def training_rows(dataset: Dataset) -> np.ndarray:
    """int64 [I]: rows of the training part that each item has."""
    return np.bincount(dataset.item[dataset.split == TRAIN], minlength=len(dataset.items))
