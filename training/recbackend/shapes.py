"""`python -m recbackend.shapes`, which is `rec bench shape`: a bundle whose ranker has the shape of a published benchmark, with random weights.

Only what it costs means anything. It is a bundle as any other, with golden examples: servers load it, and `rec bench` measures it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from . import data, export, safetensors

_EXAMPLES = 8
_CANDIDATES = 16
_SEED = 1


class MultilayerPerceptron(nn.Module):
    """Ranker: user and item vectors of 128 floats, side by side, through layers of 256-512-128-1 (Vespa's ranking benchmark of 2018, with its 200 candidates).

    The user's half of the first layer is the same for all candidates: it is multiplied once and added to each, which is the same function.
    """

    user_state, item_id, representation = 128, 64, 64

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(self.user_state + self.item_id + self.representation, 512)
        self.second = nn.Linear(512, 128)
        self.last = nn.Linear(128, 1)

    def forward(self, user_state: Tensor, history_state: Tensor, item: Tensor) -> Tensor:
        of_user, of_items = self.first.weight.t().split([self.user_state, self.item_id + self.representation])
        # history_state is in the format, so something has to read it: a number that is added to the user's half.
        user = user_state @ of_user.contiguous() + self.first.bias + history_state[:, 0]
        hidden = torch.relu(item @ of_items.contiguous() + user.unsqueeze(1))
        hidden = torch.relu(self.second(hidden.flatten(0, 1)))  # a matrix: one operation with its bias
        return torch.sigmoid(self.last(hidden)).reshape(item.shape[0], -1)


class _ItemEncoder(nn.Module):
    def __init__(self, categories: int, width: int):
        super().__init__()
        self.embedding = nn.Embedding(categories + 2, width)

    def forward(self, categories: Tensor) -> Tensor:
        return self.embedding(categories).mean(dim=1)


class _UserEncoder(nn.Module):
    """The user's vector as it is. `history_state` is one number: the least that the format allows."""

    def forward(self, user_embedding: Tensor, history: Tensor, history_actions: Tensor, history_intervals: Tensor, history_mask: Tensor) -> tuple[Tensor, Tensor]:
        state = history_mask * (history_intervals + history_actions) + history[:, :, 0] * history_mask
        return user_embedding + 0.0, state.unsqueeze(2)


class QuantizedPerceptron:
    """The same network in 8 bits, weights and activations, with scales that are fixed: a score depends on its own row and user alone, as the format asks.

    Written as dequantized operands of float layers, which runtimes run as integer ones (ONNX's QDQ form). Nothing of it is computed beforehand: each candidate passes all of 256-512-128-1.
    """

    def __init__(self, exact: MultilayerPerceptron, user_state: np.ndarray, item: np.ndarray):
        """`user_state` [U, 128] and `item` [I, 128]: from whose values the scales of the activations are taken."""
        layers = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in (exact.first, exact.second, exact.last)]
        x = np.concatenate([user_state[np.arange(len(item)) % len(user_state)], item], 1)
        self.scales: list[np.float32] = []  # of what each layer reads
        self.weights: list[tuple[np.ndarray, np.float32, np.ndarray]] = []  # int8 [in, out], its scale, int32 bias
        for place, (weight, bias) in enumerate(layers):
            self.scales.append(np.float32(np.abs(x).max() / (255 if place else 127)))
            scale = np.float32(np.abs(weight).max() / 127)
            self.weights.append((np.round(weight / scale).astype(np.int8), scale, np.round(bias / (self.scales[place] * scale)).astype(np.int32)))
            x = np.maximum(x @ weight + bias, 0)

    def scores(self, user_state: np.ndarray, history_state: np.ndarray, item: np.ndarray) -> np.ndarray:
        """What the graph computes, in whole numbers: user_state [1, 128], history_state [1, 1, 1], item [1, N, 128] -> [1, N]."""
        user = np.broadcast_to((user_state + history_state[:, 0])[:, None], item.shape)
        x = np.concatenate([user, item], 2)[0] / self.scales[0]
        x = np.clip(np.round(x) + 128, 0, 255).astype(np.int32) - 128
        for place, (weight, scale, bias) in enumerate(self.weights):
            y = (x @ weight.astype(np.int32) + bias).astype(np.float32) * (self.scales[place] * scale)
            if place == len(self.weights) - 1:
                return (1 / (1 + np.exp(-y))).reshape(1, -1).astype(np.float32)
            x = np.clip(np.round(y / self.scales[place + 1]), 0, 255).astype(np.int32)
        raise AssertionError("a network has a last layer")

    def graph(self) -> onnx.ModelProto:
        """The graph."""
        values = {
            "zero": np.int64(0),
            "one": np.array([1], np.int64),
            "all": np.array([-1, 2 * MultilayerPerceptron.user_state], np.int64),
            "first": np.array([0], np.int64),
            "second": np.array([2], np.int64),
            "middle": np.uint8(128),
            "bottom": np.uint8(0),
            "sign": np.int8(0),
            "none": np.int32(0),
        }
        make = helper.make_node
        nodes = [
            make("Gather", ["history_state", "zero"], ["past"], axis=1),
            make("Add", ["user_state", "past"], ["user"]),
            make("QuantizeLinear", ["user", "scale0", "middle"], ["user8"]),
            make("QuantizeLinear", ["item", "scale0", "middle"], ["item8"]),
            make("Shape", ["item"], ["shape"]),
            make("Unsqueeze", ["user8", "one"], ["user81"]),
            make("Expand", ["user81", "shape"], ["users8"]),
            make("Concat", ["users8", "item8"], ["rows8"], axis=2),
            make("Reshape", ["rows8", "all"], ["x0"]),
        ]
        for place, (weight, scale, bias) in enumerate(self.weights):
            values |= {f"scale{place}": self.scales[place], f"weight{place}": weight, f"weight{place}_scale": scale, f"bias{place}": bias}
            values[f"bias{place}_scale"] = np.float32(self.scales[place] * scale)
            nodes += [
                make("DequantizeLinear", [f"x{place}", f"scale{place}", "bottom" if place else "middle"], [f"read{place}"]),
                make("DequantizeLinear", [f"weight{place}", f"weight{place}_scale", "sign"], [f"weights{place}"]),
                make("DequantizeLinear", [f"bias{place}", f"bias{place}_scale", "none"], [f"biases{place}"]),
                make("Gemm", [f"read{place}", f"weights{place}", f"biases{place}"], [f"y{place}"]),
            ]
            if place < len(self.weights) - 1:
                # What is below 0 becomes 0: the activation.
                nodes.append(make("Relu", [f"y{place}"], [f"active{place}"]))
                nodes.append(make("QuantizeLinear", [f"active{place}", f"scale{place + 1}", "bottom"], [f"x{place + 1}"]))
        nodes += [
            make("Sigmoid", [f"y{len(self.weights) - 1}"], ["scores"]),
            make("Slice", ["shape", "first", "second"], ["request"]),
            make("Reshape", ["scores", "request"], ["score"]),
        ]
        width = MultilayerPerceptron.user_state
        declare = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes,
            "ranker",
            [
                declare("user_state", TensorProto.FLOAT, ["batch", width]),
                declare("history_state", TensorProto.FLOAT, ["batch", 1, 1]),
                declare("item", TensorProto.FLOAT, ["batch", "candidates", width]),
            ],
            [declare("score", TensorProto.FLOAT, ["batch", "candidates"])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", export.OPSET)], ir_version=8)


SHAPES = ("vespa", "vespa-int8")


def write(shape: str, dataset: data.Dataset, out: Path) -> dict:
    """Writes a bundle of a shape for the items and users of a data set, and returns its manifest."""
    torch.manual_seed(_SEED)
    ranker = MultilayerPerceptron().eval()
    vocabulary = sorted({category for item in dataset.items for category in item.categories})
    length = max(1, max(len(item.categories) for item in dataset.items))
    encoder = _ItemEncoder(len(vocabulary), ranker.representation).eval()
    items, users = torch.randn(len(dataset.items) + 1, ranker.item_id), torch.randn(len(dataset.user_ids) + 1, ranker.user_state)
    row = ranker.item_id + ranker.representation
    batch = {0: "batch"}
    golden: dict[str, np.ndarray] = {}
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".bundle-") as name, torch.no_grad():
        folder = Path(name) / "bundle"
        folder.mkdir()

        def graph(module: nn.Module, file: str, inputs: dict[str, Tensor], outputs: list[str], dynamic: dict[str, dict[int, str]]) -> None:
            values = export.write_graph(module, inputs, outputs, dynamic, folder / f"{file}.onnx")
            golden.update({f"{file}/{key}": value.numpy() for key, value in inputs.items()} | {f"{file}/{key}": value for key, value in values.items()})

        categories = {"categories": torch.randint(0, len(vocabulary) + 2, (_EXAMPLES, length))}
        graph(encoder, "item_encoder", categories, ["representation"], {"categories": batch, "representation": batch})
        user = {
            "user_embedding": users[:_EXAMPLES],
            "history": torch.randn(_EXAMPLES, 1, row),
            "history_actions": torch.ones(_EXAMPLES, 1, dtype=torch.int64),
            "history_intervals": torch.zeros(_EXAMPLES, 1),
            "history_mask": torch.ones(_EXAMPLES, 1),
        }
        graph(_UserEncoder(), "user_encoder", user, ["user_state", "history_state"], dict.fromkeys([*user, "user_state", "history_state"], batch))
        candidates = {
            "user_state": users[:1],
            "history_state": torch.zeros(1, 1, 1),
            "item": torch.randn(1, _CANDIDATES, row),
        }
        axes = {"user_state": batch, "history_state": batch} | dict.fromkeys(["item", "score"], {0: "batch", 1: "candidates"})
        if shape == "vespa":
            graph(ranker, "ranker", candidates, ["score"], axes)
        else:
            quantized = QuantizedPerceptron(ranker, users.numpy(), torch.cat([items, encoder.embedding.weight[torch.randint(0, len(vocabulary), (len(items),))]], 1).numpy())
            tensors = candidates | {"score": torch.from_numpy(quantized.scores(**{key: value.numpy() for key, value in candidates.items()}))}
            onnx.save(quantized.graph(), str(folder / "ranker.onnx"))
            export.check_graph(folder / "ranker.onnx", list(candidates), ["score"], tensors, axes)
            golden.update({f"ranker/{key}": value.numpy() for key, value in tensors.items()})
        safetensors.write(folder / "golden.safetensors", golden)
        for file, table, ids in (("items", items, [item.id for item in dataset.items]), ("users", users, dataset.user_ids)):
            text = np.frombuffer("".join(f"{one}\n" for one in ids).encode(), np.uint8)
            safetensors.write(folder / f"{file}.safetensors", {"embedding": table.numpy().astype(np.float16), "ids": text})
        dims = {
            "item_id": ranker.item_id,
            "representation": ranker.representation,
            "statistics": 0,
            "row": row,
            "user_id": ranker.user_state,
            "user_statistics": 0,
            "profile": 0,
            "context": 0,
            "history": 1,
            "user_state": ranker.user_state,
            "history_state": 1,
        }
        manifest = {
            "format": export.FORMAT,
            "version": "",
            "recipe": shape,
            "created": "2018-01-01T00:00:00Z",  # one date, so that the same data give the same bundle
            "dims": dims,
            "files": {},
            "item_inputs": {"text": None, "categories": {"length": length, "vocabulary": vocabulary}, "attributes": [], "image": None, "image_features": None},
            "statistics": [],
            "user_statistics": [],
            "profile": [],
            "actions": ["click"],
            "context": [],
            "fallback": {"prior": 0.5, "strength": export.FALLBACK_STRENGTH},
            "training": {"data": dataset.fingerprint, "rows": 0, "seed": _SEED, "command": f"rec bench shape {shape}"},
            "metrics": {},
        }
        return export.seal(folder, manifest, out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="rec bench shape", description="Write a bundle whose ranker has the shape of a published benchmark, with random weights.")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--data", type=Path, required=True, help="folder in the neutral form: whose items and users the bundle is for")
    parser.add_argument("--out", type=Path, required=True, help="folder, or a .zip")
    options = parser.parse_args(arguments)
    try:
        manifest = write(options.shape, data.read(options.data), options.out)
    except (data.DataError, export.ExportError, OSError) as error:
        print(f"rec bench shape: {error}", file=sys.stderr)
        return 2
    print(f"{manifest['version']} in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
