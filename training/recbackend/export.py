"""Writes the bundle of docs/bundle-format.md from a trained model: graphs, tables, golden examples, manifest."""

from __future__ import annotations

import datetime
import hashlib
import inspect
import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from . import metrics, safetensors
from .data import TEST, TRAIN, VALID, Dataset
from .features import Features, Vocabulary
from .graph import Graph
from .progress import ProgressLine
from .replay import Replay
from .train import TrainedModel

FORMAT = 1
OPSET = 17
GOLDEN_EXAMPLES = 8
GOLDEN_CANDIDATES = 16
FALLBACK_STRENGTH = 20.0
# What rounding the ID tables to 16 bits may change of the validation AUC; more than that, and they stay at 32 bits.
_AUC_NOISE = 2e-5
_ROUNDING_ROWS = 20_000
# Newer releases of PyTorch export by another way unless told.
_TRACING = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
_USER_INPUTS = ("user_embedding", "profile", "user_statistics", "history", "history_actions", "history_intervals", "history_mask")


class ExportError(Exception):
    """A trained model that does not fit the bundle format; a fault of its recipe."""


@dataclass(frozen=True)
class Training:
    """How the model came to be, for the manifest."""

    command: str
    seed: int
    created: datetime.datetime
    resumed: str | None = None
    """Version of the bundle that it went on from."""


def write(
    model: TrainedModel,
    features: Features,
    dataset: Dataset,
    out: Path,
    training: Training,
    uncached: bool = False,
    progress: ProgressLine | None = None,
    scored: Callable[[str, np.ndarray, np.ndarray], None] | None = None,
) -> dict:
    """Writes the bundle, a folder or (`out` ends in .zip) a zip, and returns its manifest. An existing one is replaced at the end.

    The ID tables are rounded to 16 bits where that does not cost AUC; metrics and golden examples are of the rounded tables.
    `uncached` adds `uncached.onnx`, the whole model as one graph, and one example of it. `scored` gets the name, rows and scores of each part that the metrics are of.
    """
    out = out.absolute()
    _check_dims(model, features)
    replay, tables = _rounded(model, features, progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".bundle-") as name:
        folder = Path(name) / "bundle"
        folder.mkdir()
        _write_graphs(model, replay, folder)
        safetensors.write(folder / "items.safetensors", {"embedding": tables[0], "ids": _ids(model.item_ids)})
        safetensors.write(folder / "users.safetensors", {"embedding": tables[1], "ids": _ids(model.user_ids)})
        if "text" in model.item_inputs:
            (folder / "tokenizer.json").write_text(features.schema.tokenizer.to_json(), "utf-8")
        if uncached:
            write_uncached(replay, folder / "uncached.onnx")
        manifest = _manifest(model, features, dataset, training, _metrics(replay, progress, scored))
        return seal(folder, manifest, out)


def is_replaceable(folder: Path) -> bool:
    """Whether a folder is empty, or holds a bundle's manifest and nothing but that and the files that it names: what may be deleted for another bundle."""
    present = {path.name for path in folder.iterdir()}
    if not present:
        return True
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    files = manifest.get("files") if isinstance(manifest, dict) and "format" in manifest else None
    return isinstance(files, dict) and present <= {"manifest.json", *files}


def seal(folder: Path, manifest: dict, out: Path) -> dict:
    """Adds hashes and version to the manifest, writes it, and moves the folder to `out`. An earlier bundle there is moved beside the folder."""
    manifest["files"] = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir()) if path.name != "manifest.json"}
    # Vocabularies and priors are in the manifest alone: two bundles that differ there are two, whatever their files.
    identity = {key: value for key, value in manifest.items() if key not in ("version", "created", "metrics")}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, allow_nan=False).encode()).hexdigest()
    day = manifest["created"][:10].replace("-", "")
    manifest["version"] = f"{manifest['recipe']}-{day}-{digest[:8]}"
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    if out.suffix == ".zip":
        _zip(folder, out)
    else:
        # Two renames, so that at no moment a part of a bundle is there. The old one goes with the temporary folder.
        if out.is_dir():
            if not is_replaceable(out):
                raise ExportError(f"{out} is no bundle, so it is not replaced")
            out.rename(folder.with_name("replaced"))
        folder.rename(out)
    return manifest


def _zip(folder: Path, out: Path) -> None:
    partial = folder / "bundle.zip.partial"
    paths = sorted(folder.iterdir())
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            entry = zipfile.ZipInfo(path.name)  # its date stays 1980: the same files give the same zip
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    partial.replace(out)


# Checks and numbers


def _check_dims(model: TrainedModel, features: Features) -> None:
    dims, schema = model.dims, features.schema
    expected = {
        "row": dims["item_id"] + dims["representation"] + dims["statistics"],
        "item_id": model.item_table.shape[1],
        "user_id": model.user_table.shape[1],
    }
    for name, value in expected.items():
        if dims[name] != value:
            raise ExportError(f"dims.{name} is {dims[name]}; the model has {value}")
    for name, length in _list_lengths(features).items():
        if dims[name] not in (0, length):
            raise ExportError(f"dims.{name} is {dims[name]}; the data has {length}")
    for name, ids, table in (("item", model.item_ids, model.item_table), ("user", model.user_ids, model.user_table)):
        if len(table) != len(ids) + 1:
            raise ExportError(f"the {name} table has {len(table)} rows for {len(ids)} ids; it needs one more, the unknown vector")
        if not np.isfinite(table).all():
            raise ExportError(f"the {name} table holds values that are not finite")
    if dims["history"] > schema.history:
        raise ExportError(f"dims.history is {dims['history']}; the features hold {schema.history}")


def _list_lengths(features: Features) -> dict[str, int]:
    schema = features.schema
    return {
        "statistics": len(schema.item_statistics),
        "user_statistics": len(schema.user_statistics),
        "profile": len(schema.profile),
        "context": len(schema.context),
    }


def _rounded(model: TrainedModel, features: Features, progress: ProgressLine | None) -> tuple[Replay, tuple[np.ndarray, np.ndarray]]:
    """The replay with tables of 16 bits if validation ranks as well with them, else of 32."""
    exact = Replay(model, features)
    with np.errstate(over="ignore"):
        tables = model.item_table.astype(np.float16), model.user_table.astype(np.float16)
    if not all(np.isfinite(table).all() for table in tables):  # beyond the range of 16 bits
        return exact, (exact.item_table, exact.user_table)
    rounded = Replay(model, features, *tables)
    rows = features.rows(VALID)[-_ROUNDING_ROWS:]
    labels = features.label[rows]
    if progress:
        progress.stage("round tables", "rows")
    update = progress.update if progress else None
    loss = metrics.auc(labels, exact.scores(rows, update)) - metrics.auc(labels, rounded.scores(rows, update))
    if not loss <= _AUC_NOISE and not np.isnan(loss):
        return exact, (exact.item_table, exact.user_table)
    return rounded, tables


def _metrics(
    replay: Replay, progress: ProgressLine | None, scored: Callable[[str, np.ndarray, np.ndarray], None] | None
) -> dict[str, dict[str, float | None]]:
    result = {}
    features = replay.features
    for name, part in (("valid", VALID), ("test", TEST)):
        rows = features.rows(part)
        if len(rows):
            if progress:
                progress.stage(f"score {name}", "rows")
            scores = replay.scores(rows, progress.update if progress else None)
            if scored:
                scored(name, rows, scores)
            values = metrics.evaluate(features.label[rows], scores, features.user[rows])
            result[name] = {key: None if np.isnan(value) else round(value, 6) for key, value in values.items()}
    return result


def _ids(ids: list[str]) -> np.ndarray:
    return np.frombuffer("".join(f"{name}\n" for name in ids).encode("utf-8"), np.uint8)


# Graphs and golden examples


class _Positional(nn.Module):
    """Calls a module by keyword from positional tensors, which is what the ONNX exporter traces."""

    def __init__(self, module: nn.Module, names: list[str]):
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.module(**dict(zip(self.names, tensors)))


def write_graph(
    module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], dynamic: dict[str, dict[int, str]], path: Path
) -> dict[str, np.ndarray]:
    """Traces a module, or takes the graph that it is, checks the graph's names, types and axes, and returns the module's outputs for `inputs`.

    `dynamic`: for each input and output its dynamic axes by name; every other axis is fixed to that of `inputs`.
    """
    module.eval()
    wrapped = _Positional(module, list(inputs)).eval()
    with torch.no_grad():
        expected = wrapped(*inputs.values())
    expected = list(expected) if isinstance(expected, (tuple, list)) else [expected]
    if isinstance(module, Graph):  # it was traced when it was first exported
        path.write_bytes(module.to_bytes())
    else:
        graph = _trace(wrapped, inputs, outputs, dynamic)
        # A size that the trace took for a constant goes unnoticed until a host runs another size; a trace of other sizes shows it.
        if graph != _trace(wrapped, _resized(inputs, dynamic), outputs, dynamic):
            raise ExportError(f"{path.name}: the graph is only good for the sizes that it was traced with; use tensor operations in place of numbers taken from a shape")
        path.write_bytes(_with_output_shapes(graph, dict(zip(outputs, expected)), dynamic))
    if len(expected) != len(outputs):
        raise ExportError(f"{path.name}: the module gives {len(expected)} outputs, not {', '.join(outputs)}")
    tensors = inputs | dict(zip(outputs, expected))
    check_graph(path, list(inputs), outputs, tensors, dynamic)
    for name, value in zip(outputs, expected):
        if not torch.isfinite(value).all():
            raise ExportError(f"{path.name}: {name} holds values that are not finite")
    return {name: value.numpy() for name, value in zip(outputs, expected)}


def _trace(wrapped: _Positional, inputs: dict[str, Tensor], outputs: list[str], dynamic: dict[str, dict[int, str]]) -> bytes:
    graph = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of shapes in Python code whether they matter or not
        torch.onnx.export(
            wrapped,
            tuple(inputs.values()),
            graph,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=dynamic,
            opset_version=OPSET,
            do_constant_folding=False,  # training that goes on from a graph has to find the parameters there, not products of them
            **_TRACING,
        )
    return graph.getvalue()


def _with_output_shapes(graph: bytes, outputs: dict[str, Tensor], dynamic: dict[str, dict[int, str]]) -> bytes:
    """Writes the axes of the outputs into the graph where the exporter could not infer them."""
    model = onnx.load_model_from_string(graph)
    for value in model.graph.output:
        axes = value.type.tensor_type.shape.dim
        for number, axis in enumerate(axes):
            if number not in dynamic.get(value.name, {}) and len(axes) == outputs[value.name].dim() and not axis.HasField("dim_value"):
                axis.dim_value = outputs[value.name].shape[number]
    return model.SerializeToString()


def _resized(inputs: dict[str, Tensor], dynamic: dict[str, dict[int, str]]) -> dict[str, Tensor]:
    """The inputs with one more entry on each dynamic axis."""
    resized = dict(inputs)
    for name in inputs:
        for axis in dynamic.get(name, {}):
            resized[name] = torch.cat([resized[name], resized[name].narrow(axis, 0, 1)], dim=axis)
    return resized


def check_graph(path: Path, inputs: list[str], outputs: list[str], tensors: dict[str, Tensor], dynamic: dict[str, dict[int, str]]) -> None:
    """ExportError unless a graph has these inputs and outputs, of the types and axes of `tensors`, with the dynamic ones of `dynamic`."""
    graph = onnx.load(str(path))
    onnx.checker.check_model(graph)
    for kind, wanted, values in (("inputs", inputs, graph.graph.input), ("outputs", outputs, graph.graph.output)):
        found = [value.name for value in values]
        if sorted(found) != sorted(wanted):
            raise ExportError(f"{path.name}: its {kind} are {', '.join(found)}; the format wants {', '.join(wanted)}")
        for value in values:
            tensor = tensors[value.name]
            kinds = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.INT64: torch.int64}
            if kinds.get(value.type.tensor_type.elem_type) != tensor.dtype:
                raise ExportError(f"{path.name}: {value.name} must be {tensor.dtype}")
            _check_axes(path, value, tensor, dynamic.get(value.name, {}))


def _check_axes(path: Path, value: onnx.ValueInfoProto, tensor: Tensor, dynamic: dict[int, str]) -> None:
    axes = value.type.tensor_type.shape.dim
    if len(axes) != tensor.dim():
        raise ExportError(f"{path.name}: {value.name} has {len(axes)} axes; the model gave {tensor.dim()}")
    for number, axis in enumerate(axes):
        is_dynamic = not axis.HasField("dim_value")
        if is_dynamic != (number in dynamic) or (not is_dynamic and axis.dim_value != tensor.shape[number]):
            found = axis.dim_param if is_dynamic else axis.dim_value
            raise ExportError(f"{path.name}: axis {number} of {value.name} is {found!r}; the model gave {tensor.shape[number]}")


def _write_graphs(model: TrainedModel, replay: Replay, folder: Path) -> None:
    golden: dict[str, np.ndarray] = {}
    batch = {0: "batch"}
    rows = golden_rows(replay.features)

    places = replay.features.item[rows]
    inputs = _tensors(replay.features.items.named(model.item_inputs, places))
    outputs = write_graph(model.item_encoder, inputs, ["representation"], dict.fromkeys([*inputs, "representation"], batch), folder / "item_encoder.onnx")
    _add(golden, "item_encoder", inputs, outputs)

    inputs = replay.user_inputs(rows)
    names = ["user_state", "history_state"]
    outputs = write_graph(model.user_encoder, inputs, names, dict.fromkeys([*inputs, *names], batch), folder / "user_encoder.onnx")
    _add(golden, "user_encoder", inputs, outputs)

    # One user, several candidates: those of the examples and some that training never saw.
    inputs = {name: torch.from_numpy(outputs[name][:1].copy()) for name in names}
    inputs["item"] = torch.from_numpy(replay.item_rows(candidate_rows(replay.features, rows))).unsqueeze(0)
    context = replay.ranker_context(rows[:1])
    if context is not None:
        inputs["context"] = context
    axes = dict.fromkeys([*names, "context"], batch) | dict.fromkeys(["item", "score"], {0: "batch", 1: "candidates"})
    axes = {name: axes[name] for name in [*inputs, "score"]}
    outputs = write_graph(model.ranker, inputs, ["score"], axes, folder / "ranker.onnx")
    _add(golden, "ranker", inputs, outputs)

    for graph, dims in (("user_encoder", ("user_state",)), ("item_encoder", ("representation",))):
        for name in dims:
            if golden[f"{graph}/{name}"].shape[1] != model.dims[name]:
                raise ExportError(f"dims.{name} is {model.dims[name]}; the graph gives {golden[f'{graph}/{name}'].shape[1]}")
    if golden["user_encoder/history_state"].shape[1:] != (model.dims["history"], model.dims["history_state"]):
        raise ExportError(f"history_state must be [B, {model.dims['history']}, {model.dims['history_state']}]")
    score = golden["ranker/score"]
    if score.min() < 0 or score.max() > 1:
        raise ExportError("the ranker's scores are not probabilities")
    safetensors.write(folder / "golden.safetensors", golden)


def golden_rows(features: Features) -> np.ndarray:
    """Rows for the examples: the fullest history first, an empty one, an unknown user and item, the rest spread over the test part."""
    rows = features.rows(TEST)
    if len(rows) < GOLDEN_EXAMPLES:
        rows = np.arange(len(features.label))
    length = features.history_end[rows] - features.history_begin[rows]
    chosen = [int(rows[np.argmax(length)]), int(rows[np.argmin(length)])]
    for unknown in (~features.user_known[features.user[rows]], ~features.item_known[features.item[rows]]):
        chosen.extend(rows[unknown][:1].tolist())
    chosen.extend(rows[np.linspace(0, len(rows) - 1, 2 * GOLDEN_EXAMPLES).astype(np.int64)].tolist())
    return np.array(list(dict.fromkeys(chosen))[: GOLDEN_EXAMPLES], np.int64)


def candidate_rows(features: Features, rows: np.ndarray) -> np.ndarray:
    """Rows whose items are the candidates of the ranker's example."""
    rest = features.rows(TEST)
    if len(rest) < GOLDEN_CANDIDATES:
        rest = np.arange(len(features.label))
    more = rest[np.linspace(0, len(rest) - 1, GOLDEN_CANDIDATES).astype(np.int64)]
    return np.concatenate([rows, more])[:GOLDEN_CANDIDATES]


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def _add(golden: dict[str, np.ndarray], graph: str, inputs: dict[str, Tensor], outputs: dict[str, np.ndarray]) -> None:
    golden.update({f"{graph}/{name}": value.numpy() for name, value in inputs.items()})
    golden.update({f"{graph}/{name}": value for name, value in outputs.items()})


# The uncached graph


class Uncached(nn.Module):
    """Content in, score out, nothing cached: what the three graphs and a catalogue must reproduce together.

    One user, N candidates. Inputs: `candidate_content_<x>` [N, …] and `history_content_<x>` [L, …] for each input x of the item encoder; `candidate_embedding` [N, dId],
    `candidate_statistics` [N, dStat], `history_embedding` [L, dId]; and the user encoder's and ranker's other inputs under their own names. Output: `score` [1, N].
    """

    def __init__(self, model: TrainedModel):
        super().__init__()
        self.item_encoder, self.user_encoder, self.ranker = model.item_encoder, model.user_encoder, model.ranker

    def forward(self, **inputs: Tensor) -> Tensor:
        def encode(prefix: str) -> Tensor:
            return self.item_encoder(**{name.removeprefix(prefix): value for name, value in inputs.items() if name.startswith(prefix)})

        row = [inputs["candidate_embedding"], encode("candidate_content_")]
        if "candidate_statistics" in inputs:
            row.append(inputs["candidate_statistics"])
        history = torch.cat([inputs["history_embedding"], encode("history_content_")], dim=1).unsqueeze(0)
        history = history * inputs["history_mask"].unsqueeze(2)
        user = {name: inputs[name] for name in _USER_INPUTS if name in inputs and name != "history"}
        user_state, history_state = self.user_encoder(history=history, **user)
        context = {"context": inputs["context"]} if "context" in inputs else {}
        return self.ranker(user_state=user_state, history_state=history_state, item=torch.cat(row, dim=1).unsqueeze(0), **context)


def write_uncached(replay: Replay, out: Path) -> None:
    """Writes the uncached graph to `out` and one example, inputs and score, beside it as .safetensors.

    The example is that of the bundle's golden ranker: the same user, candidates and context.
    """
    model, features = replay.model, replay.features
    rows = golden_rows(features)
    candidates = candidate_rows(features, rows)
    user = replay.user_inputs(rows[:1])
    history = features.history(rows[:1], model.dims["history"])
    masked = history.mask[0] > 0
    inputs: dict[str, Tensor] = {}
    for name, value in features.items.named(model.item_inputs, features.item[candidates]).items():
        inputs[f"candidate_content_{name}"] = torch.from_numpy(value)
    for name, value in features.items.named(model.item_inputs, history.items[0]).items():
        value = value.copy()
        value[~masked] = 0
        inputs[f"history_content_{name}"] = torch.from_numpy(value)
    inputs["candidate_embedding"] = torch.from_numpy(replay.item_table[replay.item_row[features.item[candidates]]])
    if model.dims["statistics"]:
        inputs["candidate_statistics"] = torch.from_numpy(features.item_statistics[candidates])
    table = replay.item_table[replay.item_row[history.items[0]]] * history.mask[0][:, None]
    inputs["history_embedding"] = torch.from_numpy(table)
    inputs.update({name: value for name, value in user.items() if name != "history"})
    context = replay.ranker_context(rows[:1])
    if context is not None:
        inputs["context"] = context
    dynamic: dict[str, dict[int, str]] = {name: {0: "candidates"} for name in inputs if name.startswith("candidate_")}
    dynamic["score"] = {1: "candidates"}
    outputs = write_graph(Uncached(model), inputs, ["score"], dynamic, out)
    safetensors.write(out.with_suffix(".safetensors"), {name: value.numpy() for name, value in inputs.items()} | outputs)


# The manifest


def _manifest(model: TrainedModel, features: Features, dataset: Dataset, training: Training, measured: dict) -> dict:
    schema, dims = features.schema, model.dims

    def present(name: str, values: list) -> list:
        return values if dims[name] else []

    return {
        "format": FORMAT,
        "version": "",
        "recipe": model.recipe,
        "created": training.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "dims": dims,
        "files": {},
        "item_inputs": _item_inputs(model, features),
        "statistics": present("statistics", [one.to_json() for one in schema.item_statistics]),
        "user_statistics": present("user_statistics", [one.to_json() for one in schema.user_statistics]),
        "profile": present("profile", [_vocabulary(one) for one in schema.profile]),
        "actions": list(schema.actions),
        "context": present("context", [{"name": name} for name in schema.context]),
        "fallback": {"prior": schema.prior, "strength": FALLBACK_STRENGTH},
        "training": {
            "data": dataset.fingerprint,
            "rows": int((dataset.split == TRAIN).sum()),
            "seed": training.seed,
            "command": training.command,
            "settings": model.settings,
        }
        | ({"resumed": training.resumed} if training.resumed else {}),
        "metrics": measured,
    }


def _item_inputs(model: TrainedModel, features: Features) -> dict:
    schema, reads = features.schema, model.item_inputs
    image = schema.image
    return {
        "text": {"length": schema.text_length, "tokenizer": "tokenizer.json"} if "text" in reads else None,
        "categories": {"length": schema.categories_length, "vocabulary": schema.categories.values} if "categories" in reads else None,
        "attributes": [_vocabulary(one) for one in schema.attributes] if "attributes" in reads else [],
        "image": {"height": image.height, "width": image.width, "mean": list(image.mean), "std": list(image.std)} if "image" in reads else None,
        "image_features": {"length": schema.image_features} if "image_features" in reads else None,
    }


def _vocabulary(vocabulary: Vocabulary) -> dict:
    return {"name": vocabulary.name, "vocabulary": vocabulary.values}
