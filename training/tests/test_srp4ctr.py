"""SRP4CTR: what its pre-training learns, and that the sequence never reads the candidate."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from test_recipes import QUICK, SRP4CTR, tasteful, told_apart

from recbackend.recipes import srp4ctr
from recbackend.train import Examples, Schedule, fit, requests

LONGER = dataclasses.replace(SRP4CTR, pretraining=Schedule(epochs=30, batch=16, learning_rate=3e-3))


@pytest.fixture(scope="module")
def features():
    """Side attributes say nothing, so that what goes with what can be learned from sequences alone."""
    features = tasteful(3, rows=6000, users=100)
    items = dataclasses.replace(features.items, categories=np.full_like(features.items.categories, 2), attributes=np.full_like(features.items.attributes, 2))
    return dataclasses.replace(features, items=items)


@pytest.fixture(scope="module")
def pretrained(features):
    return srp4ctr.pretrain(features, LONGER, 1)


def test_masked_prediction_learns_what_goes_with_what(features, pretrained):
    assert pretrained.fit.losses[-1] < pretrained.fit.losses[0]
    parity = np.arange(len(features.item_ids)) % 2
    assert told_apart(input_vectors(features, pretrained), parity) > 0.9
    assert told_apart(input_vectors(features, srp4ctr.untrained(features, LONGER, 1)), parity) < 0.8


def input_vectors(features, stage):
    examples = Examples.of(features)
    with torch.no_grad():
        side = stage.item_encoder(**examples.item_inputs(srp4ctr.READS))
        return stage.encoder.event(torch.cat([stage.item_table.embedding[examples.item_row], side], 1))


def test_pretraining_helps_where_labels_are_few(features, pretrained):
    """The click stage sees some dozens of requests; the pre-training saw all histories."""
    short = dataclasses.replace(SRP4CTR, schedule=Schedule(epochs=6, batch=8, learning_rate=3e-3))
    few = requests(features, features.rows(0), short.request, 1)[::8]
    validation = requests(features, features.rows(1), 1)
    gains = []
    for seed in (1, 2, 3, 4):
        scores = []
        for stage in (copy.deepcopy(pretrained), srp4ctr.untrained(features, short, seed)):
            model = srp4ctr.build(features, short, stage, seed)
            fit(model, few, model.loss, short.schedule, seed)
            scores.append(model.score(validation))
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 0.05


def test_bridge_is_a_candidate_that_reads_the_sequence_and_is_not_read():
    """As if the candidate stood after the sequence behind a mask: it sees all places but itself, and none sees it."""
    torch.manual_seed(0)
    length, width, layers, heads = 6, 8, 3, 2
    encoder = srp4ctr.FgBert(5, width, layers, heads, length, 1, 0.0).eval()
    bridge = srp4ctr.UniCrossAttention(encoder, heads, 0.0).eval()
    bridge.start_as(encoder)
    history, mask = torch.randn(1, length, 5), torch.ones(1, length)
    mask[:, 4:] = 0
    history, actions, intervals = history * mask.unsqueeze(2), mask.long(), torch.rand(1, length) * mask
    candidate = torch.randn(1, 1, 5)
    with torch.no_grad():
        outputs, state = encoder(history, actions, intervals, mask)
        bridged = bridge(candidate, state, ((mask - 1) * 1e4).unsqueeze(1))
        joined = srp4ctr.FgBert(5, width, layers, heads, length + 1, 1, 0.0).eval()
        weights = {**encoder.state_dict(), "position": torch.cat([encoder.position, torch.zeros(1, width)])}
        joined.load_state_dict(weights)
        x = joined.event(torch.cat([history, candidate], 1)) + joined.position
        x[:, :length] += encoder.action[actions] + (1 - torch.exp(intervals * -0.25)).unsqueeze(2) * encoder.interval
        blocked = torch.zeros(1, 1, length + 1, length + 1)
        blocked[:, :, :, 4:] = -1e4
        for layer in joined.layers:
            x, *_ = layer(x, blocked)
        x = joined.norm(x)
    torch.testing.assert_close(x[:, length:], bridged, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(x[:, :4], outputs[:, :4], atol=1e-5, rtol=1e-4)


def test_every_layer_of_the_sequence_is_read():
    torch.manual_seed(0)
    encoder = srp4ctr.FgBert(5, 8, 2, 2, 6, 1, 0.0).eval()
    bridge = srp4ctr.UniCrossAttention(encoder, 2, 0.0).eval()
    state, candidates, blocked = torch.randn(1, 6, encoder.state), torch.randn(1, 3, 5), torch.zeros(1, 1, 6)
    with torch.no_grad():
        before = bridge(candidates, state, blocked)
        for part in range(4):  # keys and values of two layers
            changed = state.clone()
            changed[:, :, 8 * part : 8 * part + 8] += torch.randn(1, 6, 8)
            assert not torch.allclose(bridge(candidates, changed, blocked), before, atol=1e-3)


def test_candidate_shares_nothing_but_the_input_embedding(features, pretrained):
    model = srp4ctr.build(features, SRP4CTR, pretrained, 1)
    encoder, cross = model.user_encoder.history.encoder, model.ranker.attention.cross
    shared = {id(p) for p in encoder.parameters()} & {id(p) for p in cross.parameters()}
    assert shared == {id(p) for p in encoder.event.parameters()}
    torch.testing.assert_close(cross.layers[0].query.weight, encoder.layers[0].query.weight)  # though it starts as the encoder's
    fit(model, requests(features, features.rows(0), 4, 1), model.loss, dataclasses.replace(QUICK, epochs=1), 1)
    assert not torch.allclose(cross.layers[0].query.weight, encoder.layers[0].query.weight)


def test_hidden_events_are_not_looked_at():
    torch.manual_seed(0)
    encoder = srp4ctr.FgBert(5, 8, 2, 2, 6, 1, 0.0).eval()
    history, mask, hide = torch.randn(1, 6, 5), torch.ones(1, 6), torch.zeros(1, 6)
    hide[:, 2] = 1
    other = history.clone()
    other[:, 2] = 9.0
    with torch.no_grad():
        outputs, other_outputs = (encoder(one, mask.long(), torch.zeros(1, 6), mask, hide)[0] for one in (history, other))
        assert torch.equal(outputs, other_outputs)
        assert not torch.allclose(encoder(history, mask.long(), torch.zeros(1, 6), mask)[0], encoder(other, mask.long(), torch.zeros(1, 6), mask)[0])


def test_windows_are_of_the_training_part_and_hold_every_click(features):
    rows = srp4ctr.windows(features, 10, 5)
    assert set(rows) <= set(features.rows(0).tolist()) and len(set(rows)) == len(rows)
    seen = {place for row in rows for place in range(max(features.history_begin[row], features.history_end[row] - 10), features.history_end[row])}
    training = features.rows(0)
    expected = {place for row in training for place in range(features.history_begin[row], features.history_end[row])}
    single = {place for user in np.unique(features.user[training]) for place in [features.history_begin[training[features.user[training] == user]][0]]}
    assert expected - single <= seen <= expected  # a user's only click is no sequence


def test_small_ids_are_the_same_to_the_encoder(features):
    stage = srp4ctr.untrained(features, SRP4CTR, 1)
    with torch.no_grad():
        stage.item_table.embedding *= 7
    before = input_vectors(features, stage)
    srp4ctr.with_small_ids(stage, 0.05)
    assert float(stage.item_table.embedding.std()) == pytest.approx(0.05, rel=1e-3)
    torch.testing.assert_close(input_vectors(features, stage), before, atol=1e-4, rtol=1e-4)


def test_pretraining_keeps_what_says_most_of_other_users(features):
    """The weights of the best check on the validation part's sequences, which is the same at each call."""
    stage = srp4ctr.pretrain(features, dataclasses.replace(LONGER, pretraining=Schedule(epochs=3, batch=16, learning_rate=3e-3)), 1)
    assert len(stage.fit.checks) == 3 and stage.fit.best == max(stage.fit.checks)
    examples = Examples.of(features)
    model = srp4ctr.MaskedPrediction(stage.encoder, stage.item_encoder, stage.item_table, examples, examples.item_inputs(srp4ctr.READS), 0.2).eval()
    rows = torch.from_numpy(srp4ctr.windows(features, 5, 1, part=1))
    state = torch.random.get_rng_state()
    assert model.score(rows) == model.score(rows) and torch.equal(torch.random.get_rng_state(), state)


def test_large_catalogue_is_sampled_with_the_targets_in_it(features):
    stage = srp4ctr.untrained(features, SRP4CTR, 1)
    examples = Examples.of(features)
    model = srp4ctr.MaskedPrediction(stage.encoder, stage.item_encoder, stage.item_table, examples, examples.item_inputs(srp4ctr.READS), 0.2, most_ids=5)
    said, target = torch.zeros(6, 8), torch.tensor([1, 7, 7, 12, 20, 3])  # nothing is said: all that are chosen are as likely
    model._id_loss(said, target, stage.item_encoder(**examples.item_inputs(srp4ctr.READS))).backward()
    slope = model.popularity.grad
    targets = torch.zeros(len(slope), dtype=torch.bool)
    targets[target] = True
    # Each target is raised, the others of the sample lowered, and who is not in it left alone.
    assert (slope[targets] < 0).all() and (slope[~targets] >= 0).all()
    assert 5 <= (slope != 0).sum() <= 5 + targets.sum() < len(slope) - 1
