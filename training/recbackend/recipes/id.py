"""`id`: the baseline, a click model of IDs and side features.

Target attention over the history (the idea of DIN, arXiv 1706.06978, as dot products: `layers.TargetAttention`), explicit crosses (DCNv2, arXiv 2008.13535) beside a deep network, user and item IDs, profile, statistics, context and
the item's categorical side features. The representation of an item is the embedding of its side features. It is what the content recipes must beat, so it is tuned as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..features import Features
from ..layers import CategoricalInputs, IdTable, Ranker, UserEncoder
from ..train import ClickConfig, ClickModel, Examples, Progress, Schedule, TrainedModel, train_on_clicks


READS = ("categories", "attributes")


@dataclass(frozen=True)
class Config(ClickConfig):
    request: int = 4
    schedule: Schedule = replace(ClickConfig.schedule, batch=512)


class ItemEncoder(nn.Module):
    """Side features -> representation."""

    def __init__(self, features: Features, config: Config):
        super().__init__()
        self.side = CategoricalInputs.of(features.schema, config.category_width, config.attribute_width)
        self.width = self.side.width

    def forward(self, categories: Tensor | None = None, attributes: Tensor | None = None, **_: Tensor | None) -> Tensor:
        """categories [B, K], attributes [B, A] -> representation [B, dRep]."""
        return self.side(categories, attributes)


def train(features: Features, config: Config, seed: int, progress: Progress | None = None) -> TrainedModel:
    """Trains on the training part, stops on the validation part's AUC."""
    return train_on_clicks("id", build(features, config, seed), features, config, seed, progress)


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
