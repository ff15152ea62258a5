"""Training that goes on from a bundle: with any recipe's graphs, on the rows that are new, and into a bundle that is one."""

import json

import numpy as np
import onnx
import pytest
import torch
from conftest import REPOSITORY
from neutral import HEADER, write_folder

from recbackend import data, metrics, resume, safetensors
from recbackend.__main__ import main
from recbackend.data import DataError, TRAIN
from recbackend.features import compute
from recbackend.graph import Graph, UnknownOperator
from recbackend.replay import Replay
from recbackend.train import fit_calibration

SAMPLE = REPOSITORY / "samples" / "movielens" / "bundle"
SMALL = ["--config", "schedule.epochs=2", "--config", "history=10"]


def write_log(folder, rows, seed=0, content=False):
    """A log whose clicks follow the item, which with `content` has a text and features of a picture. From row 1,200 on there are four more items, of which two are always clicked; the last fifth is validation and test."""
    random = np.random.default_rng(seed)
    appeal = np.array([-1.5, -0.5, 0.5, 1.5, -1, 1, 0, 0.8, 9, -9, -9, 9])
    events = []
    for row in range(3000):
        item = random.integers(0, 8 if row < 1200 else 12)
        click = int(random.logistic() < appeal[item])
        events.append(f"u{random.integers(0, 20 if row < 1200 else 25)},i{item},{1000 + row},{click}\n")
    items = [{"id": f"i{n}", "categories": [["x", "y"][n % 2]]} for n in range(12)]
    if content:
        for n, item in enumerate(items):
            item |= {"title": f"Item {n}", "text": f"a story of {['love', 'war'][n % 2]} and number {n} of many", "image_features": random.normal(size=4).tolist()}
    split = {"valid_from": 1000 + rows * 8 // 10, "test_from": 1000 + rows * 9 // 10}
    return write_folder(folder, items=items, events=HEADER + "".join(events[:rows]), split=split)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A bundle of the first 960 rows, and the data that has 1,440 more."""
    folder = tmp_path_factory.mktemp("resume")
    assert main(["train", "id", "--data", str(write_log(folder / "old", 1200)), "--out", str(folder / "bundle"), "--no-time-context", "--no-statistics", *SMALL]) == 0
    return folder / "bundle", write_log(folder / "new", 3000)


@pytest.fixture(scope="module")
def resumed(trained, tmp_path_factory):
    bundle, new = trained
    out = tmp_path_factory.mktemp("resumed") / "bundle"
    assert main(["train", "--resume", str(bundle), "--data", str(new), "--out", str(out)]) == 0
    return out


def gap_of_new_items(model, features):
    """How much higher the new items that are always clicked score than those that never are, over the test part."""
    rows = features.rows(2)
    scores = Replay(model, features).scores(rows)
    assert np.isfinite(scores).all() and ((scores > 0) & (scores < 1)).all()
    liked, disliked = (scores[np.isin(features.item[rows], places)].mean() for places in ((8, 11), (9, 10)))
    return liked - disliked


def manifest_of(bundle):
    return json.loads((bundle / "manifest.json").read_text("utf-8"))


@pytest.mark.parametrize("name", ["item_encoder", "user_encoder", "ranker"])
def test_graph_of_the_demo_bundle_gives_its_golden_outputs_and_is_written_as_it_was(name):
    graph = Graph(SAMPLE / f"{name}.onnx")
    golden = {key.removeprefix(f"{name}/"): torch.from_numpy(value.copy()) for key, value in safetensors.read(SAMPLE / "golden.safetensors").items() if key.startswith(f"{name}/")}
    outputs = [one.name for one in onnx.load(str(SAMPLE / f"{name}.onnx")).graph.output]
    with torch.no_grad():
        made = graph(**golden)
    for output, value in zip(outputs, made if isinstance(made, tuple) else (made,)):
        torch.testing.assert_close(value, golden[output], rtol=1e-5, atol=1e-5)
    assert onnx.load_model_from_string(graph.to_bytes()) == onnx.load(str(SAMPLE / f"{name}.onnx"))


def test_graph_with_an_unknown_operator_is_named(tmp_path):
    node = onnx.helper.make_node("Det", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 2]) for name in "xy"]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:])), str(tmp_path / "g.onnx"))
    with pytest.raises(UnknownOperator, match="Det in g.onnx"):
        Graph(tmp_path / "g.onnx")


def test_padding_of_a_graphs_tables_stays_zero_while_it_is_trained():
    graph = Graph(SAMPLE / "user_encoder.onnx")
    golden = {key.split("/")[1]: torch.from_numpy(value.copy()) for key, value in safetensors.read(SAMPLE / "golden.safetensors").items() if key.startswith("user_encoder/")}
    sum(part.square().sum() for part in graph(**golden)).backward()
    tables = [part for part in graph.parameters() if part.dim() == 2 and not part[0].any()]
    assert tables and all(table.grad[1:].any() and not table.grad[0].any() for table in tables)


def test_resumed_bundle_says_where_it_comes_from_and_how(trained, resumed):
    before, after = manifest_of(trained[0]), manifest_of(resumed)
    assert after["training"]["resumed"] == before["version"] != after["version"]
    assert after["training"]["command"] == "rec train --resume bundle --data new --out bundle"
    assert after["training"]["rows"] == 2400 and before["training"]["rows"] == 960
    assert {name: after[name] for name in ("recipe", "dims", "item_inputs", "fallback")} == {name: before[name] for name in ("recipe", "dims", "item_inputs", "fallback")}
    assert (resumed / "item_encoder.onnx").read_bytes() == (trained[0] / "item_encoder.onnx").read_bytes()


def test_graphs_keep_their_nodes_and_change_their_numbers(trained, resumed):
    for name in ("user_encoder", "ranker"):
        before, after = (onnx.load(str(folder / f"{name}.onnx")).graph for folder in (trained[0], resumed))
        assert before.node == after.node and before.input == after.input and before.output == after.output
        assert before.initializer != after.initializer


def test_metrics_of_a_resumed_bundle_are_those_of_its_graphs(trained, resumed):
    bundle = resume.read(resumed)
    dataset = data.read(trained[1])
    features = compute(dataset, bundle.schema)
    rows = features.rows(2)
    scores = Replay(bundle.model, features).scores(rows)
    assert metrics.auc(features.label[rows], scores) == pytest.approx(manifest_of(resumed)["metrics"]["test"]["auc"], abs=1e-6)


def test_items_that_are_new_in_the_new_rows_are_learned(trained, resumed):
    """Frozen, the model takes all four new items for the same."""
    dataset = data.read(trained[1])
    gaps = []
    for folder in (trained[0], resumed):
        bundle = resume.read(folder)
        features = compute(dataset, bundle.schema)
        gaps.append(gap_of_new_items(bundle.model, features))
    assert abs(gaps[0]) < 0.2 < 0.5 < gaps[1]
    assert {"i8", "i9", "i10", "i11"} & set(resume.read(trained[0]).model.item_ids) == set()
    assert set(resume.read(resumed).model.item_ids) == {f"i{n}" for n in range(12)}


def test_a_resumed_bundle_is_calibrated_on_the_validation_part(trained, resumed):
    """Platt scaling of its scores would change nothing; that of the bundle before, whose clicks have become others, would."""
    dataset = data.read(trained[1])
    found = []
    for folder in (trained[0], resumed):
        bundle = resume.read(folder)
        features = compute(dataset, bundle.schema)
        rows = features.rows(1)
        scores = Replay(bundle.model, features).scores(rows)
        found.append(fit_calibration(np.log(scores / (1 - scores)), features.label[rows]))
    assert found[1] == pytest.approx((1, 0), abs=0.02)
    assert found[0] != pytest.approx((1, 0), abs=0.1)


@pytest.mark.parametrize(
    "recipe, settings",
    [
        ("ppm", ["text_schedule.epochs=1", "image_schedule.epochs=1", "user_schedule.epochs=1"]),
        ("srp4ctr", ["pretraining.epochs=1"]),
        ("mim", ["pretraining.epochs=1", "sft.epochs=1"]),
        ("ctrl", ["words.epochs=1", "alignment.epochs=1"]),
        ("unified", ["mim.pretraining.epochs=1", "mim.sft.epochs=1", "ppm.user_schedule.epochs=1"]),
    ],
)
def test_any_recipes_bundle_goes_on_and_learns_the_new_items(recipe, settings, tmp_path):
    small = [*SMALL, *(word for setting in settings for word in ("--config", setting))]
    old, new = write_log(tmp_path / "old", 1200, content=True), write_log(tmp_path / "new", 3000, content=True)
    assert main(["train", recipe, "--data", str(old), "--out", str(tmp_path / "bundle"), "--no-time-context", "--no-statistics", *small]) == 0
    assert main(["train", "--resume", str(tmp_path / "bundle"), "--data", str(new), "--out", str(tmp_path / "more")]) == 0
    before, after = resume.read(tmp_path / "bundle"), resume.read(tmp_path / "more")
    assert after.manifest["recipe"] == recipe
    for name in ("user_encoder", "ranker"):
        assert (tmp_path / "bundle" / f"{name}.onnx").read_bytes() != (tmp_path / "more" / f"{name}.onnx").read_bytes()
    rows = {name: row for row, name in enumerate(after.model.item_ids, start=1)}
    table = after.model.item_table
    assert all(np.abs(table[rows[name]] - before.model.item_table[0]).max() > 1e-3 for name in ("i8", "i9", "i10", "i11"))
    features = compute(data.read(new), after.schema)
    gaps = [gap_of_new_items(model, features) for model in (before.model, after.model)]
    assert gaps[1] > gaps[0] + 0.2


def test_only_new_rows_are_trained_on(trained):
    bundle = resume.read(trained[0])
    dataset = data.read(trained[1])
    rows = resume.new_rows(dataset, bundle)
    assert rows.tolist() == np.flatnonzero(dataset.split == TRAIN)[960:].tolist()


def test_the_same_seed_resumes_to_the_same_model(trained, resumed, tmp_path):
    bundle, new = trained
    assert main(["train", "--resume", str(bundle), "--data", str(new), "--out", str(tmp_path / "again")]) == 0
    for name in ("ranker.onnx", "user_encoder.onnx", "items.safetensors", "users.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (resumed / name).read_bytes()


def test_a_resumed_bundle_can_be_resumed_and_needs_new_rows(resumed, trained, tmp_path, capsys):
    assert main(["train", "--resume", str(resumed), "--data", str(trained[1]), "--out", str(tmp_path / "b")]) == 2
    assert "has 2400 training rows" in capsys.readouterr().err.splitlines()[-1]
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in trained[1].iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    (moved / "split.json").write_text(json.dumps({"valid_from": 3500, "test_from": 3800}))
    assert main(["train", "--resume", str(resumed), "--data", str(moved), "--out", str(tmp_path / "b")]) == 0
    assert manifest_of(tmp_path / "b")["training"]["rows"] == 2500


def test_data_that_does_not_begin_with_the_old_rows_is_refused(trained, tmp_path):
    other = write_log(tmp_path / "other", 3000, seed=9)
    bundle = resume.read(trained[0])
    bundle.model.user_ids.append("nobody")
    with pytest.raises(DataError, match="does not begin with the 960 training rows"):
        resume.new_rows(data.read(other), bundle)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["id", "--resume", "{bundle}"], "--resume takes these from the bundle: recipe"),
        (["--resume", "{bundle}", "--no-text", "--history", "5"], "--resume takes these from the bundle: history, no_text"),
        (["--resume", "{bundle}", "--epochs", "0"], "--epochs is 0; 1 or more is allowed"),
        (["--resume", "{data}"], "is no bundle to go on from"),
        ([], "name a recipe"),
    ],
)
def test_wrong_arguments_of_resume_are_one_line(trained, tmp_path, capsys, arguments, reason):
    words = [word.format(bundle=trained[0], data=trained[1]) for word in arguments]
    assert main(["train", *words, "--data", str(trained[1]), "--out", str(tmp_path / "b")]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and not (tmp_path / "b").exists()
