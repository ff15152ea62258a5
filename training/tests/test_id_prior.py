"""ID vectors of unknown items, predicted from their words."""

import numpy as np
import pytest
import torch
from test_recipes import ID, tasteful

from recbackend import id_prior
from recbackend.id_prior import IdPrior, Noise
from recbackend.recipes import id as id_recipe
from recbackend.train import Examples, requests

TOKENS, WIDTH = 40, 3


def texts(items, seed=1, length=12):
    """Random token ids, at least one of them a word, filled up with padding."""
    random = np.random.default_rng(seed)
    text = random.integers(3, TOKENS, (items, length))
    return text * (np.arange(length) < random.integers(1, length + 1, (items, 1)))


@pytest.fixture(scope="module")
def features():
    return tasteful(3)


def test_regression_is_that_of_the_normal_equations():
    text, random = texts(60), np.random.default_rng(2)
    words, _ = id_prior._words(text, TOKENS)
    wanted, variance = torch.from_numpy(random.standard_normal((60, WIDTH))).float(), torch.from_numpy(random.uniform(0.1, 50, 60)).float()
    x, weight = words.to_dense().double(), 1 / variance.double().unsqueeze(1)
    expected = torch.linalg.solve(x.t() @ (weight * x) + torch.eye(TOKENS + 1, dtype=torch.float64), x.t() @ (weight * wanted.double()))
    torch.testing.assert_close(id_prior._ridge(words, wanted, variance).double(), expected, atol=2e-3, rtol=2e-2)


def test_map_finds_what_words_say_and_rare_items_say_less():
    text, random = texts(400), np.random.default_rng(3)
    of_a_word = random.standard_normal((TOKENS, WIDTH))
    true = np.stack([of_a_word[row[row > 2]].sum(0) / np.sqrt((row > 2).sum()) for row in text])
    # The second half are items of one row each, whose vectors are nothing but noise.
    vectors = np.concatenate([true[:200], random.standard_normal((200, WIDTH)) * 5])
    rows = np.r_[np.full(200, 10_000), np.full(200, 1)]
    prior = IdPrior(TOKENS, WIDTH)
    prior.fit(text, torch.from_numpy(vectors).float(), rows, Noise(), 1)
    unseen = texts(200, seed=9)
    expected = np.stack([of_a_word[row[row > 2]].sum(0) / np.sqrt((row > 2).sum()) for row in unseen])
    predicted = prior(torch.from_numpy(unseen)).numpy()
    for column in range(WIDTH):
        assert np.corrcoef(expected[:, column], predicted[:, column])[0, 1] > 0.9


def test_items_without_words_have_zeros():
    prior = IdPrior(TOKENS, WIDTH)
    prior.fit(texts(60), torch.randn(60, WIDTH, generator=torch.Generator().manual_seed(1)), np.arange(1, 61), Noise(), 1)
    assert prior.constant.abs().max() > 0
    empty = torch.tensor([[0, 0, 0], [2, 0, 0], [7, 0, 0]])  # padding, a separator, a word
    assert prior(empty)[:2].abs().max() == 0 and prior(empty)[2].abs().max() > 0
    torch.testing.assert_close(prior(torch.tensor([[7, 0, 0]])), prior(torch.tensor([[7, 2, 0]])))


def test_predictions_of_unseen_items_are_zero_on_average_over_rows():
    """Vectors that grow with an item's rows, and words that say nothing: an unseen item is the average row's, not the average item's."""
    random = np.random.default_rng(5)
    rows = np.r_[np.full(150, 1), np.full(150, 500)]
    vectors = torch.from_numpy(np.where(rows[:, None] > 1, 1.0, -1.0) * np.ones((300, WIDTH)) + 0.01 * random.standard_normal((300, WIDTH))).float()
    prior = IdPrior(TOKENS, WIDTH)
    prior.fit(texts(300), vectors, rows, Noise(own=50.0, a_row=0.0), 1)
    average_row = float((vectors * torch.from_numpy(rows / rows.sum()).float().unsqueeze(1)).sum(0).mean())
    predicted = float(prior(torch.from_numpy(texts(300, seed=8))).mean())
    assert average_row > 0.95 and abs(predicted) < 0.25  # not -1, which is the average item less the average row


@torch.no_grad()
def test_known_items_score_as_before_and_unknown_ones_by_their_words(features):
    examples = Examples.of(features)
    model = id_recipe.build(features, ID, 1)
    model.item_table.embedding[1:] += torch.randn(model.item_table.embedding[1:].shape, generator=torch.Generator().manual_seed(1))
    rows = requests(features, features.rows(0), 4)[:60]
    before = model.eval().predict(rows)[1]
    # One item becomes unknown: its rows get the vector of row 0, and after that the prediction.
    place = int(features.item[rows[0, 0]])
    unknown = examples.item_row.clone()
    unknown[place] = 0
    model._examples.item_row.copy_(unknown)
    cold = model.predict(rows)[1]
    prior = id_prior.add_to(model, Examples.of(features), Noise(), 1)
    warm = model.eval().predict(rows)[1]
    of_it = np.concatenate([features.item[row[row >= 0].numpy()] for row in rows]) == place
    history = np.concatenate([np.repeat((features.history(row[:1].numpy()).items == place).any(), int((row >= 0).sum())) for row in rows])
    others = ~of_it & ~history
    assert of_it.any() and others.sum() > 50
    np.testing.assert_allclose(warm[others], before[others], atol=1e-5)
    assert np.abs(warm[of_it] - cold[of_it]).min() > 1e-4
    predicted = prior(torch.from_numpy(features.items.text[place : place + 1]))
    torch.testing.assert_close(model.inputs["predicted"][place : place + 1], predicted)
    examples.item_row.copy_(torch.from_numpy(features.item_row))


def test_no_prior_where_too_few_items_have_words(features):
    from dataclasses import replace

    empty = replace(features, items=replace(features.items, text=np.zeros_like(features.items.text)))
    model = id_recipe.build(empty, ID, 1)
    assert id_prior.add_to(model, Examples.of(empty), Noise(), 1) is None and "predicted" not in model.inputs
