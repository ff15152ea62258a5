"""The demo bundle in the repository belongs to the demo data and keeps the bundle format."""

import hashlib
import json

import numpy as np
import onnx
import pytest
from conftest import REPOSITORY

from recbackend import data, safetensors
from recbackend.tokenizer import Tokenizer

SAMPLE = REPOSITORY / "samples" / "movielens"
BUNDLE = SAMPLE / "bundle"


@pytest.fixture(scope="module")
def manifest():
    return json.loads((BUNDLE / "manifest.json").read_text("utf-8"))


def test_bundle_was_trained_on_the_data_beside_it(manifest):
    dataset = data.read(SAMPLE)
    assert manifest["training"]["data"] == dataset.fingerprint
    assert manifest["training"]["rows"] == (dataset.split == data.TRAIN).sum()
    assert manifest["metrics"]["test"]["rows"] == (dataset.split == data.TEST).sum()


def test_bundle_names_the_documented_command(manifest):
    command = manifest["training"]["command"]
    assert command.startswith("rec train unified --data samples/movielens --out samples/movielens/bundle")
    assert f"./{command}\n" in (REPOSITORY / "training" / "README.md").read_text("utf-8")


def test_bundle_is_whole_and_small(manifest):
    assert {path.name for path in BUNDLE.iterdir()} == {*manifest["files"], "manifest.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((BUNDLE / name).read_bytes()).hexdigest() == digest
    assert sum(path.stat().st_size for path in BUNDLE.iterdir()) < 6_000_000


def test_bundle_reads_text_and_categories(manifest):
    inputs = [value.name for value in onnx.load(str(BUNDLE / "item_encoder.onnx")).graph.input]
    assert {"text", "categories"} <= set(inputs)
    assert Tokenizer.load(BUNDLE / "tokenizer.json").size > 1000


def test_tables_hold_the_items_and_users_of_the_training_part(manifest):
    dataset = data.read(SAMPLE)
    training = dataset.split == data.TRAIN
    for name, ids, dim in (("items", {dataset.items[place].id for place in dataset.item[training]}, "item_id"), ("users", {dataset.user_ids[place] for place in dataset.user[training]}, "user_id")):
        table = safetensors.read(BUNDLE / f"{name}.safetensors")
        assert set(table["ids"].tobytes().decode("utf-8").split("\n")[:-1]) == ids
        assert table["embedding"].shape == (len(ids) + 1, manifest["dims"][dim]) and np.isfinite(table["embedding"]).all()
