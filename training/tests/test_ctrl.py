"""CTRL: what a sentence says, what alignment teaches the collaborative model, and what is left of it with text that is another item's."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from neutral import BERT_WORDS, write_bert
from test_recipes import CTRL, QUICK, UNIFIED, tasteful, told_apart

from recbackend import bert
from recbackend.__main__ import configured
from recbackend.data import Item, UnfitData
from recbackend.recipes import ctrl, unified
from recbackend.recipes import id as id_recipe
from recbackend.train import Schedule, fit, requests

LONGER = dataclasses.replace(CTRL, words=Schedule(epochs=20, batch=16, learning_rate=1e-2), alignment=Schedule(epochs=6, batch=64, learning_rate=1e-2), item_dropout=0.0)


@pytest.fixture(scope="module")
def features():
    """Side features say nothing: what goes with what is in the text, and in the clicks."""
    features = tasteful(3, rows=4000, users=100)
    items = dataclasses.replace(features.items, categories=np.full_like(features.items.categories, 2), attributes=np.full_like(features.items.attributes, 2))
    texts = [["war gun fight army", "love song dance kiss"][n % 2] for n in range(len(features.contents))]
    contents = [dataclasses.replace(item, title="", text=text, categories=(), tags=(), attributes={}) for item, text in zip(features.contents, texts)]
    return dataclasses.replace(features, items=items, contents=contents)


@pytest.fixture(scope="module")
def encoder(features):
    return ctrl.pretrain_text(features, LONGER, 1)[0]


def test_sentences_name_their_fields_and_leave_out_what_is_absent():
    item = Item("1", title="Heat", categories=("Crime", "Thriller"), tags=("heist",), attributes={"year": "1995"}, text="Cops and robbers")
    assert ctrl.item_sentence(item) == "This is an item, title is Heat, category is Crime|Thriller, year is 1995, tags are heist, text is Cops and robbers."
    assert ctrl.item_sentence(Item("2")) == "This is an item."
    assert ctrl.user_sentence(["gender", "age"], ["F", None]) == "This is a user, gender is F"


def test_sentence_of_a_row_holds_user_past_likes_and_item():
    features = tasteful(3)
    sentences = ctrl.Sentences(features, dataclasses.replace(CTRL, sentence=400), 1, features.schema.tokenizer)
    rows = features.rows(0)[[5, 300]]
    tokenizer = features.schema.tokenizer
    for row, ids in zip(rows, sentences.of(rows).tolist()):
        history = features.history(np.array([row]), CTRL.recent)
        titles = [tokenizer.encode(features.contents[item].title)[:8] for item in history.items[0][: int(history.mask.sum())]]
        values = [features.schema.profile[0].values[features.profile[features.user[row], 0] - 2]]
        expected = tokenizer.encode(ctrl.user_sentence([features.schema.profile[0].name], values))
        for place, title in enumerate(titles):
            expected += tokenizer.encode("|" if place else ", who has recently liked") + title
        expected += tokenizer.encode(".") + tokenizer.encode(ctrl.item_sentence(features.contents[features.item[row]]))
        assert [one for one in ids if one] == expected


def test_sentence_knows_neither_its_label_nor_what_follows(features):
    rows = features.rows(0)
    before = ctrl.Sentences(features, CTRL, 1, features.schema.tokenizer).of(rows[:200])
    future = features.click_item.copy()
    last = features.history_end[rows[:200]].copy()
    seen = {place for begin, end in zip(features.history_begin[rows[:200]], last) for place in range(begin, end)}
    future[[place for place in range(len(future)) if place not in seen]] = 0
    other = dataclasses.replace(features, label=1 - features.label, click_item=future)
    assert torch.equal(ctrl.Sentences(other, CTRL, 1, features.schema.tokenizer).of(rows[:200]), before)


def test_long_sentence_keeps_the_item_whole():
    features = tasteful(3)
    sentences = ctrl.Sentences(features, dataclasses.replace(CTRL, sentence=30), 1, features.schema.tokenizer)
    row = features.rows(0)[-1:]
    ids = [one for one in sentences.of(row)[0].tolist() if one]
    item = features.schema.tokenizer.encode(ctrl.item_sentence(features.contents[features.item[row[0]]]))[:20]
    assert len(ids) == 30 and ids[-len(item) :] == item


def test_each_stage_lowers_its_loss(features, encoder):
    assert np.diff(ctrl.pretrain_text(features, LONGER, 1)[1].losses)[0] < 0
    stage = ctrl.align(features, LONGER, encoder, 1)[1]
    assert stage.losses[-1] < stage.losses[0]


def test_similarity_is_the_sum_of_best_matches():
    rows, texts = torch.randn(3, 4, 5), torch.randn(2, 4, 5)
    found = ctrl.Alignment.similarity(rows, texts)
    for i in range(3):
        for j in range(2):
            expected = sum(max(float(rows[i, a] @ texts[j, b]) for b in range(4)) for a in range(4))
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def aligned(features, encoder):
    """The collaborative model aligned with each item's own text, and with that of another: no item's with itself, half of them with the other parity's."""
    return {shuffled: ctrl.align(features, dataclasses.replace(LONGER, shuffled_text=shuffled), encoder, 1)[0] for shuffled in (False, True)}


def test_alignment_teaches_ids_what_their_text_says_and_shuffled_text_does_not(features, aligned):
    parity = np.arange(len(features.item_ids)) % 2
    own, other = (told_apart(model.item_table.embedding.detach()[1:], parity[features.item_known]) for model in (aligned[False], aligned[True]))
    assert own > 0.9 > other


def test_aligned_model_learns_clicks_from_fewer_labels(features, aligned):
    few, validation = requests(features, features.rows(0), 4, 1)[::4], requests(features, features.rows(1), 1)
    scores = {}
    for name, model in (("own", aligned[False]), ("shuffled", aligned[True]), ("none", id_recipe.build(features, LONGER, 1))):
        torch.manual_seed(2)
        ctrl.new_head(model)
        fit(model, few, model.loss, Schedule(epochs=6, batch=8, learning_rate=5e-3), 1)
        scores[name] = model.score(validation)
    assert scores["own"] > scores["none"] + 0.05 and scores["own"] > scores["shuffled"] + 0.05


def test_nothing_of_text_is_in_the_model_that_is_served(features):
    model = ctrl.train(features, dataclasses.replace(CTRL, words=QUICK, schedule=dataclasses.replace(QUICK, epochs=1)), 1)
    assert model.item_inputs == ("categories", "attributes")
    tokens = features.schema.text_size
    for graph in (model.item_encoder, model.user_encoder, model.ranker):
        assert all(tokens not in parameter.shape for parameter in graph.parameters())


def test_without_text_there_is_nothing_to_align(features):
    with pytest.raises(UnfitData, match="text"):
        ctrl.train(dataclasses.replace(features, schema=dataclasses.replace(features.schema, tokenizer=None)), CTRL, 1)
    bare = dataclasses.replace(features.schema, categories=None, attributes=[])
    with pytest.raises(UnfitData, match="categories and attributes of items, and here are neither"):
        ctrl.train(dataclasses.replace(features, schema=bare), CTRL, 1)


def test_derangement_moves_everything():
    order = ctrl.derangement(30, np.random.default_rng(0))
    assert sorted(order) == list(range(30)) and (order != np.arange(30)).all()


# With a text encoder of the user's


@pytest.fixture(scope="module")
def with_bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    write_bert(folder)
    return configured(CTRL, [f"text_encoder={folder}"])


def test_sentence_in_the_tokens_of_a_bert_has_its_marks_around_it(features, with_bert):
    tokenizer = ctrl.text_encoder(features, with_bert, 1).tokenizer
    sentences = ctrl.Sentences(features, with_bert, 1, tokenizer)
    rows = features.rows(0)[[5, 300]]
    for row, ids in zip(rows, sentences.of(rows).tolist()):
        words = [BERT_WORDS[id] for id in ids]
        text = features.contents[features.item[row]].text
        assert len(ids) == with_bert.sentence and words[:4] == ["[CLS]", "this", "is", "a"]
        assert " ".join(words[: words.index("[PAD]")]).endswith(f". this is an item , text is {text} . [SEP]")


def test_long_sentence_in_the_tokens_of_a_bert_keeps_marks_and_item(features, with_bert):
    config = dataclasses.replace(with_bert, sentence=15)
    ids = ctrl.Sentences(features, config, 1, ctrl.text_encoder(features, config, 1).tokenizer).of(features.rows(0)[-50:])
    words = [[BERT_WORDS[id] for id in line] for line in ids.tolist()]
    assert all(line[0] == "[CLS]" and line[3:] == [".", *"this is an item , text is".split(), *line[11:14], "[SEP]"] for line in words)


def test_bert_is_neither_pretrained_nor_left_as_it_was(features, with_bert):
    encoder = ctrl.text_encoder(features, with_bert, 1)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    own = bert.read(Path(with_bert.text_encoder)).state_dict()
    assert all(torch.equal(value, own[name]) for name, value in before.items())
    stage = ctrl.align(features, with_bert, encoder, 1)[1]
    after = encoder.state_dict()
    for part in ("token", "norm", "body.layers.0.self_attn.in_proj_weight", "body.layers.1.linear2"):
        assert any(not torch.equal(after[name], value) for name, value in before.items() if name.startswith(part))
    assert stage.losses[-1] < stage.losses[0]


def test_bert_learns_at_its_share_of_the_rate(features, with_bert):
    moved = []
    for rate in (0.0, 0.02, 1.0):
        encoder = ctrl.text_encoder(features, with_bert, 1)
        before = encoder.norm.weight.detach().clone()
        ctrl.align(features, dataclasses.replace(with_bert, text_encoder_rate=rate, aligned_rows=600), encoder, 1)
        moved.append(float((encoder.norm.weight - before).detach().abs().mean()))
    assert moved[0] == 0 < 10 * moved[1] < moved[2]


def test_alignment_with_a_bert_teaches_ids_what_their_text_says(features, with_bert):
    config = dataclasses.replace(LONGER, text_encoder=with_bert.text_encoder, text_encoder_rate=0.2)
    model = ctrl.align(features, config, ctrl.text_encoder(features, config, 1), 1)[0]
    assert told_apart(model.item_table.embedding.detach()[1:], (np.arange(len(features.item_ids)) % 2)[features.item_known]) > 0.9


def test_unified_aligns_its_tower_with_a_bert(features, with_bert, monkeypatch):
    read = []
    monkeypatch.setattr(ctrl, "align", lambda features, config, encoder, *others, align=ctrl.align: (read.append(encoder), align(features, config, encoder, *others))[1])
    config = configured(dataclasses.replace(UNIFIED, towers=("ids",), aligned=True), [f"ctrl.text_encoder={with_bert.text_encoder}", "ctrl.sentence=40"])
    model = unified.train(features, config, 1)
    assert isinstance(read[0], bert.Bert) and model.settings["ctrl"]["text_encoder"] == Path(with_bert.text_encoder).name
