"""`id`: the baseline, a click model of IDs and side features.

Target attention over the history (DIN, arXiv 1706.06978), explicit crosses (DCNv2, arXiv 2008.13535) beside a deep network, user and item IDs, profile, statistics, context and
the item's categorical side features. The representation of an item is the embedding of its side features. It is what the content recipes must beat, so it is tuned as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..features import Features
from ..layers import Calibration, CategoricalInputs, HistoryProjection, IdTable, LowRankCross, TargetAttention
from ..train import ClickModel, Examples, Progress, Schedule, TrainedModel, conclude, fit, requests


@dataclass(frozen=True)
class Config:
    item_id: int = 32
    user_id: int = 32
    category_width: int = 16
    attribute_width: int = 16
    profile_width: int = 8
    heads: int = 2
    head_width: int = 32
    user_hidden: int = 128
    user_width: int = 32
    hidden: tuple[int, int] = (192, 64)
    cross_layers: int = 2
    cross_rank: int = 32
    dropout: float = 0.2
    item_dropout: float = 0.05
    user_dropout: float = 0.1
    embedding_l2: float = 1e-5
    request: int = 8
    """Rows of a user that training scores with one history (`train.requests`)."""
    history: int = 50
    schedule: Schedule = field(default_factory=Schedule)


class ItemEncoder(nn.Module):
    """Side features -> representation."""

    def __init__(self, features: Features, config: Config):
        super().__init__()
        schema = features.schema
        self.side = CategoricalInputs(
            schema.categories.size if schema.categories else 0,
            [attribute.size for attribute in schema.attributes],
            config.category_width,
            config.attribute_width,
        )
        self.width = self.side.width

    def forward(self, categories: Tensor | None = None, attributes: Tensor | None = None, **_: Tensor | None) -> Tensor:
        """categories [B, K], attributes [B, A] -> representation [B, dRep]."""
        return self.side(categories, attributes)


class UserEncoder(nn.Module):
    """All of a user that no candidate is needed for."""

    def __init__(self, features: Features, config: Config, event: int):
        super().__init__()
        schema = features.schema
        attention = config.heads * config.head_width
        self.profile = nn.ModuleList(nn.Embedding(attribute.size, config.profile_width) for attribute in schema.profile)
        self.history = HistoryProjection(event, config.heads, config.head_width, schema.history, len(schema.actions))
        self.attention = attention
        width = config.user_id + config.profile_width * len(schema.profile) + len(schema.user_statistics) + attention + 1
        self.tower = nn.Sequential(nn.Linear(width, config.user_hidden), nn.ReLU(), nn.Dropout(config.dropout))
        self.first = nn.Linear(width + config.user_hidden, config.hidden[0])
        self.cross = nn.Linear(width + config.user_hidden, config.user_width)
        self.user_state = config.hidden[0] + config.user_width
        self.history_state = 2 * attention + 1

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
        """Shapes of the bundle contract -> user_state [B, hidden + user_width], history_state [B, L, 2 · heads · head_width + 1]."""
        history_state = self.history(history, history_actions, history_intervals, history_mask)
        count = history_mask.sum(1, keepdim=True)
        pooled = torch.split(history_state, [self.attention, self.attention, 1], 2)[1].sum(1) / count.clamp(min=1.0)
        known = [user_embedding]
        known += [embedding(profile[:, place]) for place, embedding in enumerate(self.profile)]
        if user_statistics is not None:
            known.append(user_statistics)
        user = torch.cat([*known, pooled, torch.log1p(count)], 1)
        user = torch.cat([user, self.tower(user)], 1)
        return torch.cat([self.first(user), self.cross(user)], 1), history_state


class Ranker(nn.Module):
    def __init__(self, config: Config, event: int, statistics: int, context: int):
        """`event`: width of ID embedding ‖ representation."""
        super().__init__()
        self.event, self.hidden = event, config.hidden[0]
        self.attention = TargetAttention(event, config.heads, config.head_width)
        width = event + statistics + config.heads * config.head_width
        self.first = nn.Linear(width, config.hidden[0], bias=False)
        self.context = nn.Linear(context, config.hidden[0], bias=False) if context else None
        self.deep = nn.Sequential(
            nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(config.hidden[0], config.hidden[1]), nn.ReLU(), nn.Dropout(config.dropout)
        )
        self.crosses = nn.ModuleList(LowRankCross(width + config.user_width, config.cross_rank) for _ in range(config.cross_layers))
        self.deep_score = nn.Linear(config.hidden[1], 1)
        self.cross_score = nn.Linear(width + config.user_width, 1)
        self.calibration = Calibration()

    def logits(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None) -> Tensor:
        """user_state [B, S], history_state [B, L, H], item [B, N, dRow], context [B, C] -> [B, N]."""
        read = self.attention(item[:, :, : self.event], history_state)
        candidate = torch.cat([item, read], 2)
        first = self.first(candidate) + user_state[:, : self.hidden].unsqueeze(1)
        if self.context is not None:
            first = first + self.context(context).unsqueeze(1)
        user = user_state[:, self.hidden :].unsqueeze(1) + torch.zeros_like(item[:, :, :1])
        x0 = torch.cat([candidate, user], 2)
        x = x0
        for cross in self.crosses:
            x = cross(x0, x)
        return (self.deep_score(self.deep(first)) + self.cross_score(x)).squeeze(2)

    def forward(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """The contract's inputs -> score [B, N], calibrated probabilities."""
        return self.calibration(self.logits(user_state, history_state, item, context))


def train(features: Features, config: Config, seed: int, progress: Progress | None = None) -> TrainedModel:
    """Trains on the training part, stops on the validation part's AUC."""
    model = build(features, config, seed)
    validation = requests(features, features.rows(1), config.request)
    fit(
        model,
        requests(features, features.rows(0), config.request, seed),
        lambda batch: model.loss(batch) + config.embedding_l2 * (model.item_table.squares() + model.user_table.squares()),
        config.schedule,
        seed,
        (lambda: model.score(validation)) if len(validation) else None,
        progress,
    )
    return conclude("id", model, features, model.item_encoder, tuple(model.inputs), config)


def build(features: Features, config: Config, seed: int) -> ClickModel:
    """The untrained model."""
    torch.manual_seed(seed)
    schema = features.schema
    examples = Examples.of(features)
    item_encoder = ItemEncoder(features, config)
    event = config.item_id + item_encoder.width
    return ClickModel(
        item_encoder,
        UserEncoder(features, config, event),
        Ranker(config, event, len(schema.item_statistics), len(schema.context)),
        IdTable(len(features.known_item_ids), config.item_id, config.item_dropout),
        IdTable(len(features.known_user_ids), config.user_id, config.user_dropout),
        examples,
        examples.item_inputs(("categories", "attributes")),
    )
