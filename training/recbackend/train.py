"""What every recipe hands to export, and the training loop that they share.

Nothing here knows the name of a recipe.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn


@dataclass
class TrainedModel:
    """The three graphs and two ID tables of a bundle, before export (`docs/bundle-format.md`).

    The modules are in eval mode, take the contract's input names as keyword arguments (an input that the model does not read may be left out or None), and work for any
    batch size and number of candidates:

    - `item_encoder(text, categories, attributes, image, image_features, image_mask)` -> `representation` [B, dRep]
    - `user_encoder(user_embedding, profile, user_statistics, history, history_actions, history_intervals, history_mask)` -> `user_state` [B, S], `history_state` [B, L, H]
    - `ranker(user_state, history_state, item, context)` -> `score` [B, N], calibrated probabilities
    """

    recipe: str
    item_encoder: nn.Module
    user_encoder: nn.Module
    ranker: nn.Module
    item_inputs: tuple[str, ...]
    """The inputs that the item encoder reads; the manifest gives `null` for the others."""
    item_ids: list[str]
    item_table: np.ndarray
    """[len(item_ids) + 1, item_id] float32; row 0 is the trained unknown vector."""
    user_ids: list[str]
    user_table: np.ndarray
    """[len(user_ids) + 1, user_id] float32; row 0 is the trained unknown vector."""
    dims: dict[str, int]
    """The manifest's `dims`, all of them."""
    metrics: dict[str, dict[str, float]]
    """`valid` and `test`, each as `metrics.evaluate` gives it; a part without rows is absent."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The configuration that was trained, as JSON values."""


class Progress(Protocol):
    """Receives the state of long work; the command line draws it."""

    def update(self, done: int, total: int, loss: float) -> None: ...


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn. Rows are shuffled anew for every epoch."""

    epochs: int = 6
    batch: int = 2048
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.0
    """Fraction of `learning_rate` at the end of a cosine decay; 1 keeps it constant."""
    warmup_steps: int = 100
    weight_decay: float = 0.0
    """Decoupled (AdamW), on weight matrices only."""
    clip_norm: float = 10.0
    average: float = 0.0
    """Decay of the exponential average of the weights that validation and the result use; 0 uses the weights themselves."""
    checks_per_epoch: int = 1
    patience: int = 2
    """Checks without a better validation before training ends."""


@dataclass
class Fit:
    """What `fit` saw: the best check and the mean training loss before each check."""

    best: float
    best_epoch: float
    losses: list[float]
    checks: list[float]
    seconds: float


def fit(
    model: nn.Module,
    rows: np.ndarray | Tensor,
    loss: Callable[[Tensor], Tensor],
    schedule: Schedule,
    seed: int,
    validate: Callable[[], float] | None = None,
    progress: Progress | None = None,
    parameters: Iterable[nn.Parameter] | None = None,
) -> Fit:
    """Minimise `loss` over shuffled batches of `rows`; leave the best weights in `model`, in eval mode.

    `loss` gets row numbers [B] and returns a scalar, the mean over the batch. `validate` returns a number to maximise, computed on the model in eval mode with the averaged weights
    if averaging is on; without it the last weights are kept. Only `parameters` (default: all that require a gradient) are changed. The same seed gives the same weights on the same
    number of threads.
    """
    started = time.monotonic()
    generator = torch.Generator().manual_seed(seed)
    rows = torch.as_tensor(rows, dtype=torch.int64)
    trained = [p for p in (model.parameters() if parameters is None else parameters) if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": schedule.weight_decay},
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=schedule.learning_rate,
    )
    steps_per_epoch = max(1, (len(rows) + schedule.batch - 1) // schedule.batch)
    total = steps_per_epoch * schedule.epochs
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, total, schedule))
    average = [p.detach().clone() for p in trained] if schedule.average else None
    checks_at = {round(steps_per_epoch * (k + 1) / schedule.checks_per_epoch) for k in range(schedule.checks_per_epoch)}
    best, best_epoch, best_weights, since_best = -float("inf"), 0.0, None, 0
    losses: list[float] = []
    checks: list[float] = []
    step, sum_loss, sum_steps, running = 0, 0.0, 0, None
    for _ in range(schedule.epochs):
        order = rows[torch.randperm(len(rows), generator=generator)]
        model.train()
        for in_epoch, batch in enumerate(order.split(schedule.batch), start=1):
            value = loss(batch)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(trained, schedule.clip_norm)
            optimizer.step()
            rate.step()
            step += 1
            current = float(value.detach())
            if not np.isfinite(current):
                raise FloatingPointError(f"the training loss became {current} at step {step}; lower the learning rate")
            sum_loss, sum_steps = sum_loss + current, sum_steps + 1
            running = current if running is None else 0.95 * running + 0.05 * current
            if average is not None:
                _update_average(average, trained, schedule.average, step)
            if progress is not None:
                progress.update(step, total, running)
            if in_epoch not in checks_at:
                continue
            losses.append(sum_loss / sum_steps)
            sum_loss, sum_steps = 0.0, 0
            if validate is None:
                continue
            with _using(trained, average), torch.no_grad():
                model.eval()
                checks.append(validate())
                if checks[-1] > best:
                    best, best_epoch, since_best = checks[-1], step / steps_per_epoch, 0
                    best_weights = [p.detach().clone() for p in trained]
                else:
                    since_best += 1
                model.train()
            if since_best > schedule.patience:
                break
        if since_best > schedule.patience:
            break
    final = best_weights if best_weights is not None else average
    if final is not None:
        _assign(trained, final)
    model.eval()
    return Fit(best, best_epoch, losses, checks, time.monotonic() - started)


def fit_calibration(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Platt scaling: the (scale, bias) for which `sigmoid(scale * logit + bias)` has the least log loss.

    Newton's method on two parameters. The identity (1, 0) where it does not help or the scale would not be positive, which would turn the ranking around.
    """
    x = np.asarray(logits, dtype=np.float64)
    y = np.asarray(labels, dtype=np.float64)
    scale, bias = 1.0, 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-(scale * x + bias)))
        w = p * (1 - p)
        gradient = np.array([np.mean((p - y) * x), np.mean(p - y)])
        hessian = np.array([[np.mean(w * x * x), np.mean(w * x)], [np.mean(w * x), np.mean(w)]]) + 1e-9 * np.eye(2)
        change = np.linalg.solve(hessian, gradient)
        scale, bias = scale - change[0], bias - change[1]
        if np.abs(change).max() < 1e-10:
            break
    return (float(scale), float(bias)) if np.isfinite(scale) and scale > 0 and np.isfinite(bias) else (1.0, 0.0)


def _rate(step: int, total: int, schedule: Schedule) -> float:
    """Linear warm-up, then a cosine from 1 to `final_learning_rate`."""
    warmup = min(1.0, (step + 1) / max(1, schedule.warmup_steps))
    cosine = 0.5 * (1 + np.cos(np.pi * min(1.0, step / max(1, total))))
    return warmup * (schedule.final_learning_rate + (1 - schedule.final_learning_rate) * cosine)


@torch.no_grad()
def _update_average(average: list[Tensor], parameters: list[nn.Parameter], decay: float, step: int) -> None:
    # A young average would remember the random start: its decay grows with its age.
    keep = min(decay, (1 + step) / (10 + step))
    for mean, parameter in zip(average, parameters):
        mean.lerp_(parameter, 1 - keep)


@torch.no_grad()
def _assign(parameters: list[nn.Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(parameters, values):
        parameter.copy_(value)


class _using:
    """Within the block, the parameters hold the given values (None: their own)."""

    def __init__(self, parameters: list[nn.Parameter], values: list[Tensor] | None):
        self._parameters, self._values = parameters, values

    def __enter__(self) -> None:
        if self._values is not None:
            self._own = copy.deepcopy([p.detach() for p in self._parameters])
            _assign(self._parameters, self._values)

    def __exit__(self, *_: object) -> None:
        if self._values is not None:
            _assign(self._parameters, self._own)
