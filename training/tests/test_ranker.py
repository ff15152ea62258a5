"""What is served of a ranker, `logits_of_request`, gives the logits that it was trained by, `logits`; so does its graph, in which training that goes on finds its parameters."""

import dataclasses

import numpy as np
import onnx
import onnx_reference
import pytest
import torch
from conftest import REPOSITORY
from onnx import numpy_helper
from test_recipes import SHAPE, tasteful

from recbackend import data, export
from recbackend.features import build
from recbackend.golden_recipes import give_random_weights, small_recipes
from recbackend.graph import Graph
from recbackend.layers import Ranker, Standardize, parts_of_rows
from recbackend.recipes import unified
from recbackend.train import Schedule

RECIPES = {name: recipe for name, recipe in small_recipes(Schedule(epochs=0)).items() if not recipe.pixels}
RECIPES["unified, all towers"] = dataclasses.replace(RECIPES["unified"], config=dataclasses.replace(RECIPES["unified"].config, towers=unified.TOWERS))
RECIPES["unified, ids last"] = dataclasses.replace(RECIPES["unified"], config=dataclasses.replace(RECIPES["unified"].config, towers=("content", "ids")))
RECIPES["unified, not predicted"] = dataclasses.replace(RECIPES["unified"], config=dataclasses.replace(RECIPES["unified"].config, predicted=False))
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


@torch.no_grad()
def randomize(module, seed=1):
    """Numbers everywhere that are neither 0 nor 1, biases, standardization and calibration too."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.dim() < 2 else parameter.shape[1] ** -0.5))
    for part in module.modules():
        if isinstance(part, Standardize):
            part.mean.copy_(torch.randn(part.mean.shape, generator=generator))
            part.scale.copy_(0.5 + torch.rand(part.scale.shape, generator=generator))
    module.calibration.scale.fill_(0.7)
    module.calibration.bias.fill_(-0.3)
    return module.eval()


def request(ranker, user_state, history_state, item, context, requests=3, candidates=7):
    """Inputs of the ranker, of these widths, with histories of different lengths."""
    torch.manual_seed(2)
    mask = (torch.arange(10) < torch.tensor([10, 0, 4, 1])[:requests, None]).float().unsqueeze(2)
    inputs = {
        "user_state": torch.randn(requests, user_state),
        "history_state": torch.randn(requests, 10, history_state) * mask,
        "item": torch.randn(requests, candidates, item),
        "context": torch.randn(requests, context) if context else None,
    }
    for one in mask_places(ranker, history_state):
        inputs["history_state"][:, :, one] = mask[:, :, 0]
    return {name: value for name, value in inputs.items() if value is not None}


def mask_places(ranker, width):
    """The last element of each tower's history state is its mask."""
    ends = np.cumsum(ranker._histories) if isinstance(ranker, unified.JoinedRanker) else [width]
    return [int(end) - 1 for end in ends]


def served(ranker, inputs):
    event, statistics = parts_of_rows(inputs["item"], ranker.cuts, ranker.event)
    return ranker.logits_of_request(inputs["user_state"], inputs["history_state"], event, statistics, inputs.get("context"))


@torch.no_grad()
def check_request(ranker, inputs):
    """Logits of requests, each alone and all at once, are those of rows of a log."""
    expected = ranker.logits(**inputs)
    assert expected.std() > 0.1
    torch.testing.assert_close(served(ranker, inputs), expected, **TOLERANCE)
    for place in range(len(expected)):
        one = {name: value[place : place + 1] for name, value in inputs.items()}
        torch.testing.assert_close(served(ranker, one), expected[place : place + 1], **TOLERANCE)
    torch.testing.assert_close(ranker(**inputs), torch.sigmoid(0.7 * expected - 0.3), **TOLERANCE)


def write(ranker, inputs, path):
    axes = {name: {0: "batch", 1: "candidates"} if name in ("item", "score") else {0: "batch"} for name in (*inputs, "score")}
    export.write_graph(ranker, {name: value[:1] for name, value in inputs.items()}, ["score"], axes, path)
    return path


@pytest.mark.parametrize("without", [(), ("item_statistics",), ("context",), ("item_statistics", "context")], ids=lambda names: "no " + " and ".join(names) if names else "all")
@pytest.mark.parametrize("crosses", [0, 1, 2, 3])
def test_request_is_scored_as_rows_of_a_log_are_with_any_number_of_crosses(crosses, without, tmp_path):
    schema = dataclasses.replace(tasteful(3).schema, **dict.fromkeys(without, []))
    ranker = randomize(Ranker(dataclasses.replace(SHAPE, cross_layers=crosses), schema, 20))
    statistics, context = len(schema.item_statistics), len(schema.context)
    assert (statistics > 0) == ("item_statistics" not in without) and (context > 0) == ("context" not in without)
    inputs = request(ranker, SHAPE.hidden[0] + SHAPE.user_width, 2 * ranker.attention.read + 1, 20 + statistics, context)
    check_request(ranker, inputs)
    with torch.no_grad():
        expected = torch.sigmoid(0.7 * ranker.logits(**inputs) - 0.3)
    found = onnx_reference.run(write(ranker, inputs, tmp_path / "ranker.onnx"), {name: value.numpy() for name, value in inputs.items()})[0]
    np.testing.assert_allclose(found, expected.numpy(), **TOLERANCE)


@pytest.fixture(scope="module", params=RECIPES)
def model(request):
    """A recipe's modules, with random numbers in them."""
    recipe = RECIPES[request.param]
    features = build(data.read(REPOSITORY / "tests" / "golden" / "tiny-data"), recipe.options())
    model = recipe.module.train(features, recipe.config, 1)
    give_random_weights(model, 1)
    randomize(model.ranker)
    return model


@pytest.fixture
def inputs(model):
    return request(model.ranker, *(model.dims[name] for name in ("user_state", "history_state", "row", "context")))


def test_request_is_scored_as_rows_of_a_log_are(model, inputs):
    check_request(model.ranker, inputs)


@torch.no_grad()
def test_graph_of_a_ranker_gives_its_logits(model, inputs, tmp_path):
    path = write(model.ranker, inputs, tmp_path / "ranker.onnx")
    expected = torch.sigmoid(0.7 * model.ranker.logits(**inputs) - 0.3).numpy()
    np.testing.assert_allclose(onnx_reference.run(path, {name: value.numpy() for name, value in inputs.items()})[0], expected, **TOLERANCE)
    np.testing.assert_allclose(Graph(path)(**inputs).numpy(), expected, **TOLERANCE)


def test_graph_holds_each_parameter_once_and_trains_matrices_and_biases(model, inputs, tmp_path):
    path = write(model.ranker, inputs, tmp_path / "ranker.onnx")
    own = {f"module.{name}": value for name, value in model.ranker.named_parameters()}
    graph = Graph(path)
    assert graph._weights.keys() == {name for name, value in own.items() if value.dim() > 1 or name.endswith(".bias")}
    assert (graph.constant("module.calibration.scale"), graph.constant("module.calibration.bias")) == (pytest.approx(0.7), pytest.approx(-0.3))
    nodes = onnx.load(str(path)).graph
    assert {one.name for one in nodes.initializer} <= own.keys() | {f"module.{name}" for name, _ in model.ranker.named_buffers()}
    constants = [numpy_helper.to_array(one.attribute[0].t) for one in nodes.node if one.op_type == "Constant"]
    assert max(value.size for value in constants) < 100 < sum(value.numel() for value in own.values())


def test_training_that_goes_on_moves_every_parameter(model, inputs, tmp_path):
    graph = Graph(write(model.ranker, inputs, tmp_path / "ranker.onnx"))
    graph(**inputs).square().sum().backward()
    still = [name for name, parameter in graph._weights.items() if graph.get_parameter(parameter).grad is None or not graph.get_parameter(parameter).grad.any()]
    assert not still
