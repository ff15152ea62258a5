"""The tokenizer is the one of docs/bundle-format.md section 3, letter by letter."""

import random
import re

import pytest

from recbackend.tokenizer import Tokenizer


def slow_words(text):
    """Rules 1 and 2 byte by byte."""
    words, run = [], []
    for byte in text.encode("utf-8"):
        if 0x41 <= byte <= 0x5A:
            byte += 0x20
        if 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39 or byte >= 0x80:
            run.append(byte)
            continue
        if run:
            words.append([0x20, *run])
            run = []
        if byte > 0x20 and byte != 0x7F:
            words.append([byte])
    return words + ([[0x20, *run]] if run else [])


def slow_encode(merges, text):
    """Rule 3 as it is written: one merge at a time, the lowest rank, the leftmost occurrence."""
    ids = []
    for word in slow_words(text):
        word = [3 + byte for byte in word]
        while True:
            found = [(merges.index(pair), place) for place, pair in enumerate(zip(word, word[1:])) if pair in merges]
            if not found:
                break
            rank, place = min(found)
            word[place : place + 2] = [259 + rank]
        ids.extend(word)
    return ids


def texts(seed, count):
    source = random.Random(seed)
    alphabet = "aabbccdeE  ,.!9\n\té😀好مe\u0301\x00\x7f\x85"
    return ["".join(source.choice(alphabet) for _ in range(source.randint(0, 40))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_ids_are_those_of_the_rules_one_by_one(seed):
    tokenizer = Tokenizer.train(texts(seed, 200), size=300 + 30 * seed)
    for text in texts(seed + 10, 150):
        assert tokenizer.encode(text) == slow_encode(tokenizer.merges, text)


def slow_train(sample, size):
    """Counts every pair anew for every merge."""
    words = [[3 + byte for byte in word] for text in sample for word in slow_words(text)]
    merges = []
    while 259 + len(merges) < size:
        counts = {}
        for word in words:
            for pair in zip(word, word[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 2:
            break
        for word in words:
            place = 0
            while place < len(word) - 1:
                if (word[place], word[place + 1]) == best:
                    word[place : place + 2] = [259 + len(merges)]
                place += 1
        merges.append(best)
    return merges


@pytest.mark.parametrize("seed", range(3))
def test_merges_are_those_of_counting_anew(seed):
    sample = texts(seed, 60)
    assert Tokenizer.train(sample, size=330).merges == slow_train(sample, 330)


def test_training_stops_when_no_pair_occurs_twice():
    assert Tokenizer.train(["ab"], size=4000).merges == []


def test_document_has_one_separator_between_present_parts():
    tokenizer = Tokenizer([])
    a, b, space = 3 + ord("a"), 3 + ord("b"), 3 + 0x20
    assert tokenizer.encode_parts(["A", "", "b"], 8) == [space, a, 2, space, b, 0, 0, 0]
    assert tokenizer.encode_parts(["", "", "b"], 3) == [space, b, 0]
    assert tokenizer.encode_parts(["", ""], 2) == [0, 0]
    assert tokenizer.encode_parts(["aaaa", "b"], 3) == [space, a, a]


def test_separator_stands_even_for_a_part_without_words():
    assert Tokenizer([]).encode_parts(["!", " ", "!"], 4) == [3 + 0x21, 2, 2, 3 + 0x21]


def test_table_survives_a_file(tmp_path):
    tokenizer = Tokenizer.train(texts(1, 100), size=300)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    assert Tokenizer.load(tmp_path / "tokenizer.json").merges == tokenizer.merges


@pytest.mark.parametrize("merges", [[(3, 259)], [(0, 5)], [(3, 4), (260, 5)]])
def test_merge_of_an_id_that_is_not_there_yet_is_refused(merges):
    with pytest.raises(ValueError, match=re.escape("does not exist before it")):
        Tokenizer(merges)


def test_lone_surrogate_is_refused():
    with pytest.raises(UnicodeEncodeError):
        Tokenizer([]).encode("a\ud800")
