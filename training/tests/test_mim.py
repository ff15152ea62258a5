"""MIM: what each stage of content learns, and that interests come from cosines of the cached representations."""

import dataclasses

import numpy as np
import pytest
import torch
from test_recipes import ENOUGH, MIM, QUICK, only, tasteful, told_apart
from torch.nn import functional

from recbackend.recipes import mim
from recbackend.replay import Replay
from recbackend.train import Examples, Schedule, conclude, fit, requests


@pytest.fixture(scope="module")
def features():
    """Contents of which behaviour alone tells which parts matter: each item has a picture and a text of its own, at random."""
    features = tasteful(3, picture=True, rows=6000, users=100)
    random = np.random.default_rng(0)
    count = len(features.item_ids)
    items = dataclasses.replace(
        features.items,
        image_features=random.normal(size=(count, 6)).astype(np.float32),
        has_image_features=np.arange(count) % 5 > 0,
        text=random.integers(3, features.schema.text_size, (count, 16)),
        categories=np.full_like(features.items.categories, 2),
        attributes=np.full_like(features.items.attributes, 2),
    )
    return dataclasses.replace(features, items=items)


@pytest.fixture(scope="module")
def tuned(features):
    config = dataclasses.replace(MIM, sft=Schedule(epochs=10, batch=32, learning_rate=1e-2))
    text, picture, _ = mim.pretrain(features, config, 1)
    return mim.tune_on_behaviour(features, config, text, picture, 1)


def parity(features):
    return np.arange(len(features.item_ids)) % 2


def test_text_and_picture_of_an_item_find_each_other():
    features = tasteful(3, picture=True)
    text, picture, stage = mim.pretrain(features, dataclasses.replace(MIM, pretraining=ENOUGH), 1)
    assert stage.losses[-1] < stage.losses[0]
    inputs = Examples.of(features).item_inputs(("text", "image_features"))
    both = inputs["image_mask"][:, 0] > 0
    with torch.no_grad():
        similarity = text(inputs["text"][both]) @ picture(inputs["image_features"][both], inputs["image_mask"][both]).t()
    own = similarity.diagonal().mean()
    assert own > similarity.mean() + 0.1


def test_behaviour_teaches_content_what_goes_together(features, tuned):
    encoder, stage = tuned
    assert stage.losses[-1] < stage.losses[0]
    torch.manual_seed(1)
    text, picture, _ = mim.pretrain(features, MIM, 1)
    before, _ = mim.tune_on_behaviour(features, dataclasses.replace(MIM, sft=dataclasses.replace(QUICK, epochs=1, learning_rate=1e-9)), text, picture, 1)
    inputs = Examples.of(features).item_inputs(encoder.reads)
    with torch.no_grad():
        assert told_apart(encoder(**inputs), parity(features)) > 0.8 > told_apart(before(**inputs), parity(features)) + 0.1


def test_pairs_stay_within_a_user_and_the_training_part(features):
    likes = mim.Likes.of(features)
    training = features.rows(0)
    clicks = {(features.user[row], features.item[row]) for row in training[features.label[training] == 1]}
    assert len(likes.item) > 1000 and {(int(u), int(i)) for u, i in zip(likes.user, likes.item)} <= clicks
    # The future's clicks, of the same users, change nothing.
    later = np.setdiff1d(np.arange(len(features.click_item)), [place for row in training for place in range(features.history_begin[row], features.history_end[row])])
    assert len(later)
    changed = features.click_item.copy()
    changed[later] = (changed[later] + 7) % len(features.item_ids)
    assert torch.equal(mim.Likes.of(dataclasses.replace(features, click_item=changed)).item, likes.item)
    queries = likes.queries()
    assert (likes.user[queries] == likes.user[queries + 1]).all()


def test_what_the_same_user_liked_is_no_negative(features):
    encoder = mim.tune_on_behaviour(features, MIM, *mim.pretrain(features, MIM, 1)[:2], 1)[0]
    likes = mim.Likes.of(features)
    model = mim.Csft(encoder, Examples.of(features).item_inputs(encoder.reads), likes, dataclasses.replace(MIM, token_dropout=0.0, content_dropout=0.0, soon=1))
    user = likes.user[likes.queries()]
    alone = likes.queries()[user == user[0]][:8]  # of one user: without negatives there is nothing to lose
    assert float(model.loss(alone)) == pytest.approx(0, abs=1e-5)
    others = torch.stack([likes.queries()[user == one][0] for one in user.unique()[:8]])
    assert float(model.loss(others)) > 0.1


def test_what_the_same_user_liked_is_no_negative_though_it_is_the_target_of_another(features):
    """User 0 likes 0, 1, 2, 3; user 1 likes 4, 3: to find 1 with 0, item 3 is no negative, but to find 3 with 4, item 1 is one."""
    encoder = mim.tune_on_behaviour(features, MIM, *mim.pretrain(features, MIM, 1)[:2], 1)[0]
    likes = mim.Likes(torch.tensor([0, 1, 2, 3, 4, 3]), torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([4, 4, 4, 4, 6, 6]))
    model = mim.Csft(encoder, Examples.of(features).item_inputs(encoder.reads), likes, dataclasses.replace(MIM, token_dropout=0.0, content_dropout=0.0, soon=1))
    assert model.liked(torch.tensor([0, 1]), torch.tensor([1, 3, 0])).tolist() == [[True, True, True], [False, True, False]]
    inputs = Examples.of(features).item_inputs(encoder.reads)
    with torch.no_grad():
        fused, text, picture = encoder.parts({name: value[:5] for name, value in inputs.items()})
        wanted = 0.0
        for content in (fused, text, picture):
            if float(content[3].norm()) == 0 or float(content[1].norm()) == 0:
                pytest.fail("the items of this test have all content")
            to_own, to_other = (fused[4] @ content[place] * torch.exp(-model.log_temperature) for place in (3, 1))
            losses = torch.stack([torch.zeros(()), functional.softplus(to_other - to_own)])
            weights = model._weight[torch.tensor([0, 4])] * model._weight[torch.tensor([1, 3])]
            wanted += float((losses * weights).sum() / weights.sum())
        assert float(model.loss(torch.tensor([0, 4]))) == pytest.approx(wanted, rel=1e-5)


def test_control_of_random_content_learns_nothing_of_it(features):
    config = dataclasses.replace(MIM, pretrained_content=False)
    text, picture, first = mim.pretrain(features, config, 1)
    encoder, second = mim.tune_on_behaviour(features, config, text, picture, 1)
    assert (first, second) == (None, None)
    torch.manual_seed(1)
    assert torch.equal(text.token.weight, type(text)(features.schema.text_size, config.text).token.weight)
    assert not torch.equal(text.token.weight, mim.pretrain(features, MIM, 1)[0].token.weight)
    assert not any(part.requires_grad for part in encoder.parameters())


def test_tuning_on_behaviour_drops_modalities(features, tuned):
    """Of many copies of one item, a share is without text, without picture, without side features; the vectors of text and picture that losses of their own read stay."""
    encoder = tuned[0]
    inputs = {name: value[1:2].repeat(3000, *[1] * (value.dim() - 1)) for name, value in Examples.of(features).item_inputs(encoder.reads).items()}
    with torch.no_grad():
        whole, text, picture = encoder.parts(inputs)
        fused, text_then, picture_then = encoder.parts(inputs, content_dropout=0.2)
        without_text = encoder(**{name: value * (name != "text") for name, value in inputs.items()})
    assert torch.equal(text, text_then) and torch.equal(picture, picture_then)
    assert float((fused == whole).all(1).float().mean()) == pytest.approx(0.8**3, abs=0.04)
    assert float(((fused - without_text).abs().amax(1) < 1e-6).float().mean()) == pytest.approx(0.2 * 0.8**2, abs=0.03)


def test_pairs_of_hot_items_weigh_less(features):
    encoder = mim.tune_on_behaviour(features, MIM, *mim.pretrain(features, MIM, 1)[:2], 1)[0]
    likes = mim.Likes(torch.tensor([0, 1] * 50 + [2, 3]), torch.arange(51).repeat_interleave(2), torch.arange(51).repeat_interleave(2) * 2 + 2)
    model = mim.Csft(encoder, {}, likes, MIM)
    assert model._weight[0] == model._weight[1] < model._weight[2] == model._weight[3]


@pytest.mark.parametrize("missing", ["text", "picture", "side", "all"])
def test_item_without_a_modality_has_a_finite_representation_of_what_is_left(features, tuned, missing):
    encoder = tuned[0]
    inputs = Examples.of(features).item_inputs(encoder.reads)
    gone = {"text": ["text"], "picture": ["image_features", "image_mask"], "side": ["categories", "attributes"], "all": list(inputs)}[missing]
    with torch.no_grad():
        whole, part = encoder(**inputs), encoder(**{name: value * (name not in gone) for name, value in inputs.items()})
    if missing == "all":
        assert (part == 0).all()
        return
    torch.testing.assert_close(part.norm(dim=1), torch.ones(len(part)))
    assert not torch.allclose(part[1:5], whole[1:5], atol=1e-3)  # item 0 has no picture


def test_training_drops_modalities_and_serving_does_not(features, tuned):
    model = mim.build(features, dataclasses.replace(MIM, content_dropout=0.2), tuned[0], 1)
    content = model.inputs["content"]
    assert content.shape[1] == 4  # whole, and without text, picture, side
    many = {name: value[1:2].repeat(3000, *[1] * (value.dim() - 1)) for name, value in model.inputs.items()}
    model.item_encoder.train()
    with torch.no_grad():
        seen = model.item_encoder(**many)[:, : content.shape[2]]
        shares = [float((seen == content[1, variant]).all(1).float().mean()) for variant in range(4)]
        assert shares[0] == pytest.approx(0.4, abs=0.05) and all(share == pytest.approx(0.2, abs=0.05) for share in shares[1:])
        model.item_encoder.eval()
        torch.testing.assert_close(model.item_encoder(**model.inputs)[:, : content.shape[2]], content[:, 0])


def test_exported_content_is_what_clicks_were_learned_on(features, tuned):
    """Clicks are learned on vectors that were computed once: an encoder that could change meanwhile would be exported with others."""
    encoder = tuned[0]
    assert not any(one.requires_grad for one in encoder.parameters())
    model = mim.build(features, MIM, encoder, 1)
    fit(torch.nn.ModuleList([encoder, model]), requests(features, features.rows(0), 4, 1)[:40], model.loss, dataclasses.replace(QUICK, epochs=1), 1)
    replay = Replay(conclude("mim", model, features, mim.ItemEncoder(encoder, model.item_encoder), encoder.reads, MIM), features)
    np.testing.assert_allclose(replay.representation[:, : encoder.width], model.inputs["content"][:, 0], atol=1e-5)


def test_cosines_are_those_of_the_cached_representations(features, tuned):
    """The interests, written out from an item's row and the representations of the history that a server holds."""
    model = mim.build(features, MIM, tuned[0], 1).eval()
    trained = conclude("mim", model, features, mim.ItemEncoder(tuned[0], model.item_encoder), tuned[0].reads, MIM)
    replay = Replay(trained, features)
    row = features.rows(2)[features.history_end[features.rows(2)] - features.history_begin[features.rows(2)] >= 3][:1]
    history = features.history(row)
    count, width = int(history.mask.sum()), tuned[0].width
    cached = replay.representation[:, :width]
    np.testing.assert_allclose(np.linalg.norm(cached, axis=1), 1, atol=1e-4)
    candidates = np.array([2, 5, 9])
    past = cached[history.items[0, :count]]
    cosine = cached[candidates] @ past.T
    interests = trained.ranker.attention
    weights = np.exp(cosine * float(interests.log_sharpness.exp()))
    weights /= weights.sum(1, keepdims=True)
    with torch.no_grad():
        _, state = trained.user_encoder(**replay.user_inputs(row))
        read, product = interests(torch.from_numpy(replay.static_row[candidates]).unsqueeze(0), state)
    place = interests.id_interest.read
    np.testing.assert_allclose(read[0, :, place : place + width], weights @ past, atol=1e-4)
    np.testing.assert_allclose(product[0, :, place : place + width], (weights @ past) * cached[candidates], atol=1e-4)
    tiers = [[sum(1 / (1 + np.exp(-20 * (cosine[n, l] - at))) for l in range(count)) for at in np.linspace(0, 0.9, 3)] for n in range(3)]
    np.testing.assert_allclose(read[0, :, -6:-3], np.log1p(tiers), atol=1e-3)


def test_tuned_content_beats_random_content(features, tuned):
    """IDs aside, so that content has to do the work."""
    config = dataclasses.replace(MIM, item_dropout=1.0, user_dropout=1.0, schedule=Schedule(epochs=8, batch=16, learning_rate=1e-2))
    examples, validation = requests(features, features.rows(0), 4, 1)[::3], requests(features, features.rows(1), 1)
    torch.manual_seed(0)
    random, _ = mim.tune_on_behaviour(
        features, dataclasses.replace(config, sft=dataclasses.replace(QUICK, epochs=1, learning_rate=1e-9)), *mim.pretrain(features, MIM, 1)[:2], 1
    )
    scores = []
    for content in (tuned[0], random):
        model = mim.build(features, config, content, 1)
        fit(model, examples, model.loss, config.schedule, 1)
        scores.append(model.score(validation))
    assert scores[0] > scores[1] + 0.05


@pytest.mark.parametrize("reads", [("text",), ("image_features",), ("categories", "attributes")], ids=["text alone", "pictures alone", "side features alone"])
def test_data_without_a_modality_trains_and_scores(reads):
    features = only(tasteful(3, picture=True), reads)
    model = mim.train(features, dataclasses.replace(MIM, schedule=dataclasses.replace(QUICK, epochs=1)), 1)
    assert set(model.item_inputs) == set(reads)
    scores = Replay(model, features).scores(features.rows(2))
    assert np.isfinite(scores).all() and scores.std() > 0
