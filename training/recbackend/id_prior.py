"""ID vectors of items that training never saw, predicted from their words.

An item's ID vector holds what its clicks say of it. Where an item has none, a linear map from its words to the vectors of other items takes their place (Gantner et al., "Learning Attribute-to-Feature Mappings for
Cold-Start Recommendations", ICDM 2010), by ridge regression in closed form. A network that reads content beside IDs, and is trained on both, learns the content of known items by heart instead, as an ID by another name.

The ID vector of an item gets one element more: how far it is known, n / (n + strength) after n training rows, and 0 for an unknown item. What is not known is left to the prediction, so that the vector of an item of
few rows, which training's prior holds near zero, is filled up, and that of an item of many stays as it is, whatever becomes of its text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .layers import CalibratedRanker, IdTable
from .tokenizer import FIRST_MERGE, PADDING
from .train import ClickModel, Examples, Progress, begin

_FOLDS = 5
_CONSTANT = 0.3  # prior variance of the constant, where that of what the words of the mean item say is 1
_LEAST_TEXTS = 2  # that a word is in: of one text alone it says nothing of another


@dataclass(frozen=True)
class Config:
    """Chosen on training items of protocols A and B, see docs/quality.md."""

    own: float = 0.2
    """Variance of an item's vector around what its words predict, of however many rows, in units of what words explain."""
    a_row: float = 100.0
    """What the vector of an item of one row varies beside that; of n rows it is the n-th part."""
    strength: float = 10.0
    """Training rows of an item that are worth as much as its words."""


class IdPrior(nn.Module):
    """The sum of the vectors of an item's words over the square root of their number: text [B, T] -> [B, width], zeros for a text without words.

    Words are tokens that are more than a byte: single bytes are the script of languages that training hardly has. No prediction is longer than the longest of an item that it was fitted to, so that a word
    that is said five hundred times says no more than the most telling text.
    """

    def __init__(self, tokens: int, width: int):
        super().__init__()
        self.width = width
        self.token = nn.Embedding(tokens, width, padding_idx=PADDING)
        self.constant = nn.Parameter(torch.zeros(width))
        self.longest = nn.Parameter(torch.tensor(float("inf")))
        self.requires_grad_(False)

    def forward(self, text: Tensor) -> Tensor:
        present = (text > FIRST_MERGE - 1).to(torch.float32)
        count = present.sum(1, keepdim=True)
        words = (self.token(text) * present.unsqueeze(2)).sum(1) / count.clamp(min=1.0).sqrt()
        predicted = (words + self.constant) * count.clamp(max=1.0)
        length = (predicted * predicted).sum(1, keepdim=True).clamp(min=1e-12).sqrt()
        return predicted * (self.longest / length).clamp(max=1.0)

    @torch.no_grad()
    def fit(self, text: np.ndarray, vectors: Tensor, rows: np.ndarray, config: Config, seed: int, progress: Progress | None = None) -> None:
        """Learns from items of `text` [I, T] with ID `vectors` [I, width], relative to that of unknown items, and training `rows` [I], one or more each.

        Predictions for items that the map was not fitted to (`_FOLDS` folds) are 0 on average over the training rows. Those for the items that it was fitted to are not: what is
        much liked has most rows, and is fitted best, so that a map with their mean at 0 takes new items for worse than they are.
        """
        weight = torch.from_numpy(rows / rows.sum()).to(torch.float32).unsqueeze(1)
        words, scale = _words(text, self.token.num_embeddings)
        regression = _Ridge(words, vectors - (weight * vectors).sum(0), progress)
        variance = torch.from_numpy(config.own + config.a_row / rows).to(torch.float32)
        fold = torch.from_numpy(np.random.default_rng(seed).permutation(len(rows)) % _FOLDS)
        mean_of_unseen = torch.zeros(self.width)
        for held_out in range(_FOLDS):
            # An item of a huge variance has no say.
            predicted = torch.sparse.mm(words, regression.solve(torch.where(fold == held_out, 1e9, variance)))
            mean_of_unseen += (weight * predicted)[fold == held_out].sum(0)
        table = regression.solve(variance)
        self.token.weight.copy_(table[:-1] * scale.unsqueeze(1))
        self.token.weight[:FIRST_MERGE] = 0
        self.constant.copy_(table[-1] * _CONSTANT**0.5 - mean_of_unseen)
        self.longest.copy_(predictions(self, text).norm(dim=1).max())


@torch.no_grad()
def predictions(prior: IdPrior, text: np.ndarray) -> Tensor:
    """Texts [I, T] -> [I, width], some at a time."""
    return torch.cat([prior(torch.from_numpy(part)) for part in np.array_split(text, -(-len(text) // 512))])


def _words(text: np.ndarray, tokens: int) -> tuple[Tensor, Tensor]:
    """Counts of words over the square root of a text's length, weighted by inverse document frequency, scaled to length 1 on average, and a constant: sparse [I, tokens + 1];
    and the weight of a token [tokens]."""
    item, place = np.nonzero(text >= FIRST_MERGE)
    cells, count = np.unique(item * tokens + text[item, place], return_counts=True)
    item, token = cells // tokens, cells % tokens
    texts = np.bincount(token, minlength=tokens)
    weight = np.where(texts >= _LEAST_TEXTS, np.log(len(text) / np.maximum(texts, 1)), 0.0)
    value = count * weight[token] / np.sqrt(np.maximum(np.bincount(item, count, len(text)), 1))[item]
    scale = np.sqrt(len(text) / max(np.square(value).sum(), 1e-12))
    rows = np.r_[item, np.arange(len(text))]
    columns = np.r_[token, np.full(len(text), tokens)]
    values = np.r_[value * scale, np.full(len(text), _CONSTANT**0.5)]
    matrix = torch.sparse_coo_tensor(np.stack([rows, columns]), torch.from_numpy(values).float(), (len(text), tokens + 1)).coalesce()
    return matrix, torch.from_numpy(weight * scale).float()


class _Ridge:
    """The map W [V, width] with the least `sum_i |wanted_i - words_i W|^2 / variance_i + |W|^2`.

    By conjugate gradients on its dual, `(words wordsᵀ + variance) a = wanted`, `W = wordsᵀ a`, all columns at once: neither a matrix of all items nor one of all words is made.
    """

    _TOLERANCE = 1e-3
    _MOST_STEPS = 1000

    def __init__(self, words: Tensor, wanted: Tensor, progress: Progress | None = None):
        """words, sparse [I, V]; wanted [I, width]"""
        self._words, self._transposed, self._wanted, self._progress = words, words.t().coalesce(), wanted, progress

    def solve(self, variance: Tensor) -> Tensor:
        """variance [I] -> W [V, width]. ArithmeticError where it does not converge, as for variances near 0."""
        inverse = 1 / (1 + _CONSTANT + variance).unsqueeze(1)  # a text's own product is 1 on average
        solution, residual = torch.zeros_like(self._wanted), self._wanted.clone()
        direction = inverse * residual
        size = (residual * direction).sum(0)
        enough = self._TOLERANCE**2 * size
        step = 0
        while bool((size > enough).any()):
            if step == self._MOST_STEPS:
                raise ArithmeticError(f"the regression of ID vectors on words did not converge in {step} steps; raise `own` or `a_row`")
            moved = torch.sparse.mm(self._words, torch.sparse.mm(self._transposed, direction)) + variance.unsqueeze(1) * direction
            length = size / (direction * moved).sum(0).clamp(min=1e-30)
            solution += length * direction
            residual -= length * moved
            scaled = inverse * residual
            before, size = size, (residual * scaled).sum(0)
            direction = scaled + size / before.clamp(min=1e-30) * direction
            step += 1
            if self._progress is not None:
                self._progress.update(step, self._MOST_STEPS)
        return torch.sparse.mm(self._transposed, solution)


# Around a click model


class WithPrediction(nn.Module):
    """An item encoder whose representation begins with the predicted ID vector."""

    def __init__(self, encoder: nn.Module, predicted: int):
        """`predicted`: width of the ID vectors that the model was trained with."""
        super().__init__()
        self.encoder, self.width = encoder, predicted + encoder.width

    def forward(self, predicted: Tensor, **inputs: Tensor | None) -> Tensor:
        """predicted [B, dId], and what the encoder reads -> [B, width]."""
        return torch.cat([predicted, self.encoder(**inputs)], 1) if self.encoder.width else predicted


class UserEncoderWithPrediction(nn.Module):
    """A user encoder that reads events of ID vector ‖ how far it is known ‖ predicted ID vector ‖ representation."""

    def __init__(self, encoder: nn.Module, item_id: int):
        super().__init__()
        self.encoder, self._item_id = encoder, item_id
        self.user_state, self.history_state = encoder.user_state, encoder.history_state

    def forward(self, user_embedding: Tensor, history: Tensor, **others: Tensor | None) -> tuple[Tensor, Tensor]:
        """Shapes of the bundle contract -> user_state [B, S], history_state [B, L, H]."""
        return self.encoder(user_embedding=user_embedding, history=_filled_up(history, self._item_id), **others)


class RankerWithPrediction(CalibratedRanker):
    """A ranker that reads rows of ID vector ‖ how far it is known ‖ predicted ID vector ‖ representation ‖ statistics."""

    def __init__(self, ranker: nn.Module, item_id: int):
        super().__init__()
        self.ranker, self._item_id = ranker, item_id
        self.event, self.calibration = ranker.event + 1 + item_id, ranker.calibration
        self.cuts = (item_id, item_id + 1, 2 * item_id + 1)

    def logits(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        """`CalibratedRanker.logits`."""
        return self.ranker.logits(user_state, history_state, _filled_up(item, self._item_id), context)

    def logits_of_request(
        self, user_state: Tensor, history_state: Tensor, event: list[Tensor], statistics: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """`CalibratedRanker.logits_of_request`."""
        vector, how_far, predicted, *others = event
        return self.ranker.logits_of_request(user_state, history_state, [vector + (1 - bounded(how_far)) * predicted, *others], statistics, context)


def known(event: Tensor, at: int) -> Tensor:
    """How far the items of events [B, M, …] are known, their element `at` -> [B, M, 1]."""
    return bounded(event[:, :, at : at + 1])


def bounded(how_far: Tensor) -> Tensor:
    """How far items are known, as the ID table says: what goes on learning may take it out of its bounds."""
    return how_far.clamp(0.0, 1.0)


def _filled_up(event: Tensor, item_id: int) -> Tensor:
    """[B, M, ID vector ‖ known ‖ prediction ‖ …] -> [B, M, ID vector ‖ …]"""
    predicted = event[:, :, item_id + 1 : 2 * item_id + 1]
    return torch.cat([event[:, :, :item_id] + (1 - known(event, item_id)) * predicted, event[:, :, 2 * item_id + 1 :]], 2)


@torch.no_grad()
def add_to(model: ClickModel, examples: Examples, config: Config, seed: int, progress: Progress | None = None) -> IdPrior | None:
    """Gives a trained click model, in place, how far each item is known, and the predicted vectors of all items as the input `predicted` of its item encoder.

    None, and no change, where fewer than `_FOLDS` items with words are known.
    """
    features, row = examples.features, examples.item_row.numpy()
    rows = np.bincount(features.item[features.rows(0)], minlength=len(row))
    text = features.items.text
    taught = np.flatnonzero((row > 0) & (rows > 0) & (text >= FIRST_MERGE).any(1))
    if len(taught) < _FOLDS:
        return None
    begin(progress, "ID vectors from words")
    vectors = model.item_table.embedding
    width = vectors.shape[1]
    prior = IdPrior(features.schema.text_size, width)
    prior.fit(text[taught], vectors[row[taught]] - vectors[0], rows[taught], config, seed, progress)
    how_far = torch.zeros(len(vectors), 1)
    how_far[row[row > 0]] = torch.from_numpy(rows[row > 0] / (rows[row > 0] + config.strength)).float().unsqueeze(1)
    table = IdTable(len(vectors) - 1, width + 1, model.item_table.dropout)
    table.embedding.copy_(torch.cat([vectors, how_far], 1))
    model.item_table = table
    model.item_encoder = WithPrediction(model.item_encoder, width)
    model.user_encoder = UserEncoderWithPrediction(model.user_encoder, width)
    model.ranker = RankerWithPrediction(model.ranker, width)
    model.inputs["predicted"] = predictions(prior, text)
    return prior
