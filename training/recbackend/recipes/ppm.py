"""`ppm`: a content model, pre-trained and plugged into the ID model (PPM, arXiv 2403.10049).

1. Item level, text: query matching. Where there are no search queries, an item's title and tags, and each of its categories, are queries for its text.
2. Item level, image: entity prediction. The categories of an item are predicted from its picture, or from given features of it. Without categories, or with one picture,
   there is nothing to predict: the encoder stays as it started, a random projection.
   Both encoders are frozen from here on, and joined: an item's content vector is text ‖ image, zeros for what it lacks.
3. User level: a bidirectional transformer over the content of the history, with encodings of place and interval, learns to predict clicks on the candidate's content. No IDs and no item statistics;
   what is known of the user itself (profile, statistics) is read.
4. Plug-in: its layers above the frozen vectors start the unified model, which is trained end to end with IDs, profile, statistics and context. Some IDs are taken for unknown in
   training, so that an item that nobody has seen is a case the model knows.

The paper gives neither widths nor temperatures; those here were chosen on the validation parts of MovieLens-1M and of the demo's data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data import UnfitData
from ..encoders import PictureEncoder, TextEncoder
from ..features import Features
from ..layers import CategoricalInputs, IdTable, Ranker, SequenceEncoder, UserEncoder, members, start_as_similarity
from ..train import ClickConfig, ClickModel, Examples, Fit, Progress, Schedule, TrainedModel, begin, fit, requests, train_on_clicks

_PADDING, _SEPARATOR = 0, 2  # token ids, docs/bundle-format.md section 3


READS = ("text", "image", "image_features", "categories", "attributes")


@dataclass(frozen=True)
class Config(ClickConfig):
    text: int = 64
    image: int = 32
    representation: int = 64
    temperature: float = 0.07
    token_dropout: float = 0.3
    least_tokens: int = 12
    """Of a text that stage 1 learns from."""
    pretrained_content: bool = True
    """Without it, stages 1 and 2 are left out and the content encoders stay as random as they start: the control that tells what pre-training adds."""
    content_dropout: float = 0.1
    """Share of items without text, of items without picture, and of items without side features, in each step of stages 3 and 4."""
    layers: int = 1
    transformer_heads: int = 2
    item_dropout: float = 0.1
    cold_share: float = 0.25
    """Share of the candidates with a dropped ID that also get the statistics of an item that nobody was shown."""
    text_length: int = 512
    text_vocabulary: int = 12000
    text_schedule: Schedule = Schedule(epochs=12, batch=256, learning_rate=3e-3)
    image_schedule: Schedule = Schedule(epochs=10, batch=128, learning_rate=2e-3)
    user_schedule: Schedule = replace(ClickConfig.schedule, epochs=1, learning_rate=2e-3, average=0.1)
    schedule: Schedule = replace(ClickConfig.schedule, learning_rate=3e-3)


# Stage 1


class QueryMatching(nn.Module):
    """Stage 1: an item's text must be found by the item's queries.

    Two kinds of pseudo-query: title and tags, whose nearest description in the batch must be the item's own (InfoNCE in both directions); and each category, which must match the texts
    of its items and no others (log loss, as many items share a category).
    """

    def __init__(self, encoder: TextEncoder, text: np.ndarray, categories: np.ndarray | None, category_ids: int, temperature: float, token_dropout: float):
        """text [I, T], categories [I, K]"""
        super().__init__()
        self.encoder, self.temperature, self.token_dropout = encoder, temperature, token_dropout
        queries, descriptions, both = pairs(text)
        self._text, self._queries, self._descriptions = (torch.from_numpy(part) for part in (text, queries, descriptions))
        self._paired = torch.zeros(len(text), dtype=torch.bool)
        self._paired[torch.from_numpy(both)] = True
        self.category = nn.Linear(encoder.width, category_ids) if categories is not None else None
        self._categories = torch.from_numpy(categories) if categories is not None else None

    def _encode(self, text: Tensor) -> Tensor:
        """A text of which some tokens are missing, so that it cannot be known by a single name in it."""
        return self.encoder(text * (torch.rand(text.shape) >= self.token_dropout))

    def loss(self, items: Tensor) -> Tensor:
        """Places of items [B] -> the sum of both losses."""
        paired = items[self._paired[items]]
        description = self._encode(self._descriptions[paired])
        loss = torch.zeros(())
        if len(paired) > 1:
            similarity = self._encode(self._queries[paired]) @ description.t() / self.temperature
            own = torch.arange(len(paired))
            loss = loss + 0.5 * (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.t(), own))
        if self.category is not None:
            texts = torch.cat([self._encode(self._text[items]), description])
            target = members(self._categories[torch.cat([items, paired])], self.category.out_features)
            # Vectors of length 1 need steep weights.
            loss = loss + 5.0 * functional.binary_cross_entropy_with_logits(self.category(5.0 * texts), target)
        return loss


def pairs(text: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splits documents [I, T] at their last separator: queries [I, T], descriptions [I, T], and the places of the items that have both."""
    place = np.arange(text.shape[1])
    separators = text == _SEPARATOR
    last = np.where(separators.any(1), text.shape[1] - 1 - separators[:, ::-1].argmax(1), -1)[:, None]
    queries = np.where(place < last, text, _PADDING)
    descriptions = np.where((place > last) & (last >= 0), text, _PADDING)
    both = ((queries > _SEPARATOR).any(1)) & ((descriptions > _SEPARATOR).sum(1) >= 3)
    return queries, descriptions, np.flatnonzero(both)


def pretrain_text(features: Features, config: Config, seed: int, progress: Progress | None) -> tuple[TextEncoder, Fit]:
    torch.manual_seed(seed)
    encoder = TextEncoder(features.schema.text_size, config.text)
    if not config.pretrained_content:
        return encoder, Fit(0.0, 0.0, [], [], 0.0)
    text = features.items.text
    # Titles alone teach that every "Little ..." is alike: a text of a few words is encoded, not learned from.
    readable = np.flatnonzero(((text > _SEPARATOR).sum(1) >= config.least_tokens) & features.item_known)
    if not len(readable):
        readable = np.flatnonzero(features.item_known)
    encoder.start_from(text[readable])
    ids = features.schema.categories.size if features.schema.categories else 0
    model = QueryMatching(encoder, text, features.items.categories, ids, config.temperature, config.token_dropout)
    return encoder, fit(model, torch.from_numpy(readable), model.loss, config.text_schedule, seed, progress=progress)


# Stage 2


class EntityPrediction(nn.Module):
    """Stage 2: which categories an item has, from its picture."""

    def __init__(self, encoder: PictureEncoder, pictures: Tensor, mask: Tensor, categories: np.ndarray, category_ids: int):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.width, category_ids)
        self._pictures, self._mask = pictures, mask
        self._categories = torch.from_numpy(categories)

    def loss(self, items: Tensor) -> Tensor:
        """Places of items [B] -> mean over categories of the log loss."""
        logits = self.head(4.0 * self.encoder(self._pictures[items], self._mask[items]))
        return functional.binary_cross_entropy_with_logits(logits, members(self._categories[items], self.head.out_features))


def pretrain_image(features: Features, config: Config, seed: int, progress: Progress | None) -> tuple[PictureEncoder, Fit]:
    torch.manual_seed(seed)
    items = features.items
    encoder = PictureEncoder(config.image, features.schema.image_features)
    reads = "image_features" if features.schema.image_features else "image"
    inputs = items.named([reads])
    shown = np.flatnonzero((inputs["image_mask"][:, 0] > 0) & features.item_known)
    if items.categories is None or len(shown) < 2 or not config.pretrained_content:
        return encoder, Fit(0.0, 0.0, [], [], 0.0)
    pictures, mask = torch.from_numpy(inputs[reads]), torch.from_numpy(inputs["image_mask"])
    model = EntityPrediction(encoder, pictures, mask, items.categories, features.schema.categories.size)
    return encoder, fit(model, torch.from_numpy(shown), model.loss, config.image_schedule, seed, progress=progress)


# Stages 3 and 4


class ContentEncoder(nn.Module):
    """The frozen text and picture encoders, joined: what an item is about, [B, width]. Computed once for each item."""

    def __init__(self, text: TextEncoder | None, picture: PictureEncoder | None, given_features: bool):
        super().__init__()
        self.text, self.picture, self.given_features = text, picture, given_features
        self.widths = [part.width for part in (text, picture) if part is not None]
        self.width = sum(self.widths)
        self.requires_grad_(False)
        self.eval()

    @property
    def reads(self) -> tuple[str, ...]:
        """The inputs that it reads, but for the mask, which comes with a picture."""
        parts = (("text", self.text), ("image_features" if self.given_features else "image", self.picture))
        return tuple(name for name, part in parts if part is not None)

    def train(self, mode: bool = True) -> ContentEncoder:
        """Frozen: always in eval mode."""
        return super().train(False)

    def forward(self, text: Tensor | None = None, image: Tensor | None = None, image_features: Tensor | None = None, image_mask: Tensor | None = None) -> Tensor:
        parts = []
        if self.text is not None:
            parts.append(self.text(text))
        if self.picture is not None:
            parts.append(self.picture(image_features if self.given_features else image, image_mask))
        return torch.cat(parts, 1)


class ItemTop(nn.Module):
    """Trained above the frozen content: content and side features -> representation [B, dRep]."""

    def __init__(self, features: Features, config: Config, content_widths: list[int]):
        super().__init__()
        self.side = CategoricalInputs.of(features.schema, config.category_width, config.attribute_width)
        self.content_widths, self.content_dropout = content_widths, config.content_dropout
        width = sum(content_widths) + self.side.width
        self.width = config.representation
        self.bent = nn.Sequential(nn.Linear(width, 2 * self.width), nn.ReLU(), nn.Linear(2 * self.width, self.width))
        self.linear = nn.Linear(width, self.width, bias=False)
        # A random projection keeps angles; at this scale its elements are about 1.
        nn.init.normal_(self.linear.weight, std=0.7)

    def forward(self, content: Tensor, categories: Tensor | None = None, attributes: Tensor | None = None) -> Tensor:
        """content [B, content], categories [B, K], attributes [B, A] -> [B, dRep]"""
        parts = [content]
        if self.side.width:
            parts.append(self.side(categories, attributes))
        if self.training:
            parts[:1] = torch.split(content, self.content_widths, 1)
            parts = [part * (torch.rand(len(part), 1) >= self.content_dropout) for part in parts]
        content = torch.cat(parts, 1)
        return self.bent(content) + self.linear(content)


class ItemEncoder(nn.Module):
    """The whole way from content to representation: what is exported."""

    def __init__(self, content: ContentEncoder, top: ItemTop):
        super().__init__()
        self.content, self.top = content, top

    def forward(
        self,
        text: Tensor | None = None,
        categories: Tensor | None = None,
        attributes: Tensor | None = None,
        image: Tensor | None = None,
        image_features: Tensor | None = None,
        image_mask: Tensor | None = None,
    ) -> Tensor:
        """The contract's inputs -> representation [B, dRep]."""
        return self.top(self.content(text, image, image_features, image_mask), categories, attributes)


def pretrain_items(features: Features, config: Config, seed: int, progress: Progress | None) -> ContentEncoder:
    """Stages 1 and 2."""
    schema = features.schema
    has_pictures = schema.image_features > 0 or schema.image is not None
    if not schema.text_size and not has_pictures:
        raise UnfitData("ppm needs items with text or pictures, and reads neither here; train the id recipe")
    text = picture = None
    if schema.text_size:
        begin(progress, "ppm 1/4 text")
        text = pretrain_text(features, config, seed, progress)[0]
    if has_pictures:
        begin(progress, "ppm 2/4 pictures")
        picture = pretrain_image(features, config, seed, progress)[0]
    return ContentEncoder(text, picture, schema.image_features > 0)


def model_on(content: ContentEncoder, features: Features, config: Config, seed: int, ids: bool) -> ClickModel:
    """The untrained click model above frozen content: the user-level model, or with `ids` the unified one."""
    with torch.no_grad():
        wanted = Examples.of(features).item_inputs(content.reads)
        parts = [content(**{name: value[part] for name, value in wanted.items()}) for part in torch.arange(len(features.item_ids)).split(512)]
    return model_above(torch.cat(parts), content.widths, features, config, seed, ids)


def model_above(content: Tensor, widths: list[int], features: Features, config: Config, seed: int, ids: bool) -> ClickModel:
    """The same, above frozen vectors of all items [I, content], in which the modalities have `widths`."""
    torch.manual_seed(seed)
    schema = features.schema
    examples = Examples.of(features)
    inputs = examples.item_inputs(("categories", "attributes"))
    inputs["content"] = content
    top = ItemTop(features, config, widths)
    item_id, user_id = (config.item_id, config.user_id) if ids else (0, 0)
    sequence = SequenceEncoder(top.width, config.representation, config.layers, config.transformer_heads, schema.history, config.shape.dropout / 2)
    user_encoder = UserEncoder(config.shape, schema, user_id, item_id, top.width, sequence)
    ranker = Ranker(config.shape, schema, item_id + top.width)
    start_as_similarity(user_encoder.history, ranker.attention)
    return ClickModel(
        top,
        user_encoder,
        ranker,
        IdTable(len(features.known_item_ids), item_id, config.item_dropout),
        IdTable(len(features.known_user_ids), user_id, config.user_dropout),
        examples,
        inputs,
        cold_share=config.cold_share if ids else 0.0,
    )


def without_item_statistics(features: Features) -> Features:
    """What the user-level model reads: of an item its content alone, so that content has to do the work.

    How generous a user is stays known: left to guess it from the history's content, the model learns its users by heart.
    """
    return replace(features, schema=replace(features.schema, item_statistics=[]), item_statistics=np.zeros((len(features.label), 0), np.float32))


@torch.no_grad()
def plug_in(unified: ClickModel, pretrained: ClickModel) -> None:
    """Starts the unified model as the user-level model: same scores, with zero weights on all that only the unified model reads."""
    unified.item_encoder.load_state_dict(pretrained.item_encoder.state_dict())
    user, source = unified.user_encoder, pretrained.user_encoder
    for name, part in source.named_children():
        _widen(getattr(user, name), part)
    ranker, source = unified.ranker, pretrained.ranker
    for name, part in source.named_children():
        if name in ("attention", "taste", "deep", "context"):
            _widen(getattr(ranker, name), part)
    # The candidate is ID ‖ representation ‖ statistics ‖ read; the user-level model knows the second and the last.
    shared = torch.ones(ranker.cross_score.in_features, dtype=torch.bool)
    ids = ranker.event - source.event
    shared[:ids] = False
    statistics = len(shared) - ids - source.cross_score.in_features
    shared[ranker.event : ranker.event + statistics] = False
    for target, cross in zip(ranker.crosses, source.crosses):
        target.reduce.weight.zero_()
        target.reduce.weight[:, shared] = cross.reduce.weight
        target.expand.weight[shared] = cross.expand.weight
        target.expand.bias[shared] = cross.expand.bias
    ranker.cross_score.weight.zero_()
    ranker.cross_score.weight[:, shared] = source.cross_score.weight
    ranker.cross_score.bias.copy_(source.cross_score.bias)
    after = torch.ones(ranker.first.in_features, dtype=torch.bool)
    after[:ids] = False
    after[ranker.event : ranker.event + statistics] = False
    ranker.first.weight.zero_()
    ranker.first.weight[:, after] = source.first.weight


def _widen(target: nn.Module, source: nn.Module) -> None:
    """Copies the parameters of `source`; where `target` reads more, that comes first and gets zero weights."""
    for (_, wide), (_, narrow) in zip(target.named_parameters(), source.named_parameters()):
        if wide.shape == narrow.shape:
            wide.copy_(narrow)
        else:
            wide.zero_()
            wide[:, wide.shape[1] - narrow.shape[1] :] = narrow


def train(features: Features, config: Config, seed: int, progress: Progress | None = None) -> TrainedModel:
    """All four stages."""
    content = pretrain_items(features, config, seed, progress)
    begin(progress, "ppm 3/4 users")
    pretrained = model_on(content, without_item_statistics(features), config, seed, ids=False)
    fit(pretrained, requests(features, features.rows(0), config.request, seed), pretrained.loss, config.user_schedule, seed, progress=progress)

    begin(progress, "ppm 4/4 unified")
    unified = model_on(content, features, config, seed, ids=True)
    plug_in(unified, pretrained)
    reads = content.reads + tuple(name for name in ("categories", "attributes") if name in unified.inputs)
    return train_on_clicks("ppm", unified, features, config, seed, progress, ItemEncoder(content, unified.item_encoder), reads)
