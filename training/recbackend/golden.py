"""Rewrites tests/golden: vectors that the C# code must reproduce, a tiny bundle with its data, and a small bundle of every recipe.

Everything is generated from fixed seeds. The tiny bundle's weights are random: it exercises every part of the format, not a recipe. Those of the recipes' bundles (`golden_recipes`) are too.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from . import data, export, golden_recipes, images, safetensors
from .data import Dataset
from .features import Features, FeatureOptions, Schema, Statistic, compute, fit, statistic
from .images import ImageSpec
from .tokenizer import Tokenizer
from .train import TrainedModel

_CREATED = datetime.datetime(2026, 11, 22, tzinfo=datetime.timezone.utc)
_DAY = 86400


def write(folder: Path) -> None:
    """Writes all golden files below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "tokenizer.json", tokenizer_vectors())
    _write_json(folder / "features.json", feature_vectors())
    write_images(folder / "images")
    write_tiny_data(folder / "tiny-data")
    write_tiny_bundle(folder / "tiny-data", folder / "tiny-bundle")
    golden_recipes.write(folder / "tiny-data", folder / "recipes", _CREATED)


def _write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("},{", "},\n{") + "\n", "utf-8")


# Text

_SAMPLES = {
    "latin": "The quick brown fox jumps over the lazy dog; Ünïcödé ÄÖÜ straße naïve façade, Łódź 1999-2001 (it's 3.14!)",
    "cjk": "千と千尋の神隠し 霸王别姬 기생충 재미있는 영화 東京物語 中文没有空格所以一个句子是一个词",
    "arabic": "مرحبا بالعالم فيلم جميل جدا ١٢٣ العربية",
    "hebrew": "שלום עולם סרט",
    "cyrillic": "Сталкер Тарковский фильм ЁЖ",
    "greek": "Ταξίδι στα Κύθηρα Ω ς",
    "hindi": "लगान हिन्दी चलचित्र क्षत्रिय",
    "thai": "ภาพยนตร์ไทย",
    "emoji": "😀🎬🍿👩‍👩‍👧‍👦🏳️‍🌈👍🏽❤️🇯🇵",
    "combining": "e\u0301 a\u0308 n\u0303 Z\u0351\u0343\u0352 \u1e9b\u0323 \u0130 \u212a \ufb01",
    "control": "a\x00b\x01c\td\ne\r\nf\x0bg\x1fh\x7fi\x85j\xa0k\u2028l\u200bm\ufeffn\ufffdo\uffffp",
    "marks": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ … — “quoted” ‘x’ «y»",
    "case": "ABCXYZ abcxyz AbC ÀÉÎ İI ıi ſ K Å ΑΒΓ",
    "beyond": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𓀀 \U0010ffff",
}


def tokenizer_vectors() -> dict:
    """A small merge table and texts with their ids; documents of several parts with length and ids."""
    tokenizer = Tokenizer.train(list(_SAMPLES.values()) * 2 + _plots(200), size=500)
    rng = random.Random(20)
    texts = ["", " ", "a", "A", "aa", "aaa", "aaaa aaaaa", "\n", "the" * 40, "😀" * 30, "好" * 50, "x" * 300, *_SAMPLES.values()]
    while len(texts) < 1000:
        pieces = []
        for _ in range(rng.randint(1, 4)):
            sample = rng.choice(list(_SAMPLES.values()))
            begin = rng.randrange(len(sample))
            piece = sample[begin : begin + rng.randint(1, 14)]
            pieces.append(rng.choice([piece, piece.upper(), piece[::-1]]))
        texts.append(rng.choice(["", " ", "-", "\u0301"]).join(pieces))
    documents = [["Title", "tag, other tag", "Some text of it."], ["", "", ""], ["only"], ["", "tags", ""], ["a", "", "b"], [" ", "a"], ["!", "\n", "!"], ["title " * 20, "tags", "text"]]
    return {
        "merges": tokenizer.merges,
        "texts": [{"text": text, "ids": tokenizer.encode(text)} for text in texts],
        "documents": [{"parts": parts, "length": 16, "ids": tokenizer.encode_parts(parts, 16)} for parts in documents],
    }


def _plots(count: int) -> list[str]:
    rng = random.Random(21)
    who = ["a young woman", "two brothers", "a retired detective", "an old sailor", "the last robot", "a family of foxes"]
    does = ["searches for", "falls in love with", "runs away from", "remembers", "is hunted by", "builds"]
    what = ["the lost city", "a stolen painting", "her father", "the perfect crime", "a haunted house", "the stars"]
    return [f"{rng.choice(who)} {rng.choice(does)} {rng.choice(what)} in {rng.choice(['Paris', 'Tokyo', 'space', 'the desert'])}." for _ in range(count)]


# Features


def feature_vectors() -> dict:
    """Statistics, context and intervals one by one, and a short stream of events with all features of every row."""
    rng = random.Random(22)
    single = []
    counters = [(0, 0), (1, 0), (1, 1), (2, 3), (20, 20), (1000, 480), (10**9, 10**8)]
    counters += [(rng.randint(1, 5000), rng.randint(0, 500)) for _ in range(20)]
    for impressions, clicks in counters:
        first_seen = rng.randint(0, 2 * 10**9)
        request = first_seen + rng.choice([0, -5 * _DAY, _DAY - 1, _DAY, 3 * _DAY + 7, 400 * _DAY + 0.5, rng.randint(0, 10**8)])
        days = max(0, (request - first_seen) // _DAY) if impressions else 0
        for one in (Statistic("impressions"), Statistic("click_rate", 0.48, 20.0), Statistic("click_rate", 0.031, 7.5), Statistic("age")):
            value = statistic(one, np.array([impressions]), np.array([clicks]), np.array([days]))[0]
            single.append(
                one.to_json()
                | {"impressions": impressions, "clicks": clicks, "first_seen": first_seen if impressions else None, "request": request, "value": _single(value)}
            )
    return {"tolerance": 1e-6, "statistics": single, "stream": _stream_vectors(rng)}


def _stream_vectors(rng: random.Random) -> dict:
    time, rows = 1_600_000_000.0, []
    for _ in range(120):
        time += rng.choice([0, 0.25, 1, 59, 3600, 40_000, 200_000])
        rows.append((f"u{rng.randrange(5)}", f"i{rng.randrange(9)}", time, int(rng.random() < 0.5)))
    users = list(dict.fromkeys(row[0] for row in rows))
    dataset = Dataset(
        folder=Path("."),
        items=[data.Item(f"i{n}") for n in range(9)],
        user_ids=users,
        profiles=[{} for _ in users],
        user=np.array([users.index(row[0]) for row in rows], np.int32),
        item=np.array([int(row[1][1:]) for row in rows], np.int32),
        timestamp=np.array([row[2] for row in rows]),
        label=np.array([row[3] for row in rows], np.uint8),
        split=np.zeros(len(rows), np.uint8),
        held_out_items=frozenset(),
        fingerprint="",
    )
    schema = Schema(
        history=6,
        prior=0.5,
        item_statistics=[Statistic("impressions"), Statistic("click_rate", 0.5, 20.0), Statistic("age")],
        user_statistics=[Statistic("impressions"), Statistic("click_rate", 0.5, 10.0)],
        context=["since_last_event", "hour_sin", "hour_cos"],
    )
    features = compute(dataset, schema)
    history = features.history(np.arange(len(rows)))
    expected = []
    for row, (user, item, timestamp, label) in enumerate(rows):
        count = int(history.mask[row].sum())
        expected.append(
            {
                "user": user,
                "item": item,
                "timestamp": timestamp,
                "label": label,
                "item_statistics": [_single(value) for value in features.item_statistics[row]],
                "user_statistics": [_single(value) for value in features.user_statistics[row]],
                "context": [_single(value) for value in features.context[row]],
                "history": [f"i{place}" for place in history.items[row, :count]],
                "history_intervals": [_single(value) for value in history.intervals[row, :count]],
            }
        )
    return {
        "history": schema.history,
        "statistics": [one.to_json() for one in schema.item_statistics],
        "user_statistics": [one.to_json() for one in schema.user_statistics],
        "context": [{"name": name} for name in schema.context],
        "rows": expected,
    }


def _single(value: float) -> float:
    """The shortest decimal that a 32-bit float reads back as the same number."""
    return float(str(np.float32(value)))


# Images


def write_images(folder: Path) -> None:
    """Small pictures of every kind, and index.json with the size to make of each, its tensor's name in expected.safetensors and the tolerance.

    JPEG decoders may differ by a few steps of 255 in a pixel, hence the wider tolerance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lossless, jpeg, subsampled = 1e-4, 0.06, 0.4
    pictures = {
        "rgb-shrink.png": (_picture("RGB", 37, 23), (8, 8), lossless),
        "rgb-enlarge.png": (_picture("RGB", 5, 3), (8, 8), lossless),
        "rgb-mixed.png": (_picture("RGB", 5, 40), (12, 16), lossless),
        "rgb-same.png": (_picture("RGB", 8, 8), (8, 8), lossless),
        "rgb-pixel.png": (_picture("RGB", 1, 1), (8, 8), lossless),
        "rgba.png": (_picture("RGBA", 19, 17), (8, 8), lossless),
        "grey.png": (_picture("L", 21, 12), (8, 8), lossless),
        "grey-alpha.png": (_picture("LA", 9, 10), (8, 8), lossless),
        "palette.png": (_picture("RGB", 16, 16).quantize(16), (8, 8), lossless),
        "bilevel.png": (_picture("L", 13, 13).convert("1"), (8, 8), lossless),
        "rgb-444.jpg": (_picture("RGB", 32, 24), (8, 8), jpeg),
        "rgb-420.jpg": (_picture("RGB", 32, 48), (8, 8), subsampled),
        "grey.jpg": (_picture("L", 24, 24), (8, 8), jpeg),
        "rgb-enlarge.jpg": (_picture("RGB", 6, 6), (16, 12), jpeg),
    }
    index, tensors = [], {}
    for name, (picture, (height, width), tolerance) in pictures.items():
        content = io.BytesIO()
        if name.endswith(".png"):
            picture.save(content, "PNG")
        else:
            picture.save(content, "JPEG", quality=95, subsampling=2 if "420" in name else 0)
        (folder / name).write_bytes(content.getvalue())
        tensors[name] = images.to_tensor(content.getvalue(), ImageSpec(height, width))
        index.append({"file": name, "tensor": name, "height": height, "width": width, "tolerance": tolerance})
    spec = ImageSpec()
    _write_json(folder / "index.json", {"mean": spec.mean, "std": spec.std, "expected": "expected.safetensors", "pictures": index})
    safetensors.write(folder / "expected.safetensors", tensors)


def _picture(mode: str, width: int, height: int) -> Image.Image:
    """Smooth colours with a hard edge: a picture that JPEG keeps and that shows a resize that is off by half a pixel."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height, 2)
    bands = [127 + 100 * np.sin(3 * x + band) * np.cos(2 * y - band) for band in range(3)]
    pixels = np.stack(bands, axis=2)
    pixels[(x > 0.4) & (y > 0.5)] = [220, 60, 30]
    alpha = np.clip(255 * (x + y) / 1.2, 0, 255)
    if mode in ("RGB", "RGBA"):
        channels = pixels if mode == "RGB" else np.dstack([pixels, alpha])
    else:
        channels = pixels[:, :, 0] if mode == "L" else np.dstack([pixels[:, :, 0], alpha])
    return Image.fromarray(channels.round().astype(np.uint8), mode)


# The tiny data and the tiny bundle

_GENRES = ["Action", "Comedy", "Drama", "Horror", "Sci-Fi", "Western"]


def write_tiny_data(folder: Path) -> None:
    """50 items with every kind of content, 20 users, 400 events. i48 to i50 and u20 have no row in the training part; i50 has none at all."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(23)
    plots = _plots(50)
    with (folder / "items.jsonl").open("w", encoding="utf-8", newline="\n") as out:
        taste = []
        for n in range(1, 51):
            categories = rng.sample(_GENRES, rng.randint(1, 3))
            taste.append(set(categories))
            item: dict = {"id": f"i{n:02}", "title": f"{rng.choice(['Night', 'River', 'Star', 'Stone'])} {rng.choice(['of', 'and'])} {rng.choice(['Gold', 'Snow', 'Fire'])} {n}"}
            if n % 7:
                item["text"] = plots[n - 1] if n % 9 else list(_SAMPLES.values())[n // 9]
            if n % 11:
                item["categories"] = categories
            if n % 3 == 0:
                item["tags"] = [categories[0].lower(), "classic"]
            if n % 5:
                item["attributes"] = {"year": str(1990 + n % 12), "country": rng.choice(["US", "FR", "JP"])}
            if n % 4:
                item["image_features"] = [round(rng.uniform(-1, 1), 3) for _ in range(8)]
            out.write(json.dumps(item, ensure_ascii=False) + "\n")
    with (folder / "users.jsonl").open("w", encoding="utf-8", newline="\n") as out:
        for n in range(1, 21):
            attributes = {"gender": rng.choice("FM"), "age": rng.choice(["18", "25", "35", "56"])} if n % 6 else {}
            out.write(json.dumps({"id": f"u{n:02}", "attributes": attributes}) + "\n")
    with (folder / "events.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["user", "item", "timestamp", "label"])
        time = 1_700_000_000
        for row in range(400):
            time += rng.randint(0, 7200)
            late = row >= 320
            user = rng.randint(1, 20 if late else 19)
            item = rng.randint(1, 49 if late else 47)
            likes = _GENRES[user % len(_GENRES)] in taste[item - 1]
            writer.writerow([f"u{user:02}", f"i{item:02}", time, int(rng.random() < (0.8 if likes else 0.3))])


class TinyItemEncoder(nn.Module):
    """Mean of token embeddings, category, attribute and picture features through one layer: [B, 12]."""

    def __init__(self, schema: Schema):
        super().__init__()
        self.text = nn.Embedding(schema.text_size, 8, padding_idx=0)
        self.categories = nn.Embedding(schema.categories.size, 4, padding_idx=0)
        self.attributes = nn.ModuleList(nn.Embedding(one.size, 4) for one in schema.attributes)
        self.top = nn.Linear(8 + 4 + 4 * len(schema.attributes) + schema.image_features + 1, 12)

    def forward(self, text: Tensor, categories: Tensor, attributes: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
        words = self.text(text).sum(1) / (text > 0).sum(1, keepdim=True).clamp(min=1)
        parts = [words, self.categories(categories).sum(1), *(table(attributes[:, n]) for n, table in enumerate(self.attributes))]
        return torch.tanh(self.top(torch.cat([*parts, image_features * image_mask, image_mask], dim=1)))


class TinyUserEncoder(nn.Module):
    """The state is the ID, profile and statistics; the history passes with its action, interval and mask: [B, S], [B, L, H]."""

    def __init__(self, schema: Schema):
        super().__init__()
        self.profile = nn.ModuleList(nn.Embedding(one.size, 3) for one in schema.profile)
        self.actions = nn.Embedding(len(schema.actions) + 1, 2, padding_idx=0)
        self.history = nn.Linear(20 + 2 + 1, 10)

    def forward(
        self,
        user_embedding: Tensor,
        history: Tensor,
        history_actions: Tensor,
        history_intervals: Tensor,
        history_mask: Tensor,
        profile: Tensor | None = None,
        user_statistics: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        state = [user_embedding, *(table(profile[:, n]) for n, table in enumerate(self.profile))]
        if user_statistics is not None:
            state.append(user_statistics)
        events = torch.cat([history, self.actions(history_actions), history_intervals.unsqueeze(2)], dim=2)
        mask = history_mask.unsqueeze(2)
        return torch.cat(state, dim=1), torch.cat([torch.tanh(self.history(events)) * mask, mask], dim=2)


class TinyRanker(nn.Module):
    """Attention of each candidate over the history, then two layers: [B, N]."""

    def __init__(self, row: int, state: int, context: int):
        super().__init__()
        self.query = nn.Linear(row, 10)
        self.hidden = nn.Linear(row + state + context + 10, 24)
        self.top = nn.Linear(24, 1)

    def forward(self, user_state: Tensor, history_state: Tensor, item: Tensor, context: Tensor | None = None) -> Tensor:
        events, mask = history_state[:, :, :10], history_state[:, :, 10]
        weights = torch.softmax(torch.matmul(self.query(item), events.transpose(1, 2)) + (mask.unsqueeze(1) - 1) * 30, dim=2)
        attended = torch.matmul(weights * mask.unsqueeze(1), events)
        about_user = user_state if context is None else torch.cat([user_state, context], dim=1)
        about_user = about_user.unsqueeze(1).expand(-1, item.shape[1], -1)
        return torch.sigmoid(self.top(torch.relu(self.hidden(torch.cat([item, about_user, attended], dim=2)))).squeeze(2))


def tiny_model(features: Features) -> TrainedModel:
    """A model with every optional part and random weights, large enough that scores differ clearly."""
    schema = features.schema
    generator = torch.Generator().manual_seed(24)
    items, users = 8, 4
    state = users + 3 * len(schema.profile) + len(schema.user_statistics)
    row = items + 12 + len(schema.item_statistics)
    modules = TinyItemEncoder(schema), TinyUserEncoder(schema), TinyRanker(row, state, len(schema.context))
    with torch.no_grad():
        for module in modules:
            for parameter in module.parameters():
                width = parameter.shape[-1] if parameter.dim() > 1 else 4
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (1.5 / width**0.5))
            module.eval()
    item_table = torch.randn((len(features.known_item_ids) + 1, items), generator=generator).numpy()
    user_table = torch.randn((len(features.known_user_ids) + 1, users), generator=generator).numpy()
    return TrainedModel(
        recipe="tiny",
        item_encoder=modules[0],
        user_encoder=modules[1],
        ranker=modules[2],
        item_inputs=("text", "categories", "attributes", "image_features"),
        item_ids=features.known_item_ids,
        item_table=item_table,
        user_ids=features.known_user_ids,
        user_table=user_table,
        dims={
            "item_id": items,
            "representation": 12,
            "statistics": len(schema.item_statistics),
            "row": row,
            "user_id": users,
            "user_statistics": len(schema.user_statistics),
            "profile": len(schema.profile),
            "context": len(schema.context),
            "history": schema.history,
            "user_state": state,
            "history_state": 11,
        },
    )


def tiny_features(dataset: Dataset) -> Features:
    """Every kind of input, `position` being a context field that a caller gives."""
    options = FeatureOptions(history=20, text_length=16, text_vocabulary=360, categories_length=3)
    schema = dataclasses.replace(fit(dataset, options), context=["since_last_event", "hour_sin", "hour_cos", "position"])
    return compute(dataset, schema)


def write_tiny_bundle(data_folder: Path, out: Path) -> None:
    """Writes the tiny bundle, with `uncached.onnx` and its example among its files."""
    dataset = data.read(data_folder)
    features = tiny_features(dataset)
    model = tiny_model(features)
    export.write(model, features, dataset, out, export.Training("golden", 24, _CREATED), uncached=True)
