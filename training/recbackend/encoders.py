"""Encoders of one modality, which more than one recipe pre-trains: of text, and of pictures or given features of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_PADDING, _SEPARATOR = 0, 2  # token ids, docs/bundle-format.md section 3


class TextEncoder(nn.Module):
    """A weighted mean of token vectors and a residual network over it: [B, T] -> [B, width] of length 1, zeros for an empty text."""

    def __init__(self, tokens: int, width: int):
        super().__init__()
        self.width = width
        self.token = nn.Embedding(tokens, width, padding_idx=_PADDING)
        self.weight = nn.Embedding(tokens, 1, padding_idx=_PADDING)
        self.centre = nn.Parameter(torch.zeros(width))
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, text: Tensor) -> Tensor:
        present = (text > _SEPARATOR).to(torch.float32).unsqueeze(2)
        weight = self.weight(text).abs() * present
        mean = (self.token(text) * weight).sum(1) / weight.sum(1).clamp(min=1e-6)
        any_text = (present.sum(1) > 0).to(torch.float32)
        return functional.normalize(mean - self.centre + self.mix(mean), dim=1) * any_text

    @torch.no_grad()
    def start_from(self, text: np.ndarray) -> None:
        """Latent semantic analysis as the start: token vectors from the SVD of the TF-IDF matrix of `text` [I, T], token weights from inverse document frequency.

        On a catalogue of thousands, not millions, this is most of what there is to learn about words.
        """
        tokens = self.token.num_embeddings
        # Sparse: a text has some dozens of the thousands of tokens.
        item, place = np.nonzero(text > _SEPARATOR)
        cells, counts = np.unique(item * tokens + text[item, place], return_counts=True)
        item, token = cells // tokens, cells % tokens
        weight = np.log((1 + len(text)) / (1 + np.bincount(token, minlength=tokens))).astype(np.float32)

        def matrix_of(values: np.ndarray, order: int) -> Tensor:
            """The values at the cells, each item's of norm 1: sparse [I, tokens]."""
            norm = np.bincount(item, np.abs(values) ** order, minlength=len(text)) ** (1 / order)
            values = values / np.maximum(norm, 1e-12)[item]
            return torch.sparse_coo_tensor(np.stack([item, token]), torch.from_numpy(values).float(), (len(text), tokens)).coalesce()

        matrix = matrix_of(np.log1p(counts) * weight[token], 2)
        rank = min(self.width, *matrix.shape)
        _, singular, tokens_side = torch.svd_lowrank(matrix, q=min(rank + 8, *matrix.shape), niter=4)
        # The square root flattens the spectrum: without it, the few strongest topics drown the others in every cosine.
        vectors = tokens_side[:, :rank] / singular[:rank].clamp(min=1e-3).sqrt()
        vectors = vectors / vectors.norm(dim=1).mean().clamp(min=1e-6)
        self.token.weight.zero_()
        self.token.weight[:, :rank] = vectors
        self.token.weight[_PADDING] = 0
        self.weight.weight[:, 0] = torch.from_numpy(weight)
        self.weight.weight[_PADDING] = 0
        for layer in (self.mix[0], self.mix[2]):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.centre.copy_(torch.sparse.mm(matrix_of(counts * weight[token], 1), self.token.weight).mean(0))


class PictureEncoder(nn.Module):
    """A picture [B, 3, H, W], or features of it [B, F], -> [B, width] of length 1; zeros where the mask is 0."""

    def __init__(self, width: int, features: int):
        """`features`: length of given features, 0 for pixels."""
        super().__init__()
        self.width = width
        if features:
            self.body = nn.Sequential(nn.Linear(features, 2 * width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(2 * width, width))
        else:
            channels = [3, 16, 32, 64, 64]
            layers: list[nn.Module] = []
            for source, target in zip(channels, channels[1:]):
                layers += [nn.Conv2d(source, target, 3, stride=2, padding=1), nn.GroupNorm(4, target), nn.ReLU()]
            self.body = nn.Sequential(*layers, _MeanOfPlaces(), nn.Dropout(0.3), nn.Linear(channels[-1], width))

    def forward(self, picture: Tensor, mask: Tensor) -> Tensor:
        """mask [B, 1]"""
        return functional.normalize(self.body(picture), dim=1) * mask


class _MeanOfPlaces(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C]"""
        return x.mean(3).mean(2)
