"""`unified`: the four papers as one model.

1. Content is MIM's: text and picture contrasted, fused, tuned on what is liked soon after what (`mim`, stages 1 and 2; arXiv 2502.00321). It is frozen, and computed once for each item.
2. Towers, each a click model of its own that reads the same request in its own way, with ID vectors of its own:
   - `ids`: target attention over IDs and side features (`id`); with `aligned`, it starts as CTRL's (`ctrl`, arXiv 2306.02841);
   - `content`: PPM's transformer over the content of the history, trained on content alone first and then plugged in (`ppm`, arXiv 2403.10049);
   - `interests`: MIM's interests from cosines of candidate and behaviours (`mim`, stage 3);
   - `sequence`: SRP4CTR's encoder, pre-trained by masked prediction, that the candidate reads at every layer (`srp4ctr`, arXiv 2407.19658).
3. Each tower learns the clicks by itself, as the recipe that it is of, and keeps the epoch that is best by its own validation AUC. The score is the mean of the towers' logits.
4. The tower `ids` gets the ID vectors of unknown items, and what is not known of others, predicted from their words (`id_prior`), and most of the say on such items: the other towers have learned the content of
   known items by heart, and are often wrong about others.

Where towers read content, items lose one of its modalities in training, so that an item without a poster is a case the model knows. The joined row of an item is the ID vectors of all towers, then their
representations. training/README.md says which towers are the default, and why.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from .. import id_prior
from ..data import UnfitData
from ..features import Features
from ..layers import CalibratedRanker, Calibration, IdTable
from ..train import ClickConfig, ClickModel, Examples, Progress, TrainedModel, begin, conclude, fit, learn_clicks, requests
from . import ctrl, id, mim, ppm, srp4ctr

READS = mim.READS
TOWERS = ("ids", "content", "interests", "sequence")

_Config = TypeVar("_Config", bound=ClickConfig)


@dataclass(frozen=True)
class Config(ClickConfig):
    """What `ClickConfig` has goes for all towers, but for batches and learning rates, which are each tower's own (`ids.schedule.batch`), and for requests and dropout of items, which are too (`ids.request`), and here of
    training that is gone on with. Of the recipes' other settings, their widths and schedules of pre-training are used; switches that are here too are read here alone."""

    towers: tuple[str, ...] = ("ids", "content", "interests")
    pretrained_content: bool = True
    """Off, nothing is learned of content before clicks are, and no ID vectors are aligned with or predicted from words: the control of `mim`, for all towers."""
    tuned: bool = True
    """MIM's tuning of content on behaviour. Without it, content is contrasted text and picture, fused at random."""
    plugged: bool = True
    """PPM's training of the content tower on content alone, before it is plugged in."""
    pretrained: bool = True
    """SRP4CTR's masked prediction."""
    aligned: bool = False
    """CTRL's alignment of the ID tower with sentences."""
    predicted: bool = True
    """Prediction of unknown items' ID vectors from their words, in the ID tower."""
    prior: id_prior.Config = id_prior.Config()
    unknown_weight: float = 0.8
    """Of the ID tower, with predictions, in the score of an unknown item; the other towers share the rest. Chosen on held-out training items of protocol B (docs/quality.md)."""
    content_dropout: float = 0.1
    """Share of items without text, of items without picture, and of items without side features, in each step of the content tower's training; elsewhere it is `mim.content_dropout`."""
    text_length: int = 512
    text_vocabulary: int = 12000
    ids: id.Config = id.Config()
    ctrl: ctrl.Config = ctrl.Config()
    mim: mim.Config = mim.Config()
    ppm: ppm.Config = ppm.Config(schedule=replace(ppm.Config.schedule, learning_rate=6e-3))
    """`ppm`'s model above `mim`'s frozen content bears twice the rate of `ppm` itself (docs/quality.md, Search)."""
    srp4ctr: srp4ctr.Config = srp4ctr.Config()

    def check(self) -> None:
        """UnfitData for towers that there are not, and for settings that nothing would read; DataError for a folder that holds no text encoder."""
        unknown = [name for name in self.towers if name not in TOWERS]
        if unknown or not self.towers or len(set(self.towers)) < len(self.towers):
            raise UnfitData(f"unified has no towers {', '.join(self.towers) or 'at all'}; any of {', '.join(TOWERS)} are allowed, each once")
        for name in ("learning_rate", "batch"):
            if getattr(self.schedule, name) != getattr(ClickConfig.schedule, name):
                raise UnfitData(f"unified's towers have a schedule.{name} each; set those of ids.schedule, ppm.schedule, mim.schedule and srp4ctr.schedule")
        if self.aligned and not (self.pretrained_content and "ids" in self.towers):
            raise UnfitData("unified aligns its tower ids before clicks are learned; aligned=true needs that tower, and pretrained_content")
        if self.ctrl.text_encoder is not None and not self.aligned:
            raise UnfitData("unified reads ctrl.text_encoder where its ID tower is aligned with sentences; add --config aligned=true")
        self.ctrl.check()


# The joined model


class WithoutModality(nn.Module):
    """The item encoder of a tower above frozen content. In training, some items are without one of their modalities."""

    def __init__(self, top: nn.Module, has_side: bool, dropout: float):
        """`has_side`: whether the last variant of content is that without side features. `dropout`: share of the items that lose a modality, of each."""
        super().__init__()
        self.top, self.width = top, top.width
        self.has_side, self.dropout = has_side, dropout

    def forward(self, content: Tensor, categories: Tensor | None = None, attributes: Tensor | None = None, **_: Tensor | None) -> Tensor:
        """content [B, content], or [B, V, content] where the first of V variants is the whole; categories [B, K], attributes [B, A] -> [B, width]"""
        if content.dim() == 3:
            variant = torch.zeros(len(content), dtype=torch.int64)
            if self.training:
                variant = torch.randint(1, content.shape[1], (len(content),)) * (torch.rand(len(content)) < self.dropout * (content.shape[1] - 1))
            if self.has_side:
                keep = (variant != content.shape[1] - 1).unsqueeze(1)
                categories, attributes = (None if one is None else one * keep for one in (categories, attributes))
            content = content[torch.arange(len(content)), variant]
        return self.top(content, categories, attributes)


class ItemTop(nn.Module):
    """Frozen content and side features -> the representations of all towers, one after the other: [B, dRep]."""

    def __init__(self, towers: list[nn.Module]):
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.width = sum(tower.width for tower in towers)

    def forward(self, content: Tensor, categories: Tensor | None = None, attributes: Tensor | None = None, predicted: Tensor | None = None) -> Tensor:
        """content [B, content], categories [B, K], attributes [B, A], predicted ID vectors [B, dId] -> [B, width]"""
        given = {"content": content, "categories": categories, "attributes": attributes, "predicted": predicted}
        return torch.cat([tower(**given) for tower in self.towers if tower.width], 1)


class ItemEncoder(mim.ItemEncoder):
    """The whole way from content to representation: what is exported."""

    def __init__(self, content: mim.ContentEncoder, prior: id_prior.IdPrior | None, top: ItemTop):
        super().__init__(content, top)
        self.prior = prior

    def above(self, content: Tensor, text: Tensor | None, categories: Tensor | None, attributes: Tensor | None) -> Tensor:
        return self.top(content, categories, attributes, None if self.prior is None else self.prior(text))


@dataclass(frozen=True)
class Events:
    """What is where in a joined event: ID vectors of all towers, then representations of all towers."""

    ids: tuple[int, ...]
    representations: tuple[int, ...]

    @property
    def width(self) -> int:
        return sum(self.ids) + sum(self.representations)

    def of_towers(self, joined: Tensor) -> list[Tensor]:
        """[B, M, width] -> for each tower, its ID vector ‖ its representation [B, M, …]."""
        parts = torch.split(joined, [*self.ids, *self.representations], 2)
        return [torch.cat([parts[place], parts[place + len(self.ids)]], 2) for place in range(len(self.ids))]

    def places(self, tower: int) -> list[int]:
        """For each element of a tower's event, its place in the joined one."""
        ids, representations = sum(self.ids[:tower]), sum(self.ids) + sum(self.representations[:tower])
        return [*range(ids, ids + self.ids[tower]), *range(representations, representations + self.representations[tower])]


@dataclass(frozen=True)
class Unknown:
    """How items are scored of which little is known."""

    weights: tuple[float, ...]
    """Of the towers' logits for an unknown item."""
    known_at: int
    """Place in a joined event of how far its item is known."""


class JoinedUserEncoder(nn.Module):
    """The user encoders of all towers: each reads its own part of the vectors, and their states are joined."""

    def __init__(self, towers: list[nn.Module], users: list[int], events: Events):
        """`users`: widths of the towers' user vectors."""
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self._users, self._events = users, events
        self.user_states, self.history_states = [tower.user_state for tower in towers], [tower.history_state for tower in towers]
        self.user_state, self.history_state = sum(self.user_states), sum(self.history_states)

    def forward(self, user_embedding: Tensor, history: Tensor, **others: Tensor | None) -> tuple[Tensor, Tensor]:
        """Shapes of the bundle contract -> user_state [B, S], history_state [B, L, H]."""
        users = torch.split(user_embedding, self._users, 1)
        states = [
            tower(user_embedding=user, history=event, **others) for tower, user, event in zip(self.towers, users, self._events.of_towers(history))
        ]
        return torch.cat([user for user, _ in states], 1), torch.cat([history for _, history in states], 2)


class JoinedRanker(CalibratedRanker):
    """The rankers of all towers. The score is the mean of theirs, for unknown items a weighted one."""

    def __init__(self, towers: list[nn.Module], encoder: JoinedUserEncoder, events: Events, unknown: Unknown | None):
        """`unknown`: None = as known ones."""
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.event = events.width
        self._users, self._histories, self._events = encoder.user_states, encoder.history_states, events
        self.calibration = Calibration()
        self._known_at = None if unknown is None else unknown.known_at
        self.register_buffer("weights_of_unknown", None if unknown is None else torch.tensor(unknown.weights))
        # Where the parts of a joined event begin that are read apart, and which of them are of which tower.
        own = [events.places(tower) for tower in range(len(towers))]
        begins = {one[cut] for one, ids, tower in zip(own, events.ids, towers) for cut in (0, ids, *tower.cuts) if cut < len(one)}
        if unknown is not None:
            begins |= {unknown.known_at, unknown.known_at + 1}
        self.cuts = tuple(sorted(begins))
        self._parts = [[part for part, begin in enumerate(self.cuts) if begin in one] for one in own]

    def logits_of_towers(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """user_state [B, S], history_state [B, L, H], item [B, N, dRow], context [B, C], or [B, N, C] for rows of a log -> [B, N, towers]."""
        users, histories = torch.split(user_state, self._users, 1), torch.split(history_state, self._histories, 2)
        statistics = item[:, :, self.event :]
        items = self._events.of_towers(item[:, :, : self.event])
        logits = [
            tower.logits(user, history, torch.cat([event, statistics], 2), context)
            for tower, user, history, event in zip(self.towers, users, histories, items)
        ]
        return torch.stack(logits, 2)

    def logits(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """`CalibratedRanker.logits`."""
        logits = self.logits_of_towers(user_state, history_state, item, context)
        return self._score(logits, None if self._known_at is None else id_prior.known(item, self._known_at))

    def logits_of_request(
        self, user_state: Tensor, history_state: Tensor, event: list[Tensor], statistics: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """`CalibratedRanker.logits_of_request`."""
        users, histories = torch.split(user_state, self._users, 1), torch.split(history_state, self._histories, 2)
        logits = [
            tower.logits_of_request(user, history, [event[part] for part in parts], statistics, context)
            for tower, user, history, parts in zip(self.towers, users, histories, self._parts)
        ]
        return self._score(torch.stack(logits, 2), None if self._known_at is None else id_prior.bounded(event[self.cuts.index(self._known_at)]))

    def _score(self, logits: Tensor, known: Tensor | None) -> Tensor:
        """Logits of towers [B, N, towers], and how far items are known [B, N, 1] -> [B, N]."""
        mean = logits.mean(2)
        if known is None:
            return mean
        of_unknown = (logits * self.weights_of_unknown).sum(2)
        return of_unknown + known[:, :, 0] * (mean - of_unknown)


def joined(towers: list[ClickModel], content: Tensor, features: Features, unknown: Unknown | None = None) -> ClickModel:
    """Click models side by side, above the same frozen vectors of all items [I, content]. At most one of them has predicted ID vectors."""
    examples = Examples.of(features)
    predicted = {"predicted": tower.inputs["predicted"] for tower in towers if "predicted" in tower.inputs}
    events = Events(tuple(tower.item_table.embedding.shape[1] for tower in towers), tuple(tower.item_encoder.width for tower in towers))
    user_encoder = JoinedUserEncoder([tower.user_encoder for tower in towers], [tower.user_table.embedding.shape[1] for tower in towers], events)
    return ClickModel(
        ItemTop([tower.item_encoder for tower in towers]),
        user_encoder,
        JoinedRanker([tower.ranker for tower in towers], user_encoder, events, unknown),
        _joined_table([tower.item_table for tower in towers]),
        _joined_table([tower.user_table for tower in towers]),
        examples,
        {**examples.item_inputs(("categories", "attributes")), "content": content, **predicted},
    )


def _joined_table(tables: list[IdTable]) -> IdTable:
    """One vector for each ID: those of all tables, one after the other."""
    vectors = torch.cat([table.embedding.detach() for table in tables], 1)
    table = IdTable(len(vectors) - 1, vectors.shape[1], 0.0)
    table.embedding = nn.Parameter(vectors)
    return table


def unknown_of(names: tuple[str, ...], towers: list[ClickModel], of_ids: float) -> Unknown:
    """For towers of which `ids` has predictions: its weight is `of_ids`, the others share the rest."""
    place = names.index("ids")
    others = len(names) - 1
    weights = tuple(1.0 if not others else of_ids if name == "ids" else (1 - of_ids) / others for name in names)
    return Unknown(weights, sum(tower.item_table.embedding.shape[1] for tower in towers[: place + 1]) - 1)


# Stages


def content_of(features: Features, config: Config, seed: int, progress: Progress | None = None) -> mim.ContentEncoder:
    """MIM's first two stages."""
    own = replace(_with_common(config, config.mim), pretrained_content=config.pretrained_content)
    if not config.tuned:
        own = replace(own, sft=replace(own.sft, epochs=0))
    begin(progress, "unified: text and pictures")
    text, picture, _ = mim.pretrain(features, own, seed, progress)
    begin(progress, "unified: behaviour")
    return mim.tune_on_behaviour(features, own, text, picture, seed, progress)[0]


def build(name: str, variants: Tensor, content: mim.ContentEncoder, features: Features, config: Config, seed: int, progress: Progress | None = None) -> ClickModel:
    """A tower as it is before it learns clicks. `variants`: frozen vectors of all items, and of all items without each of their modalities [I, V, content]."""
    if name == "ids":
        return _ids(features, config, seed, progress)
    if name == "content":
        return _content(variants, features, config, seed, progress)
    if name == "interests":
        return mim.build(features, of_tower(name, config), content, seed)
    return _sequence(features, config, seed, progress)


def of_tower(name: str, config: Config) -> ClickConfig:
    """The settings with which a tower learns clicks."""
    return _with_common(config, {"ids": config.ids, "content": config.ppm, "interests": config.mim, "sequence": config.srp4ctr}[name])


def _ids(features: Features, config: Config, seed: int, progress: Progress | None) -> ClickModel:
    if not (config.aligned and config.pretrained_content):
        return id.build(features, _with_common(config, config.ids), seed)
    if not features.schema.text_size:
        raise UnfitData("unified aligns its ID tower with items' text, and reads none here; train it with aligned=false")
    own = _with_common(config, config.ctrl)
    begin(progress, "unified: words")
    encoder = ctrl.text_encoder(features, own, seed, progress)
    begin(progress, "unified: alignment")
    model, _ = ctrl.align(features, own, encoder, seed, progress)
    ctrl.new_head(model)
    return model


def _content(variants: Tensor, features: Features, config: Config, seed: int, progress: Progress | None) -> ClickModel:
    own = _with_common(config, config.ppm)
    content = variants[:, 0]
    model = ppm.model_above(content, [content.shape[1]], features, own, seed, ids=True)
    if config.plugged:
        begin(progress, "unified: users")
        users = ppm.model_above(content, [content.shape[1]], ppm.without_item_statistics(features), own, seed, ids=False)
        fit(users, requests(features, features.rows(0), own.request, seed), users.loss, own.user_schedule, seed, progress=progress)
        ppm.plug_in(model, users)
    # From here on, single modalities are dropped, and not all of the content at once.
    model.item_encoder.content_dropout = 0.0
    model.item_encoder = WithoutModality(model.item_encoder, bool(model.item_encoder.side.width), config.content_dropout)
    model.inputs["content"] = variants
    return model


def _sequence(features: Features, config: Config, seed: int, progress: Progress | None) -> ClickModel:
    own = _with_common(config, config.srp4ctr)
    if config.pretrained:
        begin(progress, "unified: sequences")
        return srp4ctr.build(features, own, srp4ctr.pretrain(features, own, seed, progress), seed)
    return srp4ctr.build(features, own, srp4ctr.untrained(features, own, seed), seed)


def _with_common(config: Config, own: _Config) -> _Config:
    """A recipe's settings, with those that all recipes have taken from `config`."""
    common = {one.name: getattr(config, one.name) for one in fields(ClickConfig) if one.name not in ("request", "item_dropout")}
    return replace(own, **common | {"schedule": replace(config.schedule, batch=own.schedule.batch, learning_rate=own.schedule.learning_rate)})


def train(features: Features, config: Config, seed: int, progress: Progress | None = None) -> TrainedModel:
    """All stages; each tower stops on the validation part's AUC."""
    schema = features.schema
    if not (schema.text_size or schema.image_features or schema.image or schema.categories or schema.attributes):
        raise UnfitData("unified needs items with content, and reads none here; train the id recipe")
    content = content_of(features, config, seed, progress)
    variants = mim.variants(content, Examples.of(features).item_inputs(content.reads))
    towers, prior = [], None
    for name in config.towers:
        tower = build(name, variants, content, features, config, seed, progress)
        begin(progress, f"unified: clicks of {name}")
        learn_clicks(tower, features, of_tower(name, config), seed, progress)
        if name == "ids" and config.predicted and config.pretrained_content and schema.text_size:
            prior = id_prior.add_to(tower, Examples.of(features), config.prior, seed, progress)
        towers.append(tower)
    model = joined(towers, variants[:, 0], features, None if prior is None else unknown_of(config.towers, towers, config.unknown_weight))
    return conclude("unified", model, features, ItemEncoder(content, prior, model.item_encoder), content.reads, config, progress)
