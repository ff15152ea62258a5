"""The neutral data form: items.jsonl, users.jsonl, events.csv[.gz], split.json (training/README.md describes them).

Every error is a DataError that names the file, the line and what to do.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

TRAIN, VALID, TEST, HELD_OUT = 0, 1, 2, 3
LONGEST_ID_BYTES = 128
_LARGEST_NUMBER = 3.4e38
_LARGEST_TIME = 1e11
_EVENT_COLUMNS = ("user", "item", "timestamp", "label")
_OPTIONAL_EVENT_COLUMNS = ("request_id",)
_SPLIT_BY_TIME = {"valid_from", "test_from"}
_SPLIT_BY_ITEMS = {"test_items", "valid_items", "warm_rows"}


class DataError(Exception):
    """Data that is not in the neutral form: `path:line: what is wrong`."""

    def __init__(self, path: Path, line: int | None, what: str):
        super().__init__(f"{path}:{line}: {what}" if line is not None else f"{path}: {what}")


class UnfitData(Exception):
    """Data that is in the neutral form, but that a recipe cannot be trained on."""


def without_folder(path: str) -> str:
    """What a bundle says of a file: of an absolute path only the last part, since the rest is of this machine alone."""
    return Path(path).name if Path(path).is_absolute() else path


@dataclass(frozen=True)
class Item:
    """The content of one item; `image` is a path, already joined to the data's folder."""

    id: str
    title: str = ""
    text: str = ""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    image: Path | None = None
    image_features: tuple[float, ...] | None = None

    @property
    def document(self) -> tuple[str, str, str]:
        """The parts of the text that the encoder reads (docs/bundle-format.md section 3)."""
        return self.title, ", ".join(self.tags), self.text


@dataclass(frozen=True)
class Dataset:
    """A data folder in memory. R events, in file order; users and items are places in `user_ids` and `items`."""

    folder: Path
    items: list[Item]
    user_ids: list[str]  # of users.jsonl, then of the events, in the order of appearance
    profiles: list[dict[str, str]]  # attributes of each user of `user_ids`
    user: np.ndarray  # int32 [R]
    item: np.ndarray  # int32 [R]
    timestamp: np.ndarray  # float64 [R], unix seconds, ascending
    label: np.ndarray  # uint8 [R]
    split: np.ndarray  # uint8 [R]: TRAIN, VALID, TEST, or HELD_OUT (neither trained on, nor scored)
    held_out_items: frozenset[str]  # of a split by items: their events are in nobody's history or statistics
    fingerprint: str  # 16 hex digits over the files, the pictures among them
    warmed: np.ndarray | None = None  # bool [R]: HELD_OUT rows that histories and statistics see all the same, as those of a new item's first days

    @property
    def rows(self) -> int:
        return len(self.label)


def read(folder: Path) -> Dataset:
    """Reads and checks a data folder. DataError on the first thing that is wrong."""
    if not folder.is_dir():
        raise DataError(folder, None, "no such folder; --data wants a folder with items.jsonl and events.csv or events.csv.gz")
    items_path = folder / "items.jsonl"
    users_path = folder / "users.jsonl"
    items = _read_items(items_path)
    users = _read_users(users_path) if users_path.exists() else {}
    user_places = {user: place for place, user in enumerate(users)}
    profiles = list(users.values())
    events_path = _events_path(folder)
    user, item, timestamp, label = _read_events(events_path, {entry.id: n for n, entry in enumerate(items)}, user_places)
    profiles.extend({} for _ in range(len(user_places) - len(profiles)))
    split_path = folder / "split.json"
    split, held_out = _split(split_path, items, item, timestamp)
    _check_labels(events_path, split, label)
    return Dataset(
        folder=folder,
        items=items,
        user_ids=list(user_places),
        profiles=profiles,
        user=user,
        item=item,
        timestamp=timestamp,
        label=label,
        split=split,
        held_out_items=held_out,
        fingerprint=_fingerprint([items_path, users_path, events_path, split_path], [entry.image for entry in items if entry.image is not None]),
    )


def _events_path(folder: Path) -> Path:
    found = [folder / name for name in ("events.csv", "events.csv.gz") if (folder / name).exists()]
    if not found:
        raise DataError(folder / "events.csv", None, "not there, and no events.csv.gz either")
    if len(found) > 1:
        raise DataError(folder, None, "both events.csv and events.csv.gz are there; remove the one that is not meant")
    return found[0]


# Items and users


def _read_items(path: Path) -> list[Item]:
    items: list[Item] = []
    seen: dict[str, int] = {}
    widths: tuple[int, int] | None = None
    for line, document in _json_lines(path, _ITEM_FIELDS):
        item = _item(path, line, document)
        if item.id in seen:
            raise DataError(path, line, f"item {item.id!r} was already on line {seen[item.id]}")
        seen[item.id] = line
        if item.image_features is not None:
            if widths is None:
                widths = (len(item.image_features), line)
            if len(item.image_features) != widths[0]:
                raise DataError(path, line, f"image_features has {len(item.image_features)} numbers; line {widths[1]} has {widths[0]}")
        items.append(item)
    if not items:
        raise DataError(path, None, "holds no item")
    return items


_ITEM_FIELDS = frozenset({"id", "title", "text", "categories", "tags", "attributes", "image", "image_features"})
_USER_FIELDS = frozenset({"id", "attributes"})


def _item(path: Path, line: int, document: dict) -> Item:
    image = document.get("image")
    if image is not None:
        image = path.parent / _text(path, line, "image", image)
        if not image.is_file():
            raise DataError(path, line, f"image {image} is not there")
    return Item(
        id=_id(path, line, "id", document.get("id")),
        title=_text(path, line, "title", document.get("title") or ""),
        text=_text(path, line, "text", document.get("text") or ""),
        categories=_texts(path, line, "categories", document.get("categories")),
        tags=_texts(path, line, "tags", document.get("tags")),
        attributes=_attributes(path, line, document.get("attributes")),
        image=image,
        image_features=_numbers(path, line, "image_features", document.get("image_features")),
    )


def _read_users(path: Path) -> dict[str, dict[str, str]]:
    users: dict[str, dict[str, str]] = {}
    for line, document in _json_lines(path, _USER_FIELDS):
        user = _id(path, line, "id", document.get("id"))
        if user in users:
            raise DataError(path, line, f"user {user!r} is there twice")
        users[user] = _attributes(path, line, document.get("attributes"))
    return users


def _json_lines(path: Path, fields: frozenset[str]) -> Iterator[tuple[int, dict]]:
    if not path.exists():
        raise DataError(path, None, "not there")
    for number, raw in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            document = json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(path, number, f"is not UTF-8 (byte {error.start + 1} of the line)") from error
        except json.JSONDecodeError as error:
            raise DataError(path, number, f"is not JSON: {error.msg} at column {error.colno}") from error
        except RecursionError as error:
            raise DataError(path, number, "is nested too deeply") from error
        if not isinstance(document, dict):
            raise DataError(path, number, "is not a JSON object")
        unknown = sorted(set(document) - fields)
        if unknown:
            raise DataError(path, number, f"unknown field {unknown[0]!r}; known are {', '.join(sorted(fields))}")
        yield number, document


def _id(path: Path, line: int, name: str, value: object) -> str:
    problem = id_problem(value)
    if problem:
        raise DataError(path, line, f"{name} {problem}")
    return value  # type: ignore[return-value]


def id_problem(value: object) -> str | None:
    """What is wrong with an id, or None: ids are 1 to 128 bytes of UTF-8 without control characters."""
    if not isinstance(value, str):
        return "is missing" if value is None else f"must be text, not {json.dumps(value)}"
    try:
        length = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        return "holds a lone surrogate, which is not valid Unicode"
    if not 1 <= length <= LONGEST_ID_BYTES:
        return f"has {length} bytes; 1 to {LONGEST_ID_BYTES} are allowed"
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in value):
        return "holds a control character"
    return None


def _text(path: Path, line: int, name: str, value: object) -> str:
    if not isinstance(value, str):
        raise DataError(path, line, f"{name} must be text, not {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(path, line, f"{name} holds a lone surrogate, which is not valid Unicode") from error
    return value


def _texts(path: Path, line: int, name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise DataError(path, line, f"{name} must be a list of texts")
    return tuple(_text(path, line, f"{name}[{n}]", entry) for n, entry in enumerate(value))


def _attributes(path: Path, line: int, value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(path, line, "attributes must be an object of texts")
    return {_text(path, line, "attributes", name): _text(path, line, f"attributes.{name}", entry) for name, entry in value.items()}


def _numbers(path: Path, line: int, name: str, value: object) -> tuple[float, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value:
        raise DataError(path, line, f"{name} must be a list of numbers")
    for n, number in enumerate(value):
        # A comparison, as whole numbers of JSON have no limit; beyond this one, a number is infinite in the model's 32 bits. NaN is not below it either.
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) <= _LARGEST_NUMBER:
            raise DataError(path, line, f"{name}[{n}] must be a finite number of 32 bits")
    return tuple(float(number) for number in value)


# Events


def _read_events(
    path: Path, item_places: dict[str, int], user_places: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The columns of the events; users that are new are added to `user_places`."""
    users, items, times, labels = array("i"), array("i"), array("d"), array("B")
    label_values = {"0": 0, "1": 1}
    previous = -math.inf
    reader = csv.reader(io.StringIO(_event_text(path), newline=""), strict=True)
    try:
        columns = _event_columns(path, next(reader, None))
        user_column, item_column, time_column, label_column = (columns.index(name) for name in _EVENT_COLUMNS)
        for row in reader:
            if len(row) != len(columns):
                if not row:
                    continue
                raise DataError(path, reader.line_num, f"has {len(row)} columns; the header has {len(columns)}")
            item = item_places.get(row[item_column])
            if item is None:
                _id(path, reader.line_num, "item", row[item_column])
                raise DataError(path, reader.line_num, f"item {row[item_column]!r} is not in items.jsonl")
            user = user_places.get(row[user_column])
            if user is None:
                user = user_places[_id(path, reader.line_num, "user", row[user_column])] = len(user_places)
            label = label_values.get(row[label_column])
            if label is None:
                raise DataError(path, reader.line_num, f"label {row[label_column]!r} is neither 0 nor 1")
            time = _time(path, reader.line_num, row[time_column])
            if time < previous:
                raise DataError(path, reader.line_num, f"timestamp {row[time_column]} is before that of the row above; sort the rows by time")
            previous = time
            users.append(user)
            items.append(item)
            times.append(time)
            labels.append(label)
    except csv.Error as error:
        raise DataError(path, max(1, reader.line_num), f"is not CSV: {error}") from error
    if not users:
        raise DataError(path, None, "holds no event")
    return np.array(users, np.int32), np.array(items, np.int32), np.array(times, np.float64), np.array(labels, np.uint8)


def _event_text(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(path, None, f"is not a whole gzip file: {error}") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(path, content.count(b"\n", 0, error.start) + 1, "is not UTF-8") from error


def _event_columns(path: Path, header: list[str] | None) -> list[str]:
    if header is None:
        raise DataError(path, 1, f"is empty; the header {','.join(_EVENT_COLUMNS)} is missing")
    header = [name.removeprefix("\ufeff") for name in header]
    for name in _EVENT_COLUMNS:
        if name not in header:
            raise DataError(path, 1, f"column {name!r} is missing; the header is {','.join(header)!r}")
    for name in header:
        if name not in _EVENT_COLUMNS + _OPTIONAL_EVENT_COLUMNS:
            raise DataError(path, 1, f"unknown column {name!r}; known are {', '.join(_EVENT_COLUMNS + _OPTIONAL_EVENT_COLUMNS)}")
        if header.count(name) > 1:
            raise DataError(path, 1, f"column {name!r} is there twice")
    return header


def _time(path: Path, line: int, value: str) -> float:
    try:
        time = float(value) if "_" not in value else math.nan  # Python's digit separators are no CSV
    except ValueError:
        time = math.nan
    if not time >= 0:
        raise DataError(path, line, f"timestamp {value!r} is not a number of unix seconds")
    if time > _LARGEST_TIME:
        raise DataError(path, line, f"timestamp {value!r} is after the year 5000, so it is not a number of unix seconds; divide milliseconds by 1000")
    return time


# Split


def _split(path: Path, items: list[Item], item: np.ndarray, timestamp: np.ndarray) -> tuple[np.ndarray, frozenset[str]]:
    rows = len(timestamp)
    if not path.exists():
        split = np.zeros(rows, np.uint8)
        split[rows - 2 * (rows // 10) :] = VALID
        split[rows - rows // 10 :] = TEST
        return _checked(path, split), frozenset()
    try:
        document = json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(path, getattr(error, "lineno", 1), f"is not JSON: {error}") from error
    if isinstance(document, dict) and set(document) == _SPLIT_BY_TIME:
        return _checked(path, _split_by_time(path, document, timestamp)), frozenset()
    if isinstance(document, dict) and "test_items" in document and set(document) <= _SPLIT_BY_ITEMS:
        split, held_out = _split_by_items(path, document, items, item)
        return _checked(path, split), held_out
    raise DataError(path, 1, 'must be {"valid_from": t, "test_from": t} or {"test_items": [ids], "valid_items": [ids], "warm_rows": n}')


def _checked(path: Path, split: np.ndarray) -> np.ndarray:
    for code, name in ((TRAIN, "training"), (VALID, "validation"), (TEST, "test")):
        if not (split == code).any():
            raise DataError(path, None, f"leaves no row for the {name} part")
    return split


def _check_labels(path: Path, split: np.ndarray, label: np.ndarray) -> None:
    """Of one label alone there is nothing to learn, and no AUC to choose a model by."""
    for code, name in ((TRAIN, "training"), (VALID, "validation")):
        labels = label[split == code]
        if labels.min() == labels.max():
            raise DataError(path, None, f"every row of the {name} part has label {labels[0]}; give it rows of both labels, in events or by split.json")


def _split_by_time(path: Path, document: dict, timestamp: np.ndarray) -> np.ndarray:
    valid_from, test_from = document["valid_from"], document["test_from"]
    for name, value in document.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise DataError(path, 1, f"{name} must be a number of unix seconds")
    if valid_from > test_from:
        raise DataError(path, 1, "valid_from is after test_from")
    return ((timestamp >= valid_from).astype(np.uint8) + (timestamp >= test_from)).astype(np.uint8)


def _split_by_items(path: Path, document: dict, items: list[Item], item: np.ndarray) -> tuple[np.ndarray, frozenset[str]]:
    """Rows of `test_items` are the test part, rows of `valid_items` (else the last tenth of the others) validation.

    The first `warm_rows` rows of each test item are HELD_OUT: they belong to the warm-up, not to the test.
    """
    places = {entry.id: n for n, entry in enumerate(items)}
    chosen: dict[str, np.ndarray] = {}
    for name in ("test_items", "valid_items"):
        mask = np.zeros(len(items), bool)
        listed = document.get(name, [])
        if not isinstance(listed, list):
            raise DataError(path, 1, f"{name} must be a list of item ids")
        for entry in listed:
            if not isinstance(entry, str) or entry not in places:
                raise DataError(path, 1, f"{name} names {entry!r}, which is not in items.jsonl")
            mask[places[entry]] = True
        chosen[name] = mask
    if (chosen["test_items"] & chosen["valid_items"]).any():
        raise DataError(path, 1, "an item is in both test_items and valid_items")
    split = np.zeros(len(item), np.uint8)
    if document.get("valid_items"):
        split[chosen["valid_items"][item]] = VALID
    else:
        others = np.flatnonzero(~chosen["test_items"][item])
        split[others[len(others) - len(others) // 10 :]] = VALID
    split[chosen["test_items"][item]] = TEST
    warm_rows = document.get("warm_rows", 0)
    if isinstance(warm_rows, bool) or not isinstance(warm_rows, int) or warm_rows < 0:
        raise DataError(path, 1, "warm_rows must be a whole number, 0 or more")
    if warm_rows:
        seen: dict[int, int] = {}
        for row in np.flatnonzero(split == TEST):
            place = int(item[row])
            seen[place] = seen.get(place, 0) + 1
            if seen[place] <= warm_rows:
                split[row] = HELD_OUT
    held = chosen["test_items"] | chosen["valid_items"]
    return split, frozenset(entry.id for entry, held_out in zip(items, held) if held_out)


def _fingerprint(paths: list[Path], pictures: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        if path.exists():
            # The content of the events, not of their compression.
            opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
            with opened:
                digest.update(path.name.removesuffix(".gz").encode() + b"\0")
                while block := opened.read(1 << 20):
                    digest.update(block)
    for picture in pictures:  # their names are in items.jsonl
        digest.update(hashlib.sha256(picture.read_bytes()).digest())
    return digest.hexdigest()[:16]
