"""`unified`: the four papers as one model.

1. Content is MIM's: text and picture contrasted, fused, tuned on what is liked soon after what (`mim`, stages 1 and 2; arXiv 2502.00321). It is frozen, and computed once for each item.
2. Towers, each a click model of its own that reads the same request in its own way, with ID vectors of its own:
   - `ids`: target attention over IDs and side features (`id`); with `aligned`, it starts as CTRL's (`ctrl`, arXiv 2306.02841);
   - `content`: PPM's transformer over the content of the history, trained on content alone first and then plugged in (`ppm`, arXiv 2403.10049);
   - `interests`: MIM's interests from cosines of candidate and behaviours (`mim`, stage 3);
   - `sequence`: SRP4CTR's encoder, pre-trained by masked prediction, that the candidate reads at every layer (`srp4ctr`, arXiv 2407.19658).
3. All towers are trained at once, each by the log loss of its own score; the score is the mean of theirs. With a loss of the mean alone (`apart=false`) the towers lean on each other, and what one has learned by heart
   the others do not contradict.

In training, items lose an ID or a modality in all towers alike, so that a new item, or one without a poster, is a case the model knows. The joined row of an item is the ID vectors of all towers, then their
representations. training/README.md says which towers are the default, and why.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data import UnfitData
from ..features import Features
from ..layers import Calibration, IdTable, Ranker, UserEncoder
from ..train import Batch, ClickConfig, ClickModel, Examples, Progress, Schedule, TrainedModel, begin, fit, requests, train_on_clicks
from . import ctrl, id, mim, ppm, srp4ctr

READS = mim.READS
TOWERS = ("ids", "content", "interests", "sequence")

_Config = TypeVar("_Config", bound=ClickConfig)


@dataclass(frozen=True)
class Config(ClickConfig):
    """What `ClickConfig` has goes for all towers. Of the recipes' own settings, their widths and schedules of pre-training are used."""

    towers: tuple[str, ...] = ("ids", "content", "interests")
    apart: bool = True
    """Whether each tower is trained by the loss of its own score, or all by that of the mean."""
    tuned: bool = True
    """MIM's tuning of content on behaviour. Without it, content is contrasted text and picture, fused at random."""
    plugged: bool = True
    """PPM's training of the content tower on content alone, before it is plugged in."""
    pretrained: bool = True
    """SRP4CTR's masked prediction."""
    aligned: bool = False
    """CTRL's alignment of the ID tower with sentences."""
    item_dropout: float = 0.1
    cold_share: float = ppm.Config.cold_share
    """Share of the candidates with a dropped ID that also get the statistics of an item that nobody was shown."""
    content_dropout: float = 0.1
    """Share of items without text, of items without picture, and of items without side features, in each step of training."""
    text_length: int = 128
    text_vocabulary: int = 6000
    ctrl: ctrl.Config = ctrl.Config()
    mim: mim.Config = mim.Config()
    ppm: ppm.Config = ppm.Config()
    srp4ctr: srp4ctr.Config = srp4ctr.Config()


# The joined model


class ItemTop(nn.Module):
    """Frozen content and side features -> the representations of all towers, one after the other: [B, dRep].

    In training, some items are without one of their modalities, the same for all towers.
    """

    def __init__(self, towers: list[nn.Module], has_side: bool, dropout: float):
        """`has_side`: whether the last variant of content is that without side features."""
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.widths = [tower.width for tower in towers]
        self.has_side, self.dropout, self.width = has_side, dropout, sum(self.widths)

    def forward(self, content: Tensor, categories: Tensor | None = None, attributes: Tensor | None = None) -> Tensor:
        """content [B, content], or in training [B, V, content] where the first of V variants is the whole; categories [B, K], attributes [B, A] -> [B, width]"""
        if content.dim() == 3:
            count = content.shape[1]
            variant = torch.zeros(len(content), dtype=torch.int64)
            if self.training:
                variant = torch.randint(1, count, (len(content),)) * (torch.rand(len(content)) < self.dropout * (count - 1))
            content = content[torch.arange(len(content)), variant]
            if self.has_side:
                keep = (variant != count - 1).unsqueeze(1)
                categories, attributes = (None if one is None else one * keep for one in (categories, attributes))
        return torch.cat([tower(content=content, categories=categories, attributes=attributes) for tower in self.towers if tower.width], 1)


class JoinedUserEncoder(nn.Module):
    """The user encoders of all towers: each reads its own part of the vectors, and their states are joined."""

    def __init__(self, towers: list[UserEncoder], users: list[int], events: list[tuple[int, int]]):
        """`users`: widths of the towers' user vectors. `events`: of their item ID vectors and representations."""
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self._users, self._events = users, events
        self.user_states, self.history_states = [tower.user_state for tower in towers], [tower.history_state for tower in towers]
        self.user_state, self.history_state = sum(self.user_states), sum(self.history_states)

    def forward(self, user_embedding: Tensor, history: Tensor, **others: Tensor | None) -> tuple[Tensor, Tensor]:
        """Shapes of the bundle contract -> user_state [B, S], history_state [B, L, H]."""
        users = torch.split(user_embedding, self._users, 1)
        states = [
            tower(user_embedding=user, history=event, **others) for tower, user, event in zip(self.towers, users, _events(history, self._events))
        ]
        return torch.cat([user for user, _ in states], 1), torch.cat([history for _, history in states], 2)


class JoinedRanker(nn.Module):
    """The rankers of all towers. The score is the mean of theirs."""

    def __init__(self, towers: list[Ranker], encoder: JoinedUserEncoder, events: list[tuple[int, int]]):
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.event = sum(sum(widths) for widths in events)
        self._users, self._histories, self._events = encoder.user_states, encoder.history_states, events
        self.calibration = Calibration()

    def logits_of_towers(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """user_state [B, S], history_state [B, L, H], item [B, N, dRow], context [B, C], or in training [B, N, C] -> [B, N, towers]."""
        users, histories = torch.split(user_state, self._users, 1), torch.split(history_state, self._histories, 2)
        statistics = item[:, :, self.event :]
        items = _events(item[:, :, : self.event], self._events)
        logits = [
            tower.logits(user, history, torch.cat([event, statistics], 2), context)
            for tower, user, history, event in zip(self.towers, users, histories, items)
        ]
        return torch.stack(logits, 2)

    def logits(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """The same inputs -> [B, N]."""
        return self.logits_of_towers(user_state, history_state, item, context).mean(2)

    def forward(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """The contract's inputs -> score [B, N], calibrated probabilities."""
        return self.calibration(self.logits(user_state, history_state, item, context))


def _events(joined: Tensor, widths: list[tuple[int, int]]) -> list[Tensor]:
    """ID vectors of all towers ‖ representations of all towers [B, M, …] -> for each tower, its ID vector ‖ its representation [B, M, …]."""
    parts = torch.split(joined, [one for one, _ in widths] + [one for _, one in widths], 2)
    return [torch.cat([parts[place], parts[place + len(widths)]], 2) for place in range(len(widths))]


class JoinedModel(ClickModel):
    """Click models side by side, above the same content."""

    def __init__(self, towers: list[ClickModel], content: Tensor, features: Features, config: Config):
        """`content`: frozen vectors of all items, and of all items without each of their modalities, [I, V, content]."""
        examples = Examples.of(features)
        events = [(tower.item_table.embedding.shape[1], tower.item_encoder.width) for tower in towers]
        side = examples.item_inputs(("categories", "attributes"))
        user_encoder = JoinedUserEncoder([tower.user_encoder for tower in towers], [tower.user_table.embedding.shape[1] for tower in towers], events)
        super().__init__(
            ItemTop([tower.item_encoder for tower in towers], bool(side), config.content_dropout),
            user_encoder,
            JoinedRanker([tower.ranker for tower in towers], user_encoder, events),
            _joined_table([tower.item_table for tower in towers], config.item_dropout),
            _joined_table([tower.user_table for tower in towers], config.user_dropout),
            examples,
            {**side, "content": content},
            config.cold_share,
        )
        self.apart = config.apart

    def log_loss(self, batch: Batch) -> Tensor:
        """Mean over the rows of a batch, and over the towers."""
        if not self.apart:
            return super().log_loss(batch)
        logits = self.scored(batch, self.ranker.logits_of_towers)
        each = functional.binary_cross_entropy_with_logits(logits, batch.label.unsqueeze(2).expand_as(logits), reduction="none").mean(2)
        return (each * batch.present).sum() / batch.present.sum()

    def loss(self, requests: Tensor, embedding_prior: float = 0.0) -> Tensor:
        # Each tower has a table of its own, and its share of the loss: the prior must have the same.
        return super().loss(requests, embedding_prior / (len(self.ranker.towers) if self.apart else 1))


def _joined_table(tables: list[IdTable], dropout: float) -> IdTable:
    """One vector for each ID: those of all tables, one after the other."""
    vectors = torch.cat([table.embedding.detach() for table in tables], 1)
    joined = IdTable(len(vectors) - 1, vectors.shape[1], dropout)
    joined.embedding = nn.Parameter(vectors)
    return joined


# Stages


def content_of(features: Features, config: Config, seed: int, progress: Progress | None = None) -> mim.ContentEncoder:
    """MIM's first two stages."""
    own = _with_common(config, config.mim)
    if not config.tuned:
        own = replace(own, sft=replace(own.sft, epochs=0))
    begin(progress, "unified: text and pictures")
    text, picture, _ = mim.pretrain(features, own, seed, progress)
    begin(progress, "unified: behaviour")
    return mim.tune_on_behaviour(features, own, text, picture, seed, progress)[0]


def build(features: Features, config: Config, content: mim.ContentEncoder, seed: int, progress: Progress | None = None) -> JoinedModel:
    """The towers, each with its pre-training, joined."""
    variants = mim.variants(content, Examples.of(features).item_inputs(content.reads))
    of_tower = {
        "ids": lambda: _ids(features, config, seed, progress),
        "content": lambda: _content(variants[:, 0], features, config, seed, progress),
        "interests": lambda: mim.build(features, _with_common(config, config.mim), content, seed),
        "sequence": lambda: _sequence(features, config, seed, progress),
    }
    towers = [of_tower[name]() for name in config.towers]
    torch.manual_seed(seed)
    return JoinedModel(towers, variants, features, config)


def _ids(features: Features, config: Config, seed: int, progress: Progress | None) -> ClickModel:
    if not config.aligned:
        return id.build(features, _with_common(config, id.Config()), seed)
    if not features.schema.text_size:
        raise UnfitData("unified aligns its ID tower with items' text, and reads none here; train it with aligned=false")
    own = _with_common(config, config.ctrl)
    begin(progress, "unified: words")
    encoder, _ = ctrl.pretrain_text(features, own, seed, progress)
    begin(progress, "unified: alignment")
    model, _ = ctrl.align(features, own, encoder, seed, progress)
    ctrl.new_head(model)
    return model


def _content(content: Tensor, features: Features, config: Config, seed: int, progress: Progress | None) -> ClickModel:
    own = _with_common(config, config.ppm)
    model = ppm.model_above(content, [content.shape[1]], features, own, seed, ids=True)
    if config.plugged:
        begin(progress, "unified: users")
        users = ppm.model_above(content, [content.shape[1]], ppm.without_item_statistics(features), own, seed, ids=False)
        fit(users, requests(features, features.rows(0), config.request, seed), users.loss, own.user_schedule, seed, progress=progress)
        ppm.plug_in(model, users)
    model.item_encoder.content_dropout = 0.0  # from here on, `ItemTop` drops for all towers
    return model


def _sequence(features: Features, config: Config, seed: int, progress: Progress | None) -> ClickModel:
    own = _with_common(config, config.srp4ctr)
    if config.pretrained:
        begin(progress, "unified: sequences")
        return srp4ctr.build(features, own, srp4ctr.pretrain(features, own, seed, progress), seed)
    return srp4ctr.build(features, own, srp4ctr.untrained(features, own, seed), seed)


def _with_common(config: Config, own: _Config) -> _Config:
    """A recipe's settings, with those that all recipes have taken from `config`."""
    return replace(own, **{one.name: getattr(config, one.name) for one in fields(ClickConfig)})


def train(features: Features, config: Config, seed: int, progress: Progress | None = None) -> TrainedModel:
    """All stages; the last stops on the validation part's AUC."""
    schema = features.schema
    unknown = [name for name in config.towers if name not in TOWERS]
    if unknown or not config.towers or len(set(config.towers)) < len(config.towers):
        raise UnfitData(f"unified has no towers {', '.join(config.towers) or 'at all'}; any of {', '.join(TOWERS)} are allowed, each once")
    if not (schema.text_size or schema.image_features or schema.image or schema.categories or schema.attributes):
        raise UnfitData("unified needs items with content, and reads none here; train the id recipe")
    content = content_of(features, config, seed, progress)
    model = build(features, config, content, seed, progress)
    begin(progress, "unified: clicks")
    return train_on_clicks("unified", model, features, config, seed, progress, mim.ItemEncoder(content, model.item_encoder), content.reads)
