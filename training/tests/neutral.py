"""Writes small data folders in the neutral form, and a made-up MovieLens-1M to convert."""

import gzip
import json
from pathlib import Path

import numpy as np

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
