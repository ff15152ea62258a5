"""A bundle of a benchmark's shape is one that any host can load, and its 8-bit form computes the same network."""

import hashlib

import numpy as np
import onnx
import pytest
import torch
from conftest import REPOSITORY

from recbackend import data, safetensors, shapes


@pytest.fixture(scope="module")
def dataset():
    return data.read(REPOSITORY / "tests" / "golden" / "tiny-data")


@pytest.fixture(scope="module")
def quantized():
    torch.manual_seed(0)
    exact = shapes.MultilayerPerceptron().eval()
    user, items = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32), np.random.default_rng(1).normal(size=(40, 128)).astype(np.float32)
    return exact, shapes.QuantizedPerceptron(exact, user, items), user, items


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_bundle_names_its_files_and_has_examples_of_each_graph(shape, dataset, tmp_path):
    manifest = shapes.write(shape, dataset, tmp_path / "bundle")
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((tmp_path / "bundle" / name).read_bytes()).hexdigest() == digest
    examples = safetensors.read(tmp_path / "bundle" / "golden.safetensors")
    for name in ("item_encoder", "user_encoder", "ranker"):
        graph = onnx.load(str(tmp_path / "bundle" / f"{name}.onnx")).graph
        assert {f"{name}/{value.name}" for value in [*graph.input, *graph.output]} == {key for key in examples if key.startswith(name)}
    assert examples["ranker/score"].std() > 1e-3


def test_same_data_give_the_same_bundle(dataset, tmp_path):
    assert shapes.write("vespa", dataset, tmp_path / "a")["version"] == shapes.write("vespa", dataset, tmp_path / "b")["version"]


def test_eight_bits_score_as_floats_do_but_for_rounding(quantized):
    exact, rounded, user, items = quantized
    with torch.no_grad():
        expected = exact(torch.from_numpy(user[:1]), torch.zeros(1, 1, 1), torch.from_numpy(items[None])).numpy()
    scores = rounded.scores(user[:1], np.zeros((1, 1, 1), np.float32), items[None])
    assert np.abs(scores - expected).max() < 0.01 < np.ptp(expected)


def test_score_depends_on_its_own_candidate_alone(quantized):
    _, rounded, user, items = quantized
    none = np.zeros((1, 1, 1), np.float32)
    np.testing.assert_array_equal(rounded.scores(user[:1], none, items[None])[:, :3], rounded.scores(user[:1], none, items[None, :3]))
