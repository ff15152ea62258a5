"""ID vectors of items that training never saw, predicted from their words.

An item's ID vector holds what its clicks say of it. Where an item has none, a linear map from its words to the vectors of other items takes their place (Gantner et al., "Learning Attribute-to-Feature Mappings for
Cold-Start Recommendations", ICDM 2010), by ridge regression in closed form. A network that reads content beside IDs, and is trained on both, learns the content of known items by heart instead, as an ID by another name.

The vector of an item is what its words predict, and the item's own deviation from it, which is what the ID table keeps. So nothing changes for known items, an unknown one has the prediction, and an item of few clicks
starts from there, as in a Gaussian prior with the prediction as its mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .train import ClickModel, Examples

_PADDING, _SEPARATOR = 0, 2  # token ids, docs/bundle-format.md section 3
_FOLDS = 5
_CONSTANT = 0.3  # of the constant feature, where the words of the mean item have length 1
_TOLERANCE = 1e-3
_MOST_STEPS = 500


@dataclass(frozen=True)
class Noise:
    """Variance of an item's vector around what its words predict, in units of what words explain; the values are those of the best held-out training items of protocol B."""

    own: float = 0.2
    """Of an item of any number of rows: what is not in its words."""
    a_row: float = 100.0
    """Of an item of one row, beside that; of n rows it is the n-th part."""


class IdPrior(nn.Module):
    """The sum of the vectors of an item's words over the square root of their number: text [B, T] -> [B, width], zeros for an empty text."""

    def __init__(self, tokens: int, width: int):
        super().__init__()
        self.width = width
        self.token = nn.Embedding(tokens, width, padding_idx=_PADDING)
        self.constant = nn.Parameter(torch.zeros(width))
        self.requires_grad_(False)

    def forward(self, text: Tensor) -> Tensor:
        present = (text > _SEPARATOR).to(torch.float32)
        count = present.sum(1, keepdim=True)
        words = (self.token(text) * present.unsqueeze(2)).sum(1) / count.clamp(min=1.0).sqrt()
        return (words + self.constant) * count.clamp(max=1.0)

    @torch.no_grad()
    def fit(self, text: np.ndarray, vectors: Tensor, rows: np.ndarray, noise: Noise, seed: int) -> None:
        """Learns from items of `text` [I, T] with ID `vectors` [I, width] and training `rows` [I], one or more each.

        Predictions for items that the map was not fitted to (`_FOLDS` folds) are 0 on average over all training rows, which is where the vectors of unknown items are 0. Those for the
        items that it was fitted to are not: they know how much each is liked, and the liked ones have more rows.
        """
        weight = torch.from_numpy(rows / rows.sum()).to(torch.float32).unsqueeze(1)
        words, scale = _words(text, self.token.num_embeddings)
        variance = torch.from_numpy(noise.own + noise.a_row / rows).to(torch.float32)
        wanted = vectors - (weight * vectors).sum(0)
        fold = torch.from_numpy(np.random.default_rng(seed).permutation(len(rows)) % _FOLDS)
        unseen = torch.zeros_like(wanted)
        for held_out in range(_FOLDS):
            # An item of a huge variance has no say.
            map_of_others = _ridge(words, wanted, torch.where(fold == held_out, 1e9, variance))
            unseen[fold == held_out] = _predict(words, map_of_others)[fold == held_out]
        table = _ridge(words, wanted, variance)
        self.token.weight.copy_(table[:-1] * scale.unsqueeze(1))
        self.token.weight[: _SEPARATOR + 1] = 0
        self.constant.copy_(table[-1] * _CONSTANT**0.5 - (weight * unseen).sum(0))


def _words(text: np.ndarray, tokens: int) -> tuple[Tensor, Tensor]:
    """Counts of tokens over the square root of a text's length, weighted by inverse document frequency, scaled to length 1 on average, and a constant: sparse [I, tokens + 1], and the weight of a token [tokens].
    Tokens of one text alone say nothing of another, and have none."""
    item, place = np.nonzero(text > _SEPARATOR)
    cells, count = np.unique(item * tokens + text[item, place], return_counts=True)
    item, token = cells // tokens, cells % tokens
    texts = np.bincount(token, minlength=tokens)
    weight = np.where(texts > 1, np.log(len(text) / np.maximum(texts, 1)), 0.0)
    value = count * weight[token] / np.sqrt(np.maximum(np.bincount(item, count, len(text)), 1))[item]
    scale = np.sqrt(len(text) / max(np.square(value).sum(), 1e-12))
    rows = np.r_[item, np.arange(len(text))]
    columns = np.r_[token, np.full(len(text), tokens)]
    values = np.r_[value * scale, np.full(len(text), _CONSTANT**0.5)]
    matrix = torch.sparse_coo_tensor(np.stack([rows, columns]), torch.from_numpy(values).float(), (len(text), tokens + 1)).coalesce()
    return matrix, torch.from_numpy(weight * scale).float()


def _ridge(words: Tensor, wanted: Tensor, variance: Tensor) -> Tensor:
    """The map W [V, width] with the least `sum_i |wanted_i - words_i W|^2 / variance_i + |W|^2`.

    By conjugate gradients on its dual, `(words wordsᵀ + variance) a = wanted`, `W = wordsᵀ a`, all columns at once: neither a matrix of all items nor one of all words is made.
    """
    transposed = words.t().coalesce()

    def applied(x: Tensor) -> Tensor:
        return torch.sparse.mm(words, torch.sparse.mm(transposed, x)) + variance.unsqueeze(1) * x

    inverse = 1 / (1 + _CONSTANT + variance).unsqueeze(1)  # a text's own product is 1 on average
    solution, residual = torch.zeros_like(wanted), wanted.clone()
    preconditioned = inverse * residual
    direction, size = preconditioned.clone(), (residual * preconditioned).sum(0)
    enough = _TOLERANCE**2 * size
    for _ in range(_MOST_STEPS):
        if bool((size <= enough).all()):
            break
        moved = applied(direction)
        step = size / (direction * moved).sum(0).clamp(min=1e-30)
        solution += step * direction
        residual -= step * moved
        preconditioned = inverse * residual
        before, size = size, (residual * preconditioned).sum(0)
        direction = preconditioned + size / before.clamp(min=1e-30) * direction
    return torch.sparse.mm(transposed, solution)


def _predict(words: Tensor, table: Tensor) -> Tensor:
    return torch.sparse.mm(words, table)


# Around a click model


class WithPrediction(nn.Module):
    """An item encoder whose representation begins with the predicted ID vector."""

    def __init__(self, encoder: nn.Module, predicted: int):
        """`predicted`: width of the ID vectors."""
        super().__init__()
        self.encoder, self.width = encoder, predicted + encoder.width

    def forward(self, predicted: Tensor, **inputs: Tensor | None) -> Tensor:
        """predicted [B, dId], and what the encoder reads -> [B, width]."""
        return torch.cat([predicted, self.encoder(**inputs)], 1) if self.encoder.width else predicted


class UserEncoderWithPrediction(nn.Module):
    """A user encoder that reads events of ID deviation ‖ predicted ID vector ‖ representation."""

    def __init__(self, encoder: nn.Module, item_id: int):
        super().__init__()
        self.encoder, self._item_id = encoder, item_id
        self.user_state, self.history_state = encoder.user_state, encoder.history_state

    def forward(self, user_embedding: Tensor, history: Tensor, **others: Tensor | None) -> tuple[Tensor, Tensor]:
        """Shapes of the bundle contract -> user_state [B, S], history_state [B, L, H]."""
        return self.encoder(user_embedding=user_embedding, history=_added(history, self._item_id), **others)


class RankerWithPrediction(nn.Module):
    """A ranker that reads rows of ID deviation ‖ predicted ID vector ‖ representation ‖ statistics."""

    def __init__(self, ranker: nn.Module, item_id: int):
        super().__init__()
        self.ranker, self._item_id = ranker, item_id
        self.event, self.calibration = ranker.event + item_id, ranker.calibration

    def logits(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """The ranker's shapes -> [B, N]."""
        return self.ranker.logits(user_state, history_state, _added(item, self._item_id), context)

    def forward(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """The contract's inputs -> score [B, N], calibrated probabilities."""
        return self.calibration(self.logits(user_state, history_state, item, context))


def _added(event: Tensor, item_id: int) -> Tensor:
    """[B, M, deviation ‖ prediction ‖ …] -> [B, M, deviation + prediction ‖ …]"""
    return torch.cat([event[:, :, :item_id] + event[:, :, item_id : 2 * item_id], event[:, :, 2 * item_id :]], 2)


@torch.no_grad()
def add_to(model: ClickModel, examples: Examples, noise: Noise, seed: int) -> IdPrior | None:
    """Gives a trained click model, in place, the predicted vectors of all items as the input `predicted` of its item encoder. The logits of items that it knows stay.

    None, and no change, where fewer than `_FOLDS` items with a text are known.
    """
    features, row = examples.features, examples.item_row
    rows = np.bincount(features.item[features.rows(0)], minlength=len(row))
    text = features.items.text
    taught = np.flatnonzero((row.numpy() > 0) & (rows > 0) & (text > _SEPARATOR).any(1))
    if len(taught) < _FOLDS:
        return None
    table = model.item_table.embedding
    width = table.shape[1]
    prior = IdPrior(features.schema.text_size, width)
    prior.fit(text[taught], table[row[taught]] - table[0], rows[taught], noise, seed)
    predicted = torch.cat([prior(torch.from_numpy(part)) for part in np.array_split(text, -(-len(text) // 512))])
    known = (row > 0).nonzero().squeeze(1)
    table[row[known]] -= predicted[known]
    model.item_encoder = WithPrediction(model.item_encoder, width)
    model.user_encoder = UserEncoderWithPrediction(model.user_encoder, width)
    model.ranker = RankerWithPrediction(model.ranker, width)
    model.inputs["predicted"] = predicted
    return prior
