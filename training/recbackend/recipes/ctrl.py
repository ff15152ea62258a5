"""`ctrl`: tabular and textual views of a row, aligned (CTRL, arXiv 2306.02841).

0. The text encoder: a small transformer of this module's own, pre-trained on the catalogue's text by masked words; or a BERT that the user has (`text_encoder`), which is pre-trained already.
1. Alignment: each training row is also a sentence, "This is a user, gender is F, age is 25, who has recently liked Toy Story | Heat. This is an item, title is Casino, ...". The text encoder reads the sentence
   (mean of its last states), the collaborative model the row as it is, and each must find the other in the batch: symmetric InfoNCE over a similarity that sums, over the sub-spaces of one vector, the best match
   among the sub-spaces of the other (MaxSim). Both models are trained.
2. Fine-tuning: the text encoder is dropped; the collaborative model gets a new last layer and is trained alone, as `id` is. Nothing of text is in the bundle.

The collaborative model is `id`'s, so that the two differ by stages 0 and 1 alone. With `shuffled_text` each item's sentence is another item's, always the same: the control that tells what sentences mean from
what more training does. training/README.md says what was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import bert
from ..data import Item, UnfitData
from ..features import Features
from ..tokenizer import Tokenizer
from ..train import ClickModel, Examples, Fit, Progress, Schedule, TrainedModel, begin, fit, train_on_clicks
from . import id as id_recipe

_PADDING, _MASK, _SEPARATOR = 0, 1, 2  # token ids, docs/bundle-format.md section 3; 1 is unused there

# Text is read in training alone: the item encoder has the other two.
READS = ("text", "categories", "attributes")


@dataclass(frozen=True)
class Config(id_recipe.Config):
    """The settings of `id`, and those of what comes before it."""

    text_encoder: str | None = None
    """Folder of a BERT in Hugging Face's layout (`bert.py`), in place of the own text encoder and its pre-training."""
    text_encoder_rate: float = 0.02
    """Learning rate of that BERT, as a share of alignment's: at the whole of it, what it was pre-trained for would be gone in some steps. The own encoder learns at the whole."""
    text_width: int = 64
    text_layers: int = 2
    text_heads: int = 2
    sentence: int = 64
    """Tokens of a row's sentence; what is longer is cut, its user's side first."""
    recent: int = 3
    """Titles of the history in a sentence."""
    masked_share: float = 0.15
    aligned: int = 128
    """Width of the space in which both are compared."""
    spaces: int = 4
    temperature: float = 0.7
    aligned_rows: int = 50_000
    """Rows of the training part that alignment sees, at most; a random choice."""
    shuffled_text: bool = False
    text_length: int = 64
    text_vocabulary: int = 6000
    words: Schedule = Schedule(epochs=3, batch=64, learning_rate=2e-3, final_learning_rate=0.05)
    alignment: Schedule = Schedule(epochs=1, batch=512, least_steps=50, learning_rate=1e-3, final_learning_rate=0.05)

    def check(self) -> None:
        """DataError for a folder that holds no BERT."""
        if self.text_encoder is not None:
            bert.check(Path(self.text_encoder), self.sentence)


# Sentences


class Sentences:
    """Rows as token ids of a sentence: what is known of the row at its moment, and nothing of its label."""

    def __init__(self, features: Features, config: Config, seed: int, tokenizer: Tokenizer | bert.WordPiece):
        """`tokenizer`: that of the encoder which reads the sentences."""
        self._features, self._config = features, config
        self._padding = tokenizer.padding
        contents = features.contents
        if config.shuffled_text:
            contents = [contents[place] for place in derangement(len(contents), np.random.default_rng(seed))]
        self._titles = [tokenizer.encode(item.title or "unknown")[:8] for item in contents]
        self._items = [tokenizer.encode(".") + tokenizer.encode(item_sentence(item))[: config.sentence * 2 // 3] + tokenizer.last for item in contents]
        values = [[one.values[id - 2] if id >= 2 else None for one, id in zip(features.schema.profile, line)] for line in features.profile]
        names = [one.name for one in features.schema.profile]
        cache: dict[str, list[int]] = {}
        self._users = [cache.setdefault(text, tokenizer.first + tokenizer.encode(text)) for text in (user_sentence(names, line) for line in values)]
        self._liked, self._bar = tokenizer.encode(", who has recently liked"), tokenizer.encode("|")

    def of(self, rows: np.ndarray) -> Tensor:
        """Rows [B] -> token ids [B, sentence], filled with padding."""
        config, features = self._config, self._features
        history = features.history(rows, config.recent)
        result = np.full((len(rows), config.sentence), self._padding, np.int64)
        for line, (row, items, count) in enumerate(zip(rows, history.items, history.mask.sum(1).astype(int))):
            user = list(self._users[features.user[row]])
            for place, item in enumerate(items[:count]):
                user += (self._bar if place else self._liked) + self._titles[item]
            item = self._items[features.item[row]]
            ids = user[: config.sentence - len(item)] + item
            result[line, : len(ids)] = ids[: config.sentence]
        return torch.from_numpy(result)


def user_sentence(names: list[str], values: list[str | None]) -> str:
    """Field names are kept: without them, the paper's variants of the prompt do worse."""
    return ", ".join(["This is a user", *(f"{name} is {value}" for name, value in zip(names, values) if value is not None)])


def item_sentence(item: Item) -> str:
    """Content of an item; what it lacks is left out."""
    parts = ["This is an item"]
    if item.title:
        parts.append(f"title is {item.title}")
    if item.categories:
        parts.append(f"category is {'|'.join(item.categories)}")
    parts += [f"{name} is {value}" for name, value in sorted(item.attributes.items())]
    if item.tags:
        parts.append(f"tags are {'|'.join(item.tags)}")
    if item.text:
        parts.append(f"text is {item.text}")
    return ", ".join(parts) + "."


def derangement(count: int, random: np.random.Generator) -> np.ndarray:
    """A random order in which nothing stays at its place (one cycle through all)."""
    cycle = random.permutation(count)
    order = np.empty(count, np.int64)
    order[cycle] = np.roll(cycle, 1)
    return order


# Stage 0


class TextEncoder(nn.Module):
    """A transformer over tokens; a text is the mean of its last states. It is never exported."""

    def __init__(self, tokenizer: Tokenizer, width: int, layers: int, heads: int, length: int):
        super().__init__()
        self.tokenizer, self.width = tokenizer, width
        self.token = nn.Embedding(tokenizer.size, width, padding_idx=_PADDING)
        nn.init.normal_(self.token.weight, std=0.1)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width))

    def states(self, text: Tensor) -> Tensor:
        """Token ids [B, T] -> [B, T, width]"""
        x = self.token(text) + self.position[: text.shape[1]]
        # A text that is all padding has nothing to attend to; its first place stands for it, and counts for nothing in the mean.
        padding = text == _PADDING
        padding = torch.cat([torch.zeros_like(padding[:, :1]), padding[:, 1:]], 1)
        return self.body(x, src_key_padding_mask=padding)

    def forward(self, text: Tensor) -> Tensor:
        """Token ids [B, T] -> [B, width]"""
        present = (text != _PADDING).to(torch.float32).unsqueeze(2)
        return (self.states(text) * present).sum(1) / present.sum(1).clamp(min=1.0)


class MaskedWords(nn.Module):
    """Stage 0: tokens that were replaced by a mask are predicted, by products with the token vectors."""

    def __init__(self, encoder: TextEncoder, text: Tensor, share: float):
        """text [I, T]"""
        super().__init__()
        self.encoder = encoder
        self.bias = nn.Parameter(torch.zeros(encoder.token.num_embeddings))
        self._text, self._share = text, share

    def loss(self, items: Tensor) -> Tensor:
        """Places of items [B] -> mean log loss of the hidden tokens."""
        text = self._text[items]
        text = text[:, : int((text > _PADDING).any(0).sum().clamp(min=1))]
        words = text > _SEPARATOR
        hide = words & (torch.rand(text.shape) < self._share)
        hide[:, 0] |= words[:, 0] & ~hide.any(1)
        if not hide.any():
            return self.bias.sum() * 0
        states = self.encoder.states(torch.where(hide, _MASK, text))[hide]
        return functional.cross_entropy(states @ self.encoder.token.weight.t() + self.bias, text[hide])


def pretrain_text(features: Features, config: Config, seed: int, progress: Progress | None = None) -> tuple[TextEncoder, Fit]:
    torch.manual_seed(seed)
    encoder = TextEncoder(features.schema.tokenizer, config.text_width, config.text_layers, config.text_heads, max(config.sentence, features.schema.text_length))
    text = torch.from_numpy(features.items.text)
    readable = np.flatnonzero(features.item_known & (features.items.text > _SEPARATOR).any(1))
    model = MaskedWords(encoder, text, config.masked_share)
    return encoder, fit(model, torch.from_numpy(readable), model.loss, config.words, seed, progress=progress)


def text_encoder(features: Features, config: Config, seed: int, progress: Progress | None = None) -> TextEncoder | bert.Bert:
    """What stage 1 begins with: the user's encoder if there is one, else that of stage 0."""
    return pretrain_text(features, config, seed, progress)[0] if config.text_encoder is None else bert.read(Path(config.text_encoder))


# Stage 1


class Alignment(nn.Module):
    """Stage 1: row and sentence find each other."""

    def __init__(self, model: ClickModel, encoder: TextEncoder | bert.Bert, sentences: Sentences, examples: Examples, config: Config):
        super().__init__()
        self.model, self.encoder, self.spaces, self.temperature = model, encoder, config.spaces, config.temperature
        self._sentences, self._examples = sentences, examples
        ranker = model.ranker
        self.of_row = nn.Sequential(nn.Linear(ranker.deep[-1].in_features + ranker.cross_score.in_features, config.aligned), nn.Linear(config.aligned, config.aligned))
        self.of_text = nn.Sequential(nn.Linear(encoder.width, config.aligned), nn.Linear(config.aligned, config.aligned))

    def loss(self, rows: Tensor) -> Tensor:
        """Rows of the training part [B] -> InfoNCE of both directions."""
        similarity = self.similarity(self.rows(rows), self.texts(rows)) / self.temperature
        own = torch.arange(len(rows))
        return 0.5 * (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.t(), own))

    def rows(self, rows: Tensor) -> Tensor:
        """[B] -> sub-spaces of what the collaborative model makes of the rows, [B, spaces, aligned / spaces], each of length 1."""
        inputs = self.model.ranker_inputs(self._examples.batch(rows.unsqueeze(1)))
        return self._sub_spaces(self.of_row(torch.cat(self.model.ranker.interactions(*inputs), 1)))

    def texts(self, rows: Tensor) -> Tensor:
        """The same of their sentences."""
        return self._sub_spaces(self.of_text(self.encoder(self._sentences.of(rows.numpy()))))

    def _sub_spaces(self, vectors: Tensor) -> Tensor:
        return functional.normalize(vectors.reshape(len(vectors), self.spaces, -1), dim=2)

    @staticmethod
    def similarity(rows: Tensor, texts: Tensor) -> Tensor:
        """[B, M, d], [C, M, d] -> [B, C]: over the sub-spaces of a row, the sum of the best match among those of the text (ColBERT's MaxSim)."""
        product = rows.flatten(0, 1) @ texts.flatten(0, 1).t()
        return product.reshape(len(rows), rows.shape[1], len(texts), texts.shape[1]).max(3).values.sum(1)


def align(features: Features, config: Config, encoder: TextEncoder | bert.Bert, seed: int, progress: Progress | None = None) -> tuple[ClickModel, Fit]:
    """Stage 1: the aligned collaborative model."""
    model = id_recipe.build(features, config, seed)
    sentences = Sentences(features, config, seed, encoder.tokenizer)
    rows = features.rows(0)
    if len(rows) > config.aligned_rows:
        rows = np.sort(np.random.default_rng(seed).choice(rows, config.aligned_rows, replace=False))
    alignment = Alignment(model, encoder, sentences, Examples.of(features), config)
    rate = 1.0 if config.text_encoder is None else config.text_encoder_rate
    return model, fit(alignment, torch.from_numpy(rows), alignment.loss, config.alignment, seed, progress=progress, rates={one: rate for one in encoder.parameters()})


@torch.no_grad()
def new_head(model: ClickModel) -> None:
    """What turns the collaborative model's last layers into a score starts anew: alignment never trained it."""
    for layer in (model.ranker.deep[-1], model.ranker.cross_score):
        layer.reset_parameters()


def train(features: Features, config: Config, seed: int, progress: Progress | None = None) -> TrainedModel:
    """All stages; the last stops on the validation part's AUC."""
    if not features.schema.text_size:
        raise UnfitData("ctrl needs items with text, and reads none here; train the id recipe")
    if not (features.schema.categories or features.schema.attributes):
        raise UnfitData("ctrl's click model reads categories and attributes of items, and here are neither; train ppm, mim or unified")
    begin(progress, "ctrl 1/3 words")
    encoder = text_encoder(features, config, seed, progress)
    begin(progress, "ctrl 2/3 alignment")
    model, _ = align(features, config, encoder, seed, progress)
    begin(progress, "ctrl 3/3 clicks")
    new_head(model)
    return train_on_clicks("ctrl", model, features, config, seed, progress)
