"""Writes small data folders in the neutral form, and a made-up MovieLens-1M to convert."""

import gzip
import json
from pathlib import Path

import numpy as np

from recbackend import safetensors
from recbackend.data import Dataset, Item

HEADER = "user,item,timestamp,label\n"


def write_folder(folder: Path, items: list | None = None, events: str | None = None, users: list | None = None, split: object = None) -> Path:
    """A valid folder of 3 items and 20 events, but for the parts that are given. Items and users may be raw lines."""
    folder.mkdir(exist_ok=True)
    items = [{"id": "a"}, {"id": "b"}, {"id": "c"}] if items is None else items
    if events is None:
        events = HEADER + "".join(f"u{n % 4},{'abc'[n % 3]},{1000 + n},{n % 2}\n" for n in range(20))
    _write_lines(folder / "items.jsonl", items)
    (folder / "events.csv").write_bytes(events.encode("utf-8", "surrogateescape"))
    if users is not None:
        _write_lines(folder / "users.jsonl", users)
    if split is not None:
        (folder / "split.json").write_text(split if isinstance(split, str) else json.dumps(split), "utf-8")
    return folder


def _write_lines(path: Path, entries: list) -> None:
    lines = [entry if isinstance(entry, bytes) else json.dumps(entry).encode() for entry in entries]
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def random_dataset(seed: int, rows: int = 400, users: int = 12, items: int = 15, held_out: int = 0) -> Dataset:
    """Events in random order of users and items with many equal times; the first three fifths are the training part."""
    random = np.random.default_rng(seed)
    split = np.zeros(rows, np.uint8)
    split[rows * 3 // 5 :] = 1
    split[rows * 4 // 5 :] = 2
    genres = ["x", "y", "z"]
    return Dataset(
        folder=Path("."),
        items=[
            Item(f"i{n}", title=f"title {n}", text="some words " * (n % 3), categories=tuple(genres[: n % 4]), attributes={"year": str(n // 4)})
            for n in range(items)
        ],
        user_ids=[f"u{n}" for n in range(users)],
        profiles=[{"age": str(n % 3)} for n in range(users)],
        user=random.integers(0, users, rows).astype(np.int32),
        item=random.integers(0, items, rows).astype(np.int32),
        timestamp=1.6e9 + np.cumsum(random.choice([0, 0, 0.5, 30, 5000, 90_000], rows)),
        label=random.integers(0, 2, rows).astype(np.uint8),
        split=split,
        held_out_items=frozenset(f"i{n}" for n in range(held_out)),
        fingerprint="random",
    )


def write_movielens_1m(folder: Path, seed: int = 0, old: int = 8, new: int = 4, rare: int = 2, users: int = 30) -> Path:
    """A source of `convert.movielens_1m`: `old` items of 210 rows, `new` ones of 80 and `rare` ones of 10, before, between and after the dates of protocol A. Clicks follow item and user."""
    random = np.random.default_rng(seed)
    folder.mkdir()
    counts = [210] * old + [80] * new + [10] * rare
    item = random.permutation(np.repeat(np.arange(len(counts)), counts))
    user = random.integers(0, users, len(item))
    like = random.normal(size=len(counts))[item] + random.normal(size=users)[user]
    label = (like + random.logistic(size=len(item)) > 0).astype(int)
    time = np.linspace(975_000_000, 979_000_000, len(item)).astype(int)
    lines = [f"{u + 1},{i + 101},{l},{t}\n" for u, i, l, t in zip(user, item, label, time)]
    (folder / "ratings.csv.gz").write_bytes(gzip.compress(("user_id,movie_id,label,timestamp\n" + "".join(lines)).encode()))
    genres = ["Comedy", "Drama", "War"]
    words = ["harbour", "winter", "captain", "letter", "violin", "desert"]
    movies = [
        {"movie_id": n + 101, "title": f"Film {n} (19{50 + n})", "year": 1950 + n, "genres": [genres[n % 3]], "plot_short": " ".join(random.choice(words, 20))}
        for n in range(len(counts))
    ]
    _write_lines(folder / "content.jsonl", movies)
    (folder / "users.dat").write_text("".join(f"{n + 1}::{'FM'[n % 2]}::{18 + n % 3}::{n % 4}::12345\n" for n in range(users)))
    (folder / "poster_ids.txt").write_text("".join(f"{movie['movie_id']}\n" for movie in movies[:-1]))
    np.save(folder / "poster_mobilenetv2_pca128_f32.npy", random.normal(size=(len(movies) - 1, 128)).astype(np.float32))
    return folder


BERT = {
    "model_type": "bert", "hidden_act": "gelu", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24, "max_position_embeddings": 48,
    "type_vocab_size": 2, "layer_norm_eps": 1e-3, "vocab_size": 40,
}  # fmt: skip
BERT_WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", *"this is a an item user title text are and has recently liked war love gun song fight dance army kiss age year category".split(),
    ",", ".", "|", *(f"##{one}" for one in "abcdefg"), "i", "u",
]  # fmt: skip


def write_bert(folder: Path, vocabulary: list[str] | None = None, prefix: str = "", old: bool = False, dtype: type = np.float32, seed: int = 1) -> dict[str, np.ndarray]:
    """A tiny BERT of random weights as Hugging Face's library writes one, with tensors that are not of the encoder. Returns the encoder's, by their names in a `BertModel`.
    `old`: names of norms as in models that came from TensorFlow."""
    random = np.random.default_rng(seed)
    width, inner = BERT["hidden_size"], BERT["intermediate_size"]
    vocabulary = BERT_WORDS if vocabulary is None else vocabulary
    shapes = {
        "embeddings.word_embeddings.weight": (len(vocabulary), width),
        "embeddings.position_embeddings.weight": (BERT["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (BERT["type_vocab_size"], width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    for layer in range(BERT["num_hidden_layers"]):
        parts = {f"attention.self.{one}": (width, width) for one in ("query", "key", "value")} | {"attention.output.dense": (width, width)}
        parts |= {"intermediate.dense": (inner, width), "output.dense": (width, inner), "attention.output.LayerNorm": (width,), "output.LayerNorm": (width,)}
        for name, shape in parts.items():
            shapes |= {f"encoder.layer.{layer}.{name}.weight": shape, f"encoder.layer.{layer}.{name}.bias": shape[:1]}
    tensors = {name: (random.normal(size=shape) * 0.4 + name.endswith("LayerNorm.weight")).astype(np.float32) for name, shape in shapes.items()}
    written = {prefix + name: tensor.astype(dtype) for name, tensor in tensors.items()}
    if old:
        written = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor for name, tensor in written.items()}
    others = {f"{prefix}embeddings.position_ids": np.arange(3).reshape(1, 3), f"{prefix}pooler.dense.bias": np.zeros(width, dtype), "cls.predictions.bias": np.zeros(3, dtype)}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(BERT | {"vocab_size": len(vocabulary), "architectures": ["BertModel"], "pad_token_id": 0}))
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary), "utf-8")
    safetensors.write(folder / "model.safetensors", written | others)
    return tensors
