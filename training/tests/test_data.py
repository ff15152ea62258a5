"""Data that is not in the neutral form is refused with the file, the line and the reason."""

import gzip

import numpy as np
import pytest
from neutral import HEADER, write_folder

from recbackend import data
from recbackend.data import HELD_OUT, TEST, TRAIN, VALID, DataError

ROWS = "".join(f"u{n % 4},{'abc'[n % 3]},{1000 + n},{n % 2}\n" for n in range(20))


def refusal(folder) -> str:
    with pytest.raises(DataError) as caught:
        data.read(folder)
    return str(caught.value)


BAD_ITEMS = {
    "not JSON": (b'{"id": "c"', "is not JSON"),
    "not an object": (b"[1]", "not a JSON object"),
    "not UTF-8": (b'{"id": "\xff"}', "is not UTF-8"),
    "unknown field": ({"id": "c", "colour": "red"}, "unknown field 'colour'"),
    "no id": ({"title": "x"}, "id is missing"),
    "id a number": ({"id": 3}, "id must be text"),
    "id empty": ({"id": ""}, "has 0 bytes"),
    "id too long": ({"id": "é" * 65}, "has 130 bytes"),
    "id with a control character": ({"id": "a\tb"}, "control character"),
    "id with a C1 control character": ({"id": "a\x85b"}, "control character"),
    "id with a lone surrogate": (b'{"id": "a\\ud800"}', "lone surrogate"),
    "id twice": ({"id": "a"}, "already on line 1"),
    "title a number": ({"id": "c", "title": 4}, "title must be text"),
    "text with a lone surrogate": (b'{"id": "c", "text": "\\udfff"}', "lone surrogate"),
    "categories a text": ({"id": "c", "categories": "x"}, "categories must be a list"),
    "a tag that is a number": ({"id": "c", "tags": ["x", 1]}, "tags[1] must be text"),
    "attributes a list": ({"id": "c", "attributes": []}, "attributes must be an object"),
    "an attribute that is a number": ({"id": "c", "attributes": {"year": 1994}}, "attributes.year must be text"),
    "image not there": ({"id": "c", "image": "none.png"}, "is not there"),
    "image features not finite": (b'{"id": "c", "image_features": [1, NaN]}', "image_features[1] must be a finite number"),
    "image features of another length": ({"id": "c", "image_features": [1, 2]}, "has 2 numbers; line 1 has 3"),
    "image features beyond 32 bits": (b'{"id": "c", "image_features": [1, 1' + b"0" * 400 + b"]}", "image_features[1] must be a finite number"),
    "image features empty": ({"id": "c", "image_features": []}, "must be a list of numbers"),
    "nested too deeply": (b'{"id": ' + b"[" * 100_000 + b"}", "nested too deeply"),
}


@pytest.mark.parametrize("line, reason", BAD_ITEMS.values(), ids=BAD_ITEMS.keys())
def test_bad_item_is_refused_with_its_line(tmp_path, line, reason):
    message = refusal(write_folder(tmp_path, items=[{"id": "a", "image_features": [1, 2, 3]}, {"id": "b"}, line]))
    assert "items.jsonl:3: " in message and reason in message


BAD_EVENTS = {
    "an item that is not in the catalogue": (HEADER + ROWS + "u1,zzz,2000,1\n", 22, "'zzz' is not in items.jsonl"),
    "a bad item id": (HEADER + ROWS + "u1,,2000,1\n", 22, "item has 0 bytes"),
    "a bad user id": (HEADER + ROWS + "a\x01,a,2000,1\n", 22, "control character"),
    "label not 0 or 1": (HEADER + ROWS + "u1,a,2000,0.5\n", 22, "label '0.5' is neither 0 nor 1"),
    "label absent": (HEADER + ROWS + "u1,a,2000\n", 22, "has 3 columns"),
    "a column too many": (HEADER + ROWS + "u1,a,2000,1,5\n", 22, "has 5 columns"),
    "time backwards": (HEADER + "u,a,5,1\nu,a,4,0\n", 3, "before that of the row above"),
    "time not a number": (HEADER + "u,a,soon,1\n", 2, "'soon' is not a number of unix seconds"),
    "time NaN": (HEADER + "u,a,nan,1\n", 2, "'nan' is not a number"),
    "time negative": (HEADER + "u,a,-1,1\n", 2, "'-1' is not a number"),
    "time in nanoseconds": (HEADER + "u,a,1600000000000000000,1\n", 2, "is not a number of unix seconds"),
    "time in milliseconds": (HEADER + "u,a,1600000000000,1\n", 2, "divide milliseconds by 1000"),
    "time with digit separators": (HEADER + "u,a,1_000,1\n", 2, "'1_000' is not a number"),
    "a column missing": ("user,item,label\nu,a,1\n", 1, "column 'timestamp' is missing"),
    "an unknown column": ("user,item,timestamp,label,weight\n", 1, "unknown column 'weight'"),
    "a column twice": ("user,item,timestamp,label,label\n", 1, "column 'label' is there twice"),
    "empty": ("", 1, "the header user,item,timestamp,label is missing"),
    "a quote that never ends": (HEADER + '"u,a,5,1\n', 2, "is not CSV"),
    "not UTF-8": (HEADER + ROWS + "\udcff,a,5,1\n", 22, "is not UTF-8"),
}


@pytest.mark.parametrize("events, line, reason", BAD_EVENTS.values(), ids=BAD_EVENTS.keys())
def test_bad_event_is_refused_with_its_line(tmp_path, events, line, reason):
    message = refusal(write_folder(tmp_path, events=events))
    assert f"events.csv:{line}: " in message and reason in message


def test_events_without_a_row_are_refused(tmp_path):
    assert "holds no event" in refusal(write_folder(tmp_path, events=HEADER))


def test_truncated_gzip_is_refused(tmp_path):
    write_folder(tmp_path)
    content = gzip.compress((tmp_path / "events.csv").read_bytes())
    (tmp_path / "events.csv").unlink()
    (tmp_path / "events.csv.gz").write_bytes(content[:-20])
    assert "is not a whole gzip file" in refusal(tmp_path)


def test_missing_files_are_named(tmp_path):
    assert "no such folder" in refusal(tmp_path / "nowhere")
    write_folder(tmp_path)
    (tmp_path / "items.jsonl").unlink()
    assert "items.jsonl: not there" in refusal(tmp_path)
    write_folder(tmp_path)
    (tmp_path / "events.csv").unlink()
    assert "no events.csv.gz either" in refusal(tmp_path)


def test_two_event_files_are_refused(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "events.csv.gz").write_bytes(b"")
    assert "remove the one that is not meant" in refusal(tmp_path)


@pytest.mark.parametrize(
    "user, reason", [({"id": "u", "name": "x"}, "unknown field 'name'"), ({"id": "x"}, "is there twice"), ({"id": "y", "attributes": {"age": 3}}, "must be text")]
)
def test_bad_user_is_refused_with_its_line(tmp_path, user, reason):
    message = refusal(write_folder(tmp_path, users=[{"id": "x"}, user]))
    assert "users.jsonl:2: " in message and reason in message


BAD_SPLITS = {
    "not JSON": ("{", "is not JSON"),
    "another form": ({"from": 3}, "must be"),
    "a time that is text": ({"valid_from": "a", "test_from": 3}, "valid_from must be a number"),
    "times turned around": ({"valid_from": 5, "test_from": 3}, "valid_from is after test_from"),
    "no training row": ({"valid_from": 5, "test_from": 1010}, "no row for the training part"),
    "no test row": ({"valid_from": 1005, "test_from": 1e9}, "no row for the test part"),
    "an unknown item": ({"test_items": ["zzz"]}, "names 'zzz'"),
    "an item in both lists": ({"test_items": ["a"], "valid_items": ["a"]}, "in both"),
    "warm rows negative": ({"test_items": ["a"], "warm_rows": -1}, "warm_rows must be"),
}


@pytest.mark.parametrize("split, reason", BAD_SPLITS.values(), ids=BAD_SPLITS.keys())
def test_bad_split_is_refused(tmp_path, split, reason):
    message = refusal(write_folder(tmp_path, split=split))
    assert "split.json" in message and reason in message


@pytest.mark.parametrize("rows, part", [(slice(0, 16), "training"), (slice(16, 18), "validation")])
@pytest.mark.parametrize("label", [0, 1])
def test_part_of_one_label_alone_is_refused(tmp_path, rows, part, label):
    labels = [n % 2 for n in range(20)]
    labels[rows] = [label] * len(labels[rows])
    events = HEADER + "".join(f"u,a,{1000 + n},{value}\n" for n, value in enumerate(labels))
    assert f"every row of the {part} part has label {label}" in refusal(write_folder(tmp_path, events=events))


def test_fingerprint_covers_the_pictures(tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"one")
    items = [{"id": "a", "image": "a.png"}, {"id": "b"}, {"id": "c"}]
    before = data.read(write_folder(tmp_path, items=items)).fingerprint
    picture.write_bytes(b"two")
    assert data.read(tmp_path).fingerprint != before


def test_last_tenths_are_validation_and_test(tmp_path):
    dataset = data.read(write_folder(tmp_path))
    assert dataset.split.tolist() == [TRAIN] * 16 + [VALID] * 2 + [TEST] * 2


def test_split_by_time(tmp_path):
    dataset = data.read(write_folder(tmp_path, split={"valid_from": 1010, "test_from": 1015}))
    assert dataset.split.tolist() == [TRAIN] * 10 + [VALID] * 5 + [TEST] * 5


def test_split_by_items_holds_out_their_rows_and_warm_up(tmp_path):
    dataset = data.read(write_folder(tmp_path, split={"test_items": ["a"], "valid_items": ["b"], "warm_rows": 2}))
    by_item = {name: dataset.split[dataset.item == place].tolist() for place, name in enumerate("abc")}
    assert by_item == {"a": [HELD_OUT] * 2 + [TEST] * 5, "b": [VALID] * 7, "c": [TRAIN] * 6}
    assert dataset.held_out_items == {"a", "b"}


def test_columns_may_come_in_any_order_with_a_byte_order_mark(tmp_path):
    rows = "".join(f"r{n},{n % 2},{1000 + n},u,a\n" for n in range(20))
    dataset = data.read(write_folder(tmp_path, events="\ufeffrequest_id,label,timestamp,user,item\n" + rows))
    assert dataset.label.tolist() == [0, 1] * 10 and dataset.timestamp[3] == 1003


def test_compression_does_not_change_data_or_fingerprint(tmp_path):
    plain = data.read(write_folder(tmp_path))
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress((tmp_path / "events.csv").read_bytes()))
    (tmp_path / "events.csv").unlink()
    packed = data.read(tmp_path)
    assert packed.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(packed.item, plain.item)


def test_fingerprint_changes_with_the_data(tmp_path):
    before = data.read(write_folder(tmp_path)).fingerprint
    assert data.read(write_folder(tmp_path, items=[{"id": "a"}, {"id": "b"}, {"id": "c", "title": "x"}])).fingerprint != before


def test_users_of_the_user_file_come_first_and_keep_their_attributes(tmp_path):
    dataset = data.read(write_folder(tmp_path, users=[{"id": "u3", "attributes": {"age": "25"}}, {"id": "idle"}]))
    assert dataset.user_ids == ["u3", "idle", "u0", "u1", "u2"]
    assert dataset.profiles == [{"age": "25"}, {}, {}, {}, {}]
