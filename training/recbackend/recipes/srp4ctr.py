"""`srp4ctr`: sequence pre-training for click models (SRP4CTR, arXiv 2407.19658).

1. FG-BERT: a bidirectional transformer over a user's clicks, each an ID and its side attributes in one vector. Some events are hidden, and the ID and each attribute of what was there are predicted.
2. Fine-tuning as a click model. The bridge is uni cross-attention: the candidate reads the sequence at every layer of the encoder and the sequence never reads the candidate. The candidate shares the input
   embedding, and each layer's keys and values, with the encoder; all else of its side is its own. Keys and values of all layers are the bundle's `history_state`: computed once for a user, however many
   candidates there are. A querying transformer, a few learned queries over the encoder's outputs, is part of `user_state`.

The candidate's output and the queries' are further inputs of the click model that `id` is, as in the paper. Widths, the share of hidden events, what the heads look like and that the encoder is tuned with
the rest were not to be found in what could be read of the paper; training/README.md says what was chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..features import Features
from ..layers import Dropout, HistoryProjection, IdTable, Ranker, TargetAttention, UserEncoder, members, start_as_similarity
from ..train import ClickConfig, ClickModel, Examples, Fit, Progress, Schedule, TrainedModel, begin, fit, train_on_clicks
from .id import READS, ItemEncoder

_SPREAD = 0.05  # of ID vectors at the start of the second stage, as in a table that was not pre-trained


@dataclass(frozen=True)
class Config(ClickConfig):
    width: int = 64
    layers: int = 2
    heads: int = 2
    queries: int = 4
    hidden_share: float = 0.2
    """Of the events of a window, those that pre-training hides."""
    stride: int = 50
    """Clicks from one pre-training window of a user to the next."""
    dropout: float = 0.1
    """Of the encoder, the bridge and the querying transformer."""
    pretraining: Schedule = Schedule(epochs=8, batch=128, least_steps=50, learning_rate=2e-3, final_learning_rate=0.05, weight_decay=0.01)
    schedule: Schedule = replace(ClickConfig.schedule, learning_rate=6e-3)


# The encoder and its pre-training


class FgBert(nn.Module):
    """The encoder. Its keys and values, of every layer, are what the bridge reads."""

    def __init__(self, event: int, width: int, layers: int, heads: int, length: int, actions: int, dropout: float):
        """`event`: width of ID embedding ‖ side attributes."""
        super().__init__()
        self.width, self.state = width, 2 * layers * width
        self.event = nn.Linear(event, width)
        self.hidden = nn.Parameter(torch.randn(width) * 0.02)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        self.action = nn.Parameter(torch.randn(actions + 1, width) * 0.02)
        self.interval = nn.Parameter(torch.zeros(width))
        self.layers = nn.ModuleList(_EncoderLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, history: Tensor, actions: Tensor, intervals: Tensor, mask: Tensor, hide: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """history [B, L, event], actions, intervals, mask [B, L], `hide` [B, L] (1 = do not look) -> outputs [B, L, width], and for each layer its keys, then its values
        [B, L, 2 · layers · width]. Zeros in padding."""
        x = self.event(history)
        if hide is not None:
            x = torch.where(hide.unsqueeze(2) > 0, self.hidden, x)
        # Bounded, as in `HistoryProjection`: users come back after longer than training has seen.
        age = 1 - torch.exp(intervals * -0.25)
        x = self.dropout(x + self.position[: int(x.shape[1])] + functional.embedding(actions, self.action) + age.unsqueeze(2) * self.interval)
        blocked = (mask - 1.0).unsqueeze(1).unsqueeze(1) * 1e4
        state = []
        for layer in self.layers:
            x, keys, values = layer(x, blocked)
            state += [keys, values]
        return self.norm(x) * mask.unsqueeze(2), torch.cat(state, 2) * mask.unsqueeze(2)


class _EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.split = (heads, width // heads)
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.join = nn.Linear(width, width)
        self.feed = _feed(width, dropout)
        self.dropout = Dropout(dropout)
        start_as_identity(self.value, 1.0)
        start_as_identity(self.join, 0.5)

    def forward(self, x: Tensor, blocked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, L, width], blocked [B, 1, 1, L] (0, or very negative where padding is) -> the next x, and the keys and values of this layer, all [B, L, width]."""
        normed = self.attention_norm(x)
        keys, values = self.key(normed), self.value(normed)
        query, key, value = (part.reshape(-1, int(x.shape[1]), *self.split).transpose(1, 2) for part in (self.query(normed), keys, values))
        weights = functional.softmax(torch.matmul(query * self.split[1] ** -0.5, key.transpose(2, 3)) + blocked, 3)
        x = x + self.dropout(self.join(torch.matmul(weights, value).transpose(1, 2).flatten(2)))
        return x + self.dropout(self.feed(self.norm(x))), keys, values


@torch.no_grad()
def start_as_identity(layer: nn.Linear, scale: float) -> None:
    """Weights near a multiple of the identity.

    With it in values, joins and the head, a hidden place starts by saying the mean of what stands around it, which is a model of what goes together. From independent weights, vectors of events and of
    predictions must find each other first; on small data they never did, and all that was learned was what is popular.
    """
    layer.weight.mul_(0.2)
    layer.weight += scale * torch.eye(layer.in_features)


class MaskedPrediction(nn.Module):
    """Stage 1: the ID and each side attribute of events that the encoder may not look at.

    An ID is scored by the product of what the encoder says of the place and the item's own input vector, so that the vectors of items, which are the candidates' later on, are of what goes together.
    """

    def __init__(self, encoder: FgBert, item_encoder: nn.Module, item_table: IdTable, examples: Examples, inputs: dict[str, Tensor], hidden_share: float, most_ids: int = 8192):
        """`most_ids`: of a catalogue of more, a random choice of so many stands for all in each step."""
        super().__init__()
        schema = examples.features.schema
        self.encoder, self.item_encoder, self.item_table = encoder, item_encoder, item_table
        self.head = nn.Linear(encoder.width, encoder.width)
        start_as_identity(self.head, 1.0)
        self.popularity = nn.Parameter(torch.zeros(len(item_table.embedding)))
        self.category = nn.Linear(encoder.width, schema.categories.size) if schema.categories else None
        self.attributes = nn.ModuleList(nn.Linear(encoder.width, attribute.size) for attribute in schema.attributes)
        self._examples, self._inputs, self._hidden_share, self._most_ids = examples, inputs, hidden_share, most_ids
        known = torch.from_numpy(np.flatnonzero(examples.features.item_known))
        self._known = known  # items in the order of the ID table's rows 1 … n

    def loss(self, rows: Tensor) -> Tensor:
        """Rows [B], of each of which the history is a window -> mean over the hidden events of the sum of the log losses of ID, categories and attributes."""
        history = self._examples.features.history(rows.numpy())
        items, mask = torch.from_numpy(history.items), torch.from_numpy(history.mask)
        actions, intervals = torch.from_numpy(history.actions), torch.from_numpy(history.intervals)
        hide = (torch.rand(mask.shape) < self._hidden_share) & (mask > 0)
        hide[:, 0] |= ~hide.any(1)
        row = self._examples.item_row
        side = self.item_encoder(**self._inputs)
        events = torch.cat([self.item_table(row[items]), functional.embedding(items, side)], 2) * mask.unsqueeze(2)
        outputs, _ = self.encoder(events, actions, intervals, mask, hide.to(torch.float32))
        said, hidden = outputs[hide], items[hide]
        loss = self._id_loss(self.head(said), row[hidden], side)
        if self.category is not None:
            target = members(self._inputs["categories"][hidden], self.category.out_features)
            loss = loss + functional.binary_cross_entropy_with_logits(self.category(said), target, reduction="none").sum(1).mean()
        for place, head in enumerate(self.attributes):
            of_place = self._inputs["attributes"][hidden, place]
            if (of_place > 0).any():
                loss = loss + functional.cross_entropy(head(said), of_place, ignore_index=0)
        return loss

    @torch.no_grad()
    def score(self, rows: Tensor) -> float:
        """The negative loss over windows of other rows, with the same events hidden at each call: what pre-training maximises."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return -float(np.average([float(self.loss(part)) for part in rows.split(256)], weights=[len(part) for part in rows.split(256)]))

    def _id_loss(self, said: Tensor, target: Tensor, side: Tensor) -> Tensor:
        """What is said of hidden events [M, width], their rows of the ID table [M], side attributes of all items."""
        chosen = torch.arange(1, len(self._known) + 1)
        if len(chosen) > self._most_ids:
            sample = torch.randperm(len(chosen))[: self._most_ids] + 1
            chosen = torch.cat([sample, target]).unique()
        vectors = self.encoder.event(torch.cat([self.item_table.embedding[chosen], side[self._known[chosen - 1]]], 1))
        return functional.cross_entropy(said @ vectors.t() + self.popularity[chosen], torch.searchsorted(chosen, target))


def windows(features: Features, stride: int, seed: int, part: int = 0) -> np.ndarray:
    """Rows of one part (0 train, 1 validation) whose histories, together, have every click of a user `history / stride` times. The first window of a user ends at random."""
    rows = features.rows(part)
    clicks = features.history_end[rows] - features.history_begin[rows]
    user = features.user[rows].astype(np.int64)
    order = np.lexsort((rows, clicks, user))
    rows, clicks, user = rows[order], clicks[order], user[order]
    first = np.r_[True, (user[1:] != user[:-1]) | (clicks[1:] != clicks[:-1])] if len(rows) else np.zeros(0, bool)
    rows, clicks, user = rows[first], clicks[first], user[first]  # one row for each history
    last = np.r_[user[1:] != user[:-1], True] if len(rows) else first
    offset = np.random.default_rng(seed).integers(0, stride, len(features.user_ids))[user]
    return rows[(clicks >= 2) & (last | (clicks % stride == offset))]


# The bridge


class HistoryReader(nn.Module):
    """What the user's side computes of a history, once: `history_state`, keys and values of the bridge and of target attention, and what the querying transformer reads."""

    def __init__(self, encoder: FgBert, projection: HistoryProjection, queries: int, heads: int, dropout: float):
        super().__init__()
        self.encoder, self.projection = encoder, projection
        self.querying = QueryingTransformer(encoder.width, queries, heads, dropout)
        self.read, self.state = projection.read + queries * encoder.width, encoder.state + projection.state

    def forward(self, history: Tensor, actions: Tensor, intervals: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """history [B, L, event] with zeros in padding, actions, intervals and mask [B, L] -> [B, L, state], [B, read]."""
        outputs, state = self.encoder(history, actions, intervals, mask)
        projected, mean = self.projection(history, actions, intervals, mask)
        return torch.cat([state, projected], 2), torch.cat([mean, self.querying(outputs, mask)], 1)


class QueryingTransformer(nn.Module):
    """Learned queries read the encoder's outputs (the Q-Former's idea): a history of any length becomes a few vectors."""

    def __init__(self, width: int, queries: int, heads: int, dropout: float):
        super().__init__()
        self.queries, self.heads, self.width = queries, heads, width
        self.query = nn.Parameter(torch.randn(queries, width) * 0.5)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.feed = _feed(width, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """outputs [B, L, width] with zeros in padding, mask [B, L] -> [B, queries · width]; the same for every empty history."""
        blocked = (mask - 1.0).unsqueeze(1) * 1e4
        each = self.width // self.heads
        read = []
        for query, key, value in zip(self.query.split(each, 1), self.key(outputs).split(each, 2), self.value(outputs).split(each, 2)):
            weights = functional.softmax(torch.matmul(query * each**-0.5, key.transpose(1, 2)) + blocked, 2)
            read.append(torch.matmul(weights, value))
        x = torch.cat(read, 2)
        return (x + self.feed(self.norm(x))).flatten(1)


class UniCrossAttention(nn.Module):
    """The candidate's side: at each layer it reads the keys and values that the encoder computed of the history there.

    `c' = c + Attention(Q c, K s, V s)`, then a feed-forward network of its own. Queries and feed-forward networks start as the encoder's, as if the candidate stood in the sequence.
    """

    def __init__(self, encoder: FgBert, heads: int, dropout: float):
        super().__init__()
        self.heads, self.read = heads, encoder.width
        self.event = encoder.event  # shared
        self.layers = nn.ModuleList(_BridgeLayer(encoder.width, heads, dropout) for _ in encoder.layers)
        self.norm = nn.LayerNorm(encoder.width)

    def start_as(self, encoder: FgBert) -> None:
        self.norm.load_state_dict(encoder.norm.state_dict())
        for own, layer in zip(self.layers, encoder.layers):
            own.load_state_dict({name: value for name, value in layer.state_dict().items() if not name.startswith(("key.", "value."))})

    def forward(self, item: Tensor, state: Tensor, blocked: Tensor) -> Tensor:
        """item [B, N, event], state [B, L, 2 · layers · width], blocked [B, 1, L] (0, or very negative where padding is) -> [B, N, width]"""
        candidates = self.event(item.flatten(0, 1))
        each = self.read // self.heads
        parts = torch.split(state, each, 2)
        for place, layer in enumerate(self.layers):
            begin = 2 * place * self.heads
            keys, values = parts[begin : begin + self.heads], parts[begin + self.heads : begin + 2 * self.heads]
            query = layer.query(layer.attention_norm(candidates)).reshape(item.shape[0], -1, self.read)
            read = []
            for one, key, value in zip(torch.split(query, each, 2), keys, values):
                scores = torch.matmul(one * (1 / math.sqrt(each)), key.transpose(1, 2)) + blocked
                read.append(torch.matmul(functional.softmax(scores, 2), value))
            candidates = candidates + layer.dropout(layer.join(torch.cat(read, 2).flatten(0, 1)))
            candidates = candidates + layer.dropout(layer.feed(layer.norm(candidates)))
        return self.norm(candidates).reshape(item.shape[0], -1, self.read)


class _BridgeLayer(nn.Module):
    """Parameters of one layer of the candidate's side."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.join = nn.Linear(width, width), nn.Linear(width, width)
        self.feed = _feed(width, dropout)
        self.dropout = Dropout(dropout)


class Bridge(nn.Module):
    """What the ranker reads of the history for each candidate: target attention, as in `id`, and the output of uni cross-attention."""

    def __init__(self, encoder: FgBert, attention: TargetAttention, heads: int, dropout: float):
        super().__init__()
        self.cross, self.attention = UniCrossAttention(encoder, heads, dropout), attention
        self.read = self.cross.read + attention.read
        self._split = [encoder.state, 2 * attention.read + 1]

    def forward(self, item: Tensor, history_state: Tensor) -> tuple[Tensor, Tensor]:
        """item [B, N, event], history_state [B, L, H] -> for the crosses and for the deep network, both [B, N, read]."""
        state, projected = torch.split(history_state, self._split, 2)
        blocked = (projected[:, :, -1:] - 1.0).transpose(1, 2) * 1e4
        bridged = self.cross(item, state, blocked)
        read, agreement = self.attention(item, projected)
        return torch.cat([bridged, read], 2), torch.cat([bridged, agreement], 2)


def _feed(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), Dropout(dropout), nn.Linear(2 * width, width))


# Stages


@dataclass
class Pretrained:
    """What stage 1 hands on."""

    item_encoder: ItemEncoder
    item_table: IdTable
    encoder: FgBert
    fit: Fit | None = None


def untrained(features: Features, config: Config, seed: int) -> Pretrained:
    torch.manual_seed(seed)
    schema = features.schema
    item_encoder = ItemEncoder(features, config)
    table = IdTable(len(features.known_item_ids), config.item_id, config.item_dropout, spread=0.3)
    event = config.item_id + item_encoder.width
    encoder = FgBert(event, config.width, config.layers, config.heads, schema.history, len(schema.actions), config.dropout)
    return Pretrained(item_encoder, table, encoder)


def pretrain(features: Features, config: Config, seed: int, progress: Progress | None = None) -> Pretrained:
    """Stage 1, until it says no more of the sequences of the validation part. Without two clicks of any user in the training part there is nothing to predict: the encoder stays as it started."""
    stage = untrained(features, config, seed)
    examples = Examples.of(features)
    rows, validation = (torch.from_numpy(windows(features, config.stride, seed, part)) for part in (0, 1))
    if len(rows):
        model = MaskedPrediction(stage.encoder, stage.item_encoder, stage.item_table, examples, examples.item_inputs(READS), config.hidden_share)
        stage.fit = fit(model, rows, model.loss, config.pretraining, seed, (lambda: model.score(validation)) if len(validation) else None, progress)
        with_small_ids(stage, _SPREAD)
    return stage


@torch.no_grad()
def with_small_ids(stage: Pretrained, spread: float) -> None:
    """Scales ID vectors to a deviation of `spread`, and the weights that read them against it: the encoder computes what it did.

    Pre-training leaves vectors several times as large as those that a click model starts from. Left so, all that reads them beside the encoder learns its users by heart.
    """
    scale = spread / stage.item_table.embedding.std().clamp(min=1e-6)
    stage.item_table.embedding *= scale
    stage.encoder.event.weight[:, : stage.item_table.embedding.shape[1]] /= scale


def build(features: Features, config: Config, pretrained: Pretrained, seed: int) -> ClickModel:
    """The click model around a pre-trained (or, for comparison, untrained) encoder."""
    torch.manual_seed(seed)
    schema, shape = features.schema, config.shape
    examples = Examples.of(features)
    encoder = pretrained.encoder
    event = encoder.event.in_features
    projection = HistoryProjection(event, shape.heads, shape.head_width, schema.history, len(schema.actions))
    attention = TargetAttention(event, shape.heads, shape.head_width)
    start_as_similarity(projection, attention)
    bridge = Bridge(encoder, attention, config.heads, config.dropout)
    bridge.cross.start_as(encoder)
    reader = HistoryReader(encoder, projection, config.queries, config.heads, config.dropout)
    return ClickModel(
        pretrained.item_encoder,
        UserEncoder(shape, schema, config.user_id, config.item_id, pretrained.item_encoder.width, history=reader),
        Ranker(shape, schema, event, bridge),
        pretrained.item_table,
        IdTable(len(features.known_user_ids), config.user_id, config.user_dropout),
        examples,
        examples.item_inputs(READS),
    )


def train(features: Features, config: Config, seed: int, progress: Progress | None = None) -> TrainedModel:
    """Both stages; the second stops on the validation part's AUC."""
    begin(progress, "srp4ctr 1/2 sequences")
    pretrained = pretrain(features, config, seed, progress)
    begin(progress, "srp4ctr 2/2 clicks")
    return train_on_clicks("srp4ctr", build(features, config, pretrained, seed), features, config, seed, progress)
