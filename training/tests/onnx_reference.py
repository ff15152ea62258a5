"""Runs a graph in numpy, one node after the other, as the ONNX operator specification (opset 17) defines them: those operators that the recipes' graphs have.

It knows nothing of PyTorch, so that a graph that says something else than the model it was traced from is found without a runtime.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.mapping import TENSOR_TYPE_TO_NP_TYPE


def run(path: Path, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of the graph, in its order. KeyError for an input that is missing, NotImplementedError for another operator."""
    graph = onnx.load(str(path)).graph
    values = {"": None} | {one.name: numpy_helper.to_array(one) for one in graph.initializer} | {one.name: inputs[one.name] for one in graph.input}
    for node in graph.node:
        if node.op_type not in _OPERATORS:
            raise NotImplementedError(f"{node.op_type} in {path.name}")
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        outputs = _OPERATORS[node.op_type](*(values[name] for name in node.input), **attributes)
        values.update(zip(node.output, outputs if isinstance(outputs, list) else [outputs]))
    return [values[one.name] for one in graph.output]


def _conv(x, weight, bias, dilations, group, kernel_shape, pads, strides):
    assert group == 1 and set(dilations) == {1}
    padded = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel_shape, (2, 3))[:, :, :: strides[0], :: strides[1]]
    return np.einsum("bchwij,ocij->bohw", windows, weight) + bias[:, None, None]


def _gemm(a, b, c=0, alpha=1.0, beta=1.0, transA=0, transB=0):
    return alpha * ((a.T if transA else a) @ (b.T if transB else b)) + beta * c


def _instance_normalization(x, scale, bias, epsilon):
    axes = tuple(range(2, x.ndim))
    shape = (-1,) + (1,) * len(axes)
    normal = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)
    return normal * scale.reshape(shape) + bias.reshape(shape)


def _layer_normalization(x, scale, bias, axis=-1, epsilon=1e-5):
    assert axis in (-1, x.ndim - 1)
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon) * scale + bias


def _reshape(x, shape, allowzero=0):
    return x.reshape([x.shape[n] if size == 0 and not allowzero else size for n, size in enumerate(shape)])


def _slice(x, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    taken = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps):
        taken[axis] = slice(start, end, step)
    return x[tuple(taken)]


def _softmax(x, axis=-1):
    shifted = np.exp(x - x.max(axis, keepdims=True))
    return shifted / shifted.sum(axis, keepdims=True)


def _unsqueeze(x, axes):
    return np.expand_dims(x, tuple(int(axis) for axis in axes))


_OPERATORS = {
    "Abs": np.abs,
    "Add": np.add,
    "Cast": lambda x, to: x.astype(TENSOR_TYPE_TO_NP_TYPE[to]),
    "Clip": lambda x, low=None, high=None: np.clip(x, -np.inf if low is None else low, np.inf if high is None else high).astype(x.dtype),
    "Concat": lambda *parts, axis: np.concatenate(parts, axis),
    "Constant": lambda value: numpy_helper.to_array(value),
    "Conv": _conv,
    "ConstantOfShape": lambda shape, value: np.full(shape, numpy_helper.to_array(value)[0]),
    "Div": lambda a, b: a // b if a.dtype.kind == "i" else a / b,
    "Exp": np.exp,
    "Expand": lambda x, shape: np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape))),
    "Flatten": lambda x, axis=1: x.reshape(int(np.prod(x.shape[:axis])), -1),
    "Gather": lambda x, places, axis=0: np.take(x, places, axis),
    "Gemm": _gemm,
    "Greater": np.greater,
    "Identity": lambda x: x,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "Log": np.log,
    "MatMul": np.matmul,
    "Mul": np.multiply,
    "ReduceL2": lambda x, axes, keepdims=1: np.sqrt(np.square(x).sum(tuple(axes), keepdims=bool(keepdims))),
    "ReduceMean": lambda x, axes, keepdims=1: x.mean(tuple(axes), keepdims=bool(keepdims)),
    "ReduceSum": lambda x, axes, keepdims=1: x.sum(tuple(axes), keepdims=bool(keepdims)),
    "Relu": lambda x: np.maximum(x, 0),
    "Reshape": _reshape,
    "Shape": lambda x: np.array(x.shape, np.int64),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": lambda x, sizes, axis=0: np.split(x, np.cumsum(sizes)[:-1], axis),
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Transpose": lambda x, perm: x.transpose(perm),
    "Unsqueeze": _unsqueeze,
}
