"""A trained model seen as serving sees it: representations once per item, one row at a time in its own past.

Metrics come from here and not from a recipe's training loop, so that they are those of a live replay of the same rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .features import Features, ItemInputs
from .train import TrainedModel

_ROWS = 1024
_ITEMS = 256


class Replay:
    """Scores rows of `features` with `model`. Tables may be given in place of the model's, e.g. rounded ones."""

    def __init__(self, model: TrainedModel, features: Features, item_table: np.ndarray | None = None, user_table: np.ndarray | None = None):
        self.model = model
        self.features = features
        self.item_table = _float32(model.item_table if item_table is None else item_table)
        self.user_table = _float32(model.user_table if user_table is None else user_table)
        self.item_row = _table_rows(features.item_ids, model.item_ids)
        self.user_row = _table_rows(features.user_ids, model.user_ids)
        self.representation = encode_items(model, features.items)
        # What the catalogue holds of each item before statistics: [I, dId + dRep].
        self.static_row = np.concatenate([self.item_table[self.item_row], self.representation], axis=1)

    def user_inputs(self, rows: np.ndarray) -> dict[str, Tensor]:
        """The user encoder's inputs for the users of `rows`, as of those rows. Inputs of width 0 are left out."""
        features, dims = self.features, self.model.dims
        history = features.history(rows, dims["history"])
        users = features.user[rows]
        inputs = {"user_embedding": self.user_table[self.user_row[users]]}
        if dims["profile"]:
            inputs["profile"] = features.profile[users]
        if dims["user_statistics"]:
            inputs["user_statistics"] = features.user_statistics[rows]
        inputs["history"] = self.static_row[history.items] * history.mask[:, :, None]
        inputs["history_actions"] = history.actions
        inputs["history_intervals"] = history.intervals
        inputs["history_mask"] = history.mask
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in inputs.items()}

    def item_rows(self, rows: np.ndarray) -> np.ndarray:
        """float32 [B, dRow]: the item rows that the ranker reads for `rows`."""
        parts = [self.static_row[self.features.item[rows]]]
        if self.model.dims["statistics"]:
            parts.append(self.features.item_statistics[rows])
        return np.concatenate(parts, axis=1)

    def ranker_context(self, rows: np.ndarray) -> Tensor | None:
        """float32 [B, C], or None for a ranker that reads none."""
        return torch.from_numpy(self.features.context[rows]) if self.model.dims["context"] else None

    @torch.no_grad()
    def scores(self, rows: np.ndarray, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """float32 [len(rows)]: click probabilities."""
        result = np.empty(len(rows), np.float32)
        for begin in range(0, len(rows), _ROWS):
            batch = rows[begin : begin + _ROWS]
            user_state, history_state = self.model.user_encoder(**self.user_inputs(batch))
            item = torch.from_numpy(self.item_rows(batch)).unsqueeze(1)
            context = self.ranker_context(batch)
            named = {} if context is None else {"context": context}
            score = self.model.ranker(user_state=user_state, history_state=history_state, item=item, **named)
            result[begin : begin + len(batch)] = score[:, 0].numpy()
            if progress:
                progress(begin + len(batch), len(rows))
        return result


@torch.no_grad()
def encode_items(model: TrainedModel, items: ItemInputs) -> np.ndarray:
    """float32 [I, dRep]: the representation of every item."""
    inputs = items.named(model.item_inputs)
    count = len(items.has_image)
    parts = []
    for begin in range(0, count, _ITEMS):
        batch = {name: torch.from_numpy(np.ascontiguousarray(value[begin : begin + _ITEMS])) for name, value in inputs.items()}
        parts.append(model.item_encoder(**batch).numpy())
    return np.concatenate(parts).astype(np.float32)


def _float32(table: np.ndarray) -> np.ndarray:
    return np.asarray(table).astype(np.float32)


def _table_rows(ids: list[str], known: list[str]) -> np.ndarray:
    places = {name: place for place, name in enumerate(known, start=1)}
    return np.array([places.get(name, 0) for name in ids], np.int64)
