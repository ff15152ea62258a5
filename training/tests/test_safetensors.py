"""Tensors survive a file, and a damaged file is refused."""

import json

import numpy as np
import pytest

from recbackend import safetensors


def test_every_type_survives(tmp_path):
    random = np.random.default_rng(1)
    tensors = {
        "é/odd": random.normal(size=(3, 5)).astype(np.float32),
        "half": random.normal(size=(7,)).astype(np.float16),
        "long": random.integers(-(2**62), 2**62, (2, 1, 3)),
        "int": random.integers(-9, 9, (4,)).astype(np.int32),
        "bytes": np.frombuffer(b"odd", np.uint8),
        "empty": np.zeros((0, 4), np.float32),
        "scalar": np.float32(3).reshape(()),
    }
    safetensors.write(tmp_path / "x.safetensors", tensors)
    read = safetensors.read(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


def test_layout_is_that_of_the_format(tmp_path):
    path = tmp_path / "x.safetensors"
    safetensors.write(path, {"a": np.arange(3, dtype=np.float32), "b": np.arange(2, dtype=np.int64), "c": np.zeros(5, np.uint8)})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    assert header["b"] == {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}
    assert header["a"] == {"dtype": "F32", "shape": [3], "data_offsets": [16, 28]}
    assert len(content) == 8 + length + 16 + 12 + 5


def test_type_that_bundles_do_not_use_is_refused(tmp_path):
    with pytest.raises(ValueError, match="float64"):
        safetensors.write(tmp_path / "x", {"a": np.zeros(3)})


@pytest.mark.parametrize("cut", [0, 5, 20, -1])
def test_truncated_file_is_refused(tmp_path, cut):
    path = tmp_path / "x.safetensors"
    safetensors.write(path, {"a": np.ones(10, np.float32)})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="cut short|does not fit"):
        safetensors.read(path)


def test_types_and_metadata_of_pretrained_models_are_read(tmp_path):
    path = tmp_path / "x.safetensors"
    header = {
        "__metadata__": {"format": "pt"},
        "brain": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
        "flag": {"dtype": "BOOL", "shape": [1], "data_offsets": [8, 9]},
        "wide": {"dtype": "F64", "shape": [], "data_offsets": [9, 17]},
    }
    text = json.dumps(header).encode()
    # bfloat16: the upper half of 1, -2, 0.15625 and infinity as float32.
    body = np.array([0x3F80, 0xC000, 0x3E20, 0x7F80], "<u2").tobytes() + b"\1" + np.float64(0.1).tobytes()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    read = safetensors.read(path)
    assert read.keys() == {"brain", "flag", "wide"} and read["brain"].dtype == np.float32
    np.testing.assert_array_equal(read["brain"], [[1, -2], [0.15625, np.inf]])
    assert read["flag"].tolist() == [True] and float(read["wide"]) == 0.1


def test_type_that_nothing_here_reads_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    text = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0")
    with pytest.raises(ValueError, match="'a' has type F8_E4M3"):
        safetensors.read(path)
