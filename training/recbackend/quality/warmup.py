"""ID vectors for items that came after training, learned from their first rows alone.

What warm-up papers call fine-tuning, in its plainest form: the trained model is frozen, each new item gets an ID row that starts as the unknown vector, and these rows alone are fitted to the
warm-up rows. That is the mode of a posterior: training's Gaussian prior with the unknown vector as its mean, so that an item of few rows stays near it. Any recipe has these parts, since they are the bundle's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..features import Features
from ..replay import Replay
from ..train import Progress, TrainedModel

_ROWS = 512
_EPOCHS = 6
_RATE = 0.01
_PRIOR = 16.0


def warmed_up(model: TrainedModel, features: Features, rows: np.ndarray, seed: int, progress: Progress | None = None) -> TrainedModel:
    """The model with an ID row for each item of `rows` that had none. `features` are as of the warm-up: its rows are in histories and statistics, each row in its own past."""
    known = set(model.item_ids)
    new = [place for place in np.unique(features.item[rows]).tolist() if features.item_ids[place] not in known]
    rows = rows[np.isin(features.item[rows], new)]
    if not len(rows) or not model.dims["item_id"]:
        return model
    place = np.zeros(len(features.item_ids), np.int64)
    place[new] = np.arange(len(new))
    row_place = torch.from_numpy(place[features.item[rows]])
    states, label = _encoded(model, features, rows), torch.from_numpy(features.label[rows])
    unknown = torch.from_numpy(model.item_table[0].astype(np.float32))
    change = torch.zeros(len(new), len(unknown), requires_grad=True)
    prior = float(model.settings.get("embedding_prior", _PRIOR)) / len(rows)
    optimizer = torch.optim.Adam([change], lr=_RATE)
    generator = torch.Generator().manual_seed(seed)
    steps = _EPOCHS * -(-len(rows) // _ROWS)
    frozen = [(parameter, parameter.requires_grad) for parameter in model.ranker.parameters()]
    model.ranker.requires_grad_(False)
    if progress is not None:
        progress.stage("warm up")
    step = 0
    for _ in range(_EPOCHS):
        for batch in torch.randperm(len(rows), generator=generator).split(_ROWS):
            for group in optimizer.param_groups:
                group["lr"] = _RATE * (1 - step / steps)
            score = _scores(model, states, batch, unknown + change[row_place[batch]])
            # A mean over rows and the prior over all new items, as in training (`ClickModel.loss`).
            loss = functional.binary_cross_entropy(score.clamp(1e-7, 1 - 1e-7), label[batch]) + 0.5 * prior * change.square().sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            if progress is not None:
                progress.update(step, steps, float(loss.detach()))
    for parameter, wanted in frozen:
        parameter.requires_grad_(wanted)
    table = (unknown + change.detach()).numpy()
    return replace(model, item_ids=[*model.item_ids, *(features.item_ids[one] for one in new)], item_table=np.concatenate([model.item_table, table]))


@dataclass(frozen=True)
class _States:
    """What the ranker reads of rows beside the candidate's ID."""

    user: Tensor  # [R, S]
    history: Tensor  # float16 [R, L, H]: the large one
    item: Tensor  # [R, dRow - dId]
    context: Tensor | None  # [R, C]


@torch.no_grad()
def _encoded(model: TrainedModel, features: Features, rows: np.ndarray) -> _States:
    replay = Replay(model, features)
    user, history = [], []
    for begin in range(0, len(rows), _ROWS):
        user_state, history_state = model.user_encoder(**replay.user_inputs(rows[begin : begin + _ROWS]))
        user.append(user_state)
        history.append(history_state.half())
    item = torch.from_numpy(replay.item_rows(rows)[:, model.dims["item_id"] :])
    return _States(torch.cat(user), torch.cat(history), item, replay.ranker_context(rows))


def _scores(model: TrainedModel, states: _States, batch: Tensor, ids: Tensor) -> Tensor:
    """Places of rows [B] and their candidates' ID vectors [B, dId] -> probabilities [B]."""
    named = {} if states.context is None else {"context": states.context[batch]}
    item = torch.cat([ids, states.item[batch]], 1).unsqueeze(1)
    return model.ranker(user_state=states.user[batch], history_state=states.history[batch].float(), item=item, **named)[:, 0]
