"""`mim`: multi-modal content interest (MIM, arXiv 2502.00321).

1. Pre-training: text and picture of an item must find each other among those of other items (InfoNCE in both directions).
2. C-SFT, fine-tuning of content on behaviour: of two items that a user liked soon after each other, the first is the query and the second must be found, by its fused representation, by its text and by its
   picture: `L = L_q2item + L_q2txt + L_q2img`. Text and picture are joined by tensor fusion. No item that the same user liked in the training part is a negative, and pairs of hot items weigh less.
   The fused vector, of length 1, is frozen from here on: it is the item's representation, computed once when its content changes.
3. CiUBM, the click model: one cosine for each (candidate, behaviour) of the cached representations gives two of three interests. ID interest is target attention over IDs and side features; content interest is
   the history's representations weighted by the cosines; fusion interest is projections of ID ‖ representation, weighted by the same cosines.

The paper's queries are pictures that were searched with, and what was bought then. Without a search log, the item liked before stands for the query, with all its content. Also chosen here: categories and attributes
are part of the content, so that an item without text and picture has a representation too; the weights are a softmax of the cosines at a learned sharpness; and how many behaviours are how similar is counted, softly,
as SimTier does (arXiv 2407.19467), since weighted means forget it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data import UnfitData
from ..encoders import PictureEncoder, TextEncoder
from ..features import Features
from ..layers import CategoricalInputs, HistoryProjection, IdTable, Ranker, TargetAttention, UserEncoder, start_as_similarity
from ..train import ClickConfig, ClickModel, Examples, Fit, Progress, Schedule, TrainedModel, begin, fit, train_on_clicks

_SEPARATOR = 2  # token id, docs/bundle-format.md section 3

READS = ("text", "image", "image_features", "categories", "attributes")


@dataclass(frozen=True)
class Config(ClickConfig):
    text: int = 64
    fused_text: int = 32
    """Width of text in the tensor fusion, which takes the product of the widths."""
    fused_image: int = 16
    content: int = 64
    """Width of the fused representation."""
    temperature: float = 0.07
    token_dropout: float = 0.3
    content_dropout: float = 0.1
    """Share of items without text, of items without picture, and of items without side features, in each step of training."""
    pretrained_content: bool = True
    """Off, nothing of stages 1 and 2 is learned, and content is what the encoders make of it at random: the control that tells what they are worth."""
    soon: int = 10
    """A pair is of a like and one of the next `soon` likes of the user."""
    sharpness: float = 10.0
    """Of the cosines in the softmax, at the start."""
    tiers: int = 6
    text_length: int = 512
    text_vocabulary: int = 12000
    pretraining: Schedule = Schedule(epochs=10, batch=256, least_steps=10, learning_rate=1e-3)
    sft: Schedule = Schedule(epochs=2, batch=512, least_steps=100, learning_rate=2e-3, final_learning_rate=0.05, average=0.2)


# Stage 1


class ImageText(nn.Module):
    """Stage 1: of the items that have both, text and picture of the same item must be the nearest to each other in a batch."""

    def __init__(self, text: TextEncoder, picture: PictureEncoder, inputs: dict[str, Tensor], config: Config):
        super().__init__()
        self.text, self.picture = text, picture
        self._inputs, self._config = inputs, config

    def loss(self, items: Tensor) -> Tensor:
        """Places of items [B] -> InfoNCE of both directions."""
        tokens = self._inputs["text"][items]
        tokens = tokens * (torch.rand(tokens.shape) >= self._config.token_dropout)
        reads = "image_features" if "image_features" in self._inputs else "image"
        similarity = self.text(tokens) @ self.picture(self._inputs[reads][items], self._inputs["image_mask"][items]).t() / self._config.temperature
        own = torch.arange(len(items))
        return 0.5 * (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.t(), own))


# Stage 2


class Fusion(nn.Module):
    """Text, picture and side features of an item -> one vector of length 1; zeros for an item without any of them.

    The product of `[1, text]` and `[1, picture]` (tensor fusion, arXiv 1707.07250) holds each of them and what only both together say.
    """

    def __init__(self, text: int, picture: int, side: CategoricalInputs, config: Config):
        """`text`, `picture`: widths, 0 for data without."""
        super().__init__()
        self.side = side
        self.text = nn.Linear(text, config.fused_text, bias=False) if text else None
        self.picture = nn.Linear(picture, config.fused_image, bias=False) if picture else None
        product = (1 + config.fused_text * bool(text)) * (1 + config.fused_image * bool(picture))
        linear = text + picture + side.width
        # No biases: what is absent from all inputs must be absent from the output.
        self.product = nn.Linear(product - 1, config.content, bias=False) if product > 1 else None
        self.linear = nn.Linear(linear, config.content, bias=False)
        nn.init.normal_(self.linear.weight, std=0.7)  # angles of the inputs are kept at the start, and the product says little yet
        self.width = config.content

    def forward(self, text: Tensor | None, picture: Tensor | None, categories: Tensor | None, attributes: Tensor | None, keep: Tensor | None = None) -> Tensor:
        """text and picture, vectors [B, width] of length 1 or 0; vocabulary ids [B, K] and [B, A]; `keep` [B, 3], 0 where one is to be taken for absent -> [B, content]"""
        side = self.side(categories, attributes) if self.side.width else None
        if keep is not None:
            text, picture, side = (None if part is None else part * keep[:, place : place + 1] for place, part in enumerate((text, picture, side)))
        fused = self.linear(torch.cat([part for part in (text, picture, side) if part is not None], 1))
        if self.product is not None:
            fused = fused + self.product(self._products(text, picture))
        return functional.normalize(fused, dim=1)

    def _products(self, text: Tensor | None, picture: Tensor | None) -> Tensor:
        """All products of an element of [1, text] and one of [1, picture], without 1 · 1."""
        if text is None:
            return self.picture(picture)
        if picture is None:
            return self.text(text)
        words, look = self.text(text), self.picture(picture)
        return torch.cat([words, look, (words.unsqueeze(2) * look.unsqueeze(1)).flatten(1)], 1)


class ContentEncoder(nn.Module):
    """Content -> the fused vector [B, width], with the vectors of text and picture that it is made of."""

    def __init__(self, text: TextEncoder | None, picture: PictureEncoder | None, given_features: bool, fusion: Fusion):
        super().__init__()
        self.text, self.picture, self.given_features, self.fusion = text, picture, given_features, fusion
        self.width = fusion.width

    @property
    def reads(self) -> tuple[str, ...]:
        """The inputs that it reads, but for the mask, which comes with a picture."""
        parts = (("text", self.text), ("image_features" if self.given_features else "image", self.picture))
        side = (("categories", self.fusion.side.categories), ("attributes", len(self.fusion.side.attributes) or None))
        return tuple(name for name, part in (*parts, *side) if part is not None)

    def parts(self, inputs: dict[str, Tensor], token_dropout: float = 0.0, content_dropout: float = 0.0) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The contract's inputs -> the fused vector, and those of text and picture."""
        tokens = inputs.get("text")
        if tokens is not None and token_dropout:
            tokens = tokens * (torch.rand(tokens.shape) >= token_dropout)
        text = None if self.text is None else self.text(tokens)
        picture = None if self.picture is None else self.picture(inputs["image_features" if self.given_features else "image"], inputs["image_mask"])
        keep = (torch.rand(self._count(inputs), 3) >= content_dropout).to(torch.float32) if content_dropout else None
        return self.fusion(text, picture, inputs.get("categories"), inputs.get("attributes"), keep), text, picture

    def forward(self, **inputs: Tensor) -> Tensor:
        return self.parts(inputs)[0]

    @staticmethod
    def _count(inputs: dict[str, Tensor]) -> int:
        return len(next(iter(inputs.values())))


@dataclass(frozen=True)
class Likes:
    """The clicks of the training part, those of a user one after the other in time order."""

    item: Tensor  # int64 [M]
    user: Tensor  # int64 [M]
    end: Tensor  # int64 [M]: one past the last click of the same user

    @classmethod
    def of(cls, features: Features) -> Likes:
        """What the rows of the training part know of the past: no click of validation or test is among them."""
        rows = features.rows(0)
        begin, end = (np.zeros(len(features.user_ids), np.int64) for _ in range(2))
        begin[features.user[rows]] = features.history_begin[rows]
        np.maximum.at(end, features.user[rows], features.history_end[rows])
        count = np.maximum(end - begin, 0)
        user = np.repeat(np.arange(len(count)), count)
        first = np.repeat(np.cumsum(count) - count, count)
        place = np.arange(len(user)) - first
        item = features.click_item[np.repeat(begin, count) + place] if len(user) else np.zeros(0)
        return cls(*(torch.from_numpy(np.ascontiguousarray(value, np.int64)) for value in (item, user, first + np.repeat(count, count))))

    def queries(self) -> Tensor:
        """Places of the likes that have a later one."""
        return (torch.arange(len(self.item)) + 1 < self.end).nonzero().squeeze(1)


class Csft(nn.Module):
    """Stage 2: what a user liked soon after must be found with what was liked before."""

    def __init__(self, encoder: ContentEncoder, inputs: dict[str, Tensor], likes: Likes, config: Config):
        super().__init__()
        self.encoder = encoder
        self.log_temperature = nn.Parameter(torch.tensor(float(np.log(config.temperature))))
        self._inputs, self._likes, self._config = inputs, likes, config
        count = torch.bincount(likes.item, minlength=1).to(torch.float32)
        self._weight = count.clamp(min=1.0).rsqrt()
        users = int(likes.user.max()) + 1 if len(likes.user) else 0
        self._count = torch.bincount(likes.user, minlength=users)
        self._first = self._count.cumsum(0) - self._count

    def liked(self, user: Tensor, item: Tensor) -> Tensor:
        """Users [B], items [C] -> which user liked which item at any time of the training part, bool [B, C]. It takes time by the likes of the users, not by B x C."""
        distinct, place = torch.unique(item, return_inverse=True)
        column = torch.full((len(self._weight),), -1)
        column[distinct] = torch.arange(len(distinct))
        count = self._count[user]
        row = torch.arange(len(user)).repeat_interleave(count)
        within = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
        found = column[self._likes.item[self._first[user][row] + within]]
        result = torch.zeros(len(user), len(distinct), dtype=torch.bool)
        result[row[found >= 0], found[found >= 0]] = True
        return result[:, place]

    def loss(self, queries: Tensor) -> Tensor:
        """Places of likes [B] -> the three losses, each the weighted mean over the pairs whose target has that content."""
        likes, config = self._likes, self._config
        distance = 1 + (torch.rand(len(queries)) * config.soon).long()
        targets = torch.minimum(queries + distance, likes.end[queries] - 1)
        query_item, target_item, user = likes.item[queries], likes.item[targets], likes.user[queries]
        items, place = torch.unique(torch.cat([query_item, target_item]), return_inverse=True)
        fused, text, picture = self.encoder.parts({name: value[items] for name, value in self._inputs.items()}, config.token_dropout, config.content_dropout)
        query, place = fused[place[: len(queries)]], place[len(queries) :]
        weight = self._weight[query_item] * self._weight[target_item]
        # Whoever's target it is: what the query's user liked is no negative. The query itself, and the target in another pair, are among that.
        no_negative = self.liked(user, target_item).fill_diagonal_(False)  # but for the pair itself
        loss = torch.zeros(())
        for content in (fused, text, picture):
            if content is None:
                continue
            vectors = content[place]
            present = vectors.detach().square().sum(1) > 0
            similarity = (query @ vectors.t() * torch.exp(-self.log_temperature)).masked_fill(no_negative | ~present, -1e4)
            each = functional.cross_entropy(similarity, torch.arange(len(queries)), reduction="none")
            used = weight * present
            loss = loss + (each * used).sum() / used.sum().clamp(min=1e-12)
        return loss


# Stage 3


class ItemTop(nn.Module):
    """Frozen fused content, and trained embeddings of side features -> representation [B, content + side].

    In training, `content` is what the frozen encoder gives an item with all it has and with parts of it missing, one of which is taken at random.
    """

    def __init__(self, side: CategoricalInputs, content: int, dropout: float):
        super().__init__()
        self.side, self.content, self.dropout, self.width = side, content, dropout, content + side.width

    def forward(self, content: Tensor, categories: Tensor | None = None, attributes: Tensor | None = None, **_: Tensor | None) -> Tensor:
        """content [B, content], or [B, V, content] where the first of V variants is the whole; vocabulary ids [B, K], [B, A] -> [B, width]"""
        if content.dim() == 3:
            variant = torch.zeros(len(content), dtype=torch.int64)
            if self.training:
                variant = torch.randint(1, content.shape[1], (len(content),)) * (torch.rand(len(content)) < self.dropout * (content.shape[1] - 1))
            content = content[torch.arange(len(content)), variant]
        return torch.cat([content, self.side(categories, attributes)], 1) if self.side.width else content


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
        given = {"text": text, "categories": categories, "attributes": attributes, "image": image, "image_features": image_features, "image_mask": image_mask}
        return self.above(self.content(**{name: value for name, value in given.items() if value is not None}), text, categories, attributes)

    def above(self, content: Tensor, text: Tensor | None, categories: Tensor | None, attributes: Tensor | None) -> Tensor:
        """content [B, content] and what it is made of -> representation [B, dRep]."""
        return self.top(content, categories, attributes)


class BehaviourReader(nn.Module):
    """`history_state`: cached content of each behaviour, the values of the fusion interest, then keys, values and mask of the ID interest."""

    def __init__(self, id_interest: HistoryProjection, item_id: int, content: int, side: int):
        super().__init__()
        self.id_interest, self._split = id_interest, [item_id, content, side]
        self.fusion = nn.Linear(item_id + content, content, bias=False)
        self.read, self.state = id_interest.read + content, 2 * content + id_interest.state

    def forward(self, history: Tensor, actions: Tensor, intervals: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """history [B, L, id ‖ content ‖ side] with zeros in padding, actions, intervals and mask [B, L] -> [B, L, state], [B, read]."""
        ids, content, side = torch.split(history, self._split, 2)
        projected, mean = self.id_interest(torch.cat([ids, side], 2), actions, intervals, mask)
        mean_content = content.sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0)
        return torch.cat([content, self.fusion(torch.cat([ids, content], 2)), projected], 2), torch.cat([mean, mean_content], 1)


class Interests(nn.Module):
    """CiUBM: the three interests of a user in each candidate. One cosine of a candidate and a behaviour serves content interest, fusion interest and tiers."""

    def __init__(self, id_interest: TargetAttention, item_id: int, content: int, side: int, tiers: int, sharpness: float):
        super().__init__()
        self.id_interest, self._item = id_interest, [item_id, content, side]
        self._split = [content, content, 2 * id_interest.read + 1]
        self.log_sharpness = nn.Parameter(torch.tensor(float(np.log(sharpness))))
        self.fusion = nn.Linear(item_id + content, content)
        self.tier_at = nn.Parameter(torch.linspace(0.0, 0.9, tiers))
        self.tier_width = nn.Parameter(torch.full((tiers,), float(np.log(20.0))))
        self.read = id_interest.read + 2 * content + 2 * tiers

    def forward(self, item: Tensor, history_state: Tensor) -> tuple[Tensor, Tensor]:
        """item [B, N, id ‖ content ‖ side], history_state [B, L, state] -> what was read, and its products with the candidate, both [B, N, read]."""
        ids, content, side = torch.split(item, self._item, 2)
        contents, fusions, projected = torch.split(history_state, self._split, 2)
        mask = projected[:, :, -1:].transpose(1, 2)
        cosine = torch.matmul(content, contents.transpose(1, 2))  # both are of length 1
        weights = functional.softmax(cosine * torch.exp(self.log_sharpness) + (mask - 1.0) * 1e4, 2)
        content_interest, fusion_interest = torch.matmul(weights, contents), torch.matmul(weights, fusions)
        id_read, id_agreement = self.id_interest(torch.cat([ids, side], 2), projected)
        tiers = self._tiers(cosine, mask)
        fused = self.fusion(torch.cat([ids, content], 2).flatten(0, 1)).reshape(item.shape[0], -1, self.fusion.out_features)
        read = torch.cat([id_read, content_interest, fusion_interest, tiers], 2)
        return read, torch.cat([id_agreement, content_interest * content, fusion_interest * fused, tiers], 2)

    def _tiers(self, cosine: Tensor, mask: Tensor) -> Tensor:
        """cosine [B, N, L], mask [B, 1, L] -> how many behaviours are at least how similar, in logs and as shares, [B, N, 2 · tiers]. No tensor is wider than N x L."""
        above = [
            (torch.sigmoid((cosine - at) * torch.exp(width)) * mask).sum(2, keepdim=True) for at, width in zip(self.tier_at.split(1), self.tier_width.split(1))
        ]
        counts = torch.cat(above, 2)
        return torch.cat([torch.log1p(counts), counts / mask.sum(2, keepdim=True).clamp(min=1.0)], 2)


# Stages


def pretrain(features: Features, config: Config, seed: int, progress: Progress | None = None) -> tuple[TextEncoder | None, PictureEncoder | None, Fit | None]:
    """Stage 1. Where no two items have both text and picture there is nothing to contrast, and the encoders stay as they started."""
    torch.manual_seed(seed)
    schema, known = features.schema, features.item_known
    given = schema.image_features > 0
    text = picture = None
    if schema.text_size:
        text = TextEncoder(schema.text_size, config.text)
        if config.pretrained_content:
            text.start_from(features.items.text[known])
    if given or schema.image is not None:
        picture = PictureEncoder(config.text, schema.image_features)
    if text is None or picture is None or not config.pretrained_content:
        return text, picture, None
    inputs = _inputs(features, ("text", "image_features" if given else "image"))
    both = (inputs["image_mask"][:, 0] > 0) & ((inputs["text"] > _SEPARATOR).sum(1) > 0) & torch.from_numpy(known)
    if both.sum() < 2:
        return text, picture, None
    model = ImageText(text, picture, inputs, config)
    return text, picture, fit(model, both.nonzero().squeeze(1), model.loss, config.pretraining, seed, progress=progress)


def tune_on_behaviour(
    features: Features, config: Config, text: TextEncoder | None, picture: PictureEncoder | None, seed: int, progress: Progress | None = None
) -> tuple[ContentEncoder, Fit | None]:
    """Stage 2."""
    torch.manual_seed(seed)
    schema = features.schema
    fusion = Fusion(text.width if text else 0, picture.width if picture else 0, CategoricalInputs.of(features.schema, config.category_width, config.attribute_width), config)
    encoder = ContentEncoder(text, picture, schema.image_features > 0, fusion)
    likes = Likes.of(features)
    queries = likes.queries()
    done = None
    if len(queries) > 1 and config.pretrained_content:
        model = Csft(encoder, _inputs(features, encoder.reads), likes, config)
        done = fit(model, queries, model.loss, config.sft, seed, progress=progress)
    return encoder.requires_grad_(False).eval(), done


def build(features: Features, config: Config, content: ContentEncoder, seed: int) -> ClickModel:
    """Stage 3: the untrained click model above frozen content."""
    torch.manual_seed(seed)
    schema, shape = features.schema, config.shape
    inputs = _inputs(features, ("categories", "attributes"))
    inputs["content"] = variants(content, _inputs(features, content.reads))
    top = ItemTop(CategoricalInputs.of(features.schema, config.category_width, config.attribute_width), content.width, config.content_dropout)
    event = config.item_id + top.side.width
    projection = HistoryProjection(event, shape.heads, shape.head_width, schema.history, len(schema.actions))
    attention = TargetAttention(event, shape.heads, shape.head_width)
    start_as_similarity(projection, attention)
    interests = Interests(attention, config.item_id, content.width, top.side.width, config.tiers, config.sharpness)
    reader = BehaviourReader(projection, config.item_id, content.width, top.side.width)
    return ClickModel(
        top,
        UserEncoder(shape, schema, config.user_id, config.item_id, top.width, history=reader),
        Ranker(shape, schema, config.item_id + top.width, interests),
        IdTable(len(features.known_item_ids), config.item_id, config.item_dropout),
        IdTable(len(features.known_user_ids), config.user_id, config.user_dropout),
        Examples.of(features),
        inputs,
    )


@torch.no_grad()
def variants(content: ContentEncoder, inputs: dict[str, Tensor]) -> Tensor:
    """Fused vectors of all items [I, 1 + n, width]: with all their content, and without each of the n parts that the data has."""
    absent = [("text",), ("image", "image_features", "image_mask"), ("categories", "attributes")]
    wholes = [{}, *({name: 0 for name in names} for names in absent if any(name in inputs for name in names))]
    parts = []
    for places in torch.arange(len(next(iter(inputs.values())))).split(512):
        here = {name: value[places] for name, value in inputs.items()}
        parts.append(torch.stack([content(**{name: value * without.get(name, 1) for name, value in here.items()}) for without in wholes], 1))
    return torch.cat(parts)


def _inputs(features: Features, names: tuple[str, ...]) -> dict[str, Tensor]:
    return Examples.of(features).item_inputs(names)


def train(features: Features, config: Config, seed: int, progress: Progress | None = None) -> TrainedModel:
    """All three stages; the last stops on the validation part's AUC."""
    schema = features.schema
    if not (schema.text_size or schema.image_features or schema.image or schema.categories or schema.attributes):
        raise UnfitData("mim needs items with content, and reads none here; train the id recipe")
    begin(progress, "mim 1/3 text and pictures")
    text, picture, _ = pretrain(features, config, seed, progress)
    begin(progress, "mim 2/3 behaviour")
    content, _ = tune_on_behaviour(features, config, text, picture, seed, progress)
    begin(progress, "mim 3/3 clicks")
    model = build(features, config, content, seed)
    return train_on_clicks("mim", model, features, config, seed, progress, ItemEncoder(content, model.item_encoder), content.reads)
