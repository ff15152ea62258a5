"""A bundle holds what docs/bundle-format.md says, and a model that does not fit is refused."""

import dataclasses
import datetime
import hashlib
import json
import zipfile

import numpy as np
import onnx
import pytest
import torch
from conftest import REPOSITORY

from recbackend import data, export, golden, metrics, safetensors
from recbackend.data import TEST
from recbackend.features import compute
from recbackend.replay import Replay

TRAINING = export.Training("test", 1, datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc))


@pytest.fixture(scope="module")
def tiny():
    dataset = data.read(REPOSITORY / "tests" / "golden" / "tiny-data")
    features = golden.tiny_features(dataset)
    return golden.tiny_model(features), features, dataset


@pytest.fixture(scope="module")
def bundle(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "bundle"
    return out, export.write(*tiny, out, TRAINING, uncached=True)


def without(tiny, *dims):
    """The tiny model and its features, without some optional parts of the user's and the request's side."""
    _, features, dataset = tiny
    lists = {"statistics": "item_statistics", "user_statistics": "user_statistics", "context": "context", "profile": "profile"}
    schema = dataclasses.replace(features.schema, **{lists[name]: [] for name in dims})
    bare = compute(dataset, schema)
    return golden.tiny_model(bare), bare, dataset


def test_files_and_hashes_are_complete(bundle):
    out, manifest = bundle
    assert {path.name for path in out.iterdir()} == {*manifest["files"], "manifest.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert json.loads((out / "manifest.json").read_text()) == manifest
    assert manifest["version"].startswith("tiny-20260102-") and manifest["created"] == "2026-01-02T03:04:05Z"


def test_version_covers_what_is_in_the_manifest_alone(tiny, tmp_path):
    model, features, dataset = tiny
    reordered = dataclasses.replace(features.schema.categories, values=features.schema.categories.values[::-1])
    schemas = [features.schema, dataclasses.replace(features.schema, categories=reordered), dataclasses.replace(features.schema, prior=0.25)]
    manifests = [export.write(model, dataclasses.replace(features, schema=schema), dataset, tmp_path / "b", TRAINING) for schema in schemas]
    assert all(manifest["files"] == manifests[0]["files"] for manifest in manifests)
    assert len({manifest["version"] for manifest in manifests}) == 3
    later = dataclasses.replace(TRAINING, created=TRAINING.created + datetime.timedelta(hours=1))
    assert export.write(model, features, dataset, tmp_path / "b", later)["version"] == manifests[0]["version"]


def test_folder_that_is_no_bundle_is_not_replaced(tiny, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("x")
    with pytest.raises(export.ExportError, match="is not replaced"):
        export.write(*tiny, tmp_path / "b", TRAINING)
    assert [path.name for path in tmp_path.rglob("*")] == ["b", "thesis.txt"]


def test_graphs_have_the_names_and_shapes_of_the_format(bundle):
    out, manifest = bundle
    dims = manifest["dims"]

    def shapes(name):
        graph = onnx.load(str(out / name)).graph
        return {value.name: [axis.dim_value or "?" for axis in value.type.tensor_type.shape.dim] for value in (*graph.input, *graph.output)}

    assert shapes("item_encoder.onnx") == {
        "text": ["?", 16], "categories": ["?", 3], "attributes": ["?", 2], "image_features": ["?", 8], "image_mask": ["?", 1],
        "representation": ["?", dims["representation"]],
    }  # fmt: skip
    event = dims["item_id"] + dims["representation"]
    assert shapes("user_encoder.onnx") == {
        "user_embedding": ["?", dims["user_id"]], "profile": ["?", 2], "user_statistics": ["?", 2], "history": ["?", 20, event],
        "history_actions": ["?", 20], "history_intervals": ["?", 20], "history_mask": ["?", 20],
        "user_state": ["?", dims["user_state"]], "history_state": ["?", 20, dims["history_state"]],
    }  # fmt: skip
    assert shapes("ranker.onnx") == {
        "user_state": ["?", dims["user_state"]], "history_state": ["?", 20, dims["history_state"]],
        "item": ["?", "?", dims["row"]], "context": ["?", 4], "score": ["?", "?"],
    }  # fmt: skip


def test_opset_is_one_that_hosts_read(bundle):
    for path in bundle[0].glob("*.onnx"):
        assert [entry.version for entry in onnx.load(str(path)).opset_import if entry.domain == ""] == [export.OPSET] and export.OPSET <= 17


@pytest.mark.parametrize("name", ["statistics", "user_statistics", "context", "profile"])
def test_part_of_width_zero_has_no_input(tiny, tmp_path, name):
    manifest = export.write(*without(tiny, name), tmp_path / "b", TRAINING)
    assert manifest["dims"][name] == 0 and manifest[name] == []
    inputs = [value.name for graph in tmp_path.glob("b/*.onnx") for value in onnx.load(str(graph)).graph.input]
    assert name not in inputs and not any(key.endswith(f"/{name}") for key in safetensors.read(tmp_path / "b" / "golden.safetensors"))


def test_examples_are_those_of_the_modules_with_the_written_tables(tiny, bundle):
    model, features, _ = tiny
    examples = safetensors.read(bundle[0] / "golden.safetensors")
    items = safetensors.read(bundle[0] / "items.safetensors")
    assert items["ids"].tobytes().decode().split("\n") == [*model.item_ids, ""]
    table = items["embedding"].astype(np.float32)
    rows = export.golden_rows(features)
    assert len(rows) >= 8 and examples["ranker/item"].shape[1] >= 8
    # The example of the user encoder reads its history from the tables that are in the bundle.
    history = features.history(rows)
    place = {name: row for row, name in enumerate(model.item_ids, start=1)}
    table_rows = [[place.get(features.item_ids[item], 0) for item in line] for line in history.items]
    np.testing.assert_array_equal(examples["user_encoder/history"][:, :, :8], table[table_rows] * history.mask[:, :, None])
    with torch.no_grad():
        names = [name for name in examples if name.startswith("ranker/") and name != "ranker/score"]
        score = model.ranker(**{name.removeprefix("ranker/"): torch.from_numpy(examples[name].copy()) for name in names})
    np.testing.assert_allclose(score.numpy(), examples["ranker/score"], atol=1e-6)


def test_examples_cover_empty_history_and_unknown_ids(tiny):
    features = tiny[1]
    rows = export.golden_rows(features)
    assert not features.user_known[features.user[rows]].all() and not features.item_known[features.item[rows]].all()
    counts = features.history(rows).mask.sum(1)
    assert counts[0] == counts.max() > counts.min()


def test_uncached_example_scores_as_the_cached_graphs(bundle):
    cached, uncached = safetensors.read(bundle[0] / "golden.safetensors"), safetensors.read(bundle[0] / "uncached.safetensors")
    np.testing.assert_allclose(uncached["score"], cached["ranker/score"], atol=1e-5)


def test_metrics_are_those_of_rows_scored_one_by_one(tiny, bundle):
    model, features, _ = tiny
    table = safetensors.read(bundle[0] / "items.safetensors")["embedding"]
    users = safetensors.read(bundle[0] / "users.safetensors")["embedding"]
    replay = Replay(model, features, table, users)
    rows = features.rows(TEST)
    one_by_one = np.concatenate([replay.scores(rows[n : n + 1]) for n in range(len(rows))])
    np.testing.assert_allclose(one_by_one, replay.scores(rows), atol=1e-6)
    assert bundle[1]["metrics"]["test"]["auc"] == pytest.approx(metrics.auc(features.label[rows], one_by_one), abs=1e-6)


def test_tables_are_rounded_unless_that_costs_auc(tiny, tmp_path):
    model, features, dataset = tiny
    export.write(model, features, dataset, tmp_path / "b", TRAINING)
    assert safetensors.read(tmp_path / "b" / "items.safetensors")["embedding"].dtype == np.float16
    beyond = dataclasses.replace(model, user_table=model.user_table * 1e5)  # 16 bits end at 65,504
    export.write(beyond, features, dataset, tmp_path / "b", TRAINING)
    np.testing.assert_array_equal(safetensors.read(tmp_path / "b" / "users.safetensors")["embedding"], beyond.user_table)


def test_zip_holds_the_files_of_the_folder(tiny, bundle, tmp_path):
    export.write(*tiny, tmp_path / "b.zip", TRAINING, uncached=True)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert sorted(archive.namelist()) == sorted(path.name for path in bundle[0].iterdir())
        assert archive.read("manifest.json") == (bundle[0] / "manifest.json").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]


def test_model_that_contradicts_its_dims_is_refused(tiny, tmp_path):
    model, features, dataset = tiny
    cases = [
        {"dims": {**model.dims, "row": 24}},
        {"dims": {**model.dims, "user_state": 13}},
        {"dims": {**model.dims, "history_state": 12}},
        {"dims": {**model.dims, "profile": 1}},
        {"item_ids": model.item_ids[1:]},
        {"user_table": np.full_like(model.user_table, np.nan)},
    ]
    for change in cases:
        with pytest.raises(export.ExportError):
            export.write(dataclasses.replace(model, **change), features, dataset, tmp_path / "b", TRAINING)
    assert list(tmp_path.iterdir()) == []


class _FixedBatch(torch.nn.Module):
    def forward(self, x):
        return torch.zeros(int(x.shape[0]), 2) + x.mean()


def test_graph_that_is_good_for_one_size_alone_is_refused(tmp_path):
    with pytest.raises(export.ExportError, match="only good for the sizes"):
        export.write_graph(_FixedBatch(), {"x": torch.ones(3, 2)}, ["y"], {"x": {0: "batch"}, "y": {0: "batch"}}, tmp_path / "g.onnx")
