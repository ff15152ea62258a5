"""Training that goes on from a bundle with the events that came since.

Everything is taken from the bundle: its graphs (`graph.Graph`), ID tables and vocabularies, so any recipe's can go on, without a line of the recipe. The user encoder, the ranker and the ID tables are trained on the new
rows alone, once; items' representations stay, so that nothing has to be encoded anew. New items and users get ID rows that start as the unknown vector. What keeps the old rows from being forgotten is one short pass,
and the Gaussian prior of training, here around the ID rows as they were.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import safetensors
from .data import TRAIN, DataError, Dataset
from .features import Features, Schema, Statistic, Vocabulary, compute
from .graph import Graph
from .images import ImageSpec
from .layers import IdTable
from .replay import encode_items
from .tokenizer import Tokenizer
from .train import Batch, ClickModel, Examples, Progress, Schedule, TrainedModel, begin, fit, fit_calibration, requests

# The rate is that of 1e-3, 3e-3 and 1e-2 with the best validation of `id` in three slices of MovieLens-1M.
SCHEDULE = Schedule(epochs=1, batch=256, least_steps=150, learning_rate=3e-3, final_learning_rate=0.05, average=0.2, checks_per_epoch=2)
_SCALE, _BIAS = "module.calibration.scale", "module.calibration.bias"  # as the export names the numbers of `layers.Calibration`
_PRIOR, _ITEM_DROPOUT, _USER_DROPOUT = 16.0, 0.05, 0.2  # of a bundle that does not say its own


@dataclass(frozen=True)
class Bundle:
    """What a bundle's folder holds."""

    folder: Path
    manifest: dict[str, Any]
    schema: Schema
    model: TrainedModel


def read(folder: Path) -> Bundle:
    """DataError for a folder that is no bundle."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        tables = {name: safetensors.read(folder / f"{name}.safetensors") for name in ("items", "users")}
        ids = {name: table["ids"].tobytes().decode("utf-8").split("\n")[:-1] for name, table in tables.items()}
        inputs = manifest["item_inputs"]
        item_encoder = Graph(folder / "item_encoder.onnx")
        model = TrainedModel(
            recipe=manifest["recipe"],
            item_encoder=item_encoder,
            user_encoder=Graph(folder / "user_encoder.onnx"),
            ranker=Graph(folder / "ranker.onnx"),
            item_inputs=tuple(item_encoder.inputs),
            item_ids=ids["items"],
            item_table=tables["items"]["embedding"].astype(np.float32),
            user_ids=ids["users"],
            user_table=tables["users"]["embedding"].astype(np.float32),
            dims=manifest["dims"],
            settings=manifest["training"].get("settings", {}),
        )
        return Bundle(folder, manifest, _schema(folder, manifest, inputs), model)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(folder, None, f"is no bundle to go on from: {error!r}") from None


def _schema(folder: Path, manifest: dict, inputs: dict) -> Schema:
    text, categories, image, given = (inputs.get(name) for name in ("text", "categories", "image", "image_features"))
    return Schema(
        history=manifest["dims"]["history"],
        prior=manifest["fallback"]["prior"],
        item_statistics=[Statistic(**one) for one in manifest["statistics"]],
        user_statistics=[Statistic(**one) for one in manifest["user_statistics"]],
        context=[one["name"] for one in manifest["context"]],
        profile=[Vocabulary(one["name"], one["vocabulary"]) for one in manifest["profile"]],
        tokenizer=Tokenizer.load(folder / text["tokenizer"]) if text else None,
        text_length=text["length"] if text else 0,
        categories=Vocabulary("categories", categories["vocabulary"]) if categories else None,
        categories_length=categories["length"] if categories else 0,
        attributes=[Vocabulary(one["name"], one["vocabulary"]) for one in inputs.get("attributes") or []],
        image=ImageSpec(image["height"], image["width"], tuple(image["mean"]), tuple(image["std"])) if image else None,
        image_features=given["length"] if given else 0,
        actions=tuple(manifest["actions"]),
    )


def new_rows(dataset: Dataset, bundle: Bundle) -> np.ndarray:
    """Rows of the training part after those that the bundle was trained on, which must come first in the data. DataError where there are none, or where they are others."""
    rows = np.flatnonzero(dataset.split == TRAIN)
    seen = bundle.manifest["training"]["rows"]
    items = {dataset.items[place].id for place in np.unique(dataset.item[rows[:seen]])}
    users = {dataset.user_ids[place] for place in np.unique(dataset.user[rows[:seen]])}
    if items != set(bundle.model.item_ids) or users != set(bundle.model.user_ids):
        raise DataError(dataset.folder, None, f"does not begin with the {seen} training rows of {bundle.folder}: give it the events of before, with the new ones after them")
    if len(rows) <= seen:
        raise DataError(dataset.folder, None, f"has {len(rows)} training rows, and {bundle.folder} was trained on {seen}: nothing is new")
    return rows[seen:]


def resume(bundle: Bundle, features: Features, rows: np.ndarray, schedule: Schedule, seed: int, progress: Progress | None = None) -> TrainedModel:
    """`bundle`'s model, trained further on `rows` of `features`, which are of the bundle's schema. `bundle.model` is changed in place."""
    model = bundle.model
    torch.manual_seed(seed)
    settings = model.settings
    item_ids, item_table = _extended(model.item_ids, model.item_table, features.item_ids, features.item[rows])
    user_ids, user_table = _extended(model.user_ids, model.user_table, features.user_ids, features.user[rows])
    click_model = _Resumed(
        _Cached(),
        model.user_encoder,
        model.ranker,
        _table(item_table, settings.get("item_dropout", _ITEM_DROPOUT)),
        _table(user_table, settings.get("user_dropout", _USER_DROPOUT)),
        Examples(features, _rows(features.item_ids, item_ids), _rows(features.user_ids, user_ids)),
        {"representation": torch.from_numpy(encode_items(model, features.items))},
    )
    # A graph reads the moment of one request, which several rows of a log do not share.
    size = 1 if model.dims["context"] else settings.get("request", 1)
    prior = settings.get("embedding_prior", _PRIOR) / len(rows)
    tables = (click_model.item_table.embedding, click_model.user_table.embedding)
    before = [table.detach().clone() for table in tables]

    def loss(batch: Tensor) -> Tensor:
        moved = sum((table - old).square().sum() for table, old in zip(tables, before))
        return click_model.log_loss(click_model.examples.batch(batch)) + 0.5 * prior * moved

    validation = requests(features, features.rows(1), size)
    begin(progress, f"resume {model.recipe}")
    fit(click_model, requests(features, rows, size, seed), loss, schedule, seed, (lambda: click_model.score(validation)) if len(validation) else None, progress)
    _calibrate(click_model, progress)
    return TrainedModel(
        recipe=model.recipe,
        item_encoder=model.item_encoder,
        user_encoder=model.user_encoder,
        ranker=model.ranker,
        item_inputs=model.item_inputs,
        item_ids=item_ids,
        item_table=tables[0].detach().numpy().copy(),
        user_ids=user_ids,
        user_table=tables[1].detach().numpy().copy(),
        dims=model.dims,
        settings=settings,
    )


def _calibrate(model: _Resumed, progress: Progress | None) -> None:
    """Calibrates the ranker anew on the validation part, above the calibration that is in its graph. A graph that has none stays as it is."""
    features, ranker = model.examples.features, model.ranker
    scale, bias = (ranker.constant(name) for name in (_SCALE, _BIAS))
    if scale is None or bias is None or not len(features.rows(1)):
        return
    begin(progress, "calibrate", "rows")
    rows, logits = model.predict(requests(features, features.rows(1), 1), progress=progress)
    more, shift = fit_calibration(logits, features.label[rows])
    ranker.set_constant(_SCALE, more * scale)
    ranker.set_constant(_BIAS, more * bias + shift)


class _Resumed(ClickModel):
    """A click model of graphs: they are of one length of history, and give probabilities."""

    def __init__(self, *parts: Any):
        super().__init__(*parts)
        self.examples: Examples = parts[5]

    def forward(self, batch: Batch) -> Tensor:
        user_state, history_state, item, context = self.ranker_inputs(batch)
        return torch.logit(self.ranker(user_state=user_state, history_state=history_state, item=item, context=context[:, 0]), eps=1e-6)


class _Cached(nn.Module):
    """Representations as they are."""

    def forward(self, representation: Tensor) -> Tensor:
        return representation


def _table(values: np.ndarray, dropout: float) -> IdTable:
    table = IdTable(len(values) - 1, values.shape[1], dropout)
    table.embedding = nn.Parameter(torch.from_numpy(values.copy()))
    return table


def _extended(ids: list[str], table: np.ndarray, names: list[str], places: np.ndarray) -> tuple[list[str], np.ndarray]:
    """IDs and table with a row for each of `places` that has none; it starts as the unknown vector."""
    known = set(ids)
    new = [names[place] for place in np.unique(places).tolist() if names[place] not in known]
    return [*ids, *new], np.concatenate([table, np.repeat(table[:1], len(new), 0)])


def _rows(names: list[str], ids: list[str]) -> Tensor:
    places = {name: place for place, name in enumerate(ids, start=1)}
    return torch.tensor([places.get(name, 0) for name in names])
