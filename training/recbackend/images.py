"""Pictures to tensors, the definition that docs/bundle-format.md section 4 points to.

1. Decode JPEG or PNG to 8-bit RGB. Grey is replicated; a palette is looked up; of samples with 16 bits the upper 8 count. No orientation tag is obeyed. With alpha a (0-255), each channel c becomes
   `(c · a + 255 · (255 − a)) / 255`, a real number: nothing is rounded between decoding and the end.
2. Resize each axis by itself, rows first (height), then columns (width). From n to m samples:
   - m < n, area averaging: output i covers the input interval [i·n/m, (i+1)·n/m); it is the mean over that interval, input
     sample j counting with the length of the overlap of the interval with [j, j+1), divided by n/m.
   - m > n, bilinear with half-pixel centres: x = (i + 0.5)·n/m − 0.5, j = floor(x), f = x − j; output is
     `(1 − f)·input[j] + f·input[j+1]`, both indices clamped to [0, n−1].
   - m = n: unchanged.
3. `(x / 255 − mean) / std` for each channel; axes are [3, H, W]. Sums are taken in 64-bit floats and rounded to 32 bits once.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from .data import DataError

FORMATS = ("JPEG", "PNG")


@dataclass(frozen=True)
class ImageSpec:
    """What the item encoder's `image` input looks like."""

    height: int = 64
    width: int = 64
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


def decode(content: bytes) -> np.ndarray:
    """A picture's pixels as float64 [h, w, 3], 0 to 255. ValueError when it is neither JPEG nor PNG, or is damaged."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
            if picture.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips instead of scaling
                grey = np.asarray(picture).astype(np.float64) // 256
                return np.repeat(grey[:, :, None], 3, axis=2)
            pixels = np.asarray(picture.convert("RGBA" if has_alpha else "RGB"), np.float64)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"not a JPEG or PNG picture that can be read ({error})") from error
    if not has_alpha:
        return pixels
    alpha = pixels[:, :, 3:]
    return (pixels[:, :, :3] * alpha + 255.0 * (255.0 - alpha)) / 255.0


@lru_cache(maxsize=256)
def resize_weights(source: int, target: int) -> np.ndarray:
    """The matrix [target, source] that resizes one axis."""
    weights = np.zeros((target, source))
    ratio = source / target
    for i in range(target):
        if target < source:
            begin, end = i * source / target, (i + 1) * source / target
            for j in range(int(begin), min(source, int(np.ceil(end)))):
                weights[i, j] = max(0.0, min(end, j + 1) - max(begin, j)) / ratio
        else:
            x = (i + 0.5) * source / target - 0.5
            j = int(np.floor(x))
            weights[i, min(max(j, 0), source - 1)] += 1 - (x - j)
            weights[i, min(max(j + 1, 0), source - 1)] += x - j
    return weights


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[h, w, 3] to [height, width, 3], float64."""
    rows = np.tensordot(resize_weights(pixels.shape[0], height), pixels, axes=(1, 0))
    return np.tensordot(resize_weights(pixels.shape[1], width), rows, axes=(1, 1)).transpose(1, 0, 2)


def to_tensor(content: bytes, spec: ImageSpec) -> np.ndarray:
    """A picture's bytes as the `image` input of one item: float32 [3, H, W]. ValueError as in `decode`."""
    pixels = resize(decode(content), spec.height, spec.width)
    normal = (pixels / 255.0 - np.asarray(spec.mean)) / np.asarray(spec.std)
    return normal.transpose(2, 0, 1).astype(np.float32)


def load(path: Path, spec: ImageSpec) -> np.ndarray:
    """`to_tensor` of a file; a DataError names it."""
    try:
        return to_tensor(path.read_bytes(), spec)
    except ValueError as error:
        raise DataError(path, None, str(error)) from error
