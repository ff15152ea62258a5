"""A small bundle of every recipe for the golden files, so that the host's tests run each recipe's graphs by the real runtime.

Their weights are random, as the tiny bundle's are: a training of no steps makes the modules, and values from a seed take the place of their weights. Nothing that was learned is in them,
which would come out differently on another machine, so that they can be compared with what the code of today writes.
"""

from __future__ import annotations

import datetime
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from . import data, export
from .data import Item
from .features import FeatureOptions, Features, build
from .id_prior import IdPrior
from .layers import RankingShape
from .recipes import ctrl, id, mim, ppm, srp4ctr, unified
from .replay import Replay
from .train import ClickConfig, Schedule, TrainedModel

_SHAPE = RankingShape(head_width=8, user_hidden=16, user_width=8, hidden=(24, 8), cross_rank=4)
_UNTRAINED = Schedule(epochs=0)


@dataclass(frozen=True)
class SmallRecipe:
    """A recipe, settings with which it is small, and whether it reads pictures from pixels, not from given features of them."""

    module: ModuleType
    config: ClickConfig
    pixels: bool = False

    def options(self) -> FeatureOptions:
        """What it reads of the tiny data."""
        content = "text" in self.module.READS
        return FeatureOptions(
            history=10, text_length=16, text_vocabulary=360, text=content, images=self.pixels, image_size=16, image_features=content and not self.pixels
        )


def small_recipes(schedule: Schedule) -> dict[str, SmallRecipe]:
    """Every recipe, and those that may read pixels once more, all of whose stages have the same schedule."""
    common: dict[str, Any] = {
        "item_id": 8, "user_id": 8, "category_width": 4, "attribute_width": 4, "shape": _SHAPE, "history": 10, "schedule": schedule,
    }  # fmt: skip
    of_ids = id.Config(**common)
    of_ctrl = ctrl.Config(**common, text_width=8, text_layers=1, sentence=48, aligned=16, text_length=16, words=schedule, alignment=schedule)
    of_ppm = ppm.Config(**common, text=8, image=8, representation=8, text_length=16, text_schedule=schedule, image_schedule=schedule, user_schedule=schedule)
    of_srp4ctr = srp4ctr.Config(**common, width=8, queries=2, stride=5, pretraining=schedule)
    of_mim = mim.Config(**common, text=8, fused_text=4, fused_image=4, content=8, tiers=3, text_length=16, pretraining=schedule, sft=schedule)
    of_unified = unified.Config(**common, text_length=16, ids=of_ids, mim=of_mim, ppm=of_ppm, srp4ctr=of_srp4ctr)
    return {
        "id": SmallRecipe(id, of_ids),
        "ctrl": SmallRecipe(ctrl, of_ctrl),
        "ppm": SmallRecipe(ppm, of_ppm),
        "ppm-pixels": SmallRecipe(ppm, of_ppm, pixels=True),
        "srp4ctr": SmallRecipe(srp4ctr, of_srp4ctr),
        "mim": SmallRecipe(mim, of_mim),
        "mim-pixels": SmallRecipe(mim, of_mim, pixels=True),
        "unified": SmallRecipe(unified, of_unified),
        "unified-pixels": SmallRecipe(unified, of_unified, pixels=True),
    }


def with_pictures(items: list[Item], folder: Path) -> list[Item]:
    """Three of four items have a picture, of noise around a colour of their own, in `folder`."""
    random = np.random.default_rng(0)
    result = []
    for place, item in enumerate(items):
        path = folder / f"{place}.png"
        Image.fromarray(np.clip(random.normal(random.uniform(0, 255, 3), 20, (20, 20, 3)), 0, 255).astype(np.uint8)).save(path)
        result.append(replace(item, image=path if place % 4 else None))
    return result


GOLDEN = ("id", "ctrl", "ppm", "srp4ctr", "mim", "mim-pixels", "unified")


def write(data_folder: Path, out: Path, created: datetime.datetime) -> None:
    """Writes the bundles of `GOLDEN`, of the tiny data in `data_folder`, each to a folder of its name in `out`."""
    recipes = small_recipes(_UNTRAINED)
    for seed, name in enumerate(GOLDEN, start=25):
        recipe, dataset = recipes[name], data.read(data_folder)
        with tempfile.TemporaryDirectory() as pictures:
            if recipe.pixels:
                dataset = replace(dataset, items=with_pictures(dataset.items, Path(pictures)))
            features = build(dataset, recipe.options())
        model = recipe.module.train(features, recipe.config, seed)
        give_random_weights(model, seed)
        spread_scores(model, features)
        export.write(model, features, dataset, out / name, export.Training("golden", seed, created))


@torch.no_grad()
def give_random_weights(model: TrainedModel, seed: int) -> None:
    """Replaces all weights but single numbers, such as temperatures, in place, and moves all ID vectors but the unknown one, by values of a seed."""
    generator = torch.Generator().manual_seed(seed)
    for module in nn.ModuleList((model.item_encoder, model.user_encoder, model.ranker)).modules():
        for parameter in module.parameters(recurse=False):
            if parameter.dim() > 0:
                inputs = parameter[0].numel() if parameter.dim() > 1 else 4
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / inputs**0.5)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx] = 0
        if isinstance(module, IdPrior):
            module.longest.fill_(1.0)  # it was the longest of predictions by other weights
    for table in (model.item_table, model.user_table):
        table[1:] += 0.3 * torch.randn(table[1:].shape, generator=generator).numpy()


def spread_scores(model: TrainedModel, features: Features) -> None:
    """Calibrates so that the logits of the log's rows deviate by 1 from a mean of 0: scores that are nearly the same, or nearly 0 and 1, would hide what a graph does wrong."""
    calibration = model.ranker.calibration
    calibration.scale.fill_(0.01)  # whatever the logits are, their scores are neither 0 nor 1
    calibration.bias.fill_(0.0)
    scores = Replay(model, features).scores(np.arange(len(features.label))).astype(np.float64)
    logits = 100 * (np.log(scores) - np.log1p(-scores))
    calibration.scale.fill_(1 / logits.std())
    calibration.bias.fill_(-logits.mean() / logits.std())
