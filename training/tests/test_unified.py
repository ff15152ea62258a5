"""`unified`: its towers are the recipes' models, it learns without any of its parts, and an item without a modality is a case that it knows."""

import dataclasses

import numpy as np
import pytest
import torch
from test_recipes import QUICK, UNIFIED, only, tasteful

from recbackend import id_prior
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
def variants(features, content):
    return mim.variants(content, Examples.of(features).item_inputs(content.reads))


@pytest.fixture(scope="module")
def towers(features, content, variants):
    """Untrained, with random weights everywhere."""
    towers = [unified.build(name, variants, content, features, ALL, 1) for name in ALL.towers]
    torch.manual_seed(2)
    with torch.no_grad():
        for tower in towers:
            for parameter in tower.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)
    return [tower.eval() for tower in towers]


def batch_of(features, count=40):
    return Examples.of(features).batch(requests(features, features.rows(0), 4)[:count])


@torch.no_grad()
def test_joined_towers_score_as_each_alone_and_the_score_is_their_mean(towers, variants, features):
    model, batch = unified.joined(towers, variants[:, 0], features).eval(), batch_of(features)
    each = model.scored(batch, model.ranker.logits_of_towers)
    assert each.shape[2] == 4 and each.std(2).min() > 0
    for place, tower in enumerate(towers):
        torch.testing.assert_close(each[:, :, place], tower(batch), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(batch), each.mean(2))


def test_a_tower_is_trained_as_the_recipe_that_it_is(features):
    """The ID tower ends with the weights of `id`, whichever towers are beside it."""
    config = dataclasses.replace(UNIFIED, predicted=False, ids=dataclasses.replace(UNIFIED.ids, request=2, item_dropout=0.2))
    ours = unified.train(features, dataclasses.replace(config, towers=("interests", "ids")), 5)
    alone = id_recipe.train(features, unified.of_tower("ids", config), 5)
    assert unified.of_tower("ids", config).item_dropout == 0.2 and unified.of_tower("ids", config).request == 2
    np.testing.assert_array_equal(ours.item_table[:, -8:], alone.item_table)
    for name, weight in alone.ranker.named_parameters():
        assert torch.equal(ours.ranker.towers[1].get_parameter(name), weight)


def test_each_tower_keeps_the_epoch_that_is_best_for_itself(features):
    longer = dataclasses.replace(UNIFIED, schedule=dataclasses.replace(QUICK, epochs=4, patience=4))
    kept = []
    learn = unified.learn_clicks

    def remember(model, features, config, *rest):
        kept.append((learn(model, features, config, *rest), model.score(requests(features, features.rows(1), config.request))))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unified, "learn_clicks", remember)
        unified.train(features, longer, 1)
    assert len(kept) == 3 and all(len(done.checks) == 4 for done, _ in kept)
    assert [score for _, score in kept] == [max(done.checks) for done, _ in kept]


def test_training_drops_a_modality_and_serving_does_not(towers, features):
    tower = towers[ALL.towers.index("content")]
    many = {name: value[1:2].repeat(3000, *[1] * (value.dim() - 1)) for name, value in tower.inputs.items()}
    top = tower.item_encoder
    whole = top(many["content"][:1, 0], *(many[name][:1] for name in ("categories", "attributes")))
    try:
        with torch.no_grad():
            seen = top.train()(**many)
    finally:
        top.eval()
    assert float(_differ(seen, whole).float().mean()) == pytest.approx(0.3, abs=0.03)  # text, picture, side features: a tenth each
    kinds = 0
    while len(seen):
        seen = seen[_differ(seen, seen[:1])]
        kinds += 1
    assert kinds == 4
    with torch.no_grad():
        assert not _differ(top(**many), whole).any()


def _differ(rows, row):
    """Which rows are not the one; in a product, the last digits may depend on the row's place."""
    return (rows - row).abs().amax(1) >= 1e-5


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
    "content not tuned": {"tuned": False},
    "not plugged in": {"plugged": False},
    "sequence not pre-trained": {"towers": ("sequence",), "pretrained": False},
    "aligned": {"towers": ("ids",), "aligned": True},
    "not predicted": {"towers": ("ids", "content"), "predicted": False},
}


@pytest.mark.parametrize("change", ABLATIONS.values(), ids=ABLATIONS)
def test_each_part_can_be_left_out_and_makes_a_difference(features, change):
    base = {"towers": change["towers"]} if len(change) > 1 else {}
    config = dataclasses.replace(UNIFIED, schedule=dataclasses.replace(QUICK, epochs=1))
    with_it, without = (Replay(unified.train(features, dataclasses.replace(config, **one), 1), features) for one in (base, change))
    rows = features.rows(2)
    scores = without.scores(rows)
    assert np.isfinite(scores).all() and scores.std() > 0
    assert not np.allclose(with_it.scores(rows), scores, atol=1e-3)


def test_nothing_is_learned_of_words_without_pre_trained_content(features):
    config = dataclasses.replace(UNIFIED, towers=("ids",), pretrained_content=False, schedule=dataclasses.replace(QUICK, epochs=1))
    first, second = (Replay(unified.train(features, dataclasses.replace(config, aligned=aligned), 1), features) for aligned in (False, True))
    np.testing.assert_array_equal(first.scores(features.rows(2)), second.scores(features.rows(2)))


@pytest.mark.parametrize("reads", [("text",), ("image_features",), ("categories", "attributes")], ids=["text alone", "pictures alone", "side features alone"])
def test_data_without_a_modality_trains_and_scores(features, reads):
    features = only(features, reads)
    model = unified.train(features, dataclasses.replace(UNIFIED, schedule=dataclasses.replace(QUICK, epochs=1)), 1)
    assert set(model.item_inputs) == set(reads)
    scores = Replay(model, features).scores(features.rows(2))
    assert np.isfinite(scores).all() and scores.std() > 0


def test_towers_learn_on_the_content_that_is_exported(features, content, variants):
    """Clicks are learned on vectors that were computed once: an encoder that could change meanwhile would be exported with others."""
    assert isinstance(content, mim.ContentEncoder) and not any(one.requires_grad for one in content.parameters())
    tower = unified.build("content", variants, content, features, UNIFIED, 1)
    unified.fit(torch.nn.ModuleList([content, tower]), requests(features, features.rows(0), 4, 1)[:40], tower.loss, dataclasses.replace(QUICK, epochs=1), 1)
    with torch.no_grad():
        exported = content(**Examples.of(features).item_inputs(content.reads))
    torch.testing.assert_close(tower.inputs["content"][:, 0], exported)


def test_weights_of_unknown_items_are_of_the_id_tower_and_the_others(towers):
    unknown = unified.unknown_of(ALL.towers, towers, 0.7)
    assert unknown.weights == pytest.approx((0.7, 0.1, 0.1, 0.1)) and unknown.known_at == 8 - 1
    assert unified.unknown_of(("content", "ids"), towers[:2], 0.7) == unified.Unknown((pytest.approx(0.3), 0.7), 16 - 1)
    assert unified.unknown_of(("ids",), towers[:1], 0.7).weights == (1.0,)


@torch.no_grad()
def test_score_goes_from_the_weights_of_unknown_items_to_the_mean(towers, variants, features):
    unknown = unified.Unknown((0.7, 0.1, 0.1, 0.1), 7)
    model, batch = unified.joined(towers, variants[:, 0], features, unknown).eval(), batch_of(features)
    for how_far, bounded in ((0.0, 0.0), (0.25, 0.25), (1.0, 1.0), (-3.0, 0.0), (5.0, 1.0)):
        model.item_table.embedding[:, 7] = how_far
        each = model.scored(batch, model.ranker.logits_of_towers)
        expected = bounded * each.mean(2) + (1 - bounded) * (each * torch.tensor(unknown.weights)).sum(2)
        torch.testing.assert_close(model(batch), expected)
    assert (each.mean(2) - (each * torch.tensor(unknown.weights)).sum(2)).abs().max() > 1e-2


def test_bundle_says_how_far_items_are_known(features):
    config = dataclasses.replace(UNIFIED, schedule=dataclasses.replace(QUICK, epochs=1), prior=id_prior.Config(strength=5.0))
    model = unified.train(features, config, 1)
    rows = np.bincount(features.item_row[features.item[features.rows(0)]], minlength=len(model.item_table))
    np.testing.assert_allclose(model.item_table[1:, 8], rows[1:] / (rows[1:] + 5), rtol=1e-6)
    assert model.item_table[0, 8] == 0 and model.dims["item_id"] == 3 * 8 + 1
