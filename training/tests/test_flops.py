"""Arithmetic is counted from the exported graph."""

import onnx
import pytest
import torch
from conftest import REPOSITORY
from onnx import TensorProto, helper
from test_exported_recipes import TRAINING

from recbackend import data, export, flops
from recbackend.features import FeatureOptions, build
from recbackend.recipes import srp4ctr
from recbackend.train import Schedule

ONCE = Schedule(epochs=1)


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


class _OfRows(torch.nn.Module):
    """A ranker as it is trained, for rows each of which has a user of its own."""

    def __init__(self, ranker):
        super().__init__()
        self.ranker = ranker

    def forward(self, **inputs):
        return self.ranker.calibration(self.ranker.logits(**inputs))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle, and beside it `rows.onnx`, its ranker in the form that is trained."""
    dataset = data.read(REPOSITORY / "tests" / "golden" / "tiny-data")
    features = build(dataset, FeatureOptions(history=10, text=False, image_features=False))
    out = tmp_path_factory.mktemp("flops") / "bundle"
    model = srp4ctr.train(features, srp4ctr.Config(history=10, schedule=ONCE, pretraining=ONCE), 1)
    export.write(model, features, dataset, out, TRAINING)
    widths = {"user_state": [model.dims["user_state"]], "history_state": [10, model.dims["history_state"]], "item": [2, model.dims["row"]], "context": [model.dims["context"]]}
    inputs = {name: torch.randn(1, *width) for name, width in widths.items()}
    axes = {name: {0: "batch"} for name in inputs} | {name: {0: "batch", 1: "candidates"} for name in ("item", "score")}
    export.write_graph(_OfRows(model.ranker), inputs, ["score"], axes, out.parent / "rows.onnx")
    return out


def test_folding_saves_the_user_for_all_candidates_but_one(bundle):
    one, many = flops.of_bundle(bundle, 1), flops.of_bundle(bundle, 100)
    assert one.folded == one.user + one.ranker
    assert many.user == one.user and many.unfolded == 100 * one.unfolded
    assert one.user < many.folded < many.unfolded


def test_unfolded_ranker_makes_no_matrix_of_the_user(bundle):
    """What a candidate more costs in the exported graph is, to some percent, what one costs in the form that is trained."""
    one = flops.of_bundle(bundle, 1)
    direct = one.user + flops.of_graph(bundle.parent / "rows.onnx", batch=1, candidates=1)
    assert one.unfolded == pytest.approx(direct, rel=0.03) and direct < one.folded


def test_cost_of_a_candidate_is_linear_in_their_number(bundle):
    costs = [flops.of_bundle(bundle, count).ranker for count in (10, 20, 40)]
    assert costs[2] - costs[1] == 2 * (costs[1] - costs[0])


def test_report_names_the_bundle(bundle):
    lines = flops.report(bundle, [1, 100]).splitlines()
    assert lines[0].startswith("srp4ctr-") and lines[1].startswith("1 candidates: folded ") and lines[2].startswith("100 candidates: folded ")
