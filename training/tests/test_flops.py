"""Arithmetic is counted from the exported graph."""

import onnx
import pytest
import torch
from conftest import REPOSITORY
from onnx import TensorProto, helper
from test_exported_recipes import RECIPES, TRAINING

from recbackend import data, export, flops
from recbackend.features import FeatureOptions, build
from recbackend.recipes import srp4ctr


class _Layers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.conv = torch.nn.Linear(6, 5), torch.nn.Conv2d(3, 4, 3)

    def forward(self, x, y, image):
        return torch.softmax(torch.relu(self.first(x)), 1), torch.matmul(x, y) * 2.0, self.conv(image)


def test_products_count_two_for_each_multiplication_and_the_rest_by_element(tmp_path):
    inputs = {"x": torch.randn(3, 6), "y": torch.randn(6, 7), "image": torch.randn(3, 3, 8, 8)}
    axes = {name: {0: "batch"} for name in ("x", "image", "a", "b", "c")}
    export.write_graph(_Layers(), inputs, ["a", "b", "c"], axes, tmp_path / "g.onnx")
    each = 2 * 6 * 5 + 5 + 5 + 5 * 5  # linear, bias, relu, softmax
    each += 2 * 6 * 7 + 7  # product, scaling
    each += 2 * 3 * 9 * (4 * 36) + 4 * 36  # convolution to 4 x 6 x 6, bias
    for batch in (1, 4):
        assert flops.of_graph(tmp_path / "g.onnx", batch=batch) == batch * each


class _OfConstants(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, 5, bias=False), torch.nn.Linear(5, 4)

    def forward(self, x):
        return torch.matmul(x, (self.second.weight @ self.first.weight).t() * 2.0) + self.second.bias


def test_what_is_made_of_constants_alone_counts_nothing(tmp_path):
    export.write_graph(_OfConstants(), {"x": torch.randn(3, 6)}, ["y"], {name: {0: "batch"} for name in "xy"}, tmp_path / "g.onnx")
    assert [node.op_type for node in onnx.load(str(tmp_path / "g.onnx")).graph.node].count("MatMul") == 2
    assert flops.of_graph(tmp_path / "g.onnx", batch=3) == 3 * (2 * 6 * 4 + 4)


def test_operator_that_is_not_known_is_refused(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Det", ["x"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(tmp_path / "g.onnx"))
    with pytest.raises(flops.UnknownOperator, match="Det"):
        flops.of_graph(tmp_path / "g.onnx")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    dataset = data.read(REPOSITORY / "tests" / "golden" / "tiny-data")
    features = build(dataset, FeatureOptions(history=10, text=False, image_features=False))
    out = tmp_path_factory.mktemp("flops") / "bundle"
    export.write(srp4ctr.train(features, RECIPES["srp4ctr"].config, 1), features, dataset, out, TRAINING)
    return out


def test_folding_saves_the_user_for_all_candidates_but_one(bundle):
    one, many = flops.of_bundle(bundle, 1), flops.of_bundle(bundle, 100)
    assert one.folded == one.user + one.ranker
    assert many.user == one.user and many.unfolded == 100 * one.unfolded
    assert one.user < many.folded < many.unfolded
    # One candidate more costs the same in both, but for the user; a matrix of the user is made once.
    assert one.unfolded == one.user + flops.of_bundle(bundle, 2).ranker - one.ranker < one.folded


def test_cost_of_a_candidate_is_linear_in_their_number(bundle):
    costs = [flops.of_bundle(bundle, count).ranker for count in (10, 20, 40)]
    assert costs[2] - costs[1] == 2 * (costs[1] - costs[0])


def test_report_names_the_bundle(bundle):
    lines = flops.report(bundle, [1, 100]).splitlines()
    assert lines[0].startswith("srp4ctr-") and lines[1].startswith("1 candidates: folded ") and lines[2].startswith("100 candidates: folded ")
