"""Layers that more than one recipe uses.

Shapes: B users (of groups of rows of a log, or the one user of a request), N candidates of each, L events of history, d a width.
What depends on the user alone is computed in the user encoder, once a change of the history; the ranker, which runs for every request, makes of it one matrix (`Ranker.logits_of_request`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .features import Schema

# Below this deviation a number counts as the same in all rows. Click rates of one in a thousand still deviate by ten times as much.
_CONSTANT = 1e-4
# Events that `Pace` takes for the newest: of 1, 3, 5, 10, 20 and 40, the age of the tenth said most of the click rate on the validation part of MovieLens-1M.
_NEWEST = 10


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

    @classmethod
    def of(cls, schema: Schema, category_width: int, attribute_width: int) -> CategoricalInputs:
        """For the vocabularies of `schema`."""
        return cls(schema.categories.size if schema.categories else 0, [attribute.size for attribute in schema.attributes], category_width, attribute_width)

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
    The user's own state reads the mean of the values.

    Keys also know the place in the history (newest first), the event's type, and how long it was before the newest event. All three are bounded and stay out of the values: the
    histories of users who return after months hold intervals that training has hardly seen.
    """

    def __init__(self, event: int, heads: int, width: int, length: int, actions: int):
        super().__init__()
        self.read, self.state = heads * width, 2 * heads * width + 1
        # No bias: the zeros of padding must stay zero values.
        self.project = nn.Linear(event, 2 * heads * width, bias=False)
        self.position = nn.Parameter(torch.zeros(length, heads * width))
        self.action = _embedding(actions + 1, heads * width)
        self.interval = nn.Parameter(torch.zeros(heads * width))

    def forward(self, history: Tensor, actions: Tensor, intervals: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """history [B, L, event] with zeros in padding, actions, intervals and mask [B, L] -> [B, L, state], [B, read]."""
        age = 1 - torch.exp(intervals * -0.25)
        place = self.position[: int(history.shape[1])] + self.action(actions) + age.unsqueeze(2) * self.interval
        keys, values = torch.split(self.project(history), place.shape[2], 2)
        mean = values.sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0)
        return torch.cat([keys + place, values, mask.unsqueeze(2)], 2), mean


class TargetAttention(nn.Module):
    """Each candidate attends to the user's history (DIN's idea, in the shape of two matrix products for each head).

    DIN proper feeds [candidate, event, difference, product] of each pair to a small network: an N x L x 4d tensor for each request, some fifty times the work of this.
    Here the product is taken once, of the candidate and what it read.
    """

    def __init__(self, item: int, heads: int, width: int):
        super().__init__()
        self.heads, self.width, self.read = heads, width, heads * width
        self.query = nn.Linear(item, heads * width)

    def forward(self, item: Tensor, history_state: Tensor) -> tuple[Tensor, Tensor]:
        """item [B, N, item], history_state [B, L, 2 · heads · width + 1] -> what was read, and its product with the query, both [B, N, heads · width].

        Zeros for a user without history: padding has zero values, so that the softmax may spread over it.
        """
        query = _linear(self.query, item)
        *parts, mask = torch.split(history_state, [self.width] * (2 * self.heads) + [1], 2)
        blocked = (mask - 1.0).transpose(1, 2) * 1e4
        read = []
        for part, keys, values in zip(torch.split(query, self.width, 2), parts[: self.heads], parts[self.heads :]):
            scores = torch.matmul(part * (1 / math.sqrt(self.width)), keys.transpose(1, 2)) + blocked
            read.append(torch.matmul(functional.softmax(scores, 2), values))
        joined = torch.cat(read, 2)
        return joined, joined * query


@torch.no_grad()
def start_as_similarity(history: HistoryProjection, attention: TargetAttention) -> None:
    """Gives queries, keys and values the same weights, so that attention starts by reading the events that are like the candidate, and their product by telling how alike they are.

    From independent weights a model must find both sides of the product at once: in a small catalogue it learns what is popular and stops before it learns tastes.
    """
    total, event = attention.query.weight.shape
    attention.query.weight.normal_(0, event**-0.5)
    attention.query.bias.zero_()
    history.project.weight.mul_(0.1)
    history.project.weight[:total, :event] = attention.query.weight
    history.project.weight[total:, :event] = attention.query.weight


class Dropout(nn.Module):
    """`nn.Dropout` that draws a byte for each element, where PyTorch draws a float: on a CPU that was a seventh of a training step. The share is rounded to a multiple of 1/256."""

    def __init__(self, share: float):
        super().__init__()
        self.kept = round((1 - share) * 256)
        if not 0 < self.kept <= 256:
            raise ValueError(f"dropout is {share}; 0 or more and less than 1 is allowed")

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape -> the same shape, some elements 0 and the others larger in training."""
        if not self.training or self.kept == 256:
            return x
        drawn = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)[: x.numel()]
        return x * ((drawn < self.kept).to(x.dtype) * (256 / self.kept)).view_as(x)


class LowRankCross(nn.Module):
    """One cross layer of DCNv2 with a low-rank matrix: `x0 * (U (V x) + b) + x` (arXiv 2008.13535, section 3.2)."""

    def __init__(self, width: int, rank: int):
        super().__init__()
        self.reduce = nn.Linear(width, rank, bias=False)
        self.expand = nn.Linear(rank, width)

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        """first and x [..., width] -> [..., width]."""
        return first * self.expand(self.reduce(x)) + x


class Standardize(nn.Module):
    """Shifts and scales each of a list of numbers [..., n] to mean 0 and deviation 1 over the training rows.

    Smoothed click rates differ by a few hundredths. As they come, it takes thousands of steps until a network makes use of them.
    What lies further out than four deviations counts as four: counters grow in production beyond all that training saw. What was the same in every training row says nothing:
    its weights were never trained, so it must stay at 0 when production brings other values (ages, after a log of a single day).
    """

    def __init__(self, values: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("scale", torch.ones(values))

    def observe(self, values: Tensor) -> None:
        """values [R, n]"""
        if values.numel():
            deviation = values.double().std(0, unbiased=False)
            self.mean.copy_(values.double().mean(0))
            self.scale.copy_((deviation >= _CONSTANT) / deviation.clamp(min=_CONSTANT))

    def forward(self, values: Tensor) -> Tensor:
        return ((values - self.mean) * self.scale).clamp(-4, 4)


class Calibration(nn.Module):
    """Platt scaling folded into the ranker: logits [B, N] -> probabilities [B, N]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("bias", torch.zeros(()))

    def forward(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(self.scale * logits + self.bias)


@dataclass(frozen=True)
class RankingShape:
    """Widths of the user encoder and the ranker. The defaults rank 500 candidates in 50 to 60 MFLOP."""

    heads: int = 2
    head_width: int = 32
    profile_width: int = 8
    user_hidden: int = 128
    user_width: int = 32
    hidden: tuple[int, int] = (128, 64)
    cross_layers: int = 2
    cross_rank: int = 16
    dropout: float = 0.2
    pace: bool = True
    """Whether the user encoder reads the `Pace` of a history."""


class UserEncoder(nn.Module):
    """All of a user that no candidate is needed for: keys and values of the history, and the user's part of the ranker's first layer and crosses."""

    def __init__(self, shape: RankingShape, schema: Schema, user_id: int, item_id: int, representation: int, sequence: nn.Module | None = None, history: nn.Module | None = None):
        """`sequence`: called with representations [B, L, dRep], intervals and mask; gives [B, L, sequence.width], which is joined to the events.
        `history`: takes the place of the `HistoryProjection`, and has its attributes and shapes."""
        super().__init__()
        self.widths = [item_id, representation]
        self.sequence = sequence
        event = item_id + representation + (sequence.width if sequence is not None else 0)
        self.profile = nn.ModuleList(_embedding(attribute.size, shape.profile_width) for attribute in schema.profile)
        self.history = HistoryProjection(event, shape.heads, shape.head_width, schema.history, len(schema.actions)) if history is None else history
        self.statistics = Standardize(len(schema.user_statistics))
        self.pace = Pace() if shape.pace else None
        width = user_id + shape.profile_width * len(schema.profile) + len(schema.user_statistics) + self.history.read + 1
        width += self.pace.width if self.pace is not None else 0
        self.tower = nn.Sequential(nn.Linear(width, shape.user_hidden), nn.ReLU(), Dropout(shape.dropout))
        self.state = nn.Linear(width + shape.user_hidden, shape.hidden[0] + shape.user_width)
        self.user_state = shape.hidden[0] + shape.user_width
        self.history_state = self.history.state

    def forward(
        self,
        user_embedding: Tensor,
        history: Tensor,
        history_actions: Tensor,
        history_intervals: Tensor,
        history_mask: Tensor,
        profile: Tensor | None = None,
        user_statistics: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Shapes of the bundle contract -> user_state [B, hidden + user_width], history_state [B, L, H]."""
        if self.sequence is not None:
            representation = torch.split(history, self.widths, 2)[1]
            history = torch.cat([history, self.sequence(representation, history_intervals, history_mask)], 2)
        history_state, read = self.history(history, history_actions, history_intervals, history_mask)
        count = history_mask.sum(1, keepdim=True)
        known = [user_embedding]
        known += [embedding(profile[:, place]) for place, embedding in enumerate(self.profile)]
        if user_statistics is not None:
            known.append(self.statistics(user_statistics))
        if self.pace is not None:
            known.append(self.pace(history_intervals, history_mask))
        user = torch.cat([*known, read, torch.log1p(count)], 1)
        return self.state(torch.cat([user, self.tower(user)], 1)), history_state


class Pace(nn.Module):
    """How the ages of a history's newest events, and of all of them, are spread: shares of soft buckets, one for each e-fold of seconds up to two days.

    A history holds clicks alone. Of two users who look at as many items a minute, the one with more clicks a minute clicks on more of what is shown, which no counter has to tell.
    """

    width = 26

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", torch.linspace(0, 12, self.width // 2))

    def forward(self, intervals: Tensor, mask: Tensor) -> Tensor:
        """intervals and mask [B, L] -> [B, width]; zeros for an empty history."""
        buckets = (1 - (intervals.clamp(max=12).unsqueeze(2) - self.grid).abs()).clamp(min=0) * mask.unsqueeze(2)
        parts = ((buckets[:, :_NEWEST], mask[:, :_NEWEST]), (buckets, mask))
        return torch.cat([part.sum(1) / present.sum(1, keepdim=True).clamp(min=1.0) for part, present in parts], 1)


class CalibratedRanker(nn.Module):
    """A bundle's ranker, in two forms that compute the same: `logits`, which training reads, and `logits_of_request`, which is cheaper for many candidates. `tests/test_ranker.py` compares them."""

    event: int
    """Width of ID embedding ‖ representation in a row."""
    cuts: tuple[int, ...]
    """Where, besides 0, the parts of an event begin that `logits_of_request` reads apart."""
    calibration: Calibration

    def logits(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """user_state [B, S], history_state [B, L, H], item [B, N, dRow], context [B, C], or in training [B, N, C] -> [B, N]."""
        raise NotImplementedError

    def logits_of_request(
        self, user_state: Tensor, history_state: Tensor, event: list[Tensor], statistics: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """`logits` with fewer passes over tensors of all candidates, for the price of a matrix of each user. It is what is exported.

        user_state [B, S], history_state [B, L, H], event [B, N, …] in parts that begin at 0 and at `cuts`, statistics [B, N, s], context [B, C] -> [B, N].
        """
        raise NotImplementedError

    def forward(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """The contract's inputs -> score [B, N], calibrated probabilities."""
        if item.shape[1] == 1 and not torch.jit.is_tracing():
            # Rows of a log, each with a user of its own: the users' matrices would cost several times what they save.
            return self.calibration(self.logits(user_state, history_state, item, context))
        event, statistics = parts_of_rows(item, self.cuts, self.event)
        return self.calibration(self.logits_of_request(user_state, history_state, event, statistics, context))


class Ranker(CalibratedRanker):
    """Target attention, then a deep network beside low-rank crosses of candidate, what it read of the history, and the user.

    Products of candidate and user, and of candidate and history, are given to the deep network: left alone, it takes epochs to find out that they matter.
    """

    def __init__(self, shape: RankingShape, schema: Schema, event: int, attention: nn.Module | None = None):
        """`event`: width of ID embedding ‖ representation. `attention`: takes the place of the `TargetAttention`, and has its attributes and shapes."""
        super().__init__()
        self.event, self.hidden, self.cuts = event, shape.hidden[0], ()
        self.attention = TargetAttention(event, shape.heads, shape.head_width) if attention is None else attention
        width = event + len(schema.item_statistics)
        self.statistics, self.moment = Standardize(len(schema.item_statistics)), Standardize(len(schema.context))
        self.taste = nn.Linear(event, shape.user_width)
        self.first = nn.Linear(width + shape.user_width + self.attention.read, shape.hidden[0], bias=False)
        self.context = nn.Linear(len(schema.context), shape.hidden[0], bias=False) if schema.context else None
        self.deep = nn.Sequential(
            nn.ReLU(), Dropout(shape.dropout), nn.Linear(*shape.hidden), nn.ReLU(), Dropout(shape.dropout), nn.Linear(shape.hidden[1], 1)
        )
        crossed = width + self.attention.read + shape.user_width
        self.crosses = nn.ModuleList(LowRankCross(crossed, shape.cross_rank) for _ in range(shape.cross_layers))
        self.cross_score = nn.Linear(crossed, 1)
        self.calibration = Calibration()

    def logits(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """`CalibratedRanker.logits`."""
        deep, crossed = self.interactions(user_state, history_state, item, context)
        return (self.deep[-1](deep) + self.cross_score(crossed)).reshape(item.shape[0], -1)

    def interactions(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Of the inputs of `logits`, what the deep network's last layer and the last cross give [B · N, …]: the score is linear in them."""
        known = item[:, :, : self.event]
        read, agreement = self.attention(known, history_state)
        user = user_state[:, self.hidden :].unsqueeze(1)
        candidate = torch.cat([known, self.statistics(item[:, :, self.event :])], 2) if len(self.statistics.mean) else known
        first = _linear(self.first, torch.cat([candidate, _linear(self.taste, known) * user, agreement], 2)) + user_state[:, : self.hidden].unsqueeze(1)
        if self.context is not None:
            moment = self.context(self.moment(context))
            first = first + (moment.unsqueeze(1) if moment.dim() == 2 else moment)
        # What was read goes to the crosses alone: in the first layer too, it made that a third wider and no better.
        x = x0 = torch.cat([candidate, read, user + torch.zeros_like(item[:, :, :1])], 2).flatten(0, 1)
        for cross in self.crosses:
            x = cross(x0, x)
        return self.deep[:-1](first.flatten(0, 1)), x

    def logits_of_request(
        self, user_state: Tensor, history_state: Tensor, event: list[Tensor], statistics: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """`CalibratedRanker.logits_of_request`."""
        known = torch.cat(event, 2) if len(event) > 1 else event[0]
        candidate = [known] if statistics is None else [known, self.statistics(statistics)]
        read, agreement = self.attention(known, history_state)
        of_first, user = torch.split(user_state, [self.hidden, self.taste.out_features], 1)
        of_event, of_statistics, of_taste, of_agreement = torch.split(
            self.first.weight.t(), [self.event, len(self.statistics.mean), self.taste.out_features, self.attention.read]
        )
        # Taste is linear in the event, so that in the first layer a matrix of the user stands for it.
        tasted = torch.matmul(self.taste.weight.t() * user.unsqueeze(1), of_taste)
        constant = of_first + torch.matmul(user * self.taste.bias, of_taste)
        if self.context is not None:
            constant = constant + self.context(self.moment(context))
        others = torch.matmul(torch.cat([*candidate[1:], agreement], 2), torch.cat([of_statistics, of_agreement]))
        first = torch.matmul(known, of_event + tasted) + (others + constant.unsqueeze(1))
        x0 = torch.cat([*candidate, read, user.unsqueeze(1) + torch.zeros_like(read[:, :, :1])], 2)
        return (self.deep(first.flatten(0, 1)) + self._score_of_crosses(x0.flatten(0, 1))).reshape(known.shape[0], -1)

    def _score_of_crosses(self, x0: Tensor) -> Tensor:
        """`cross_score` of the last cross, which is never made: x0 [M, width] -> [M, 1].

        With p_k = V_k x_{k-1} a cross is x_l = x0 * (1 + sum_{k <= l} (U_k p_k + b_k)), so that the score w x_L is sum_k p_k (U_kᵀ diag(w)) x0 + (w * (1 + sum_k b_k)) x0.
        """
        if not self.crosses:
            return self.cross_score(x0)
        score, rank = self.cross_score.weight, self.crosses[0].reduce.out_features
        scale = torch.ones_like(score[0])
        scales = [scale := scale + cross.expand.bias for cross in self.crosses]
        # All that reads x0 is one product.
        rows = torch.cat([self.crosses[0].reduce.weight, *(cross.expand.weight.t() * score for cross in self.crosses), score * scale])
        bias = torch.cat([torch.zeros(len(rows) - 1), self.cross_score.bias])
        reduced, products, constant = torch.split(functional.linear(x0, rows, bias), [rank, rank * len(self.crosses), 1], 1)
        for place, cross in enumerate(self.crosses[1:], start=1):
            expand = torch.cat([before.expand.weight for before in self.crosses[:place]], 1)
            reduced = torch.cat([reduced, cross.reduce(x0 * functional.linear(reduced, expand, scales[place - 1]))], 1)
        return (reduced * products).sum(1, keepdim=True) + constant


def parts_of_rows(item: Tensor, cuts: Iterable[int], event: int) -> tuple[list[Tensor], Tensor | None]:
    """Rows of items [B, N, dRow] -> their events, of width `event`, in parts that begin at 0 and at `cuts`, and their statistics if they have any. One pass over the rows."""
    edges = sorted({0, *cuts, event, int(item.shape[2])})
    if len(edges) == 2:
        return [item], None
    *parts, last = torch.split(item, [end - begin for begin, end in zip(edges, edges[1:])], 2)
    return (parts, last) if edges[-1] > event else ([*parts, last], None)


class SequenceEncoder(nn.Module):
    """A bidirectional transformer over a history (pre-norm), with encodings of place and of the interval to the newest event."""

    def __init__(self, event: int, width: int, layers: int, heads: int, length: int, dropout: float):
        super().__init__()
        self.width = width
        self.event = nn.Linear(event, width)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        # Log seconds against a grid of soft buckets, so that the encoding can bend at each. What is older than two days (12) is one: few training rows look back for months, while
        # the users who come back after training do.
        self.register_buffer("grid", torch.linspace(0, 12, 7))
        self.interval = nn.Linear(7, width, bias=False)
        nn.init.zeros_(self.interval.weight)  # an interval that training never saw should say nothing
        self.blocks = nn.ModuleList(_TransformerBlock(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, history: Tensor, intervals: Tensor, mask: Tensor) -> Tensor:
        """history [B, L, event], intervals and mask [B, L] -> [B, L, width], zeros in padding."""
        buckets = (1 - (intervals.clamp(max=12).unsqueeze(2) - self.grid).abs() / 2).clamp(min=0)
        x = self.event(history) + self.position[: int(history.shape[1])] + self.interval(buckets)
        blocked = (mask - 1.0).unsqueeze(1).unsqueeze(1) * 1e4
        for block in self.blocks:
            x = block(x, blocked)
        return self.norm(x) * mask.unsqueeze(2)


class _TransformerBlock(nn.Module):
    """Self-attention and a feed-forward network, each behind a norm and beside a shortcut. PyTorch's own layer has a fast path that cannot be exported."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.width = heads, width
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), Dropout(dropout), nn.Linear(2 * width, width))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, blocked: Tensor) -> Tensor:
        """x [B, L, width], blocked [B, 1, 1, L] (0, or very negative where padding is) -> [B, L, width]."""
        parts = torch.split(self.project(self.attention_norm(x)), self.width, 2)
        length = int(x.shape[1])
        query, key, value = (part.reshape(-1, length, self.heads, self.width // self.heads).transpose(1, 2) for part in parts)
        scores = torch.matmul(query * (self.width // self.heads) ** -0.5, key.transpose(2, 3)) + blocked
        read = torch.matmul(functional.softmax(scores, 3), value).transpose(1, 2).reshape(-1, length, self.width)
        x = x + self.dropout(self.join(read))
        return x + self.dropout(self.feed(self.norm(x)))


class IdTable(nn.Module):
    """ID embeddings [n + 1, width] of a trained vocabulary; row 0 is the vector of every unknown ID.

    In training each ID is taken for unknown with probability `dropout`, so that row 0 learns what to say of an ID about which nothing is known.
    """

    def __init__(self, known: int, width: int, dropout: float, spread: float = 0.05):
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


def members(categories: Tensor, size: int) -> Tensor:
    """Vocabulary ids [B, K] -> [B, size] of 0 and 1; padding is nobody's category."""
    target = torch.zeros(len(categories), size).scatter_(1, categories, 1.0)
    target[:, 0] = 0
    return target


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """`layer` on x [B, N, width], as one matrix: ONNX Runtime joins product and bias into one operation for matrices alone."""
    return layer(x.flatten(0, 1)).reshape(x.shape[0], -1, layer.out_features)


def _embedding(size: int, width: int, spread: float = 0.2) -> nn.Embedding:
    """Small random vectors; id 0 stays at zero."""
    embedding = nn.Embedding(size, width, padding_idx=0)
    with torch.no_grad():
        embedding.weight.normal_(0, spread)
        embedding.weight[0] = 0
    return embedding
