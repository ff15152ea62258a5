"""Byte-level byte-pair encoding, the one of docs/bundle-format.md section 3.

No Unicode table takes part, so that the C# and the Python implementation agree on every text of every language.
"""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

PADDING = 0
SEPARATOR = 2
FIRST_BYTE = 3
FIRST_MERGE = FIRST_BYTE + 256

_LOWER = bytes(b + 32 if 0x41 <= b <= 0x5A else b for b in range(256))
# A run of letters, digits and bytes of other scripts, or one single mark. Control bytes, the space and DEL only separate.
_WORD = re.compile(rb"([a-z0-9\x80-\xff]+)|[\x21-\x7e]")
# Longer runs (an unspaced paragraph, a hash) teach the merge table nothing that is worth its cost.
_LONGEST_TRAINING_WORD = 64


class Tokenizer:
    """Turns text into ids: 0 padding, 2 separator, 3 + b the byte b, 259 + r the result of merge r."""

    padding = PADDING
    first: list[int] = []
    last: list[int] = []
    """Nothing stands before or after a text, as other tokenizers have it (`bert.WordPiece`)."""

    def __init__(self, merges: Iterable[tuple[int, int]]):
        """`merges`: pairs of ids in rank order. ValueError when a pair names an id that does not exist at its rank."""
        self.merges: list[tuple[int, int]] = [(int(left), int(right)) for left, right in merges]
        for rank, pair in enumerate(self.merges):
            if not all(FIRST_BYTE <= part < FIRST_MERGE + rank for part in pair):
                raise ValueError(f"merge {rank} joins {pair}, which names an id that does not exist before it")
        self._ranks = {pair: rank for rank, pair in reversed(list(enumerate(self.merges)))}
        self._words: dict[bytes, tuple[int, ...]] = {}

    @property
    def size(self) -> int:
        """One more than the largest id."""
        return FIRST_MERGE + len(self.merges)

    def encode(self, text: str) -> list[int]:
        """The ids of one text, not cut. UnicodeEncodeError for a lone surrogate."""
        ids: list[int] = []
        for word in _words(text):
            known = self._words.get(word)
            if known is None:
                known = self._words[word] = tuple(self._merge([FIRST_BYTE + byte for byte in word]))
            ids.extend(known)
        return ids

    def encode_parts(self, parts: Iterable[str], length: int) -> list[int]:
        """The ids of an item's document: its non-empty parts with a separator between, cut and filled to `length`."""
        ids: list[int] = []
        present = 0
        for part in parts:
            if not part:
                continue
            if present:
                ids.append(SEPARATOR)
            present += 1
            ids.extend(self.encode(part))
            if len(ids) >= length:
                break
        return ids[:length] + [PADDING] * (length - len(ids))

    def _merge(self, ids: list[int]) -> list[int]:
        # Merging every occurrence of the best pair, left to right, is the same as one occurrence at a time: what
        # a merge makes can only be part of pairs of a later rank.
        while len(ids) > 1:
            best = min(self._ranks.get(pair, len(self.merges)) for pair in zip(ids, ids[1:]))
            if best == len(self.merges):
                break
            ids = _replace(ids, self.merges[best], FIRST_MERGE + best)
        return ids

    def to_json(self) -> str:
        return json.dumps({"format": 1, "merges": self.merges}, separators=(",", ":")) + "\n"

    @staticmethod
    def load(path: Path) -> "Tokenizer":
        document = json.loads(path.read_text("utf-8"))
        if document.get("format") != 1:
            raise ValueError(f"{path}: format {document.get('format')} is not 1")
        return Tokenizer(document["merges"])

    @staticmethod
    def train(texts: Iterable[str], size: int = 4000) -> "Tokenizer":
        """Learns merges until the vocabulary has `size` ids or no pair occurs twice.

        Counts pairs over distinct words weighted by how often they occur; a merge touches only the words that hold the pair.
        Ties go to the smaller pair of ids, so that the same texts always give the same table.
        """
        counts: Counter[bytes] = Counter()
        for text in texts:
            counts.update(word for word in _words(text) if len(word) <= _LONGEST_TRAINING_WORD)
        words = [[FIRST_BYTE + byte for byte in word] for word in counts]
        weights = list(counts.values())
        frequency: Counter[tuple[int, int]] = Counter()
        holders: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for index, word in enumerate(words):
            for pair in zip(word, word[1:]):
                frequency[pair] += weights[index]
                holders[pair].add(index)
        queue = [(-count, pair) for pair, count in frequency.items()]
        heapq.heapify(queue)

        merges: list[tuple[int, int]] = []
        while queue and FIRST_MERGE + len(merges) < size:
            negative, pair = heapq.heappop(queue)
            count = frequency.get(pair, 0)
            if count != -negative:  # a stale entry: put it back with its present count
                if count > 1:
                    heapq.heappush(queue, (-count, pair))
                continue
            if count < 2:
                break
            made = FIRST_MERGE + len(merges)
            merges.append(pair)
            changed: set[tuple[int, int]] = set()
            for index in holders.pop(pair):
                word = words[index]
                for old in zip(word, word[1:]):
                    frequency[old] -= weights[index]
                    changed.add(old)
                word = words[index] = _replace(word, pair, made)
                for new in zip(word, word[1:]):
                    frequency[new] += weights[index]
                    holders[new].add(index)
                    changed.add(new)
            frequency.pop(pair, None)
            for touched in changed:
                if frequency.get(touched, 0) > 1:
                    heapq.heappush(queue, (-frequency[touched], touched))
        return Tokenizer(merges)


def _words(text: str) -> list[bytes]:
    """Splits text into words as bytes; words of letters carry a leading space, which tells them from their continuation."""
    lowered = text.encode("utf-8").translate(_LOWER)
    return [b" " + match[0] if match[1] else match[0] for match in _WORD.finditer(lowered)]


def _replace(ids: list[int], pair: tuple[int, int], made: int) -> list[int]:
    left, right = pair
    result: list[int] = []
    position = 0
    last = len(ids) - 1
    while position <= last:
        if position < last and ids[position] == left and ids[position + 1] == right:
            result.append(made)
            position += 2
        else:
            result.append(ids[position])
            position += 1
    return result
