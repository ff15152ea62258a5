"""Resizing is the one that images.py defines."""

import io

import numpy as np
import pytest
from PIL import Image

from recbackend.images import ImageSpec, decode, resize, to_tensor


def png(pixels, mode):
    content = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8), mode).save(content, "PNG")
    return content.getvalue()


def test_shrinking_by_a_whole_factor_is_the_mean_of_blocks():
    pixels = np.random.default_rng(1).uniform(0, 255, (12, 8, 3))
    expected = pixels.reshape(4, 3, 2, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resize(pixels, 4, 2), expected)


def test_shrinking_counts_partly_covered_samples_by_their_share():
    row = np.array([10.0, 20.0, 40.0])[None, :, None].repeat(3, axis=2)
    np.testing.assert_allclose(resize(row, 1, 2)[0, :, 0], [(10 + 0.5 * 20) / 1.5, (0.5 * 20 + 40) / 1.5])


def test_enlarging_is_bilinear_with_clamped_edges():
    row = np.array([0.0, 100.0])[None, :, None].repeat(3, axis=2)
    np.testing.assert_allclose(resize(row, 1, 4)[0, :, 0], [0, 25, 75, 100])


def test_constant_pictures_stay_constant():
    for size in ((3, 50), (50, 3), (7, 7), (1, 1)):
        np.testing.assert_allclose(resize(np.full((*size, 3), 77.0), 9, 11), 77.0)


def test_grey_of_16_bits_counts_with_its_upper_8():
    content = io.BytesIO()
    Image.fromarray(np.array([[0x1234, 0xFFFF]], np.uint16)).save(content, "PNG")
    assert decode(content.getvalue())[0].tolist() == [[0x12] * 3, [0xFF] * 3]


def test_transparent_pixels_are_white():
    assert decode(png([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], "RGBA"))[0].tolist() == [[255, 255, 255], [10, 20, 30], [204, 204, 204]]


def test_tensor_is_normalised_with_channels_first():
    tensor = to_tensor(png(np.full((4, 4, 3), [255, 0, 51]), "RGB"), ImageSpec(2, 2))
    assert tensor.shape == (3, 2, 2) and tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[:, 0, 0], [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225], rtol=1e-6)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", png(np.zeros((8, 8)), "L")[:40]])
def test_damaged_picture_is_refused(content):
    with pytest.raises(ValueError, match="not a JPEG or PNG"):
        decode(content)


def test_other_formats_are_refused():
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, "BMP")
    with pytest.raises(ValueError, match="not a JPEG or PNG"):
        decode(content.getvalue())
