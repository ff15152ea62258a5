"""The safetensors format (github.com/huggingface/safetensors), as much of it as bundles need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_TYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "U8": np.dtype("u1")}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
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
    """All tensors of a file. ValueError when it is cut short or contradicts itself."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(len(content) - 8, _LARGEST_HEADER):
        raise ValueError(f"{path}: is cut short, or no safetensors file")
    try:
        header = json.loads(content[8 : 8 + length])
    except ValueError as error:
        raise ValueError(f"{path}: the header is not JSON: {error}") from error
    body = content[8 + length :]
    tensors: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = _TYPES.get(entry["dtype"])
        if dtype is None:
            raise ValueError(f"{path}: tensor {name!r} has type {entry['dtype']}, which bundles do not use")
        begin, end = entry["data_offsets"]
        size = int(np.prod(entry["shape"], dtype=np.int64)) * dtype.itemsize
        if not 0 <= begin <= end <= len(body) or end - begin != size:
            raise ValueError(f"{path}: tensor {name!r} does not fit into the file")
        tensors[name] = np.frombuffer(body[begin:end], dtype).reshape(entry["shape"])
    return tensors
