"""A bundle's graph as a PyTorch module: what was exported can be run, trained further, and written again.

Nodes run one after the other, as the ONNX operator specification (opset 17) defines them: those operators that the recipes' graphs have. The graph itself stays as it is; only the numbers in it change.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional


class UnknownOperator(Exception):
    """A graph has an operator that cannot be run here."""


class Graph(nn.Module):
    """Called with the graph's inputs by name; others are left aside. Returns its output, or a tuple of them.

    Trained are matrices, tables and biases. Scales, scalars and the like are not: in a graph nothing tells a weight from a constant of the features, such as their mean.
    """

    def __init__(self, path: Path):
        super().__init__()
        self._model = onnx.load(str(path))
        graph = self._model.graph
        self.inputs = [one.name for one in graph.input]
        self._constants: dict[str, Tensor] = {}
        self._weights: dict[str, str] = {}  # name in the graph -> name of the parameter
        for one in graph.initializer:
            value = torch.from_numpy(numpy_helper.to_array(one).copy())
            if value.is_floating_point() and (value.dim() >= 2 or (value.dim() == 1 and one.name.endswith(".bias"))):
                self._weights[one.name] = f"weight_{len(self._weights)}"  # a parameter's name may have no dots
                self.register_parameter(self._weights[one.name], nn.Parameter(value))
            else:
                self._constants[one.name] = value
        tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
        for name in tables & self._weights.keys():
            table = getattr(self, self._weights[name])
            if not table[0].any():  # the padding of a table of embeddings: it has to stay zero
                table.register_hook(_without_first_row)
        self._changed: set[str] = set()
        self._steps = [_step(node, path.name) for node in graph.node]
        self._outputs = [one.name for one in graph.output]

    def forward(self, **inputs: Tensor | None) -> Tensor | tuple[Tensor, ...]:
        values: dict[str, Tensor | None] = {"": None, **self._constants}
        values.update((name, getattr(self, parameter)) for name, parameter in self._weights.items())
        values.update((name, inputs[name]) for name in self.inputs)
        for run, sources, targets in self._steps:
            made = run(*(values[name] for name in sources))
            values.update(zip(targets, made if isinstance(made, (list, tuple)) else (made,)))
        made = tuple(values[name] for name in self._outputs)
        return made[0] if len(made) == 1 else made

    def constant(self, name: str) -> Tensor | None:
        """A number of the graph that is not trained, by its name there; None where it has none of that name."""
        return self._constants.get(name)

    def set_constant(self, name: str, value: Tensor) -> None:
        """Another number in the place of one that the graph has, of the same shape."""
        self._constants[name] = value.to(self._constants[name].dtype).reshape(self._constants[name].shape)
        self._changed.add(name)

    def to_bytes(self) -> bytes:
        """The graph with the present weights and constants."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for one in model.graph.initializer:
            if one.name in self._weights:
                one.CopyFrom(numpy_helper.from_array(getattr(self, self._weights[one.name]).detach().numpy(), one.name))
            elif one.name in self._changed:
                one.CopyFrom(numpy_helper.from_array(self._constants[one.name].numpy(), one.name))
        return model.SerializeToString()


def _step(node: onnx.NodeProto, graph: str) -> tuple[Callable, list[str], list[str]]:
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    if node.op_type == "Constant":
        value = torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy())
        return lambda: value, [], list(node.output)
    if node.op_type not in _OPERATORS:
        raise UnknownOperator(f"{node.op_type} in {graph}")
    operator = _OPERATORS[node.op_type]
    return (lambda *sources: operator(*sources, **attributes)), list(node.input), list(node.output)


def _without_first_row(gradient: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(gradient[:1]), gradient[1:]])


def _clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return torch.clamp(x, None if low is None else low.item(), None if high is None else high.item())


def _conv(x, weight, bias=None, dilations=(1, 1), group=1, kernel_shape=None, pads=(0, 0, 0, 0), strides=(1, 1)):
    if pads[:2] != pads[2:]:
        x, pads = functional.pad(x, (pads[1], pads[3], pads[0], pads[2])), (0, 0, 0, 0)
    return functional.conv2d(x, weight, bias, tuple(strides), tuple(pads[:2]), tuple(dilations), group)


def _gemm(a, b, c=None, alpha=1.0, beta=1.0, transA=0, transB=0):
    product = alpha * ((a.t() if transA else a) @ (b.t() if transB else b))
    return product if c is None else product + beta * c


def _gather(x: Tensor, places: Tensor, axis: int = 0) -> Tensor:
    axis = axis % x.dim()
    places = torch.where(places < 0, places + x.shape[axis], places)
    return x.index_select(axis, places.flatten()).reshape([*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]])


def _slice(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None) -> Tensor:
    axes = range(len(starts)) if axes is None else axes.tolist()
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), [1] * len(starts) if steps is None else steps.tolist()):
        if step < 1:
            raise UnknownOperator("Slice with a negative step")
        taken = [slice(None)] * x.dim()
        taken[axis] = slice(start, end, step)
        x = x[tuple(taken)]
    return x


def _unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    rank = x.dim() + len(axes)
    for axis in sorted(one % rank for one in axes.tolist()):
        x = x.unsqueeze(axis)
    return x


_TYPES = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.BOOL: torch.bool,
}


def _cast(x: Tensor, to: int) -> Tensor:
    return x.to(_TYPES[to])


def _shape_of(target: Tensor, x: Tensor) -> list[int]:
    """The sizes that Reshape asks for: 0 keeps one."""
    return [x.shape[n] if size == 0 else size for n, size in enumerate(target.tolist())]


_OPERATORS: dict[str, Callable] = {
    "Abs": torch.abs,
    "Add": torch.add,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda *parts, axis: torch.cat(parts, axis),
    "ConstantOfShape": lambda shape, value: torch.from_numpy(numpy_helper.to_array(value).copy()).expand(shape.tolist()),
    "Conv": _conv,
    "Div": lambda a, b: a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc"),
    "Exp": torch.exp,
    "Expand": lambda x, shape: x.expand(torch.broadcast_shapes(x.shape, tuple(shape.tolist()))),
    "Flatten": lambda x, axis=1: x.reshape(int(np.prod(x.shape[:axis])), -1),
    "Gather": _gather,
    "Gemm": _gemm,
    "Greater": torch.gt,
    "Identity": lambda x: x,
    "InstanceNormalization": lambda x, scale, bias, epsilon=1e-5: functional.instance_norm(x, weight=scale, bias=bias, eps=epsilon),
    "LayerNormalization": lambda x, scale, bias, axis=-1, epsilon=1e-5: functional.layer_norm(x, x.shape[axis:], scale, bias, epsilon),
    "Log": torch.log,
    "MatMul": torch.matmul,
    "Mul": torch.mul,
    "ReduceL2": lambda x, axes, keepdims=1: x.square().sum(tuple(axes), keepdim=bool(keepdims)).sqrt(),
    "ReduceMean": lambda x, axes, keepdims=1: x.mean(tuple(axes), keepdim=bool(keepdims)),
    "ReduceSum": lambda x, axes, keepdims=1: x.sum(tuple(axes.tolist()), keepdim=bool(keepdims)),
    "Relu": torch.relu,
    "Reshape": lambda x, shape, allowzero=0: x.reshape(_shape_of(shape, x)),
    "Shape": lambda x: torch.tensor(x.shape),
    "Sigmoid": torch.sigmoid,
    "Slice": _slice,
    "Softmax": lambda x, axis=-1: torch.softmax(x, axis),
    "Split": lambda x, sizes, axis=0: torch.split(x, sizes.tolist(), axis),
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Transpose": lambda x, perm: x.permute(*perm),
    "Unsqueeze": _unsqueeze,
}
