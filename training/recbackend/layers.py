"""Layers that more than one recipe uses.

Shapes: B users (rows of a training batch, or the one user of a request), N candidates of each, L events of history, d a width. In training N is 1.
The ranker runs per request, so whatever depends on the user alone is computed in the user encoder and only added or multiplied in the ranker.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class CategoricalInputs(nn.Module):
    """Embeds an item's categories (mean over those present) and each of its attributes.

    Vocabulary ids are those of `docs/bundle-format.md`: 0 absent, 1 not in the list. Absent embeds to zeros.
    """

    def __init__(self, categories: int, attributes: list[int], category_width: int, attribute_width: int):
        """`categories` and `attributes`: number of ids, the two special ones included; 0 categories where items have none."""
        super().__init__()
        self.width = (category_width if categories else 0) + attribute_width * len(attributes)
        self.categories = _embedding(categories, category_width) if categories else None
        self.attributes = nn.ModuleList(_embedding(size, attribute_width) for size in attributes)

    def forward(self, categories: Tensor | None, attributes: Tensor | None) -> Tensor:
        """categories [B, K] and attributes [B, A], vocabulary ids -> [B, width]."""
        parts = []
        if self.categories is not None:
            present = (categories > 0).to(torch.float32)
            parts.append(self.categories(categories).sum(1) / present.sum(1, keepdim=True).clamp(min=1.0))
        for place, embedding in enumerate(self.attributes):
            parts.append(embedding(attributes[:, place]))
        return torch.cat(parts, 1)


class HistoryProjection(nn.Module):
    """Turns a history into what target attention reads: for each head its keys, then for each head its values, then the mask: [B, L, 2 · heads · width + 1].

    Keys and values also know the event's type and how long it was before the newest one; keys know the place in the history, too.
    """

    def __init__(self, event: int, heads: int, width: int, length: int, actions: int):
        super().__init__()
        self.action = _embedding(actions + 1, event)
        self.interval = nn.Parameter(torch.zeros(event))
        # No bias: the zeros of padding must stay zero values.
        self.project = nn.Linear(event, 2 * heads * width, bias=False)
        self.position = nn.Parameter(torch.zeros(length, heads * width))

    def forward(self, history: Tensor, actions: Tensor, intervals: Tensor, mask: Tensor) -> Tensor:
        """history [B, L, event], actions, intervals and mask [B, L], all zero in padding -> [B, L, 2 · heads · width + 1]."""
        event = torch.addcmul(history + self.action(actions), intervals.unsqueeze(2), self.interval)
        position = torch.cat([self.position, torch.zeros_like(self.position)], 1)
        return torch.cat([self.project(event) + position, mask.unsqueeze(2)], 2)


class TargetAttention(nn.Module):
    """Each candidate attends to the user's history (DIN's idea, in the shape of two matrix products for each head).

    DIN proper feeds [candidate, event, difference, product] of each pair to a small network: an N x L x 4d tensor for each request, some fifty times the work of this.
    """

    def __init__(self, item: int, heads: int, width: int):
        super().__init__()
        self.heads, self.width = heads, width
        self.query = nn.Linear(item, heads * width)

    def forward(self, item: Tensor, history_state: Tensor) -> Tensor:
        """item [B, N, item], history_state [B, L, 2 · heads · width + 1] -> [B, N, heads · width].

        Zeros for a user without history: padding has zero values, so that the softmax may spread over it.
        """
        queries = torch.split(self.query(item) * (1 / math.sqrt(self.width)), self.width, 2)
        *parts, mask = torch.split(history_state, [self.width] * (2 * self.heads) + [1], 2)
        blocked = (mask - 1.0).transpose(1, 2) * 1e4
        read = []
        for query, keys, values in zip(queries, parts[: self.heads], parts[self.heads :]):
            scores = torch.matmul(query, keys.transpose(1, 2)) + blocked
            read.append(torch.matmul(functional.softmax(scores, 2), values))
        return torch.cat(read, 2)


class LowRankCross(nn.Module):
    """One cross layer of DCNv2 with a low-rank matrix: `x0 * (U (V x) + b) + x` (arXiv 2008.13535, section 3.2)."""

    def __init__(self, width: int, rank: int):
        super().__init__()
        self.reduce = nn.Linear(width, rank, bias=False)
        self.expand = nn.Linear(rank, width)

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        """first and x [B, N, width] -> [B, N, width]."""
        return first * self.expand(self.reduce(x)) + x


class Calibration(nn.Module):
    """Platt scaling folded into the ranker: logits [B, N] -> probabilities [B, N]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("bias", torch.zeros(()))

    def forward(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(self.scale * logits + self.bias)


class IdTable(nn.Module):
    """ID embeddings [n + 1, width] of a trained vocabulary; row 0 is the vector of every unknown ID.

    In training each ID is taken for unknown with probability `dropout`, so that row 0 learns what to say of an ID about which nothing is known.
    """

    def __init__(self, known: int, width: int, dropout: float, spread: float = 0.01):
        super().__init__()
        self.dropout = dropout
        self.embedding = nn.Parameter(torch.randn(known + 1, width) * spread)

    def drop(self, rows: Tensor) -> Tensor:
        """Row numbers of any shape -> the same with some replaced by 0 in training."""
        if not self.training or self.dropout == 0:
            return rows
        return rows * (torch.rand(rows.shape) >= self.dropout)

    def forward(self, rows: Tensor) -> Tensor:
        """Row numbers of any shape [...] -> [..., width]."""
        return functional.embedding(self.drop(rows), self.embedding)

    def squares(self) -> Tensor:
        """Half the sum of squares of all vectors, to be kept small."""
        return 0.5 * self.embedding.square().sum()


def _embedding(size: int, width: int, spread: float = 0.05) -> nn.Embedding:
    """Small random vectors; id 0 stays at zero."""
    embedding = nn.Embedding(size, width, padding_idx=0)
    with torch.no_grad():
        embedding.weight.normal_(0, spread)
        embedding.weight[0] = 0
    return embedding
