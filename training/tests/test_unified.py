"""`unified`: its towers are the recipes' models, it learns without any of its parts, and an item without a modality is a case that it knows."""

import dataclasses

import numpy as np
import pytest
import torch
from test_recipes import QUICK, UNIFIED, only, tasteful

from recbackend.data import UnfitData
from recbackend.recipes import id as id_recipe
from recbackend.recipes import mim, unified
from recbackend.replay import Replay, encode_items
from recbackend.train import Examples, requests

ALL = dataclasses.replace(UNIFIED, towers=unified.TOWERS)


@pytest.fixture(scope="module")
def features():
    return tasteful(3, picture=True)


@pytest.fixture(scope="module")
def content(features):
    return unified.content_of(features, ALL, 1)


@pytest.fixture(scope="module")
def model(features, content):
    """Untrained, with random weights everywhere."""
    model = unified.build(features, ALL, content, 1)
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return model.eval()


def batch_of(features, count=40):
    return Examples.of(features).batch(requests(features, features.rows(0), 4)[:count])


@torch.no_grad()
def logits_of_towers(model, batch):
    return model.scored(batch, model.ranker.logits_of_towers)


def test_score_is_the_mean_of_the_towers(model, features):
    batch = batch_of(features)
    with torch.no_grad():
        towers, joined = logits_of_towers(model, batch), model(batch)
    assert towers.shape[2] == 4 and towers.std(2).min() > 0
    torch.testing.assert_close(joined, towers.mean(2))


def test_a_tower_scores_as_the_recipe_that_it_is(features, content):
    """The ID tower is what `id` starts with: joined to others it computes the same."""
    joined = unified.build(features, dataclasses.replace(UNIFIED, towers=("content", "ids")), content, 5).eval()
    alone = id_recipe.build(features, dataclasses.replace(id_recipe.Config(), item_id=8, user_id=8, category_width=4, attribute_width=4, shape=UNIFIED.shape), 5).eval()
    batch = batch_of(features)
    with torch.no_grad():
        torch.testing.assert_close(logits_of_towers(joined, batch)[:, :, 1], alone(batch), atol=1e-5, rtol=1e-5)


def test_each_tower_is_trained_by_its_own_score(model, features):
    """Of the loss of one tower, no other tower has a gradient; with a loss of the mean alone, all have."""
    batch = batch_of(features)
    logits = model.scored(batch, model.ranker.logits_of_towers)
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.label.unsqueeze(2).expand_as(logits), reduction="none")
    present = batch.present.unsqueeze(2)
    torch.testing.assert_close(model.log_loss(batch), (each * present).sum() / (4 * present.sum()))
    gradients = torch.autograd.grad((each[:, :, 0] * batch.present).sum(), [tower.cross_score.weight for tower in model.ranker.towers], allow_unused=True)
    assert gradients[0].abs().sum() > 0 and all(one is None or not one.any() for one in gradients[1:])
    together = unified.JoinedModel.log_loss(model, batch)
    model.apart = False
    try:
        assert not torch.allclose(together, model.log_loss(batch))
    finally:
        model.apart = True


def test_training_drops_a_modality_in_all_towers_and_serving_does_not(model, features):
    many = {name: value[1:2].repeat(3000, *[1] * (value.dim() - 1)) for name, value in model.inputs.items()}
    top = model.item_encoder
    wholes = torch.split(top(**{name: value[1:2] for name, value in model.inputs.items()}), top.widths, 1)
    try:
        with torch.no_grad():
            seen = torch.split(top.train()(**many), top.widths, 1)
    finally:
        top.eval()
    content, interests = ((part != whole).any(1) for part, whole in zip(seen[1:3], wholes[1:3]))
    assert torch.equal(content, interests) and float(content.float().mean()) == pytest.approx(0.3, abs=0.03)  # text, picture, side features: a tenth each
    ids, sequence = ((part != whole).any(1) for part, whole in ((seen[0], wholes[0]), (seen[3], wholes[3])))
    assert torch.equal(ids, sequence) and float(ids.float().mean()) == pytest.approx(0.1, abs=0.02)  # they read side features alone
    with torch.no_grad():
        assert not (top(**many) != torch.cat(wholes, 1)).any()


@pytest.mark.parametrize("missing", ["text", "picture", "side", "all"])
def test_item_without_a_modality_gets_a_representation_of_what_is_left(features, missing):
    trained = unified.train(features, dataclasses.replace(UNIFIED, schedule=dataclasses.replace(QUICK, epochs=1)), 1)
    gone = {"text": ["text"], "picture": ["image_features", "has_image_features"], "side": ["categories", "attributes"]}
    names = sum(gone.values(), []) if missing == "all" else gone[missing]
    items = dataclasses.replace(features.items, **{name: np.zeros_like(getattr(features.items, name)) for name in names})
    whole, part = encode_items(trained, features.items), encode_items(trained, items)
    assert np.isfinite(part).all() and not np.allclose(part[1:5], whole[1:5], atol=1e-3)
    scores = Replay(trained, dataclasses.replace(features, items=items)).scores(features.rows(2))
    assert np.isfinite(scores).all() and scores.std() > 0


ABLATIONS = {
    **{f"{name} alone": {"towers": (name,)} for name in unified.TOWERS},
    "one loss": {"apart": False},
    "content not tuned": {"tuned": False},
    "not plugged in": {"plugged": False},
    "sequence not pre-trained": {"towers": ("sequence",), "pretrained": False},
    "aligned": {"towers": ("ids",), "aligned": True},
}


@pytest.mark.parametrize("change", ABLATIONS.values(), ids=ABLATIONS)
def test_each_part_can_be_left_out_and_makes_a_difference(features, change):
    base = {"towers": change["towers"]} if len(change) > 1 else {}
    config = dataclasses.replace(UNIFIED, schedule=dataclasses.replace(QUICK, epochs=1))
    with_it, without = (Replay(unified.train(features, dataclasses.replace(config, **one), 1), features) for one in (base, change))
    rows = features.rows(2)
    scores = without.scores(rows)
    assert np.isfinite(scores).all() and scores.std() > 0
    assert with_it.static_row.shape != without.static_row.shape or not np.allclose(with_it.scores(rows), scores, atol=1e-3)


@pytest.mark.parametrize("towers", [(), ("ids", "ids"), ("ids", "words")])
def test_towers_that_are_none_are_refused(features, towers):
    with pytest.raises(UnfitData, match="any of ids, content, interests, sequence"):
        unified.train(features, dataclasses.replace(UNIFIED, towers=towers), 1)


@pytest.mark.parametrize("reads", [("text",), ("image_features",), ("categories", "attributes")], ids=["text alone", "pictures alone", "side features alone"])
def test_data_without_a_modality_trains_and_scores(features, reads):
    features = only(features, reads)
    model = unified.train(features, dataclasses.replace(UNIFIED, schedule=dataclasses.replace(QUICK, epochs=1)), 1)
    assert set(model.item_inputs) == set(reads)
    scores = Replay(model, features).scores(features.rows(2))
    assert np.isfinite(scores).all() and scores.std() > 0


def test_content_stays_as_it_was_tuned_while_clicks_are_learned(features, content):
    before = {name: value.clone() for name, value in content.state_dict().items()}
    model = unified.build(features, UNIFIED, content, 1)
    assert isinstance(content, mim.ContentEncoder) and before
    unified.fit(torch.nn.ModuleList([content, model]), requests(features, features.rows(0), 4, 1)[:40], model.loss, dataclasses.replace(QUICK, epochs=1), 1)
    assert all(torch.equal(before[name], value) for name, value in content.state_dict().items())
