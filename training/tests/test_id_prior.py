"""ID vectors of unknown items, predicted from their words."""

import dataclasses

import numpy as np
import pytest
import torch
from test_recipes import ID, tasteful

from recbackend import id_prior
from recbackend.id_prior import Config, IdPrior
from recbackend.recipes import id as id_recipe
from recbackend.tokenizer import FIRST_MERGE
from recbackend.train import Examples, requests

WORDS, WIDTH = 40, 3
TOKENS = FIRST_MERGE + WORDS


def texts(items, seed=1, length=12):
    """Random words, at least one, filled up with padding."""
    random = np.random.default_rng(seed)
    text = random.integers(FIRST_MERGE, TOKENS, (items, length))
    return text * (np.arange(length) < random.integers(1, length + 1, (items, 1)))


def fitted(text, vectors, rows, config=Config()):
    prior = IdPrior(TOKENS, WIDTH)
    prior.fit(text, torch.from_numpy(np.asarray(vectors)).float(), rows, config, 1)
    return prior


def said(text, of_a_word):
    """What words with vectors [TOKENS, WIDTH] say."""
    return np.stack([of_a_word[row[row > 0]].sum(0) / np.sqrt((row > 0).sum()) for row in text])


@pytest.fixture(scope="module")
def features():
    return tasteful(3)


def test_regression_is_that_of_the_normal_equations(monkeypatch):
    text, random = texts(60), np.random.default_rng(2)
    words, _ = id_prior._words(text, TOKENS)
    wanted, variance = torch.from_numpy(random.standard_normal((60, WIDTH))).float(), torch.from_numpy(random.uniform(0.1, 50, 60)).float()
    x, weight = words.to_dense().double(), 1 / variance.double().unsqueeze(1)
    expected = torch.linalg.solve(x.t() @ (weight * x) + torch.eye(TOKENS + 1, dtype=torch.float64), x.t() @ (weight * wanted.double()))
    torch.testing.assert_close(id_prior._Ridge(words, wanted).solve(variance).double(), expected, atol=2e-3, rtol=2e-2)
    monkeypatch.setattr(id_prior._Ridge, "_MOST_STEPS", 2)
    with pytest.raises(ArithmeticError, match="did not converge in 2 steps"):
        id_prior._Ridge(words, wanted).solve(variance)


def test_words_weigh_by_how_few_texts_they_are_in():
    one, two = FIRST_MERGE + 1, FIRST_MERGE + 2
    text = np.array([[one, one, two, 0], [one, 65, 2, 0], [FIRST_MERGE + 3, 0, 0, 0], [two, 0, 0, 0]])  # 65 is a byte, 2 a separator
    words, weight = id_prior._words(text, TOKENS)
    dense, scale = words.to_dense().numpy(), weight.numpy()
    assert scale[one] == scale[two] > 0 and scale[FIRST_MERGE + 3] == 0 and scale[65] == 0  # in two texts of four, in one, no word
    np.testing.assert_allclose(dense[0, [one, two]], scale[one] * np.array([2, 1]) / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(dense[1, one], scale[one], rtol=1e-6)
    np.testing.assert_allclose(np.square(dense[:, :-1]).sum() / 4, 1, rtol=1e-6)


def test_map_finds_what_words_say_and_rare_items_say_less():
    text, random = texts(400), np.random.default_rng(3)
    of_a_word = random.standard_normal((TOKENS, WIDTH))
    # The second half are items of one row each, whose vectors are nothing but noise.
    vectors = np.concatenate([said(text[:200], of_a_word), random.standard_normal((200, WIDTH)) * 5])
    prior = fitted(text, vectors, np.r_[np.full(200, 10_000), np.full(200, 1)])
    unseen = texts(200, seed=9)
    predicted = prior(torch.from_numpy(unseen)).numpy()
    for column in range(WIDTH):
        assert np.corrcoef(said(unseen, of_a_word)[:, column], predicted[:, column])[0, 1] > 0.9


def test_texts_without_words_say_nothing():
    prior = fitted(texts(60), np.random.default_rng(1).standard_normal((60, WIDTH)), np.arange(1, 61))
    assert prior.constant.abs().max() > 0
    word = FIRST_MERGE + 7
    assert prior(torch.tensor([[0, 0, 0], [2, 0, 0], [70, 71, 200]])).abs().max() == 0  # padding, a separator, bytes
    assert prior(torch.tensor([[word, 0, 0]])).abs().max() > 0
    torch.testing.assert_close(prior(torch.tensor([[word, 0, 0]])), prior(torch.tensor([[word, 2, 90]])))


def test_no_text_says_more_than_those_that_were_learned_from():
    text, random = texts(300), np.random.default_rng(4)
    prior = fitted(text, said(text, random.standard_normal((TOKENS, WIDTH))), np.full(300, 1000))
    longest = prior(torch.from_numpy(text)).norm(dim=1).max()
    repeated = prior(torch.arange(FIRST_MERGE, TOKENS).unsqueeze(1).expand(WORDS, 500))
    assert repeated.norm(dim=1).max() <= longest * 1.0001
    unbounded = IdPrior(TOKENS, WIDTH)
    unbounded.load_state_dict({**prior.state_dict(), "longest": torch.tensor(float("inf"))})
    assert unbounded(torch.arange(FIRST_MERGE, TOKENS).unsqueeze(1).expand(WORDS, 500)).norm(dim=1).max() > 3 * longest
    torch.testing.assert_close(unbounded(torch.from_numpy(text)), prior(torch.from_numpy(text)))


def test_unseen_items_are_those_of_the_mean_row():
    """What is much liked has most rows, and here its words say nothing: predictions of items that the map was fitted to know how liked they are, and those of others do not."""
    random = np.random.default_rng(5)
    liked = np.arange(300) < 150
    vectors = np.where(liked, 1.0, -1.0)[:, None] + 0.01 * random.standard_normal((300, WIDTH))
    rows = np.where(liked, 500, 50)
    text, unseen = texts(300, length=40), torch.from_numpy(texts(300, seed=8, length=40))
    mean_row = float((vectors * (rows / rows.sum())[:, None]).sum(0).mean())
    config = Config(own=0.05, a_row=1.0)
    prior = fitted(text, vectors - mean_row, rows, config)
    known = float((prior(torch.from_numpy(text)).numpy() * (rows / rows.sum())[:, None]).sum(0).mean())
    assert known > 0.05  # a map that were centred on the items that it knows had 0 here
    assert abs(float(prior(unseen).mean())) < known / 3


def test_vectors_are_relative_to_that_of_unknown_items(features):
    examples, moved = Examples.of(features), torch.full((8,), 3.0)
    priors = []
    for change in (torch.zeros(8), moved):
        model = id_recipe.build(features, ID, 1)
        with torch.no_grad():
            model.item_table.embedding += change
        priors.append(id_prior.add_to(model, examples, Config(), 1))
    torch.testing.assert_close(priors[0].token.weight, priors[1].token.weight, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def hidden(features, place):
    """A model with pronounced vectors, in which the item at `place` is unknown."""
    examples = Examples.of(features)
    examples.item_row[place] = 0
    model = id_recipe.build(features, ID, 1).eval()
    model.item_table.embedding[1:] += torch.randn(model.item_table.embedding[1:].shape, generator=torch.Generator().manual_seed(1))
    model._examples = examples
    return model, examples


def test_an_unknown_item_scores_by_its_words_and_a_known_one_as_far_as_it_is_known(features):
    rows = requests(features, features.rows(0), 4)[:60]
    place = int(features.item[rows[0, 0]])
    scores = {}
    for strength in (None, 1e-6, 20.0):
        model, examples = hidden(features, place)
        if strength is not None:
            prior = id_prior.add_to(model, examples, Config(strength=strength), 1)
            predicted = prior(torch.from_numpy(features.items.text[place : place + 1]))
            torch.testing.assert_close(model.inputs["predicted"][place : place + 1], predicted)
            assert model.item_table.embedding[0, -1] == 0
        scores[strength] = model.eval().predict(rows)[1]
    item = np.concatenate([features.item[row[row >= 0].numpy()] for row in rows])
    read = np.concatenate([np.repeat((features.history(row[:1].numpy()).items == place).any(), int((row >= 0).sum())) for row in rows])
    others = (item != place) & ~read
    assert (item == place).any() and others.sum() > 50
    # At hardly any strength known items are as they were; else those of few rows are filled up.
    np.testing.assert_allclose(scores[1e-6][others], scores[None][others], atol=1e-4)
    assert np.abs(scores[1e-6] - scores[None])[item == place].min() > 1e-4
    assert np.abs(scores[20.0] - scores[None])[others].max() > 1e-3


def test_map_knows_nothing_of_an_item_that_it_was_not_fitted_to(features):
    place = int(features.item[features.rows(0)[0]])
    priors = []
    for change in (0.0, 100.0):
        model, examples = hidden(features, place)
        with torch.no_grad():
            model.item_table.embedding[int(features.item_row[place])] += change
        priors.append(id_prior.add_to(model, examples, Config(), 1))
    assert torch.equal(priors[0].token.weight, priors[1].token.weight)
    model, examples = hidden(features, place)
    examples.item_row[place] = int(features.item_row[place])
    assert not torch.equal(priors[0].token.weight, id_prior.add_to(model, examples, Config(), 1).token.weight)


def test_no_prior_where_too_few_items_have_words(features):
    empty = dataclasses.replace(features, items=dataclasses.replace(features.items, text=np.zeros_like(features.items.text)))
    model = id_recipe.build(empty, ID, 1)
    assert id_prior.add_to(model, Examples.of(empty), Config(), 1) is None and "predicted" not in model.inputs
