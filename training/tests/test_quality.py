"""The quality benchmark: phases, controls, intervals, and runs that can be stopped and made again."""

import dataclasses
import json
import multiprocessing
import shlex
import shutil

import numpy as np
import pytest
import torch
from neutral import write_movielens_1m
from PIL import Image

from recbackend import metrics
from recbackend.__main__ import UsageError
from recbackend.data import HELD_OUT, TEST, TRAIN, DataError
from recbackend.features import FeatureOptions, build, compute
from recbackend.quality import __main__ as command
from recbackend.quality import bootstrap, controls, protocols, report, runs, slices, warmup
from recbackend.quality.runs import Arm, Bench, Limits, Record, Run
from recbackend.recipes import id as id_recipe
from recbackend.recipes import unified
from recbackend.replay import Replay
from recbackend.train import Schedule

OPTIONS = FeatureOptions(statistics=False, time_context=False, history=10, text_length=16, text_vocabulary=300, images=False)
ONCE = Limits(epochs=1)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_movielens_1m(tmp_path_factory.mktemp("quality") / "ml-1m")


@pytest.fixture(scope="module")
def datasets(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    return {name: protocols.prepare(source, folder / name, name) for name in protocols.PROTOCOLS}


@pytest.fixture(scope="module")
def cold(datasets):
    """Features of protocol C and a model that has not seen its new items."""
    built = build(datasets["C"], OPTIONS)
    return built, id_recipe.train(built, id_recipe.Config(history=10, schedule=Schedule(epochs=2, batch=64, learning_rate=3e-3)), 1)


# Protocols


@pytest.mark.parametrize("phase, count", [("a", 20), ("b", 40), ("c", 60)])
def test_a_phase_warms_the_first_rows_of_each_new_item_and_none_of_the_test(datasets, phase, count):
    warm = protocols.after(datasets["C"], phase)
    assert len(warm.held_out_items) == 4
    for place in np.flatnonzero([item.id in warm.held_out_items for item in warm.items]):
        rows = np.flatnonzero(warm.item == place)
        assert warm.warmed[rows].tolist() == [True] * count + [False] * (80 - count)
    assert (warm.split[warm.warmed] == HELD_OUT).all() and warm.warmed.sum() == 4 * count


def test_phases_of_the_whole_set_have_twenty_rows_of_each_new_item(shared_data, tmp_path):
    dataset = protocols.prepare(shared_data / "ml-1m", tmp_path, "C")
    for phase, count in protocols.PHASES.items():
        assert protocols.after(dataset, phase).warmed.sum() == 970 * count


def test_warm_rows_enter_histories_and_test_rows_do_not(datasets):
    schema = build(datasets["C"], OPTIONS).schema
    new = {place for place, item in enumerate(datasets["C"].items) if item.id in datasets["C"].held_out_items}
    seen = {}
    for phase in protocols.PHASES:
        warm = protocols.after(datasets["C"], phase)
        features = compute(warm, schema)
        seen[phase] = [item for item in features.click_item.tolist() if item in new]
        assert len(seen[phase]) == int(warm.label[warm.warmed].sum())
    assert 0 < len(seen["a"]) < len(seen["b"]) < len(seen["c"])


def test_thinned_rows_are_the_whole_rows_of_the_data(datasets):
    dataset = datasets["A"]
    thin = protocols.thinned(dataset, 300)
    whole = set(zip(dataset.user, dataset.item, dataset.timestamp, dataset.label, dataset.split))
    assert thin.rows == 300 and set(zip(thin.user, thin.item, thin.timestamp, thin.label, thin.split)) <= whole
    assert set(thin.split) == set(dataset.split)


# Controls


def test_shuffled_content_is_that_of_another_item_and_side_features_stay(datasets):
    items = datasets["A"].items
    shuffled = controls.with_shuffled_content(datasets["A"], 3).items
    for before, after in zip(items, shuffled):
        assert (after.id, after.categories, after.attributes) == (before.id, before.categories, before.attributes)
        assert after.text != before.text and after.title != before.title
    assert sorted((item.title, item.text) for item in items) == sorted((item.title, item.text) for item in shuffled)
    # What belongs together stays so: the control is of whose content it is, not of broken content.
    together = {item.title: (item.text, item.image_features) for item in items}
    assert all(together[item.title] == (item.text, item.image_features) for item in shuffled)
    assert shuffled == controls.with_shuffled_content(datasets["A"], 3).items != controls.with_shuffled_content(datasets["A"], 4).items


def test_a_model_without_ids_scores_those_items_by_the_unknown_vector_alone(cold):
    built, model = cold
    dropped = built.known_item_ids[:2]
    rows = built.rows(TEST)[:50]
    before, after = Replay(model, built), Replay(controls.without_ids(model, dropped), built)
    for place, name in enumerate(built.item_ids):
        expected = before.item_table[0] if name in dropped else before.item_table[before.item_row[place]]
        np.testing.assert_array_equal(after.item_table[after.item_row[place]], expected)
    assert not np.array_equal(before.scores(rows), after.scores(rows))


def test_ridge_predicts_items_that_it_has_not_seen_from_what_they_are_made_of():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(300, 12))
    target = inputs @ random.normal(size=12) + 0.3
    known = np.arange(200)
    weight = random.uniform(0.2, 1, 200)
    noise = random.normal(size=200) * 0.3 / np.sqrt(weight)
    predicted = controls.kernel_ridge(inputs @ inputs[known].T, known, target[known] + noise, weight)
    assert np.corrcoef(predicted[200:], target[200:])[0, 1] > 0.98


def test_ridge_of_inputs_that_say_nothing_predicts_little_but_the_mean():
    random = np.random.default_rng(1)
    inputs, target = random.normal(size=(300, 50)), random.normal(size=300) + 2
    predicted = controls.kernel_ridge(inputs @ inputs[:200].T, np.arange(200), target[:200], np.ones(200))
    assert np.std(predicted[200:]) < 0.3 and abs(predicted[200:].mean() - 2) < 0.3


def test_strength_of_ridge_is_that_of_the_least_error_on_rows_left_out():
    random = np.random.default_rng(2)
    inputs, weight = random.normal(size=(40, 6)), random.uniform(0.2, 1, 40)
    target = inputs @ random.normal(size=6) + random.normal(size=40) * 2
    kernel, known = inputs @ inputs.T, np.arange(40)

    def fitted(rows, strength):
        mean = np.average(target, weights=weight)
        return mean + kernel[:, rows] @ np.linalg.solve(kernel[np.ix_(rows, rows)] + np.diag(strength / weight[rows]), target[rows] - mean)

    errors = {}
    for strength in controls._STRENGTHS:
        left_out = [fitted(np.delete(known, row), strength)[row] for row in known]
        errors[strength] = np.average((np.array(left_out) - target) ** 2, weights=weight)
    best = min(errors, key=errors.get)
    assert controls._STRENGTHS[0] < best < controls._STRENGTHS[-1]
    np.testing.assert_allclose(controls.kernel_ridge(kernel, known, target, weight), fitted(known, best), rtol=1e-6)


@pytest.mark.parametrize("name", runs.COUNTED)
def test_predictions_without_a_network_know_nothing_of_a_rows_future(datasets, name):
    dataset = datasets["A"]
    options = dataclasses.replace(OPTIONS, statistics=True)
    predict = {"popularity": controls.popularity, "ridge": controls.ridge}[name]
    rows = np.flatnonzero(dataset.split == TEST)
    row = rows[len(rows) // 2]
    changed = dataset.label.copy()
    changed[row:] = 1 - changed[row:]
    before, after = (predict(build(dataclasses.replace(dataset, label=label), options)) for label in (dataset.label, changed))
    np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
    assert not np.array_equal(before[row + 1 :], after[row + 1 :])


# Warm-up


def test_an_item_whose_first_rows_are_clicks_rises_and_one_without_falls(datasets, cold):
    built, model = cold
    warm = protocols.after(datasets["C"], "b")
    new = sorted({place for place in warm.item[warm.warmed].tolist()})
    liked, disliked = new[:2]
    label = warm.label.copy()
    label[warm.warmed & (warm.item == liked)] = 1
    label[warm.warmed & (warm.item == disliked)] = 0
    seen = dataclasses.replace(compute(dataclasses.replace(warm, label=label), built.schema), items=built.items)
    tuned = warmup.warmed_up(model, seen, np.flatnonzero(warm.warmed), 1)
    rows = built.rows(TEST)
    change = Replay(tuned, seen).scores(rows) - Replay(model, seen).scores(rows)
    assert change[seen.item[rows] == liked].mean() > 0.01
    assert change[seen.item[rows] == disliked].mean() < -0.01


def test_warm_up_adds_rows_for_new_items_and_changes_nothing_else(datasets, cold):
    built, model = cold
    warm = protocols.after(datasets["C"], "a")
    seen = dataclasses.replace(compute(warm, built.schema), items=built.items)
    weights = {name: value.clone() for part in (model.user_encoder, model.ranker, model.item_encoder) for name, value in part.state_dict().items()}
    tuned = warmup.warmed_up(model, seen, np.flatnonzero(warm.warmed), 1)
    assert tuned.item_ids[: len(model.item_ids)] == model.item_ids
    assert set(tuned.item_ids[len(model.item_ids) :]) == warm.held_out_items
    np.testing.assert_array_equal(tuned.item_table[: len(model.item_table)], model.item_table)
    for part in (tuned.user_encoder, tuned.ranker, tuned.item_encoder):
        for name, value in part.state_dict().items():
            assert torch.equal(value, weights[name])
    again = warmup.warmed_up(model, seen, np.flatnonzero(warm.warmed), 1)
    np.testing.assert_array_equal(tuned.item_table, again.item_table)


def test_warm_up_never_reads_the_labels_of_the_test(datasets, cold):
    built, model = cold
    warm = protocols.after(datasets["C"], "c")
    label = np.where(warm.split == TEST, 1 - warm.label, warm.label).astype(np.uint8)
    tables = []
    for dataset in (warm, dataclasses.replace(warm, label=label)):
        seen = dataclasses.replace(compute(dataset, built.schema), items=built.items)
        tables.append(warmup.warmed_up(model, seen, np.flatnonzero(warm.warmed), 1).item_table)
    np.testing.assert_array_equal(*tables)


# Intervals


@pytest.mark.parametrize("seed", range(3))
def test_weighted_auc_is_that_of_rows_repeated_as_often(seed):
    random = np.random.default_rng(seed)
    labels, scores, weights = random.integers(0, 2, 200), random.integers(0, 15, 200) / 15, random.integers(0, 4, 200)
    rows = np.repeat(np.arange(200), weights)
    assert bootstrap.WeightedAuc(labels, scores)(weights) == pytest.approx(metrics.auc(labels[rows], scores[rows]), abs=1e-12)


def measured_rows(seed, users=40, rows=800):
    random = np.random.default_rng(seed)
    user = random.integers(0, users, rows)
    truth = random.normal(size=rows) + random.normal(size=users)[user]
    return (truth + random.logistic(size=rows) > 0).astype(int), user, truth, random


def test_interval_is_that_of_drawing_users_with_all_their_rows():
    labels, user, truth, random = measured_rows(0)
    ours, theirs = truth + 0.3 * random.normal(size=len(truth)), truth + random.normal(size=len(truth))
    fast = bootstrap.paired(labels, user, [ours], [theirs], draws=60, seed=5)
    weights = np.random.default_rng(5).multinomial(40, np.full(40, 1 / 40), 50)  # the first draws are the same
    weights = np.concatenate([weights, bootstrap_rest(5, 40)])
    slow = {"auc": [], "gauc": []}
    for weight in weights:
        rows = np.concatenate([np.flatnonzero(user == one) for one in range(40) for _ in range(weight[one])])
        copy = np.concatenate([np.full((user == one).sum(), 1000 * one + n) for one in range(40) for n in range(weight[one])])
        slow["auc"].append(metrics.auc(labels[rows], ours[rows]) - metrics.auc(labels[rows], theirs[rows]))
        slow["gauc"].append(metrics.gauc(labels[rows], ours[rows], copy) - metrics.gauc(labels[rows], theirs[rows], copy))
    for name, values in slow.items():
        assert (fast[name].low, fast[name].high) == pytest.approx(tuple(np.percentile(values, (2.5, 97.5))), abs=1e-9)
    assert fast["auc"].difference == pytest.approx(metrics.auc(labels, ours) - metrics.auc(labels, theirs))


def bootstrap_rest(seed, users):
    random = np.random.default_rng(seed)
    random.multinomial(users, np.full(users, 1 / users), 50)
    return random.multinomial(users, np.full(users, 1 / users), 10)


def test_interval_of_equal_models_is_nothing_and_of_a_better_one_is_above():
    labels, user, truth, random = measured_rows(1)
    noisy = truth + 2 * random.normal(size=len(truth))
    same = bootstrap.paired(labels, user, [noisy], [noisy], draws=100)["auc"]
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    better = bootstrap.paired(labels, user, [truth, truth], [noisy], draws=100)["auc"]
    assert 0 < better.low < better.difference < better.high


# Runs


@pytest.fixture(scope="module")
def bench(source, tmp_path_factory):
    """A file with one short run of `id` on each of two protocols, and `popularity` on one."""
    folder = tmp_path_factory.mktemp("bench")
    made = Bench(source, folder / "runs", folder / "quality.json", ONCE, commit="abc1234")
    for one in (Run(Arm("id"), "A", 1), Run(Arm("id"), "C", 1), Run(Arm("popularity"), "A", 0)):
        made.run(one, silent())
    return made


def silent():
    class Silent:
        def stage(self, *_):
            pass

        def update(self, *_):
            pass

    return Silent()


def test_every_object_has_its_figures_costs_commit_and_command(bench):
    rows = bench.record.read()
    for row in rows:
        assert {"recipe", "protocol", "seed", "split", "auc", "gauc", "logloss", "ece", "p_at_2", "rows", "auc_by_item_rows", "commit", "command"} <= set(row)
        assert 0.3 < row["auc"] < 1 and row["logloss"] > 0 and row["commit"] == "abc1234"
        if row["recipe"] == "id":
            assert min(row["parameters"], row["id_parameters"], row["bytes_per_item"]) > 0
            assert row["flops_per_candidate"]["1"] > row["flops_per_candidate"]["100"] > 0
    found = {runs.key_of(row) for row in rows}
    assert ("id", None, "A", 1, None, "valid") in found and ("id", "unknown-ids", "A", 1, None, "test") in found
    assert {("id", None, "C", 1, phase, "test") for phase in ("cold", "a", "b", "c")} <= found
    assert len(found) == len(rows)


def test_the_command_of_an_object_names_its_run(bench):
    for row in bench.record.read():
        words = shlex.split(row["command"])
        assert words[:3] == ["rec", "bench", "quality"]
        options = command.parser().parse_args(words[3:])
        assert (options.protocol, options.epochs) == (row["protocol"], 1)
        assert Arm.parse(options.recipes) == Arm(row["recipe"]) and (row["seed"] == 0 or options.seeds == str(row["seed"]))


def test_runs_with_other_settings_are_told_apart_and_have_a_table_of_their_own(bench, tmp_path):
    arm = Arm("id").configured(["schedule.learning_rate=0.5", 'shape.hidden=[8, 4]'])
    made = Bench(bench.source, bench.folder, tmp_path / "quality.json", ONCE, commit="abc1234")
    usual = [row for row in bench.record.read() if row["recipe"] == "id" and row["protocol"] == "A"]
    made.record.put(usual)
    rows = made.run(Run(arm, "A", 1), silent())
    assert len(made.record.read()) == len(usual) + 2 and made.record.holds(Run(arm, "A", 1), "abc1234")
    assert {row["split"]: row["auc"] for row in rows} != {row["split"]: row["auc"] for row in usual if row["control"] is None}
    assert rows[0]["parameters"] < usual[0]["parameters"]
    options = command.parser().parse_args(shlex.split(rows[0]["command"])[3:])
    assert Arm.parse(options.recipes).configured(options.config) == arm
    np.testing.assert_allclose(metrics.auc(*(np.load(runs.scores_path(bench.folder, rows[1]))[name] for name in ("label", "score"))), rows[1]["auc"], atol=1e-6)
    text = report.tables_of(report.groups_of(made.record.read(), bench.folder, tmp_path / "intervals.json"), [], "quality.json")
    line = f"| `id` with `schedule.learning_rate=0.5`, `shape.hidden=[8, 4]` | 1 | {rows[0]['auc']:.4f} | {rows[1]['auc']:.4f} |"
    assert line in text and line in text[text.index("With other settings") :] and text.count("learning_rate=0.5`") == 1
    assert "--recipes id --config schedule.learning_rate=0.5 --config 'shape.hidden=[8, 4]' --seeds 1   # abc1234" in text


def test_kept_scores_give_the_figures_of_the_file(bench):
    for row in bench.record.read():
        kept = np.load(runs.scores_path(bench.folder, row))
        assert metrics.auc(kept["label"], kept["score"]) == pytest.approx(row["auc"], abs=1e-6)
        assert metrics.gauc(kept["label"], kept["score"], kept["user"]) == pytest.approx(row["gauc"], abs=1e-6)


def test_scores_of_the_warm_phases_are_of_the_same_rows(bench):
    parts = [np.load(runs.scores_path(bench.folder, row)) for row in bench.record.read() if row["protocol"] == "C" and row["split"] == "test"]
    assert len(parts) == 7
    for part in parts[1:]:
        np.testing.assert_array_equal(part["label"], parts[0]["label"])
        np.testing.assert_array_equal(part["user"], parts[0]["user"])


def test_a_run_in_the_file_is_not_made_again_until_the_code_changes(bench):
    run = Run(Arm("id"), "A", 1)
    assert bench.record.holds(run, "abc1234") and not bench.record.holds(run, "def5678")
    assert bench.record.holds(run, None)
    for other in (Run(Arm("id", "shuffled"), "A", 1), Run(Arm("id"), "A", 2), Run(Arm("id"), "B", 1), Run(Arm("ppm"), "A", 1)):
        assert not bench.record.holds(other, None)


def test_a_run_made_again_replaces_its_objects(bench, tmp_path):
    copy = Record(tmp_path / "copy.json")
    rows = bench.record.read()
    copy.put(rows)
    copy.put([row | {"auc": 0.5} for row in rows[:1]])
    copy.put([row | {"commit": "def5678"} for row in rows[:1]])
    assert len(copy.read()) == len(rows) + 1
    assert [row["auc"] for row in copy.read() if runs.key_of(row) == runs.key_of(rows[0]) and row["commit"] == "abc1234"] == [0.5]
    assert [path.name for path in tmp_path.iterdir()] == ["copy.json"]


def test_commands_that_share_a_file_lose_nothing(bench, tmp_path):
    rows = [row for row in bench.record.read() if row["recipe"] == "id"][:1]
    start = multiprocessing.get_context("fork").Barrier(4)

    def add(first):
        start.wait()
        for seed in range(first, first + 10):
            Record(tmp_path / "quality.json").put([rows[0] | {"seed": seed}])

    writers = [multiprocessing.get_context("fork").Process(target=add, args=(10 * n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(row["seed"] for row in Record(tmp_path / "quality.json").read()) == list(range(40))


def test_a_seed_gives_the_same_figures_again(bench, source, tmp_path):
    again = Bench(source, tmp_path / "runs", tmp_path / "quality.json", ONCE, commit="abc1234")
    rows = again.run(Run(Arm("id"), "A", 1), silent())
    first = {runs.key_of(row): row["auc"] for row in bench.record.read()}
    assert {runs.key_of(row): row["auc"] for row in rows} == {key: value for key, value in first.items() if key[0] == "id" and key[2] == "A"}


def test_random_encoder_is_refused_of_a_recipe_that_has_none(source, tmp_path):
    bench = Bench(source, tmp_path / "runs", tmp_path / "quality.json", ONCE, commit="abc1234")
    with pytest.raises(UsageError, match="^id:random-encoder: no setting 'pretrained_content'"):
        command._run_all(bench, [Run(Arm("id"), "A", 1), Run(Arm("id", "random-encoder"), "A", 1)], keep=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("recipe, names", [("ppm", ["shuffled", "random-encoder"]), ("mim", ["shuffled", "random-encoder"]), ("unified", ["shuffled", "random-encoder"]), ("ctrl", ["shuffled"])])
def test_content_controls_change_scores_and_not_labels(source, tmp_path, recipe, names):
    bench = Bench(source, tmp_path / "runs", tmp_path / "quality.json", ONCE, commit="abc1234")
    scores = []
    for control in (None, *names):
        rows = bench.run(Run(Arm(recipe, control), "A", 1), silent())
        assert {row["control"] for row in rows} == {control}
        scores.append(np.load(runs.scores_path(bench.folder, rows[-1])))
    for one in scores[1:]:
        np.testing.assert_array_equal(one["label"], scores[0]["label"])
        assert not np.array_equal(one["score"], scores[0]["score"])


def test_ctrl_is_shuffled_as_its_paper_shuffles_it_and_reads_its_own_side_features(source, tmp_path, monkeypatch):
    """Genres and year, which shuffled data keeps, are in its sentences too; and its click model must not get those of another item."""
    monkeypatch.setattr(controls, "with_shuffled_content", lambda *_: pytest.fail("content is shuffled twice"))
    bench = Bench(source, tmp_path / "runs", tmp_path / "quality.json", ONCE, commit="abc1234")
    bench.run(Run(Arm("ctrl", "shuffled"), "A", 1), silent())
    manifest = json.loads((tmp_path / "runs" / "bundles" / "A-ctrl-shuffled-1-abc1234" / "manifest.json").read_text("utf-8"))
    assert manifest["training"]["settings"]["shuffled_text"] is True


def test_pictures_are_read_from_their_pixels(source, tmp_path):
    posters = tmp_path / "ml-1m" / "posters"
    shutil.copytree(source, posters.parent)
    posters.mkdir()
    random = np.random.default_rng(0)
    for name in (source / "poster_ids.txt").read_text("utf-8").split():
        Image.fromarray(random.integers(0, 255, (80, 60, 3), np.uint8)).save(posters / f"{name}.jpg")
    bench = Bench(posters.parent, tmp_path / "runs", tmp_path / "quality.json", ONCE, commit="abc1234")
    rows = bench.run(Run(Arm.parse("mim:pixels"), "A", 1), silent())
    assert {row["control"] for row in rows} == {"pixels"} and all(0 < row["auc"] < 1 for row in rows)
    inputs = json.loads((tmp_path / "runs" / "bundles" / "A-mim-pixels-1-abc1234" / "manifest.json").read_text("utf-8"))["item_inputs"]
    assert inputs["image"] is not None and inputs["image_features"] is None


def test_run_from_pixels_without_posters_is_refused(source, tmp_path):
    bench = Bench(source, tmp_path / "runs", tmp_path / "quality.json", ONCE, commit="abc1234")
    with pytest.raises(DataError, match="posters: has no poster of any item"):
        bench.run(Run(Arm.parse("mim:pixels"), "A", 1), silent())


@pytest.mark.parametrize("arm, unread", [("id:pixels", "image"), ("ctrl:pixels", "image"), ("srp4ctr:plots", "text"), ("id:shuffled", "image and no image_features and no text")])
def test_control_that_changes_nothing_a_recipe_reads_is_refused(bench, arm, unread):
    with pytest.raises(UsageError, match=f"{arm}: the recipe reads no {unread}"):
        bench.check(Run(Arm.parse(arm), "A", 1))
    bench.check(Run(Arm.parse("ctrl:plots"), "A", 1))
    bench.check(Run(Arm.parse("ctrl:shuffled"), "A", 1))


def test_plots_take_the_place_of_abstracts(source, tmp_path):
    movies = [json.loads(line) for line in (source / "content.jsonl").read_text("utf-8").splitlines()]
    changed = tmp_path / "ml-1m"
    shutil.copytree(source, changed)
    (changed / "content.jsonl").write_text("".join(json.dumps(movie | {"abstract_dbpedia": "an acclaimed film"}) + "\n" for movie in movies), "utf-8")
    bench = Bench(changed, tmp_path / "runs", tmp_path / "quality.json", ONCE, commit="abc1234")
    rows = bench.run(Run(Arm.parse("ppm:plots"), "B", 1), silent())
    assert {row["control"] for row in rows} == {"plots"}
    items = (tmp_path / "runs" / "data" / "B-plots" / "items.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(item)["text"] for item in items] == [movie["plot_short"] for movie in movies]


def test_fewer_epochs_are_of_every_stage_and_every_part():
    shorter = runs.with_epochs(unified.Config(), 1)
    found = [shorter.schedule, shorter.mim.pretraining, shorter.mim.sft, shorter.ppm.user_schedule, shorter.srp4ctr.pretraining, shorter.ctrl.words]
    assert [one.epochs for one in found] == [1] * 6 and shorter.mim.sft.batch == unified.Config().mim.sft.batch


def test_buckets_are_of_the_rows_of_training(datasets):
    dataset = datasets["A"]
    rows = np.flatnonzero(dataset.split == TEST)
    count = np.array([((dataset.item == dataset.item[row]) & (dataset.split == TRAIN)).sum() for row in rows])
    scores = np.random.default_rng(0).random(len(rows))
    found = runs.measure(dataset, rows, scores)["auc_by_item_rows"]
    within = (count >= 21) & (count <= 100)
    assert found["21-100"] == pytest.approx(metrics.auc(dataset.label[rows][within], scores[within]), abs=1e-6)
    assert found["0"] is None and within.any()


# Slices


def test_slices_add_later_rows_and_leave_validation_and_test(datasets):
    dataset = datasets["A"]
    training = np.flatnonzero(dataset.split == TRAIN)
    counts = []
    for count in range(1, slices.SLICES + 1):
        split = slices.up_to(dataset, count).split
        trained = np.flatnonzero(split == TRAIN)
        assert trained.tolist() == training[: len(trained)].tolist()
        np.testing.assert_array_equal(np.flatnonzero(split == TEST), np.flatnonzero(dataset.split == TEST))
        counts.append(len(trained))
    assert counts[-1] == len(training) and max(np.diff([0, *counts])) - min(np.diff([0, *counts])) <= 1


def test_resumed_and_frozen_model_are_measured_on_the_same_rows(source, tmp_path):
    bench = Bench(source, tmp_path / "runs", tmp_path / "quality.json", ONCE, commit="abc1234")
    rows = bench.run(Run(Arm("id", "resumed"), "A", 1), silent())
    assert [(row["control"], row["split"]) for row in rows] == [("frozen", "valid"), ("frozen", "test"), ("resumed", "valid"), ("resumed", "test")]
    frozen, resumed = (np.load(runs.scores_path(bench.folder, row)) for row in rows if row["split"] == "test")
    np.testing.assert_array_equal(frozen["label"], resumed["label"])
    # Nine tenths of the rows say something that the first tenth did not.
    assert metrics.auc(resumed["label"], resumed["score"]) > metrics.auc(frozen["label"], frozen["score"]) + 0.003
    assert bench.record.holds(Run(Arm("id", "resumed"), "A", 1), "abc1234")
    assert "| `id`, frozen | 1 |" in report.tables_of(report.groups_of(rows, bench.folder, tmp_path / "i.json"), [], "quality.json")


# Tables and the command


def test_tables_show_mean_deviation_interval_and_command(bench, tmp_path):
    rows = bench.record.read()
    second = []
    for row in rows:
        if row["recipe"] == "id":
            other = row | {"seed": 2, "auc": row["auc"] + 0.02}
            source_scores = runs.scores_path(bench.folder, row)
            runs.scores_path(bench.folder, other).write_bytes(source_scores.read_bytes())
            second.append(other)
    groups = report.groups_of(rows + second, bench.folder, tmp_path / "intervals.json")
    text = report.tables_of(groups, [], "quality.json")
    one = next(row for row in rows if runs.key_of(row) == ("id", None, "A", 1, None, "test"))
    assert f"| `id` | 2 | " in text and f"{one['auc'] + 0.01:.4f} ± 0.0141" in text
    assert "./rec bench quality --data SRC --protocol A --recipes id --seeds 1,2   # abc1234" in text
    popular = next(group for group in groups if group.recipe == "popularity")
    assert popular.interval["auc"]["low"] < popular.interval["auc"]["difference"] < popular.interval["auc"]["high"]
    # Where the scores are no longer at hand, the intervals are those that were written; of other runs they are not.
    remembered = report.groups_of(rows + second, tmp_path / "nothing", tmp_path / "intervals.json")
    assert [group.interval for group in remembered] == [group.interval for group in groups]
    # A seed more, whose scores are not there: the interval stays that of the others, and says so.
    third = [row | {"seed": 3} for row in second]
    more = report.groups_of(rows + second + third, tmp_path / "nothing", tmp_path / "intervals.json")
    still = next(group for group in more if group.recipe == "popularity")
    assert (still.interval, still.interval_seeds, popular.interval_seeds) == (popular.interval, (1, 2), ())
    assert "], of seeds 1, 2 |" in report.tables_of(more, [], "quality.json") and "of seeds" not in text
    changed = [row | {"commit": "def5678"} for row in rows + second]
    assert all(group.interval is None for group in report.groups_of(changed, tmp_path / "nothing", tmp_path / "intervals.json"))


def test_what_a_control_leaves_of_a_gain_is_of_the_seeds_that_all_have():
    def line(recipe, control, aucs):
        rows = [{"seed": seed, "auc": auc} for seed, auc in aucs.items()]
        return report.Group(recipe, control, "A", None, rows, [], None)

    recipe = [line("id", None, {1: 0.70, 2: 0.72}), line("ppm", None, {1: 0.74, 2: 0.76, 3: 0.99})]
    lines = report._gains([*recipe, line("id", "unknown-ids", {1: 0.5}), line("ppm", "shuffled", {1: 0.71, 2: 0.73, 4: 0.1})])
    assert lines[2:] == ["| `ppm`, shuffled | 2 | +0.0400 | +0.0100 | 25 % |"]
    assert report._gains(recipe) == []
    worse = [line("id", None, {1: 0.7}), line("ppm", None, {1: 0.6}), line("ppm", "shuffled", {1: 0.65})]
    assert report._gains(worse)[2].endswith("| there is no gain |")


def test_plots_are_the_same_for_the_same_runs(bench, tmp_path):
    pytest.importorskip("matplotlib", reason="the plots need matplotlib")
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        copy = Record(tmp_path / name / "quality.json")
        copy.put(bench.record.read())
        written.append([path for path in report.write(copy, bench.folder) if path.suffix == ".svg"])
    assert [path.name for path in written[0]] == ["quality-auc.svg", "quality-item-rows.svg", "quality-warm-up.svg"]
    for one, two in zip(*written):
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--recipes", "magic"], "no recipe 'magic'"),
        (["--recipes", "ppm:blind"], "no control 'blind': ppm has shuffled, random-encoder, pixels, plots and resumed; unknown-ids comes with id"),
        (["--recipes", "ridge:shuffled"], "ridge has none"),
        (["--protocol", "D"], "no protocol 'D'; there are A, B, C"),
        (["--recipes", "id,id:resumed", "--protocol", "B"], "resumed is of protocol A, which --protocol leaves out"),
        (["--seeds", "1,x"], "--seeds has 'x'"),
        (["--config", "request=4"], "--config is of recipes that --recipes names"),
        (["--config", "request=4", "--recipes", "id,ridge"], "ridge: --config is for recipes as they are"),
        (["--config", "request=4", "--recipes", "mim:shuffled"], "mim:shuffled: --config is for recipes as they are"),
        (["--config", "rekwest=4", "--recipes", "id"], "no setting 'rekwest'"),
        (["--rows", "100"], "name another file with --out"),
        (["--epochs", "0", "--out", "x.json"], "--epochs is 0; 1 or more is allowed"),
    ],
)
def test_wrong_argument_is_one_line_before_anything_is_trained(source, tmp_path, capsys, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: object())
    assert command.main(["--data", str(source), "--runs", str(tmp_path / "runs"), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("rec bench quality: ") and reason in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_missing_matplotlib_is_said_before_anything_is_trained(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    assert command.main(["--data", str(source), "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "q.json")]) == 2
    assert "the plots need matplotlib: apt-get install python3-matplotlib" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_something_else_is_not_overwritten(source, tmp_path):
    (tmp_path / "quality.json").write_text(json.dumps({"precious": 1}))
    with pytest.raises(UsageError, match="is no list of runs"):
        Bench(source, tmp_path / "runs", tmp_path / "quality.json", ONCE, commit="x").record.holds(Run(Arm("id"), "A", 1), None)
