"""Point-in-time features, docs/bundle-format.md sections 2, 5 and 6: row r sees rows 0 … r − 1 in file order, no others.

    dataset = data.read(folder)
    schema = fit(dataset, FeatureOptions())   # vocabularies and priors, of the training part alone
    features = compute(dataset, schema)

`build` does both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from . import images
from .data import TRAIN, Dataset, Item
from .images import ImageSpec
from .tokenizer import Tokenizer

ABSENT, UNLISTED, FIRST_VALUE = 0, 1, 2
ACTIONS = ("click",)
_SECONDS_PER_DAY = 86400.0

PictureProgress = Callable[[int, int], None]
"""Called with the number of items read and of all."""


@dataclass(frozen=True)
class FeatureOptions:
    """What a model reads. `images` and the like only matter where the items have them."""

    statistics: bool = True
    time_context: bool = True  # off where the raw time of a row can give its label away (ML-1M, protocol A)
    history: int = 50
    text: bool = True
    text_length: int = 64
    text_vocabulary: int = 4000
    categories_length: int = 8
    category_limit: int = 1000
    attribute_limit: int = 500
    minimum_count: int = 2  # a value of fewer training items (users) stays unlisted, so that id 1 is trained too
    images: bool = True
    image_size: int = 64
    image_features: bool = True
    item_strength: float = 20.0
    user_strength: float = 10.0


@dataclass(frozen=True)
class Vocabulary:
    """A named list of values; a value's id is its place + 2."""

    name: str
    values: list[str]

    @property
    def size(self) -> int:
        """Rows that an embedding table needs: absent, unlisted, and each value."""
        return len(self.values) + FIRST_VALUE

    def encode(self, value: str | None) -> int:
        if value is None:
            return ABSENT
        return self._places.get(value, UNLISTED)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", {value: place + FIRST_VALUE for place, value in enumerate(self.values)})


@dataclass(frozen=True)
class Statistic:
    """One counter feature: `impressions`, `click_rate` (with prior and strength) or `age`."""

    name: str
    prior: float | None = None
    strength: float | None = None

    def to_json(self) -> dict:
        return {"name": self.name} if self.prior is None else {"name": self.name, "prior": self.prior, "strength": self.strength}


@dataclass(frozen=True)
class Schema:
    """All that turns content and events into a model's inputs. It goes into the bundle's manifest as it is."""

    history: int
    prior: float  # click rate of the training part
    item_statistics: list[Statistic] = field(default_factory=list)
    user_statistics: list[Statistic] = field(default_factory=list)
    context: list[str] = field(default_factory=list)
    profile: list[Vocabulary] = field(default_factory=list)
    tokenizer: Tokenizer | None = None
    text_length: int = 0
    categories: Vocabulary | None = None
    categories_length: int = 0
    attributes: list[Vocabulary] = field(default_factory=list)
    image: ImageSpec | None = None
    image_features: int = 0  # 0: the model reads none
    actions: tuple[str, ...] = ACTIONS

    @property
    def text_size(self) -> int:
        """Rows that the token embedding needs."""
        return self.tokenizer.size if self.tokenizer else 0


@dataclass(frozen=True)
class ItemInputs:
    """What the item encoder reads, one row an item, in the order of items.jsonl. Absent inputs are None."""

    text: np.ndarray | None  # int64 [I, T]
    categories: np.ndarray | None  # int64 [I, K]
    attributes: np.ndarray | None  # int64 [I, A]
    image: np.ndarray | None  # float32 [I, 3, H, W]
    image_features: np.ndarray | None  # float32 [I, F]
    has_image: np.ndarray  # bool [I]
    has_image_features: np.ndarray  # bool [I]

    def named(self, reads: Iterable[str], rows: np.ndarray | slice = slice(None)) -> dict[str, np.ndarray]:
        """Those inputs of some items that a model reads and that are present, by the names that its graph has.

        `image_mask` comes with a picture or features and is of what the model reads: a picture beside features that are absent is nothing to a model of features.
        """
        wanted = set(reads)
        names = ("text", "categories", "attributes", "image", "image_features")
        inputs = {name: getattr(self, name)[rows] for name in names if name in wanted and getattr(self, name) is not None}
        masks = [mask[rows] for name, mask in (("image", self.has_image), ("image_features", self.has_image_features)) if name in inputs]
        if masks:
            inputs["image_mask"] = np.logical_or.reduce(masks)[:, None].astype(np.float32)
        return inputs


@dataclass(frozen=True)
class History:
    """A batch of histories, newest first, zeros after the last."""

    items: np.ndarray  # int64 [B, L]: place of the item; 0 in padding, so look at the mask
    actions: np.ndarray  # int64 [B, L]: place of the action + 1; 0 = padding
    intervals: np.ndarray  # float32 [B, L]: ln(1 + seconds before the newest)
    mask: np.ndarray  # float32 [B, L]


@dataclass(frozen=True)
class Features:
    """The features of every row. I items, U users, R rows in file order, M clicks in all histories."""

    schema: Schema
    contents: list[Item]  # [I], in the order of items.jsonl
    item_ids: list[str]  # [I]
    user_ids: list[str]  # [U]
    item_known: np.ndarray  # bool [I]: has a training row, so it gets a row of the ID table
    user_known: np.ndarray  # bool [U]
    items: ItemInputs
    profile: np.ndarray  # int64 [U, P]
    user: np.ndarray  # int32 [R]
    item: np.ndarray  # int32 [R]
    label: np.ndarray  # float32 [R]
    timestamp: np.ndarray  # float64 [R]; for order, never an input
    split: np.ndarray  # uint8 [R]: 0 train, 1 validation, 2 test, 3 none of them
    item_statistics: np.ndarray  # float32 [R, dStat]
    user_statistics: np.ndarray  # float32 [R, dUs]
    context: np.ndarray  # float32 [R, C]
    click_item: np.ndarray  # int32 [M]: the clicks of user 0 in time order, then those of user 1, …
    click_action: np.ndarray  # int64 [M]
    click_time: np.ndarray  # float64 [M]
    history_begin: np.ndarray  # int64 [R]: where the clicks of the row's user begin
    history_end: np.ndarray  # int64 [R]: one past the last click before the row

    @property
    def item_row(self) -> np.ndarray:
        """int64 [I]: each item's row of the ID table; 0, the unknown vector, without training rows."""
        return _table_rows(self.item_known)

    @property
    def user_row(self) -> np.ndarray:
        """int64 [U]: each user's row of the ID table."""
        return _table_rows(self.user_known)

    @property
    def known_item_ids(self) -> list[str]:
        """The ids of rows 1 … n of the ID table."""
        return [name for name, known in zip(self.item_ids, self.item_known) if known]

    @property
    def known_user_ids(self) -> list[str]:
        return [name for name, known in zip(self.user_ids, self.user_known) if known]

    def rows(self, part: int) -> np.ndarray:
        """int64: the rows of one part (0 train, 1 validation, 2 test) in file order."""
        return np.flatnonzero(self.split == part)

    def history(self, rows: np.ndarray, length: int | None = None) -> History:
        """The last `length` clicks (default: the schema's) before each of `rows`."""
        length = self.schema.history if length is None else length
        end = self.history_end[rows]
        count = np.minimum(end - self.history_begin[rows], length)
        steps = np.arange(length)
        mask = steps[None, :] < count[:, None]
        if not len(self.click_item):
            empty = np.zeros(mask.shape)
            return History(empty.astype(np.int64), empty.astype(np.int64), empty.astype(np.float32), empty.astype(np.float32))
        place = np.where(mask, end[:, None] - 1 - steps[None, :], 0)
        newest = self.click_time[np.maximum(end - 1, 0)]
        intervals = _log1p_seconds(newest[:, None] - self.click_time[place])
        return History(
            items=np.where(mask, self.click_item[place], 0).astype(np.int64),
            actions=np.where(mask, self.click_action[place], 0),
            intervals=np.where(mask, intervals, 0).astype(np.float32),
            mask=mask.astype(np.float32),
        )


def build(dataset: Dataset, options: FeatureOptions = FeatureOptions(), progress: PictureProgress | None = None) -> Features:
    """Fits on the training part and computes the features of every row. `progress` hears of the pictures, which take the time."""
    return compute(dataset, fit(dataset, options), progress)


# What is learned from the training part


def fit(dataset: Dataset, options: FeatureOptions = FeatureOptions()) -> Schema:
    """Vocabularies, merges and priors, of the rows of the training part and of their items and users alone."""
    training = dataset.split == TRAIN
    prior = round(float(dataset.label[training].mean()), 6)
    items = [dataset.items[place] for place in np.unique(dataset.item[training])]
    profiles = [dataset.profiles[place] for place in np.unique(dataset.user[training])]

    tokenizer = None
    if options.text and any(any(item.document) for item in items):
        tokenizer = Tokenizer.train((part for item in items for part in item.document), options.text_vocabulary)
    categories = _listed(
        "categories", (set(item.categories) for item in items), options.category_limit, options.minimum_count
    )
    widest = max((len(item.categories) for item in items), default=0)
    features = next((len(item.image_features) for item in items if item.image_features is not None), 0)
    features = features if options.image_features else 0
    size = options.image_size
    image = ImageSpec(size, size) if options.images and any(item.image for item in items) else None
    attributes = _named_lists([item.attributes for item in items], options)
    # A representation is of some content: of items that bring nothing but ids, it is of their having no category.
    bare = tokenizer is None and not attributes and image is None and not features
    return Schema(
        history=options.history,
        prior=prior,
        item_statistics=[Statistic("impressions"), Statistic("click_rate", prior, options.item_strength), Statistic("age")]
        if options.statistics
        else [],
        user_statistics=[Statistic("impressions"), Statistic("click_rate", prior, options.user_strength)]
        if options.statistics
        else [],
        context=["since_last_event"] if options.time_context else [],
        profile=_named_lists(profiles, options),
        tokenizer=tokenizer,
        text_length=options.text_length if tokenizer else 0,
        categories=categories if categories.values or bare else None,
        categories_length=max(1, min(widest, options.categories_length)) if categories.values or bare else 0,
        attributes=attributes,
        image=image,
        image_features=features,
    )


def _named_lists(holders: list[dict[str, str]], options: FeatureOptions) -> list[Vocabulary]:
    names = sorted({name for holder in holders for name in holder})
    lists = (
        _listed(name, ({holder[name]} for holder in holders if name in holder), options.attribute_limit, options.minimum_count)
        for name in names
    )
    return [vocabulary for vocabulary in lists if vocabulary.values]


def _listed(name: str, values: Iterable[set[str]], limit: int, minimum: int) -> Vocabulary:
    """The `limit` most frequent values with at least `minimum` holders, in alphabetical order."""
    counts: Counter[str] = Counter()
    for held in values:
        counts.update(held)
    ranked = sorted((value for value, count in counts.items() if count >= minimum), key=lambda value: (-counts[value], value))
    return Vocabulary(name, sorted(ranked[:limit]))


# Features of items and users


def item_inputs(items: list[Item], schema: Schema, progress: PictureProgress | None = None) -> ItemInputs:
    """The content of items as the item encoder reads it."""
    count = len(items)
    image, features = None, None
    if schema.image:
        image = np.zeros((count, 3, schema.image.height, schema.image.width), np.float32)
        for place, item in enumerate(items):
            if item.image is not None:
                image[place] = images.load(item.image, schema.image)
            if progress is not None:
                progress(place + 1, count)
    if schema.image_features:
        features = np.zeros((count, schema.image_features), np.float32)
        for place, item in enumerate(items):
            if item.image_features is not None:
                features[place] = item.image_features
    text = None
    if schema.tokenizer:
        encoded = [schema.tokenizer.encode_parts(item.document, schema.text_length) for item in items]
        text = np.array(encoded, np.int64).reshape(count, schema.text_length)
    categories = None
    if schema.categories:
        categories = np.zeros((count, schema.categories_length), np.int64)
        for place, item in enumerate(items):
            ids = [schema.categories.encode(value) for value in item.categories[: schema.categories_length]]
            categories[place, : len(ids)] = ids
    return ItemInputs(
        text=text,
        categories=categories,
        attributes=_attribute_ids([item.attributes for item in items], schema.attributes) if schema.attributes else None,
        image=image,
        image_features=features,
        has_image=np.array([item.image is not None for item in items], bool),
        has_image_features=np.array([item.image_features is not None for item in items], bool),
    )


def _attribute_ids(holders: list[dict[str, str]], vocabularies: list[Vocabulary]) -> np.ndarray:
    ids = [[vocabulary.encode(holder.get(vocabulary.name)) for vocabulary in vocabularies] for holder in holders]
    return np.array(ids, np.int64).reshape(len(holders), len(vocabularies))


# Features of rows


def compute(dataset: Dataset, schema: Schema, progress: PictureProgress | None = None) -> Features:
    """The features of every row under a given schema."""
    held_out = np.array([item.id in dataset.held_out_items for item in dataset.items])
    counted = ~held_out[dataset.item]  # rows that histories and statistics may see
    if dataset.warmed is not None:
        counted |= dataset.warmed
    training = dataset.split == TRAIN
    item_known = np.zeros(len(dataset.items), bool)
    item_known[dataset.item[training]] = True
    user_known = np.zeros(len(dataset.user_ids), bool)
    user_known[dataset.user[training]] = True

    clicked = (dataset.label == 1) & counted
    rows_of_clicks = np.flatnonzero(clicked)
    by_user = rows_of_clicks[np.argsort(dataset.user[rows_of_clicks], kind="stable")]
    begin_of_user = np.searchsorted(dataset.user[by_user], np.arange(len(dataset.user_ids)))
    history_begin = begin_of_user[dataset.user].astype(np.int64)
    clicks_before = _before(dataset.user, clicked)
    history_end = history_begin + clicks_before
    click_time = dataset.timestamp[by_user]

    return Features(
        schema=schema,
        contents=dataset.items,
        item_ids=[item.id for item in dataset.items],
        user_ids=dataset.user_ids,
        item_known=item_known,
        user_known=user_known,
        items=item_inputs(dataset.items, schema, progress),
        profile=_attribute_ids(dataset.profiles, schema.profile),
        user=dataset.user,
        item=dataset.item,
        label=dataset.label.astype(np.float32),
        timestamp=dataset.timestamp,
        split=dataset.split,
        item_statistics=_item_statistics(dataset, counted, clicked, schema.item_statistics),
        user_statistics=_user_statistics(dataset, counted, clicks_before, schema.user_statistics),
        context=_context(dataset.timestamp, click_time, history_begin, history_end, schema.context),
        click_item=dataset.item[by_user],
        click_action=np.ones(len(by_user), np.int64),
        click_time=click_time,
        history_begin=history_begin,
        history_end=history_end,
    )


def statistic(one: Statistic, impressions: np.ndarray, clicks: np.ndarray, days: np.ndarray | None) -> np.ndarray:
    """Section 5's value of one statistic from counters, in 64-bit floats."""
    if one.name == "impressions":
        return np.log1p(impressions.astype(np.float64))
    if one.name == "click_rate":
        return np.minimum(1.0, (clicks + one.strength * one.prior) / (impressions + one.strength))
    if one.name == "age" and days is not None:
        return np.log1p(days)
    raise ValueError(f"unknown statistic {one.name!r}")


def _item_statistics(dataset: Dataset, counted: np.ndarray, clicked: np.ndarray, wanted: list[Statistic]) -> np.ndarray:
    if not wanted:
        return np.zeros((dataset.rows, 0), np.float32)
    impressions = _before(dataset.item, counted)
    clicks = _before(dataset.item, clicked)
    first_seen = np.full(len(dataset.items), np.nan)
    rows = np.flatnonzero(counted)
    places, first = np.unique(dataset.item[rows], return_index=True)
    first_seen[places] = dataset.timestamp[rows[first]]
    days = np.floor((dataset.timestamp - first_seen[dataset.item]) / _SECONDS_PER_DAY)
    days = np.where(impressions > 0, np.maximum(days, 0), 0)
    return np.stack([statistic(one, impressions, clicks, days) for one in wanted], axis=1).astype(np.float32)


def _user_statistics(dataset: Dataset, counted: np.ndarray, clicks: np.ndarray, wanted: list[Statistic]) -> np.ndarray:
    if not wanted:
        return np.zeros((dataset.rows, 0), np.float32)
    impressions = _before(dataset.user, counted)
    return np.stack([statistic(one, impressions, clicks, None) for one in wanted], axis=1).astype(np.float32)


def _context(timestamp: np.ndarray, click_time: np.ndarray, begin: np.ndarray, end: np.ndarray, names: list[str]) -> np.ndarray:
    values = []
    for name in names:
        if name == "since_last_event":
            has_history = end > begin
            newest = click_time[np.where(has_history, end - 1, 0)] if len(click_time) else np.zeros(len(timestamp))
            values.append(np.where(has_history, _log1p_seconds(timestamp - newest), -1.0))
        elif name in ("hour_sin", "hour_cos"):
            angle = 2 * np.pi * (np.floor(timestamp / 60) % 1440) / 1440
            values.append(np.sin(angle) if name == "hour_sin" else np.cos(angle))
        else:  # a field that only live requests carry: absent counts as 0
            values.append(np.zeros(len(timestamp)))
    return np.stack(values, axis=1).astype(np.float32) if values else np.zeros((len(timestamp), 0), np.float32)


def _log1p_seconds(seconds: np.ndarray) -> np.ndarray:
    return np.log1p(np.maximum(seconds, 0.0))


def _before(group: np.ndarray, flag: np.ndarray) -> np.ndarray:
    """int64: for each row, how many earlier rows of its group are flagged."""
    order = np.argsort(group, kind="stable")
    running = np.cumsum(flag[order], dtype=np.int64)
    exclusive = running - flag[order]
    sorted_group = group[order]
    starts = np.flatnonzero(np.r_[True, sorted_group[1:] != sorted_group[:-1]])
    base = np.repeat(exclusive[starts], np.diff(np.r_[starts, len(group)]))
    result = np.empty(len(group), np.int64)
    result[order] = exclusive - base
    return result


def _table_rows(known: np.ndarray) -> np.ndarray:
    return np.where(known, np.cumsum(known), 0).astype(np.int64)
