"""Features of a row come from its own past, and are what docs/bundle-format.md says."""

import dataclasses
import math

import numpy as np
import pytest
from neutral import random_dataset

from recbackend.data import TRAIN
from recbackend.features import FeatureOptions, Statistic, Vocabulary, build, compute, fit

OPTIONS = FeatureOptions(history=6, text_length=8, text_vocabulary=300)


def schema_of(dataset):
    return dataclasses.replace(fit(dataset, OPTIONS), context=["since_last_event", "hour_sin", "hour_cos"])


def slow_features(dataset, schema):
    """Section 5 and 6 read row by row from a plain log of what went before."""
    log = []
    for row in range(dataset.rows):
        user, item, now = int(dataset.user[row]), int(dataset.item[row]), float(dataset.timestamp[row])
        past = [entry for entry in log if dataset.items[entry[1]].id not in dataset.held_out_items or (dataset.warmed is not None and dataset.warmed[entry[4]])]
        of_item = [entry for entry in past if entry[1] == item]
        of_user = [entry for entry in past if entry[0] == user]
        clicks = [entry for entry in of_user if entry[3] == 1][::-1]
        item_clicks = sum(entry[3] for entry in of_item)
        prior = schema.prior
        days = math.floor((now - of_item[0][2]) / 86400) if of_item else 0
        hour = (now // 60 % 1440) / 60
        newest = clicks[0][2] if clicks else None
        yield {
            "item": [math.log(1 + len(of_item)), (item_clicks + 20 * prior) / (len(of_item) + 20), math.log(1 + days)],
            "user": [math.log(1 + len(of_user)), (len(clicks) + 10 * prior) / (len(of_user) + 10)],
            "context": [
                math.log(1 + now - newest) if clicks else -1,
                math.sin(2 * math.pi * hour / 24),
                math.cos(2 * math.pi * hour / 24),
            ],
            "history": [(entry[1], math.log(1 + newest - entry[2])) for entry in clicks[: schema.history]],
        }
        log.append((user, item, now, int(dataset.label[row]), row))


@pytest.mark.parametrize("seed, held_out, warmed", [(0, 0, 0.0), (1, 0, 0.0), (2, 3, 0.0), (3, 1, 0.0), (4, 5, 0.5)])
def test_features_are_those_of_a_row_by_row_reading(seed, held_out, warmed):
    dataset = random_dataset(seed, held_out=held_out)
    if warmed:
        dataset = dataclasses.replace(dataset, warmed=np.random.default_rng(seed).random(dataset.rows) < warmed)
    schema = schema_of(dataset)
    features = compute(dataset, schema)
    history = features.history(np.arange(dataset.rows))
    for row, expected in enumerate(slow_features(dataset, schema)):
        np.testing.assert_allclose(features.item_statistics[row], expected["item"], rtol=1e-6)
        np.testing.assert_allclose(features.user_statistics[row], expected["user"], rtol=1e-6)
        np.testing.assert_allclose(features.context[row], expected["context"], rtol=1e-6, atol=1e-6)
        count = len(expected["history"])
        assert history.mask[row].tolist() == [1] * count + [0] * (schema.history - count)
        assert history.items[row, :count].tolist() == [item for item, _ in expected["history"]]
        np.testing.assert_allclose(history.intervals[row, :count], [interval for _, interval in expected["history"]], rtol=1e-6)
        assert history.actions[row].tolist() == [1] * count + [0] * (schema.history - count)
        assert not history.items[row, count:].any() and not history.intervals[row, count:].any()


def rows_until(features, row):
    rows = np.arange(row + 1)
    history = features.history(rows)
    return [
        features.item_statistics[rows], features.user_statistics[rows], features.context[rows],
        history.items, history.actions, history.intervals, history.mask,
    ]  # fmt: skip


def changed_future(dataset, row, random):
    """Every later row, and the label of the row itself, which is not known yet when it is ranked."""
    later = np.arange(row + 1, dataset.rows)
    user, item, label, timestamp = dataset.user.copy(), dataset.item.copy(), dataset.label.copy(), dataset.timestamp.copy()
    user[later] = random.integers(0, len(dataset.user_ids), len(later))
    item[later] = random.integers(0, len(dataset.items), len(later))
    label[row:] = 1 - label[row:]
    timestamp[later] += 1e6
    return dataclasses.replace(dataset, user=user, item=item, label=label, timestamp=timestamp)


@pytest.mark.parametrize("seed", range(4))
def test_future_changes_nothing_before_it(seed):
    random = np.random.default_rng(seed)
    dataset = random_dataset(seed)
    schema = schema_of(dataset)
    for row in (0, 17, int(random.integers(dataset.rows)), dataset.rows - 1):
        other = compute(changed_future(dataset, row, random), schema)
        for before, after in zip(rows_until(compute(dataset, schema), row), rows_until(other, row)):
            np.testing.assert_array_equal(before, after)


def test_nothing_after_the_training_part_enters_what_is_learned():
    random = np.random.default_rng(5)
    dataset = random_dataset(5)
    last = int(np.flatnonzero(dataset.split == TRAIN)[-1])
    other = changed_future(dataset, last + 1, random)
    # Items and users that come later bring values of their own, which must not become part of a vocabulary, whether the test part has rows of them or nobody was ever shown them.
    newcomers = [dataclasses.replace(dataset.items[0], id=name, categories=(name,) * 3, attributes={"colour": name}, text=f"{name} {name} {name}") for name in ("newcomer", "unshown")]
    dataset, other = (dataclasses.replace(one, items=[*one.items, *newcomers]) for one in (dataset, other))
    item = other.item.copy()
    item[-20:] = len(dataset.items) - 2
    other = dataclasses.replace(other, item=item)
    assert other.item.max() == len(dataset.items) - 2 and dataset.item.max() < len(dataset.items) - 2
    before, after = fit(dataset, OPTIONS), fit(other, OPTIONS)
    assert before.tokenizer.merges == after.tokenizer.merges
    assert dataclasses.replace(before, tokenizer=None) == dataclasses.replace(after, tokenizer=None)
    features = build(other, OPTIONS)
    assert features.item_row[-2:].tolist() == [0, 0] and not {"newcomer", "unshown"} & set(features.known_item_ids)


def test_text_of_items_without_training_rows_is_not_learned_from():
    dataset = random_dataset(11)
    unshown = dataclasses.replace(dataset.items[0], id="unshown", text="zyzzyva zyzzyva zyzzyva")
    merges = fit(dataclasses.replace(dataset, items=[*dataset.items, unshown]), OPTIONS).tokenizer.merges
    assert merges == fit(dataset, OPTIONS).tokenizer.merges


def test_history_length_may_be_shorter_than_the_schema():
    features = build(random_dataset(6), OPTIONS)
    rows = np.arange(len(features.label))
    full, short = features.history(rows), features.history(rows, 2)
    np.testing.assert_array_equal(full.items[:, :2], short.items)
    np.testing.assert_array_equal(full.intervals[:, :2], short.intervals)


def test_history_without_any_click_is_empty():
    dataset = random_dataset(7)
    features = build(dataclasses.replace(dataset, label=np.zeros_like(dataset.label)), OPTIONS)
    assert not features.history(np.arange(dataset.rows)).mask.any()
    assert (features.context == -1).all()


def test_switches_leave_features_out():
    features = build(random_dataset(8), dataclasses.replace(OPTIONS, statistics=False, time_context=False, text=False))
    assert features.item_statistics.shape[1] == features.user_statistics.shape[1] == features.context.shape[1] == 0
    assert features.items.text is None and features.schema.tokenizer is None


def test_vocabulary_tells_absent_unlisted_and_listed_apart():
    vocabulary = Vocabulary("genre", ["x", "y"])
    assert [vocabulary.encode(value) for value in (None, "z", "X", "x", "y")] == [0, 1, 1, 2, 3]
    assert vocabulary.size == 4


def test_rare_values_stay_unlisted():
    schema = fit(random_dataset(9, items=13), OPTIONS)
    assert [one.values for one in schema.attributes] == [["0", "1", "2"]]  # the year 3 has one item


def test_categories_are_the_first_in_order():
    dataset = random_dataset(10)
    features = build(dataset, dataclasses.replace(OPTIONS, categories_length=2))
    assert features.schema.categories.values == ["x", "y", "z"]
    assert features.items.categories[:5].tolist() == [[0, 0], [2, 0], [2, 3], [2, 3], [0, 0]]


def test_click_rate_stays_below_one():
    from recbackend.features import statistic

    rate = statistic(Statistic("click_rate", 0.9, 1.0), np.array([2]), np.array([5]), None)
    assert rate.tolist() == [1.0]
