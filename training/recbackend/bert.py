"""A BERT in Hugging Face's layout (Devlin et al., arXiv 1810.04805): a folder of `config.json`, `vocab.txt` and `model.safetensors`, read as a text encoder and its tokenizer.

It is for those who have a larger text encoder than a catalogue alone can teach (`ctrl`, setting `text_encoder`). The library `transformers` is not needed: training asks for torch, onnx, numpy and PIL and nothing
more, all of them Debian packages, and a BERT is PyTorch's own encoder layers, a table of tensor names, and the tokenizer below.
"""

from __future__ import annotations

import dataclasses
import json
import string
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import safetensors
from .data import DataError

_CONFIG, _VOCABULARY, _WEIGHTS, _TOKENIZER = "config.json", "vocab.txt", "model.safetensors", "tokenizer_config.json"
# What decides the arithmetic, and the tokens, here. Of a file that says otherwise, the encoder would compute something, and something wrong.
_EXPECTED = {"model_type": ("bert",), "hidden_act": ("gelu",), "position_embedding_type": ("absolute",)}
_EXPECTED_TOKENIZER = {
    "tokenizer_class": ("BertTokenizer", "BertTokenizerFast"), "tokenize_chinese_chars": (True,), "do_basic_tokenize": (True,), "word_tokenizer_type": ("basic",),
}  # fmt: skip
_LONGEST_WORD = 100
_CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


# Tokens


class WordPiece:
    """BERT's tokenizer: words, as `words` splits them, in the longest pieces that the vocabulary has; a piece that goes on with a word begins with ##."""

    def __init__(self, vocabulary: list[str], lower_case: bool = True, strip_accents: bool | None = None):
        """`strip_accents`: None = where `lower_case` is set. ValueError for a vocabulary without the tokens that every text needs."""
        self._ids = {word: id for id, word in enumerate(vocabulary)}
        self._lower_case, self._strip_accents = lower_case, lower_case if strip_accents is None else strip_accents
        missing = [name for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if name not in self._ids]
        if missing:
            raise ValueError(f"has no {missing[0]}")
        self.padding, self._unknown = self._ids["[PAD]"], self._ids["[UNK]"]
        self.first, self.last = [self._ids["[CLS]"]], [self._ids["[SEP]"]]
        """What stands before and after a text."""
        self._pieces: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """The ids of one text, not cut, without `first` and `last`."""
        ids: list[int] = []
        for word in words(text, self._lower_case, self._strip_accents):
            known = self._pieces.get(word)
            if known is None:
                known = self._pieces[word] = self._pieces_of(word)
            ids.extend(known)
        return ids

    def _pieces_of(self, word: str) -> list[int]:
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        ids: list[int] = []
        begin = 0
        while begin < len(word):
            before = "##" if begin else ""
            end = next((end for end in range(len(word), begin, -1) if before + word[begin:end] in self._ids), None)
            if end is None:  # one piece that is not in the vocabulary makes the whole word unknown
                return [self._unknown]
            ids.append(self._ids[before + word[begin:end]])
            begin = end
        return ids


def words(text: str, lower_case: bool, strip_accents: bool) -> list[str]:
    """Splits at white space; punctuation marks and CJK characters are words of their own. Control characters are dropped."""
    text = "".join(f" {one} " if _is_cjk(one) else one for one in text if not _is_control(one))
    text = unicodedata.normalize("NFC", text)
    if lower_case:
        text = text.lower()
    if strip_accents:
        text = "".join(one for one in unicodedata.normalize("NFD", text) if unicodedata.category(one) != "Mn")
    return "".join(f" {one} " if _is_punctuation(one) else one for one in text).split()


def _is_control(one: str) -> bool:
    return one not in "\t\n\r" and (one == "\ufffd" or unicodedata.category(one).startswith("C"))


def _is_cjk(one: str) -> bool:
    return any(first <= ord(one) <= last for first, last in _CJK)


def _is_punctuation(one: str) -> bool:
    # BERT counts all marks of ASCII, also those that Unicode has among the symbols, such as $.
    return one in string.punctuation or unicodedata.category(one).startswith("P")


# The encoder


@dataclass(frozen=True)
class Shape:
    """What `config.json` says of the encoder, by the file's names."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12


class Bert(nn.Module):
    """A transformer over tokens, normalised after each of its parts; a text is the mean of its last states. Like `ctrl`'s own encoder, it is trained without dropout."""

    def __init__(self, shape: Shape, tokenizer: WordPiece):
        super().__init__()
        self.tokenizer, self.width = tokenizer, shape.hidden_size
        self.token = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.position = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.segment = nn.Embedding(shape.type_vocab_size, shape.hidden_size)
        self.norm = nn.LayerNorm(shape.hidden_size, shape.layer_norm_eps)
        layer = nn.TransformerEncoderLayer(
            shape.hidden_size, shape.num_attention_heads, shape.intermediate_size, dropout=0.0, activation="gelu", layer_norm_eps=shape.layer_norm_eps, batch_first=True, norm_first=False
        )
        self.body = nn.TransformerEncoder(layer, shape.num_hidden_layers, enable_nested_tensor=False)

    def states(self, text: Tensor) -> Tensor:
        """Token ids [B, T] -> [B, T, width]. All of a text is of the first segment: no second one follows."""
        x = self.norm(self.token(text) + self.position.weight[: text.shape[1]] + self.segment.weight[0])
        return self.body(x, src_key_padding_mask=text == self.tokenizer.padding)

    def forward(self, text: Tensor) -> Tensor:
        """Token ids [B, T], each text with `first` before it -> [B, width]"""
        present = (text != self.tokenizer.padding).to(torch.float32).unsqueeze(2)
        return (self.states(text) * present).sum(1) / present.sum(1)


# Files


def check(folder: Path, length: int) -> None:
    """All but the weights. DataError for a folder that holds no BERT, or one that cannot read `length` tokens."""
    shape, _ = _described(folder)
    if length > shape.max_position_embeddings:
        raise DataError(folder, None, f"reads {shape.max_position_embeddings} tokens, and sentences have up to {length}")


def read(folder: Path) -> Bert:
    """The encoder as it was pre-trained. DataError for a folder that holds no BERT."""
    model = Bert(*_described(folder))
    path = folder / _WEIGHTS
    try:
        tensors = {_name(name): tensor for name, tensor in safetensors.read(path).items()}
    except ValueError as error:
        raise DataError(path, None, str(error).removeprefix(f"{path}: ")) from None
    for name, own in model.state_dict().items():
        sources = _sources(name)
        expected = [own.shape[0] // len(sources), *own.shape[1:]]
        for source in sources:
            if source not in tensors:
                raise DataError(path, None, f"has no tensor {source!r}")
            if list(tensors[source].shape) != expected:
                raise DataError(path, None, f"tensor {source!r} is of shape {list(tensors[source].shape)}; {_CONFIG} asks for {expected}")
        own.copy_(torch.cat([torch.from_numpy(tensors[source].astype("f4")) for source in sources]))
    return model


def _name(name: str) -> str:
    """A tensor's name in a `BertModel`. In files of models with a head it has a prefix, and in old ones norms have TensorFlow's names."""
    return name.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


_EMBEDDINGS = {"token": "word_embeddings", "position": "position_embeddings", "segment": "token_type_embeddings", "norm": "LayerNorm"}
_LAYER = {
    "self_attn.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm", "linear1": "intermediate.dense", "linear2": "output.dense", "norm2": "output.LayerNorm",
}  # fmt: skip


def _sources(name: str) -> list[str]:
    """The tensors of a `BertModel` that one after the other are the parameter `name` of `Bert`."""
    if not name.startswith("body.layers."):
        part, kind = name.split(".")
        return [f"embeddings.{_EMBEDDINGS[part]}.{kind}"]
    layer, part = name.removeprefix("body.layers.").split(".", 1)
    if part.startswith("self_attn.in_proj_"):
        kind = part.removeprefix("self_attn.in_proj_")
        return [f"encoder.layer.{layer}.attention.self.{one}.{kind}" for one in ("query", "key", "value")]
    part, kind = part.rsplit(".", 1)
    return [f"encoder.layer.{layer}.{_LAYER[part]}.{kind}"]


def _described(folder: Path) -> tuple[Shape, WordPiece]:
    for name in (_CONFIG, _VOCABULARY, _WEIGHTS):
        if not (folder / name).is_file():
            raise DataError(folder, None, f"is no folder of a BERT in Hugging Face's layout: it has no {name}")
    shape = _shape(folder / _CONFIG)
    options = _json(folder / _TOKENIZER) if (folder / _TOKENIZER).is_file() else {}
    _expect(folder / _TOKENIZER, options, _EXPECTED_TOKENIZER)
    path = folder / _VOCABULARY
    try:
        # Not splitlines: a token may be a line separator of Unicode.
        vocabulary = path.read_text("utf-8").removesuffix("\n").split("\n")
        tokenizer = WordPiece(vocabulary, options.get("do_lower_case", True), options.get("strip_accents"))
    except ValueError as error:
        raise DataError(path, None, str(error)) from None
    # Fewer are in order: some models have more vectors than tokens, for a number that suits their hardware.
    if len(vocabulary) > shape.vocab_size:
        raise DataError(path, None, f"has {len(vocabulary)} tokens, and {_CONFIG} says vocab_size {shape.vocab_size}")
    return shape, tokenizer


def _shape(path: Path) -> Shape:
    document = _json(path)
    _expect(path, document, _EXPECTED)
    fields = dataclasses.fields(Shape)
    missing = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in document]
    if missing:
        raise DataError(path, None, f"has no {missing[0]}")
    shape = Shape(**{field.name: document[field.name] for field in fields if field.name in document})
    for name, value in dataclasses.asdict(shape).items():
        if type(value) is not int and (name, type(value)) != ("layer_norm_eps", float) or value <= 0:
            raise DataError(path, None, f"{name} is {value!r}; a number above 0 is needed")
    if shape.hidden_size % shape.num_attention_heads:
        raise DataError(path, None, f"hidden_size {shape.hidden_size} is no multiple of num_attention_heads {shape.num_attention_heads}")
    return shape


def _expect(path: Path, document: dict[str, Any], expected: dict[str, tuple]) -> None:
    """DataError for a key that is there and has none of the values that can be read."""
    for key, values in expected.items():
        if document.get(key, values[0]) not in values:
            raise DataError(path, None, f"{key} is {document[key]!r}; only {' or '.join(repr(value) for value in values)} can be read")


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(path, None, f"is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise DataError(path, None, "is no JSON object")
    return document
