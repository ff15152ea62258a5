"""Converters of public data sets to the neutral form."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .data import DataError

_YEAR = re.compile(r"^(?P<title>.*?)\s*\((?P<year>\d{4})(?:[-–]\d{0,4})?\)\s*$")
_REMARK = re.compile(r"\s*\([^)]*\)")
_NO_GENRE = "(no genres listed)"
_MOST_TAGS = 24
POSITIVE_RATING = 4.0
PROTOCOL_A = {"valid_from": 975769174, "test_from": 978134533}
_OLD, _NEW, _WARM_ROWS = 200, 60, 60  # protocol C: an old item has more rows than the first, a new one at least the second
# New items and test rows of each protocol where the source is the whole copy of 999,796 rows. The warm-up literature has 972 and 58,409 for C, of the official 1,000,209 rows.
_WHOLE_ROWS = 999_796
_WHOLE = {"A": (0, 99_980), "B": (729, 201_335), "C": (970, 58_240)}


def movielens_small(source: Path, out: Path) -> None:
    """MovieLens latest-small (ratings.csv, movies.csv, tags.csv) to the neutral form, with the sources and licence of the text.

    Label: a rating of 4 or more. Split: the last tenth of the ratings is test, the tenth before it validation.
    A tag is used only if it was given before validation begins: a later one would tell of the future.
    Descriptions: the DBpedia abstracts of content.jsonl (CC BY-SA 3.0) where the source has that file; nothing else is read from it.
    """
    ratings = [
        (int(row["timestamp"]), int(row["userId"]), int(row["movieId"]), float(row["rating"]))
        for row in _csv(source / "ratings.csv", timestamp=int, userId=int, movieId=int, rating=float)
    ]
    # Ties are ordered by user and item, which tells nothing of the rating.
    ratings.sort(key=lambda rating: rating[:3])
    if len(ratings) < 10:
        raise DataError(source / "ratings.csv", None, "has fewer than 10 ratings")
    valid_from = ratings[len(ratings) * 8 // 10][0]
    test_from = ratings[len(ratings) * 9 // 10][0]
    tags = _tags(source / "tags.csv", valid_from)
    abstracts = _abstracts(source / "content.jsonl")
    out.mkdir(parents=True, exist_ok=True)
    items = []
    for row in _csv(source / "movies.csv", movieId=int, title=str, genres=str):
        title, year = _title(row["title"])
        item: dict = {"id": row["movieId"], "title": title}
        genres = [genre for genre in row["genres"].split("|") if genre and genre != _NO_GENRE]
        _put(item, text=abstracts.get(row["movieId"]), categories=genres, tags=tags.get(row["movieId"]), attributes={"year": year} if year else None)
        items.append(item)
    _write_lines(out / "items.jsonl", items)
    _write_events(out / "events.csv.gz", ((user, movie, time, int(rating >= POSITIVE_RATING)) for time, user, movie, rating in ratings))
    _write_split(out, {"valid_from": valid_from, "test_from": test_from})
    licence = source / "README.txt"
    if licence.exists():
        (out / "MOVIELENS-README.txt").write_bytes(licence.read_bytes())
    (out / "ATTRIBUTION.md").write_text(_attribution(sum("text" in item for item in items)), "utf-8")


def movielens_1m(source: Path, out: Path, protocol: str = "A", image_features: str = "none", posters: bool = True, text: str = "abstract") -> None:
    """MovieLens-1M with content and posters to the neutral form, with the split of one protocol.

    A: by time. B: a fifth of the rated items is new (`RandomState(7)`). C: items of 60 to 200 rows are new, their first 60 rows are the warm-up and are not scored; rows of items with fewer
    are left out, as in the warm-up literature. Of the whole copy, each must have the size that figures are reported of.
    An item's text is the abstract of its article, or else its plot; `text` "plot": the plot alone, which unlike abstracts does not say how a film was received. Its tags are who made it, where, in which languages and for which age.
    `posters`: give the picture files by path. `image_features`: `pca128` adds the 128 given features of each poster.
    """
    with gzip.open(source / "ratings.csv.gz", "rt", encoding="utf-8") as lines:
        next(lines)
        rows = [line.rstrip("\n").split(",") for line in lines]  # user, movie, label, time
    for number, row in enumerate(rows, start=2):
        if len(row) != 4 or not row[1].isdecimal():
            raise DataError(source / "ratings.csv.gz", number, "is not user,movie,label,time")
    counts = Counter(int(row[1]) for row in rows)
    split = _protocol(protocol, counts)
    if len(rows) == _WHOLE_ROWS:
        _check_size(source, protocol, split, rows)
    if protocol == "C":
        rows = [row for row in rows if counts[int(row[1])] >= _NEW]
    out.mkdir(parents=True, exist_ok=True)
    given = _poster_features(source) if image_features == "pca128" else {}
    items = []
    for movie in _objects(source / "content.jsonl", "movie_id", "title"):
        name = str(movie["movie_id"])
        item = {"id": name, "title": _title(movie["title"])[0]}
        poster = source / "posters" / f"{name}.jpg"
        features = given.get(name)
        _put(
            item,
            tags=_credits(movie),
            text=(movie.get("abstract_dbpedia") if text == "abstract" else None) or movie.get("plot_full") or movie.get("plot_short"),
            categories=movie.get("genres"),
            attributes={"year": str(movie["year"])} if movie.get("year") else None,
            image=os.path.relpath(poster, out) if posters and poster.exists() else None,
            image_features=[round(float(value), 5) for value in features] if features is not None else None,
        )
        items.append(item)
    _write_lines(out / "items.jsonl", items)
    _write_lines(out / "users.jsonl", _users_1m(source / "users.dat"))
    _write_events(out / "events.csv.gz", ((user, movie, time, label) for user, movie, label, time in rows))
    _write_split(out, split)


def _protocol(name: str, counts: Counter[int]) -> dict:
    if name == "A":
        return PROTOCOL_A
    if name == "B":
        permuted = np.random.RandomState(7).permutation(sorted(counts))
        return {"test_items": [str(item) for item in sorted(permuted[: len(permuted) // 5])]}
    return {"test_items": [str(item) for item in sorted(counts) if _NEW <= counts[item] <= _OLD], "warm_rows": _WARM_ROWS}


def _check_size(source: Path, protocol: str, split: dict, rows: list[list[str]]) -> None:
    """DataError where the test part is not the one that figures are reported of."""
    new = set(split.get("test_items", []))
    if new:
        test = sum(row[1] in new for row in rows) - len(new) * split.get("warm_rows", 0)
    else:
        test = sum(float(row[3]) >= split["test_from"] for row in rows)
    if (len(new), test) != _WHOLE[protocol]:
        raise DataError(source / "ratings.csv.gz", None, f"gives {len(new)} new items and {test} test rows in protocol {protocol}; expected are {_WHOLE[protocol]}")


def _poster_features(source: Path) -> dict[str, np.ndarray]:
    ids = (source / "poster_ids.txt").read_text("utf-8").split()
    return dict(zip(ids, np.load(source / "poster_mobilenetv2_pca128_f32.npy")))


def _users_1m(path: Path) -> Iterable[dict]:
    for number, line in enumerate(path.read_text("latin-1").splitlines(), start=1):
        parts = line.split("::")
        if len(parts) != 5:
            raise DataError(path, number, "is not user::gender::age::occupation::zip")
        user, gender, age, occupation, _ = parts
        yield {"id": user, "attributes": {"gender": gender, "age": age, "occupation": occupation}}


def _title(title: str) -> tuple[str, str | None]:
    match = _YEAR.match(title)
    return (match["title"], match["year"]) if match else (title.strip(), None)


def _credits(movie: dict) -> list[str]:
    """Who made a movie, where, in which languages and for which age: each name once."""
    named = (_REMARK.sub("", str(movie.get(field) or "")).split(",") for field in ("rated", "country", "language", "director", "writer", "actors"))
    return [name for name in dict.fromkeys(name.strip() for names in named for name in names) if name and name != "N/A"]


def _tags(path: Path, before: int) -> dict[str, list[str]]:
    """Each movie's tags given before a time, the most frequent first, without regard to case."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in _csv(path, movieId=int, tag=str, timestamp=int):
        tag = " ".join(row["tag"].split())
        if tag and int(row["timestamp"]) < before:
            counts[row["movieId"]][tag.lower()] += 1
    return {
        movie: sorted(tags, key=lambda tag: (-tags[tag], tag))[:_MOST_TAGS]
        for movie, tags in counts.items()
    }


def _abstracts(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    found = {}
    for movie in _objects(path, "movieId"):
        if movie.get("abstract_dbpedia"):
            found[str(movie["movieId"])] = " ".join(movie["abstract_dbpedia"].split())
    return found


def _attribution(abstracts: int) -> str:
    return f"""# Where this data comes from

Ratings, titles, genres and tags: MovieLens latest-small, F. Maxwell Harper and Joseph A. Konstan, *The MovieLens Datasets: History and Context*, ACM Transactions on
Interactive Intelligent Systems 5, 4 (2015), https://doi.org/10.1145/2827872. Its terms are in `MOVIELENS-README.txt`: it may be redistributed under the same conditions, and
not be used for revenue-bearing purposes without permission of GroupLens. Changed here: ratings of 4 and more became label 1, others 0; titles and years were separated; tags were
lower-cased, counted, and those given after the training part left out. Tags, like all content, are as of the beginning of validation: the earlier rows of the training part did not have all of them yet.

The field `text` of {abstracts} items in `items.jsonl` is the abstract of the movie's article in DBpedia (https://www.dbpedia.org), extracted from Wikipedia, by the authors of those
articles, licensed under Creative Commons Attribution-ShareAlike 3.0 (https://creativecommons.org/licenses/by-sa/3.0/). Changed here: white space only. What you derive from these texts
has to be shared under the same licence. The article of an item is found under its title on https://en.wikipedia.org.

A bundle that was trained on this data was trained on both.
"""


def _put(item: dict, **fields: object) -> None:
    item.update({name: value for name, value in fields.items() if value})


def _csv(path: Path, **columns: type) -> Iterable[dict[str, str]]:
    """The rows of a file whose `columns` are there and of the given types."""
    if not path.exists():
        raise DataError(path, None, "not there")
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        for row in reader:
            for name, kind in columns.items():
                if not _reads(kind, row.get(name)):
                    raise DataError(path, reader.line_num, f"column {name!r} is {row.get(name)!r}, not {kind.__name__}")
            yield row


def _reads(kind: type, cell: str | None) -> bool:
    try:
        return cell is not None and kind(cell) is not None
    except ValueError:
        return False


def _objects(path: Path, *fields: str) -> Iterable[dict]:
    """The objects of a file of JSON lines, each with the given fields."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            document = json.loads(line)
        except ValueError as error:
            raise DataError(path, number, f"is not JSON: {error}") from None
        missing = [field for field in fields if not isinstance(document, dict) or field not in document]
        if missing:
            raise DataError(path, number, f"has no {missing[0]!r}")
        yield document


def _write_lines(path: Path, documents: Iterable[dict]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for document in documents:
            out.write(json.dumps(document, ensure_ascii=False) + "\n")


def _write_events(path: Path, rows: Iterable[tuple]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["user", "item", "timestamp", "label"])
    writer.writerows(rows)
    # No time stamp inside: the same events give the same file.
    path.write_bytes(gzip.compress(text.getvalue().encode("utf-8"), 6, mtime=0))


def _write_split(out: Path, split: dict) -> None:
    (out / "split.json").write_text(json.dumps(split) + "\n", "utf-8")
