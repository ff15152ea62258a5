"""What every recipe promises, on a few hundred random rows."""

import dataclasses

import numpy as np
import pytest
import torch

from neutral import random_dataset
from test_features import changed_future
from recbackend import metrics
from recbackend.data import TEST, TRAIN, VALID, UnfitData
from recbackend.encoders import TextEncoder
from recbackend.features import FeatureOptions, build, compute
from recbackend.layers import Dropout, HistoryProjection, IdTable, Pace, RankingShape, SequenceEncoder, Standardize, TargetAttention
from recbackend.__main__ import configured, recipe_module, recipe_names
from recbackend.quality.runs import with_epochs
from recbackend.recipes import id as id_recipe
from recbackend.recipes import ctrl, mim, ppm, srp4ctr, unified
from recbackend.replay import Replay
from recbackend.train import Examples, Schedule, conclude, fit, fit_calibration, requests

SHAPE = RankingShape(head_width=8, user_hidden=16, user_width=8, hidden=(24, 8), cross_rank=4)
QUICK = Schedule(epochs=4, batch=16, learning_rate=1e-2)
ENOUGH = Schedule(epochs=25, batch=16, learning_rate=1e-2, patience=25)
ID = id_recipe.Config(item_id=8, user_id=8, category_width=4, attribute_width=4, shape=SHAPE, history=10, schedule=QUICK)
PPM = ppm.Config(
    item_id=8, user_id=8, text=8, image=8, category_width=4, attribute_width=4, representation=8, shape=SHAPE, history=10, text_length=16, least_tokens=4,
    token_dropout=0.0, text_schedule=Schedule(epochs=20, batch=32, learning_rate=1e-3), image_schedule=QUICK, user_schedule=QUICK, schedule=QUICK,
)  # fmt: skip
SRP4CTR = srp4ctr.Config(
    item_id=8, user_id=8, category_width=4, attribute_width=4, width=8, queries=2, stride=5, shape=SHAPE, history=10, pretraining=Schedule(epochs=4, batch=16, learning_rate=3e-3),
    schedule=QUICK,
)  # fmt: skip
MIM = mim.Config(
    item_id=8, user_id=8, text=8, fused_text=4, fused_image=4, content=8, category_width=4, attribute_width=4, token_dropout=0.1, soon=3, tiers=3, shape=SHAPE, history=10,
    text_length=16, pretraining=QUICK, sft=QUICK, schedule=QUICK,
)  # fmt: skip
CTRL = ctrl.Config(
    item_id=8, user_id=8, category_width=4, attribute_width=4, text_width=8, text_layers=1, sentence=48, aligned=16, shape=SHAPE, history=10, text_length=16,
    words=QUICK, alignment=Schedule(epochs=2, batch=64, learning_rate=1e-2), schedule=QUICK,
)  # fmt: skip
UNIFIED = unified.Config(
    item_id=8, user_id=8, category_width=4, attribute_width=4, shape=SHAPE, history=10, text_length=16, ids=ID, mim=MIM, ppm=PPM, srp4ctr=SRP4CTR, ctrl=CTRL, schedule=QUICK,
)
ID_WITHOUT_PACE = dataclasses.replace(ID, shape=dataclasses.replace(SHAPE, pace=False))
RECIPES = {
    "id": (id_recipe, ID), "id without pace": (id_recipe, ID_WITHOUT_PACE), "ppm": (ppm, PPM), "srp4ctr": (srp4ctr, SRP4CTR), "mim": (mim, MIM), "ctrl": (ctrl, CTRL),
    "unified": (unified, UNIFIED), "unified, all towers": (unified, dataclasses.replace(UNIFIED, towers=unified.TOWERS, aligned=True)),
}  # fmt: skip

NAMES = [a + b for a in ("mor", "tel", "vin", "gas", "pok", "lun") for b in ("ado", "eri", "iku", "ofa", "uzi")]


def tasteful(seed, picture=False, statistics=True, rows=1200, users=20):
    options = FeatureOptions(history=10, text_length=16, text_vocabulary=300, statistics=statistics, time_context=statistics)
    return build(tasteful_dataset(seed, picture, rows, users), options)


def only(features, reads):
    """The same data, of whose items a model can read no more than `reads`."""
    schema, items = features.schema, features.items
    if "text" not in reads:
        schema, items = dataclasses.replace(schema, tokenizer=None), dataclasses.replace(items, text=None)
    if "image_features" not in reads:
        schema, items = dataclasses.replace(schema, image_features=0), dataclasses.replace(items, image_features=None)
    if "categories" not in reads:
        schema, items = dataclasses.replace(schema, categories=None, attributes=[]), dataclasses.replace(items, categories=None, attributes=None)
    return dataclasses.replace(features, schema=schema, items=items)


def tasteful_dataset(seed, picture=False, rows=1200, users=20):
    """Random rows in which users of even numbers click on even items: there is something to learn."""
    dataset = random_dataset(seed, rows=rows, users=users, items=30)
    dataset.label[:] = (dataset.user % 2 == dataset.item % 2) ^ (np.random.default_rng(seed).random(dataset.rows) < 0.1)
    random = np.random.default_rng(seed)
    items = [
        dataclasses.replace(
            item,
            title=f"{NAMES[n]} and {NAMES[n]}",
            text=f"{['war gun fight', 'love song dance'][n % 2]} {NAMES[n]} {NAMES[n]} {NAMES[n]}",
            categories=(["war", "love"][n % 2], *item.categories),
            image_features=tuple(random.normal(size=6) + 2 * (n % 2)) if picture and n % 5 else None,
        )
        for n, item in enumerate(dataset.items)
    ]
    return dataclasses.replace(dataset, items=items)


@pytest.fixture(scope="module")
def features():
    return tasteful(3, picture=True)


@pytest.fixture(scope="module", params=RECIPES)
def trained(request, features):
    recipe, config = RECIPES[request.param]
    return recipe.train(features, dataclasses.replace(config, schedule=ENOUGH), 1)


def user_inputs(model, features, rows):
    return Replay(model, features).user_inputs(rows)


def auc_of_test_part(model, features):
    rows = features.rows(2)
    return metrics.auc(features.label[rows], Replay(model, features).scores(rows))


# Every recipe


def test_recipe_learns_what_there_is_to_learn(trained, features):
    assert auc_of_test_part(trained, features) > 0.8


def test_cached_parts_give_the_scores_of_the_uncached_forward(trained, features):
    rows = features.rows(2)
    cached = Replay(trained, features).scores(rows)
    examples = Examples.of(features)
    inputs = examples.item_inputs(trained.item_inputs)
    with torch.no_grad():
        for row, expected in zip(rows[::20], cached[::20]):
            # One graph, from content to score, for one row.
            batch = examples.batch(torch.tensor([[row]]))
            def event(items, rows_of_table):
                encoded = trained.item_encoder(**{name: value[items] for name, value in inputs.items()})
                return torch.cat([torch.from_numpy(trained.item_table)[rows_of_table], encoded], 1)
            past = batch.history_items[0]
            history = event(past, examples.item_row[past]) * batch.history_mask[0].unsqueeze(1)
            state = trained.user_encoder(
                user_embedding=torch.from_numpy(trained.user_table)[examples.user_row[batch.user]],
                profile=batch.profile, user_statistics=batch.user_statistics, history=history.unsqueeze(0),
                history_actions=batch.history_actions, history_intervals=batch.history_intervals, history_mask=batch.history_mask,
            )  # fmt: skip
            candidate = torch.cat([event(batch.item[0], examples.item_row[batch.item[0]]), batch.item_statistics[0]], 1)
            score = trained.ranker(*state, candidate.unsqueeze(0), batch.context)
            assert abs(float(score) - expected) < 1e-4


def test_training_scores_rows_as_the_cached_parts_do(features):
    model = id_recipe.build(features, ID, 5)
    rows, logits = model.predict(requests(features, features.rows(2), 1))
    finished = conclude("id", model, features, model.item_encoder, tuple(model.inputs), ID)
    scale, bias = float(finished.ranker.calibration.scale), float(finished.ranker.calibration.bias)
    np.testing.assert_allclose(Replay(finished, features).scores(rows), 1 / (1 + np.exp(-(scale * logits + bias))), atol=1e-4)


def test_training_scores_each_row_of_a_request_with_its_own_context(features):
    model = id_recipe.build(features, ID, 5)
    torch.nn.init.normal_(model.ranker.context.weight)  # differences must show
    grouped = requests(features, features.rows(0), 4)
    grouped = grouped[(grouped >= 0).all(1)][:20]
    contexts = features.context[grouped.numpy()]
    assert (contexts != contexts[:, :1]).any()
    batch = Examples.of(features).batch(grouped)
    model.eval()
    with torch.no_grad():
        together = model(batch)
        for place in range(4):
            # The contract's shape, [B, C]: one context for all candidates.
            one = dataclasses.replace(batch, context=torch.from_numpy(contexts[:, place]))
            torch.testing.assert_close(together[:, place], model(one)[:, place])


def test_score_of_a_row_knows_nothing_of_its_future(trained, features):
    """Neither of its own label, nor of when, on what and by whom the later clicks were."""
    dataset = tasteful_dataset(3, picture=True)
    row = int(features.rows(2)[100])
    rows = np.arange(row - 30, row + 1)
    other = compute(changed_future(dataset, row, np.random.default_rng(1)), features.schema)
    before, after = (Replay(trained, one).scores(rows) for one in (features, other))
    assert before.std() > 0.01 and features.history(rows).mask.any()
    np.testing.assert_array_equal(before, after)
    # What the test can see: the past, and how long ago it was.
    past = compute(dataclasses.replace(dataset, timestamp=dataset.timestamp * 2, label=1 - dataset.label), features.schema)
    assert not np.allclose(Replay(trained, past).scores(rows), before, atol=1e-3)


@pytest.mark.parametrize("by", ["time", "items"])
@pytest.mark.parametrize("recipe, config", RECIPES.values(), ids=RECIPES)
def test_training_knows_nothing_of_the_test_part(recipe, config, by):
    """Vocabularies, every stage, the epoch that is kept and the calibration: another test part gives the same model, bit by bit."""
    dataset = tasteful_dataset(3, picture=True)
    random = np.random.default_rng(2)
    if by == "time":
        other = changed_future(dataset, int(np.flatnonzero(dataset.split == TEST)[0]), random)
    else:
        new = frozenset(item.id for item in dataset.items[::6])
        split = np.where(dataset.item % 6 == 0, TEST, np.where(np.arange(dataset.rows) < dataset.rows * 4 // 5, TRAIN, VALID)).astype(np.uint8)
        dataset = dataclasses.replace(dataset, split=split, held_out_items=new)
        tested = np.flatnonzero(split == TEST)
        user, label = dataset.user.copy(), dataset.label.copy()
        user[tested], label[tested] = random.integers(0, len(dataset.user_ids), len(tested)), 1 - label[tested]
        other = dataclasses.replace(dataset, user=user, label=label)
    config = with_epochs(config, 2)
    options = FeatureOptions(history=10, text_length=16, text_vocabulary=300)
    one, two = (recipe.train(build(data, options), config, 1) for data in (dataset, other))
    assert one.item_ids == two.item_ids and one.user_ids == two.user_ids
    np.testing.assert_array_equal(one.item_table, two.item_table)
    np.testing.assert_array_equal(one.user_table, two.user_table)
    for part in ("item_encoder", "user_encoder", "ranker"):
        before, after = (getattr(model, part).state_dict() for model in (one, two))
        assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before), part


def test_score_does_not_depend_on_other_candidates(trained, features):
    rows = features.rows(2)[:1]
    generator = torch.Generator().manual_seed(0)
    items = 0.3 * torch.randn(1, 9, trained.dims["row"], generator=generator)
    context = torch.from_numpy(features.context[rows])
    with torch.no_grad():
        state = trained.user_encoder(**user_inputs(trained, features, rows))
        together = trained.ranker(*state, items, context)
        alone = torch.cat([trained.ranker(*state, items[:, n : n + 1], context) for n in range(9)], 1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert together.min() > 0 and together.max() < 1 and together.std() > 0


def test_score_does_not_depend_on_the_batch(trained, features):
    rows = features.rows(0)[20:24]
    inputs = user_inputs(trained, features, rows)
    assert (inputs["history_mask"] == 0).any()
    items = torch.randn(4, 5, trained.dims["row"], generator=torch.Generator().manual_seed(0))
    context = torch.from_numpy(features.context[rows])
    with torch.no_grad():
        together = trained.ranker(*trained.user_encoder(**inputs), items, context)
        for n in range(4):
            one = {name: value[n : n + 1] for name, value in inputs.items()}
            alone = trained.ranker(*trained.user_encoder(**one), items[n : n + 1], context[n : n + 1])
            torch.testing.assert_close(alone, together[n : n + 1], atol=1e-5, rtol=1e-5)


def test_user_without_history_gets_finite_scores(trained, features):
    rows = features.rows(2)[:2]
    inputs = {name: torch.zeros_like(value) if name.startswith("history") else value for name, value in user_inputs(trained, features, rows).items()}
    items = torch.randn(2, 5, trained.dims["row"], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = trained.ranker(*trained.user_encoder(**inputs), items, torch.from_numpy(features.context[rows]))
    assert torch.isfinite(scores).all() and scores.std() > 0


@pytest.mark.parametrize("recipe, config", RECIPES.values(), ids=RECIPES)
def test_same_seed_trains_the_same_model(features, recipe, config):
    first, second = (recipe.train(features, config, 7) for _ in range(2))
    np.testing.assert_allclose(first.item_table, second.item_table, atol=1e-5)
    rows = features.rows(2)
    np.testing.assert_allclose(Replay(first, features).scores(rows), Replay(second, features).scores(rows), atol=1e-4)


@pytest.mark.parametrize("recipe, config", RECIPES.values(), ids=RECIPES)
def test_recipes_do_without_optional_inputs(recipe, config):
    bare = tasteful(4, statistics=False)
    bare = dataclasses.replace(bare, schema=dataclasses.replace(bare.schema, profile=[]), profile=bare.profile[:, :0])
    model = recipe.train(bare, dataclasses.replace(config, schedule=dataclasses.replace(QUICK, epochs=1)), 1)
    assert [model.dims[name] for name in ("statistics", "user_statistics", "profile", "context")] == [0, 0, 0, 0]
    assert np.isfinite(Replay(model, bare).scores(bare.rows(2))).all()


# PPM's stages


def test_every_stage_lowers_its_loss(features):
    stages = {}
    stages["text"] = ppm.pretrain_text(features, PPM, 1, None)[1]
    stages["image"] = ppm.pretrain_image(features, PPM, 1, None)[1]
    content = ppm.pretrain_items(features, PPM, 1, None)
    examples = requests(features, features.rows(0), PPM.request, 1)
    for ids in (False, True):
        model = ppm.model_on(content, features, PPM, 1, ids)
        stages[f"clicks, ids {ids}"] = fit(model, examples, model.loss, QUICK, 1)
    for name, stage in stages.items():
        assert stage.losses[-1] < stage.losses[0], name


def test_plug_in_stage_starts_from_the_user_level_and_learns_on_the_content_that_is_exported(features):
    content = ppm.pretrain_items(features, PPM, 1, None)
    assert not any(one.requires_grad for one in content.parameters())
    pretrained = ppm.model_on(content, features, PPM, 1, ids=False)
    unified = ppm.model_on(content, features, PPM, 2, ids=True)
    ppm.plug_in(unified, pretrained)
    started = unified.item_encoder.linear.weight.detach().clone()
    torch.testing.assert_close(started, pretrained.item_encoder.linear.weight)
    both = torch.nn.ModuleList([content, unified])
    fit(both, requests(features, features.rows(0), 4, 1), unified.loss, dataclasses.replace(QUICK, epochs=1), 1)
    assert not torch.equal(started, unified.item_encoder.linear.weight)
    with torch.no_grad():
        torch.testing.assert_close(unified.inputs["content"], content(**Examples.of(features).item_inputs(content.reads)))


def test_unified_model_starts_with_the_scores_of_the_user_level_model(features):
    content = ppm.pretrain_items(features, PPM, 1, None)
    pretrained = ppm.model_on(content, ppm.without_item_statistics(features), PPM, 1, ids=False)
    rows = requests(features, features.rows(0), 4, 1)
    fit(pretrained, rows, pretrained.loss, dataclasses.replace(QUICK, epochs=1), 1)
    unified = ppm.model_on(content, features, PPM, 2, ids=True)
    assert not np.allclose(unified.predict(rows)[1], pretrained.predict(rows)[1], atol=1e-2)
    ppm.plug_in(unified, pretrained)
    np.testing.assert_allclose(unified.predict(rows)[1], pretrained.predict(rows)[1], atol=1e-4)


def test_ppm_drops_modalities_in_training_and_not_in_serving(features):
    top = ppm.ItemTop(features, dataclasses.replace(PPM, content_dropout=0.2), [8, 8])
    content = torch.randn(1, 16).repeat(3000, 1)
    side = [torch.from_numpy(value[:1]).repeat(3000, 1) for value in (features.items.categories, features.items.attributes)]
    with torch.no_grad():
        whole, without_text = (top.eval()(one, *side) for one in (content, content * (torch.arange(16) >= 8)))
        seen = top.train()(content, *side)
    assert float((seen - whole).abs().amax(1).lt(1e-5).float().mean()) == pytest.approx(0.8**3, abs=0.04)
    assert float((seen - without_text).abs().amax(1).lt(1e-5).float().mean()) == pytest.approx(0.2 * 0.8**2, abs=0.03)
    torch.testing.assert_close(whole, whole[:1].expand_as(whole), rtol=0, atol=1e-5)  # in a product, the last digits may depend on the row's place


def test_cold_candidates_lose_their_statistics_in_training(features):
    content = ppm.pretrain_items(features, PPM, 1, None)
    model = ppm.model_on(content, features, dataclasses.replace(PPM, item_dropout=1.0, cold_share=1.0), 1, ids=True)
    seen = []
    model.ranker.logits = lambda user_state, history_state, item, context: seen.append(item) or item[:, :, 0]
    batch = Examples.of(features).batch(requests(features, features.rows(0), 4)[:8])
    model.train()
    model(batch)
    model.eval()
    model(batch)
    prior = features.schema.item_statistics[1].prior
    half = len(seen) // 2
    trained, served = torch.cat(seen[:half])[:, :, -3:], torch.cat(seen[half:])[:, :, -3:]
    assert torch.equal(trained, torch.tensor([0.0, prior, 0.0]).expand(*trained.shape))
    by_length = torch.argsort(batch.history_mask.sum(1).to(torch.int64))
    torch.testing.assert_close(served, batch.item_statistics[by_length])


def test_padding_of_a_history_changes_no_score(trained_parts, features):
    model, batch = trained_parts
    with torch.no_grad():
        expected = model.ranker.logits(*model.ranker_inputs(batch))
        assert len(torch.unique(batch.history_mask.sum(1))) > 3
        torch.testing.assert_close(model(batch), expected, atol=1e-5, rtol=1e-5)


@pytest.fixture(params=["id", "ppm"])
def trained_parts(request, features):
    """A model with random weights everywhere, in eval mode, and a batch of histories of many lengths."""
    if request.param == "id":
        model = id_recipe.build(features, ID, 4)
    else:
        model = ppm.model_on(ppm.pretrain_items(features, PPM, 1, None), features, PPM, 4, ids=True)
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return model.eval(), Examples.of(features).batch(requests(features, features.rows(0), 4)[:40])


def test_pace_says_how_long_ago_the_newest_and_all_events_were():
    pace = Pace()
    mask = torch.zeros(3, 50)
    mask[0, :4], mask[1] = 1, 1
    intervals = torch.zeros(3, 50)
    intervals[0, 1:4] = torch.tensor([3.0, 3.5, 20.0])
    intervals[1, 10:] = 5
    found = pace(intervals, mask)
    expected = torch.zeros(13)
    expected[[0, 3, 4, 12]] = torch.tensor([0.25, 0.375, 0.125, 0.25])
    torch.testing.assert_close(found[0], torch.cat([expected, expected]))
    assert found[1, 0] == 1 and abs(float(found[1, 13]) - 0.2) < 1e-6 and abs(float(found[1, 13 + 5]) - 0.8) < 1e-6
    assert torch.equal(found[2], torch.zeros(26))


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_read_the_pace_and_learn_clicks_for_the_same_number_of_epochs(name):
    baseline, config = id_recipe.Config(), recipe_module(name).Config()
    assert config.shape.pace and config.shape == baseline.shape
    assert dataclasses.replace(config.schedule, batch=1, learning_rate=1) == dataclasses.replace(baseline.schedule, batch=1, learning_rate=1)


def test_towers_of_unified_learn_at_rates_of_their_own():
    config = dataclasses.replace(unified.Config(), schedule=dataclasses.replace(unified.Config.schedule, epochs=7, learning_rate=1.0))
    towers = {name: unified.of_tower(name, config).schedule for name in unified.TOWERS}
    assert {schedule.epochs for schedule in towers.values()} == {7}
    assert towers["ids"].learning_rate == id_recipe.Config.schedule.learning_rate
    assert towers["interests"].learning_rate == mim.Config.schedule.learning_rate
    assert towers["sequence"].learning_rate == srp4ctr.Config.schedule.learning_rate
    # Frozen content bears more than a transformer that is trained.
    assert towers["content"].learning_rate == 6e-3 > ppm.Config.schedule.learning_rate


@pytest.mark.parametrize(
    "settings, words",
    [
        (['towers=["ids","other"]'], "no towers ids, other"),
        (["towers=[]"], "no towers at all"),
        (['towers=["ids","ids"]'], "each once"),
        (["schedule.learning_rate=5e-4"], "a schedule.learning_rate each"),
        (["schedule.batch=64"], "a schedule.batch each"),
        (["aligned=true", 'towers=["content"]'], "needs that tower"),
        (["aligned=true", "pretrained_content=false"], "needs that tower"),
    ],
)
def test_settings_of_unified_that_nothing_reads_are_refused(settings, words):
    with pytest.raises(UnfitData, match=words):
        configured(unified.Config(), settings).check()
    configured(unified.Config(), ["aligned=true", "ids.schedule.learning_rate=5e-4"]).check()


@pytest.mark.parametrize("name", recipe_names())
def test_score_does_not_know_when_the_row_is(name):
    """The pace is of intervals between clicks of the past; how long they are past, which is of the scored row's own time, it must not say."""
    recipe, config = RECIPES[name]
    dataset = tasteful_dataset(3, picture=True)
    features = build(dataset, FeatureOptions(history=10, text_length=16, text_vocabulary=300, statistics=False, time_context=False))
    model = recipe.train(features, with_epochs(config, 1), 1)
    row = int(features.rows(2)[100])
    before = Replay(model, features).scores(np.array([row]))
    assert features.history(np.array([row])).mask.sum() > 1
    later = dataset.timestamp.copy()
    later[row:] += 1e6
    moved = compute(dataclasses.replace(dataset, timestamp=later), features.schema)
    np.testing.assert_array_equal(Replay(model, moved).scores(np.array([row])), before)
    # How far apart the clicks before it are, it does say.
    faster = compute(dataclasses.replace(dataset, timestamp=dataset.timestamp / 1e4), features.schema)
    assert abs(Replay(model, faster).scores(np.array([row])) - before) > 1e-6


@pytest.mark.parametrize("pace", [False, True])
def test_user_state_knows_the_pace_if_the_shape_says_so(features, pace):
    encoder = id_recipe.build(features, dataclasses.replace(ID, shape=dataclasses.replace(SHAPE, pace=pace)), 1).user_encoder.eval()
    batch = Examples.of(features).batch(requests(features, features.rows(2), 1)[:4])
    assert (batch.history_mask.sum(1) > 1).all()

    def state(intervals):
        history = torch.ones(*intervals.shape, sum(encoder.widths)) * batch.history_mask.unsqueeze(2)
        return encoder(torch.zeros(4, 8), history, batch.history_actions, intervals, batch.history_mask, batch.profile, batch.user_statistics)[0]

    hurried, slow = (state(age * batch.history_mask) for age in (1.0, 9.0))
    assert torch.equal(hurried, slow) != pace


def test_dropout_drops_the_share_and_keeps_the_mean():
    torch.manual_seed(1)
    layer, x = Dropout(0.25), torch.ones(1001, 37)
    dropped = layer(x)
    assert abs(float((dropped == 0).float().mean()) - 0.25) < 0.01
    assert abs(float(dropped.mean()) - 1) < 0.02
    assert all(abs(float((dropped[:, place::8] == 0).float().mean()) - 0.25) < 0.03 for place in range(8))
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_dropout_of_all_or_of_less_than_nothing_is_refused(share):
    with pytest.raises(ValueError, match="dropout is"):
        Dropout(share)


def test_items_without_text_or_picture_have_zeros_for_it(features):
    content = ppm.pretrain_items(features, PPM, 1, None)
    text = torch.from_numpy(features.items.text[:2]).clone()
    text[1] = 0
    with torch.no_grad():
        vectors = content(text=text, image_features=torch.randn(2, 6), image_mask=torch.tensor([[0.0], [1.0]]))
    assert vectors[0, :8].norm() == pytest.approx(1, abs=1e-4) and (vectors[0, 8:] == 0).all()
    assert (vectors[1, :8] == 0).all() and vectors[1, 8:].norm() == pytest.approx(1, abs=1e-4)


def test_picture_encoder_learns_entities_from_pixels(features):
    count = len(features.item_ids)
    random = np.random.default_rng(0)
    shade = (np.arange(count) % 2)[:, None, None, None]
    image = (random.normal(size=(count, 3, 32, 32)) * 0.3 + shade).astype(np.float32)
    items = dataclasses.replace(features.items, image=image, image_features=None, has_image=np.ones(count, bool))
    pixels = dataclasses.replace(features, items=items, schema=dataclasses.replace(features.schema, image_features=0))
    encoder, stage = ppm.pretrain_image(pixels, PPM, 1, None)
    assert stage.losses[-1] < stage.losses[0]
    with torch.no_grad():
        vectors = encoder(torch.from_numpy(image), torch.ones(count, 1))
    assert vectors.shape == (count, PPM.image)
    assert told_apart(vectors, shade.ravel()) > 0.9  # a constant encoder tells nothing apart, though the head alone lowers the loss


def told_apart(vectors, classes):
    """Share of the vectors that are nearer to the mean of their own class, without them, than to that of any other."""
    vectors, names = vectors.double().numpy(), np.unique(classes)
    right = 0
    for place, vector in enumerate(vectors):
        others = np.arange(len(vectors)) != place
        means = [vectors[others & (classes == name)].mean(0) for name in names]
        right += names[np.argmin([np.linalg.norm(vector - mean) for mean in means])] == classes[place]
    return right / len(vectors)


def test_sparse_start_is_that_of_the_dense_matrix(features):
    """Latent semantic analysis, written out on dense matrices."""
    text = features.items.text
    encoder = TextEncoder(features.schema.text_size, 8)
    encoder.start_from(text)
    counts = np.stack([np.bincount(line[line > 2], minlength=features.schema.text_size) for line in text]).astype(float)
    weight = np.log((1 + len(text)) / (1 + (counts > 0).sum(0)))
    np.testing.assert_allclose(encoder.weight.weight[3:, 0].detach(), weight[3:], rtol=1e-5)
    matrix = np.log1p(counts) * weight
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    expected = v[:8].T / np.sqrt(s[:8])
    found = encoder.token.weight.detach().double().numpy()
    # Singular vectors have no sign: compare what they say of pairs of tokens.
    found_pairs, expected_pairs = found @ found.T, expected @ expected.T
    assert np.corrcoef(found_pairs.ravel(), expected_pairs.ravel())[0, 1] > 0.999
    share = counts * weight
    share /= share.sum(1, keepdims=True)
    np.testing.assert_allclose(encoder.centre.detach(), (share @ found).mean(0), atol=1e-5)


@pytest.mark.parametrize("reads, expected", [(("image_features",), [0, 1, 1, 0]), (("image",), [1, 0, 1, 0]), (("image", "image_features"), [1, 1, 1, 0])])
def test_mask_is_of_what_the_model_reads(features, reads, expected):
    """As `ItemBatch` of the server does it: a picture is nothing to a model that reads features."""
    items = dataclasses.replace(
        features.items, image=np.zeros((4, 3, 2, 2), np.float32), image_features=np.zeros((4, 6), np.float32),
        has_image=np.array([True, False, True, False]), has_image_features=np.array([False, True, True, False]),
    )  # fmt: skip
    inputs = items.named(("categories", *reads))
    assert set(inputs) == {"categories", *reads, "image_mask"} and inputs["image_mask"][:, 0].tolist() == expected
    assert items.named(reads, np.array([2, 0]))["image_mask"][:, 0].tolist() == [expected[2], expected[0]]
    assert "image_mask" not in items.named(("categories",))


def test_pairs_split_at_the_last_separator():
    text = np.array([[5, 6, 2, 7, 2, 8, 9, 10], [5, 6, 7, 8, 0, 0, 0, 0], [5, 2, 8, 9, 0, 0, 0, 0]])
    queries, descriptions, both = ppm.pairs(text)
    assert queries[0].tolist() == [5, 6, 2, 7, 0, 0, 0, 0] and descriptions[0].tolist() == [0, 0, 0, 0, 0, 8, 9, 10]
    assert not queries[1].any() and not descriptions[1].any()
    assert both.tolist() == [0]  # the third description is too short to match anything


# Shared layers and the loop


def test_id_dropout_replaces_ids_by_the_unknown_vector():
    torch.manual_seed(0)
    table = IdTable(100, 4, dropout=0.3, spread=1.0)
    rows = torch.randint(1, 101, (2000,))
    table.train()
    unknown = (table(rows) == table.embedding[0]).all(1).float().mean()
    assert 0.25 < unknown < 0.35
    table.eval()
    assert torch.equal(table(rows), table.embedding[rows])


def test_attention_ignores_padding_and_is_zero_without_history():
    torch.manual_seed(0)
    project, attend = HistoryProjection(6, 2, 4, 10, 1), TargetAttention(6, 2, 4)
    history, mask = torch.randn(1, 10, 6), torch.ones(1, 10)
    mask[:, 4:] = 0
    history = history * mask.unsqueeze(2)
    items = torch.randn(1, 3, 6)
    state, _ = project(history, mask.long(), torch.zeros(1, 10), mask)
    read, _ = attend(items, state)
    longer = state.clone()
    longer[:, 4:, :8] = 7.0  # other keys in the padding
    torch.testing.assert_close(attend(items, longer)[0], read)
    nothing, mean = project(torch.zeros(1, 10, 6), torch.zeros(1, 10).long(), torch.zeros(1, 10), torch.zeros(1, 10))
    assert all((part == 0).all() for part in (*attend(items, nothing), mean))


def test_sequence_encoder_reads_both_directions_but_no_padding():
    torch.manual_seed(0)
    encoder = SequenceEncoder(6, 8, 2, 2, 10, 0.0).eval()
    torch.nn.init.normal_(encoder.interval.weight)  # it starts at zero
    history, mask, intervals = torch.randn(1, 10, 6), torch.ones(1, 10), torch.arange(10.0).unsqueeze(0)
    mask[:, 5:] = 0
    out = encoder(history, intervals, mask)
    assert (out[:, 5:] == 0).all()
    other = history.clone()
    other[:, 5:] = 9.0
    torch.testing.assert_close(encoder(other, intervals, mask), out)
    for changed, seen in ((0, 4), (4, 0)):
        other = history.clone()
        other[:, changed] += 1.0
        assert not torch.allclose(encoder(other, intervals, mask)[:, seen], out[:, seen])
    assert not torch.allclose(encoder(history, intervals * 1.5, mask), out)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_requests_hold_each_row_once_in_order_for_one_user(size, features):
    rows = features.rows(0)
    grouped = requests(features, rows, size, seed=4).numpy()
    assert grouped.shape[1] == size
    assert sorted(grouped[grouped >= 0].tolist()) == rows.tolist()
    for group in grouped:
        present = group[group >= 0]
        assert len(set(features.user[present])) == 1 and (np.diff(present) > 0).all() and (group[: len(present)] >= 0).all()


def test_fit_restores_the_best_weights():
    model = torch.nn.Linear(1, 1)
    values = iter([0.5, 0.9, 0.1, 0.2, 0.3])
    seen = []

    def validate():
        seen.append(model.weight.detach().clone())
        return next(values)

    schedule = Schedule(epochs=5, batch=2, patience=1)
    result = fit(model, torch.randn(8, 1), lambda batch: model(batch).square().mean(), schedule, 1, validate)
    assert len(seen) == 4 and result.best == 0.9 and result.best_epoch == 2
    assert torch.equal(model.weight, seen[1])


def test_fit_stops_on_a_loss_that_is_no_number():
    model = torch.nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match="step 1"):
        fit(model, torch.randn(8, 1), lambda batch: model(batch).sum() * float("nan"), Schedule(epochs=1), 1)


# Logits whose mean is far from that of the validation part's clicks: Newton's method without step control runs away from all but the first.
@pytest.mark.parametrize(
    "mean, spread, scale, bias",
    [(0, 2, 0.5, -1), (-4, 3, 0.3, -1), (-5, 3, 0.2, 0), (3, 2, 0.5, -3), (5, 3, 0.3, -4), (-4.6, 1, 1, 4), (40, 30, 0.05, -1)],
)
def test_calibration_finds_scale_and_bias_and_never_turns_the_ranking(mean, spread, scale, bias):
    random = np.random.default_rng(0)
    logits = mean + random.normal(size=20_000) * spread
    labels = random.random(20_000) < 1 / (1 + np.exp(-(scale * logits + bias)))
    found = fit_calibration(logits, labels)
    assert found[0] == pytest.approx(scale, rel=0.15)
    assert found[0] * mean + found[1] == pytest.approx(scale * mean + bias, abs=0.1)
    assert fit_calibration(-logits, labels) == (1.0, 0.0)


@pytest.mark.parametrize("label", [0, 1])
def test_calibration_on_one_class_alone_changes_nothing(label):
    assert fit_calibration(np.random.default_rng(0).normal(size=1000), np.full(1000, label)) == (1.0, 0.0)


@pytest.mark.parametrize("spread", [0.01, 1, 100])
def test_calibration_of_separable_classes_stays_finite(spread):
    labels = np.arange(400) >= 200
    logits = (np.where(labels, 2, -2) + np.random.default_rng(0).uniform(-1, 1, 400)) * spread
    scale, bias = fit_calibration(logits, labels)
    # 200 rows of a class support a claim of 201 to 1 (Platt's targets) where the class is, not one of billions to 1.
    assert scale * spread * 2 == pytest.approx(np.log(201), rel=0.3) and abs(bias) < 0.5


def test_number_that_was_constant_in_training_says_nothing_later():
    layer = Standardize(2)
    layer.observe(torch.tensor([[0.0, 1.0], [0.0, 3.0]]))
    out = layer(torch.tensor([[0.0, 2.0], [7.0, 3.0]]))
    assert out[:, 0].tolist() == [0, 0] and out[:, 1].tolist() == pytest.approx([0, 1])
