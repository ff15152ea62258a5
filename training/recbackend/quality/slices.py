"""Training in slices of time: a model of the first, then gone on with on each that follows (`rec train --resume`), beside the same model left as it was.

PPM's paper calls what this saves iteration efficiency. Events of all slices are in histories, as they would be in serving, for both: only the weights differ.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import export, features, resume
from ..data import HELD_OUT, TEST, TRAIN, VALID, Dataset
from ..features import FeatureOptions
from ..progress import ProgressLine
from ..replay import Replay

SLICES = 10
FROZEN, RESUMED = "frozen", "resumed"


@dataclass(frozen=True)
class Sliced:
    """Scores of one of both models on one part, and the processor seconds of its training: of the first slice, or of all that followed."""

    control: str
    split: str
    rows: np.ndarray
    scores: np.ndarray
    seconds: float


def up_to(dataset: Dataset, count: int) -> Dataset:
    """Only the first `count` of ten slices of the training rows are trained on."""
    split = dataset.split.copy()
    for later in np.array_split(np.flatnonzero(dataset.split == TRAIN), SLICES)[count:]:
        split[later] = HELD_OUT
    return replace(dataset, split=split)


def run(
    recipe: ModuleType, config: Any, options: FeatureOptions, dataset: Dataset, seed: int, bundle: Path, training: export.Training, progress: ProgressLine
) -> list[Sliced]:
    """Trains, goes on nine times, and scores validation and test with the first and the last model. The first one's bundle goes to `bundle`."""
    first = up_to(dataset, 1)
    built = features.build(first, options)
    begun = time.process_time()
    progress.stage(f"first of {SLICES} slices")
    model = recipe.train(built, config, seed, progress)
    seconds = time.process_time() - begun
    parts: list[Sliced] = []
    export.write(model, built, first, bundle, training, progress=progress, scored=lambda *part: parts.append(Sliced(FROZEN, *part, seconds)))
    current, begun = resume.read(bundle), time.process_time()
    for count in range(2, SLICES + 1):
        now = up_to(dataset, count)
        rows = np.flatnonzero((now.split == TRAIN) & (up_to(dataset, count - 1).split == HELD_OUT))
        current = replace(current, model=resume.resume(current, replace(built, split=now.split), rows, resume.SCHEDULE, seed, progress))
    seconds = time.process_time() - begun
    last = Replay(current.model, built)
    for name, code in (("valid", VALID), ("test", TEST)):
        rows = built.rows(code)
        progress.stage(f"score {name}", "rows")
        parts.append(Sliced(RESUMED, name, rows, last.scores(rows, progress.update), seconds))
    return parts
