"""The safetensors format (github.com/huggingface/safetensors): what bundles need of it, and for reading also what pre-trained models use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_TYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "U8": np.dtype("u1")}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
# Read and never written. NumPy has no bfloat16: its 16 bits are the upper half of a float32.
_READ = _TYPES | {"BF16": np.dtype("<u2"), "F64": np.dtype("<f8"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"), "BOOL": np.dtype("?")}
_LARGEST_HEADER = 100_000_000


def write(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors in the order of their names: a header of JSON, padded to 8 bytes, then the bytes of each."""
    header: dict[str, dict] = {}
    blocks: list[bytes] = []
    offset = 0
    # Wide types first, so that every tensor begins at a multiple of its element's size.
    for name in sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name)):
        tensor = np.asarray(tensors[name])
        if tensor.dtype not in _NAMES:
            raise ValueError(f"{path}: tensor {name!r} has type {tensor.dtype}; {', '.join(_TYPES)} can be written")
        block = tensor.astype(_TYPES[_NAMES[tensor.dtype]]).tobytes(order="C")
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, offset + len(block)]}
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blocks))


def read(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a file; those of type BF16 as float32. ValueError when it is cut short or contradicts itself."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(len(content) - 8, _LARGEST_HEADER):
        raise ValueError(f"{path}: is cut short, or no safetensors file")
    try:
        header = json.loads(content[8 : 8 + length])
    except ValueError as error:
        raise ValueError(f"{path}: the header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path}: the header is no JSON object")
    body = memoryview(content)[8 + length :]
    tensors: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not _is_entry(entry):
            raise ValueError(f"{path}: the header has no dtype, shape and data_offsets of tensor {name!r}")
        dtype = _READ.get(entry["dtype"])
        if dtype is None:
            raise ValueError(f"{path}: tensor {name!r} has type {entry['dtype']}; {', '.join(_READ)} can be read")
        begin, end = entry["data_offsets"]
        size = int(np.prod(entry["shape"], dtype=np.int64)) * dtype.itemsize
        if not 0 <= begin <= end <= len(body) or end - begin != size:
            raise ValueError(f"{path}: tensor {name!r} does not fit into the file")
        # A copy, since a tensor may begin at any byte of the file.
        tensor = np.frombuffer(bytes(body[begin:end]), dtype).reshape(entry["shape"])
        tensors[name] = (tensor.astype("<u4") << 16).view("<f4") if entry["dtype"] == "BF16" else tensor
    return tensors


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    return all(isinstance(numbers, list) and all(type(number) is int and number >= 0 for number in numbers) for numbers in (shape, offsets)) and len(offsets) == 2
