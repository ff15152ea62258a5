"""`id`: the baseline, a click model of IDs and side features.

Target attention over the history (the idea of DIN, arXiv 1706.06978, as dot products: `layers.TargetAttention`), explicit crosses (DCNv2, arXiv 2008.13535) beside a deep network, user and item IDs, profile, statistics, context and
the item's categorical side features. The representation of an item is the embedding of its side features. It is what the content recipes must beat, so it is tuned as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..features import Features
from ..layers import CategoricalInputs, IdTable, Ranker, RankingShape, UserEncoder
from ..train import ClickModel, Examples, Progress, Schedule, TrainedModel, conclude, fit, requests


READS = ("categories", "attributes")
CLICKS = Schedule(epochs=6, batch=512, least_steps=150, learning_rate=3e-3, final_learning_rate=0.05, average=0.5)


@dataclass(frozen=True)
class Config:
    item_id: int = 32
    user_id: int = 32
    category_width: int = 16
    attribute_width: int = 16
    shape: RankingShape = RankingShape()
    item_dropout: float = 0.05
    user_dropout: float = 0.2
    embedding_prior: float = 16.0
    """Precision of the Gaussian prior on embeddings (`ClickModel.loss`)."""
    request: int = 4
    """Rows of a user that training scores with one history (`train.requests`). More is faster, and trains on histories that are staler than those of serving."""
    history: int = 50
    schedule: Schedule = CLICKS


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


def train(features: Features, config: Config, seed: int, progress: Progress | None = None) -> TrainedModel:
    """Trains on the training part, stops on the validation part's AUC."""
    model = build(features, config, seed)
    validation = requests(features, features.rows(1), config.request)
    fit(
        model,
        requests(features, features.rows(0), config.request, seed),
        lambda batch: model.loss(batch, config.embedding_prior),
        config.schedule,
        seed,
        (lambda: model.score(validation)) if len(validation) else None,
        progress,
    )
    return conclude("id", model, features, model.item_encoder, tuple(model.inputs), config, progress)


def build(features: Features, config: Config, seed: int) -> ClickModel:
    """The untrained model."""
    torch.manual_seed(seed)
    schema = features.schema
    examples = Examples.of(features)
    item_encoder = ItemEncoder(features, config)
    return ClickModel(
        item_encoder,
        UserEncoder(config.shape, schema, config.user_id, config.item_id, item_encoder.width),
        Ranker(config.shape, schema, config.item_id + item_encoder.width),
        IdTable(len(features.known_item_ids), config.item_id, config.item_dropout),
        IdTable(len(features.known_user_ids), config.user_id, config.user_dropout),
        examples,
        examples.item_inputs(READS),
    )
