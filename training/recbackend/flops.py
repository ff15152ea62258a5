"""Arithmetic of a bundle's graphs, counted from the graphs themselves.

A multiplication or an addition is one FLOP: a product of [m, k] and [k, n] is 2mkn. Operations on elements count one for each element that comes out, softmax and layer normalization five
(SRP4CTR's "efficiency-FLOPs" and "inference-FLOPs" are those of a request at batch 1 and at 100 candidates). Moving numbers about (concatenating, transposing, gathering) is no arithmetic and counts nothing. Nor
does what is made of a graph's constants alone: it is done once, when the graph is loaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx
from onnx import shape_inference

_MOVES = frozenset(
    "Cast Concat Constant ConstantOfShape Expand Flatten Gather Identity Reshape Shape Slice Split Squeeze Transpose Unsqueeze Pad Tile".split()
)
_PER_ELEMENT = dict.fromkeys("Abs Add Clip Div Equal Exp Greater Less Log Max Min Mul Neg Not Or And Pow Relu Sigmoid Sqrt Sub Tanh Where GreaterOrEqual LessOrEqual Erf".split(), 1)
_PER_ELEMENT |= {"Softmax": 5, "LayerNormalization": 5, "InstanceNormalization": 5}
_REDUCTIONS = {"ReduceSum": 1, "ReduceMean": 1, "ReduceMax": 1, "ReduceL2": 2}


class UnknownOperator(Exception):
    """A graph has an operator whose arithmetic is not known here."""


def of_graph(path: Path, **sizes: int) -> int:
    """FLOPs of one run. `sizes`: the dynamic axes by name, such as `batch=1, candidates=100`."""
    model = onnx.load(str(path))
    for value in (*model.graph.input, *model.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.HasField("dim_param"):
                axis.dim_value = sizes[axis.dim_param]
    # With data propagation, since shapes that are computed within the graph depend on the sizes.
    graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
    constants = {"", *(one.name for one in graph.initializer)}
    total = 0
    for node in graph.node:
        if constants.issuperset(node.input):
            constants.update(node.output)
        else:
            total += _of_node(node, shapes)
    return total


def _of_node(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    kind = node.op_type
    if kind in _MOVES:
        return 0
    out = prod(shapes[node.output[0]])
    if kind == "MatMul":
        return 2 * out * shapes[node.input[0]][-1]
    if kind == "Gemm":
        transposed = any(one.name == "transA" and one.i for one in node.attribute)
        return 2 * out * shapes[node.input[0]][0 if transposed else 1] + (out if len(node.input) > 2 else 0)
    if kind == "Conv":
        return 2 * out * prod(shapes[node.input[1]][1:]) + (out if len(node.input) > 2 else 0)
    if kind in _REDUCTIONS:
        return _REDUCTIONS[kind] * prod(shapes[node.input[0]])
    if kind in _PER_ELEMENT:
        return _PER_ELEMENT[kind] * out
    raise UnknownOperator(f"{kind} in node {node.name}")


@dataclass(frozen=True)
class Costs:
    """FLOPs of a bundle's graphs for one request of N candidates."""

    candidates: int
    user: int
    ranker: int
    unfolded: int
    """Encoding the user anew for each candidate, as a model does that has candidate and user in one row. It has no use for the matrix that the exported ranker makes of a request's user
    (`layers.CalibratedRanker.logits_of_request`), so what a candidate more costs is counted, and one candidate is cheaper than folded."""

    @property
    def folded(self) -> int:
        """Encoding the user once for all candidates."""
        return self.user + self.ranker


def of_bundle(folder: Path, candidates: int) -> Costs:
    user = of_graph(folder / "user_encoder.onnx", batch=1)
    ranker, one, two = (of_graph(folder / "ranker.onnx", batch=1, candidates=count) for count in (candidates, 1, 2))
    return Costs(candidates, user, ranker, candidates * (user + two - one))


def report(folder: Path, candidates: list[int]) -> str:
    """Lines for a person."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    item = of_graph(folder / "item_encoder.onnx", batch=1)
    lines = [f"{manifest['version']}: item encoder {_millions(item)} an item; user encoder {_millions(of_bundle(folder, 1).user)} a change of history"]
    for count in candidates:
        costs = of_bundle(folder, count)
        lines.append(
            f"{count} candidates: folded {_millions(costs.folded)}, unfolded {_millions(costs.unfolded)} ({costs.unfolded / costs.folded:.1f}x); "
            f"with the user cached {_millions(costs.ranker)}"
        )
    return "\n".join(lines)


def _millions(flops: int) -> str:
    return f"{flops / 1e6:.4g} MFLOP"
