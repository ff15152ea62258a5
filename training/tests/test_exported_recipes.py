"""The exported graphs of every recipe, joined as serving joins them, are the model that was trained."""

import datetime
from dataclasses import replace

import numpy as np
import onnx_reference
import pytest
import torch
from conftest import REPOSITORY

from recbackend import data, export, flops, safetensors, train
from recbackend.features import build
from recbackend.golden_recipes import small_recipes, with_pictures
from recbackend.graph import Graph
from recbackend.recipes import unified
from recbackend.train import Schedule, requests

ONCE = Schedule(epochs=1, batch=16, learning_rate=1e-2)
RECIPES = small_recipes(ONCE)
RECIPES["srp4ctr"] = replace(RECIPES["srp4ctr"], config=replace(RECIPES["srp4ctr"].config, schedule=replace(ONCE, epochs=10)))
for name in ("unified", "unified-pixels"):
    RECIPES[name] = replace(RECIPES[name], config=replace(RECIPES[name].config, towers=unified.TOWERS))
TRAINING = export.Training("test", 1, datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc))


@pytest.fixture(scope="module", params=RECIPES)
def exported(request, tmp_path_factory):
    """Features, the joined model that training ends with, and the folder of its bundle."""
    recipe = RECIPES[request.param]
    dataset = data.read(REPOSITORY / "tests" / "golden" / "tiny-data")
    out = tmp_path_factory.mktemp("exported") / "bundle"
    if recipe.pixels:
        dataset = replace(dataset, items=with_pictures(dataset.items, out.parent))
    features = build(dataset, recipe.options())
    seen = []
    conclude = train.conclude

    def remember(name, model, *rest):
        seen.append(model)
        finished = conclude(name, model, *rest)
        # What a few rows calibrate to may be nearly the same score for all, and any graph would pass.
        finished.ranker.calibration.scale.fill_(2.0)
        finished.ranker.calibration.bias.fill_(-0.5)
        return finished

    with pytest.MonkeyPatch.context() as patch:
        for module in (train, unified):
            patch.setattr(module, "conclude", remember)
        trained = recipe.module.train(features, recipe.config, 1)
    export.write(trained, features, dataset, out, TRAINING, uncached=True)
    model = seen[0]
    with torch.no_grad():  # the tables are written in 16 bits
        for name, table in (("items", model.item_table), ("users", model.user_table)):
            table.embedding.copy_(torch.from_numpy(safetensors.read(out / f"{name}.safetensors")["embedding"].astype(np.float32)))
    return features, model, out


def embeddings(out, name):
    """An ID table as a host reads it: vector of an id, and that of an unknown one."""
    table = safetensors.read(out / f"{name}.safetensors")
    vectors = table["embedding"].astype(np.float32)
    places = {one: place for place, one in enumerate(table["ids"].tobytes().decode().split("\n")[:-1], start=1)}
    return lambda ids: vectors[[places.get(one, 0) for one in ids]]


def test_cached_graphs_give_the_scores_of_the_trained_model(exported):
    features, model, out = exported
    read = features.items.named(("text", "categories", "attributes", "image", "image_features"))
    static = np.concatenate([embeddings(out, "items")(features.item_ids), onnx_reference.run(out / "item_encoder.onnx", read)[0]], 1)
    users = embeddings(out, "users")
    rows = features.rows(2)
    assert not features.item_known[features.item[rows]].all() and not features.user_known[features.user[rows]].all()
    scores = []
    for row in rows:
        history = features.history(np.array([row]))
        user = {
            "user_embedding": users([features.user_ids[features.user[row]]]),
            "profile": features.profile[features.user[[row]]],
            "user_statistics": features.user_statistics[[row]],
            "history": static[history.items] * history.mask[:, :, None],
            "history_actions": history.actions,
            "history_intervals": history.intervals,
            "history_mask": history.mask,
        }
        user_state, history_state = onnx_reference.run(out / "user_encoder.onnx", user)
        # The row's item, and others that must not matter.
        items = np.r_[features.item[row], features.item[:3]]
        item = np.concatenate([static[items], features.item_statistics[[row, 0, 1, 2]]], 1)
        served = {"user_state": user_state, "history_state": history_state, "item": item[None], "context": features.context[[row]]}
        scores.append(onnx_reference.run(out / "ranker.onnx", served)[0][0, 0])
    ordered, logits = model.predict(requests(features, rows, 1))
    assert ordered.tolist() == rows.tolist()
    expected = torch.sigmoid(model.ranker.calibration.scale * torch.from_numpy(logits) + model.ranker.calibration.bias).numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("graph", ["item_encoder", "user_encoder", "ranker"])
def test_graphs_reproduce_their_examples(exported, graph):
    out = exported[2]
    examples = {name.removeprefix(f"{graph}/"): value for name, value in safetensors.read(out / "golden.safetensors").items() if name.startswith(f"{graph}/")}
    names = {"item_encoder": ["representation"], "user_encoder": ["user_state", "history_state"], "ranker": ["score"]}[graph]
    for name, found in zip(names, onnx_reference.run(out / f"{graph}.onnx", examples)):
        np.testing.assert_allclose(found, examples[name], atol=1e-4, rtol=1e-4)
    # So do they where training goes on from them.
    with torch.no_grad():
        found = Graph(out / f"{graph}.onnx")(**{name: torch.from_numpy(value.copy()) for name, value in examples.items()})
    for name, value in zip(names, found if isinstance(found, tuple) else (found,)):
        np.testing.assert_allclose(value.numpy(), examples[name], atol=1e-4, rtol=1e-4)


def test_uncached_graph_gives_the_score_of_the_cached_ones(exported):
    out = exported[2]
    example = safetensors.read(out / "uncached.safetensors")
    score = onnx_reference.run(out / "uncached.onnx", example)[0]
    np.testing.assert_allclose(score, safetensors.read(out / "golden.safetensors")["ranker/score"], atol=1e-4)


def test_arithmetic_can_be_counted(exported):
    costs = flops.of_bundle(exported[2], 100)
    assert costs.user > 1000 and costs.ranker > 100 * 1000
