"""What every recipe hands to export, and the training loop that they share.

Nothing here knows the name of a recipe.
"""

from __future__ import annotations

import copy
import ctypes
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import metrics
from .data import without_folder
from .features import Features
from .layers import Ranker, RankingShape, UserEncoder

# A calibration that shrinks logits further than this would leave ties in 32 bits.
_LEAST_SCALE = 1e-4
# Groups of a batch, by the length of the history.
_LENGTHS = 4


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
    settings: dict[str, Any] = field(default_factory=dict)
    """The configuration that was trained, as JSON values."""


@dataclass(frozen=True)
class Examples:
    """Rows of `Features` as tensors, gathered by row number without a Python loop."""

    features: Features
    item_row: Tensor
    """int64 [I]: row of the item table; 0 for an item without training rows."""
    user_row: Tensor
    """int64 [U]"""

    @classmethod
    def of(cls, features: Features) -> Examples:
        return cls(features, torch.from_numpy(features.item_row), torch.from_numpy(features.user_row))

    def item_inputs(self, names: tuple[str, ...], items: np.ndarray | slice = slice(None)) -> dict[str, Tensor]:
        """The inputs of an item encoder that reads `names`, one row an item (`ItemInputs.named`)."""
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in self.features.items.named(names, items).items()}

    def batch(self, requests: Tensor) -> Batch:
        """Requests [B, N], as `requests` makes them. History and user statistics are those of the first row of each, so that no row sees what came after it; item statistics and
        context, which no encoding of the user depends on, are each row's own."""
        first = requests[:, 0].numpy()
        present = requests >= 0
        rows = torch.where(present, requests, requests[:, :1]).numpy()
        history = self.features.history(first)
        user = self.features.user[first]
        return Batch(
            user=torch.from_numpy(user.astype(np.int64)),
            profile=torch.from_numpy(self.features.profile[user]),
            user_statistics=torch.from_numpy(self.features.user_statistics[first]),
            context=torch.from_numpy(self.features.context[rows]),
            history_items=torch.from_numpy(history.items),
            history_actions=torch.from_numpy(history.actions),
            history_intervals=torch.from_numpy(history.intervals),
            history_mask=torch.from_numpy(history.mask),
            item=torch.from_numpy(self.features.item[rows].astype(np.int64)),
            item_statistics=torch.from_numpy(self.features.item_statistics[rows]),
            label=torch.from_numpy(self.features.label[rows]),
            present=present.to(torch.float32),
        )


@dataclass(frozen=True)
class Batch:
    """B requests of N candidates. Users and items are places in `Features`, not rows of the ID tables."""

    user: Tensor  # int64 [B]
    profile: Tensor  # int64 [B, P]
    user_statistics: Tensor  # [B, dUs]
    context: Tensor  # [B, N, C]: a served request has one for all its candidates, but the log's rows came at different times
    history_items: Tensor  # int64 [B, L]
    history_actions: Tensor  # int64 [B, L]
    history_intervals: Tensor  # [B, L]
    history_mask: Tensor  # [B, L]
    item: Tensor  # int64 [B, N]
    item_statistics: Tensor  # [B, N, dStat]
    label: Tensor  # [B, N]
    present: Tensor  # [B, N]: 1 = a row, 0 = filled up

    def part(self, requests: Tensor, length: int) -> Batch:
        """Some of the requests, by their places, with the newest `length` events of their histories."""
        chosen = {one.name: getattr(self, one.name)[requests] for one in fields(self)}
        return Batch(**{name: value[:, :length] if name.startswith("history") else value for name, value in chosen.items()})


def requests(features: Features, rows: np.ndarray, size: int, seed: int = 0) -> Tensor:
    """Groups rows into requests of up to `size` successive rows of one user: int64 [G, size], filled up with -1.

    The events of the log came one at a time; encoding a user anew for each would cost `size` times the work for histories that differ by an event. Where a user's first request
    ends is random, so that no row is always the first. Size 1 gives every row the history right before it, as in serving.
    """
    if size == 1 or len(rows) == 0:
        return torch.from_numpy(rows.astype(np.int64)).unsqueeze(1)
    order = rows[np.lexsort((rows, features.user[rows]))]
    user = features.user[order]
    start = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
    count = np.diff(np.r_[start, len(order)])
    within = np.arange(len(order)) - np.repeat(start, count)
    shifted = within + np.repeat(np.random.default_rng(seed).integers(0, size, len(start)), count)
    opens = np.r_[True, (user[1:] != user[:-1]) | (shifted[1:] // size != shifted[:-1] // size)]
    group = np.cumsum(opens) - 1
    place = np.arange(len(order)) - np.flatnonzero(opens)[group]
    grouped = np.full((group[-1] + 1, size), -1, dtype=np.int64)
    grouped[group, place] = order
    return torch.from_numpy(grouped)


class ClickModel(nn.Module):
    """The three graphs and the ID tables joined for training: logits out.

    What it computes is what serving computes from the cached parts, by the same modules, but for the ranker's other form (`layers.CalibratedRanker`).
    """

    def __init__(
        self,
        item_encoder: nn.Module,
        user_encoder: nn.Module,
        ranker: nn.Module,
        item_table: nn.Module,
        user_table: nn.Module,
        examples: Examples,
        inputs: dict[str, Tensor],
        cold_share: float = 0.0,
    ):
        """`inputs`: what `item_encoder` is called with for all items [I, …]; for a recipe with frozen parts, `item_encoder` here is the part above them.
        `cold_share` of the candidates whose ID is dropped in training also lose their statistics, as a new item has none."""
        super().__init__()
        self.item_encoder, self.user_encoder, self.ranker = item_encoder, user_encoder, ranker
        self.item_table, self.user_table = item_table, user_table
        self._examples, self.inputs, self._cold_share = examples, inputs, cold_share
        features = examples.features
        rows = features.rows(0)
        self._training_rows = max(1, len(rows))
        for part in (*user_encoder.modules(), *ranker.modules()):
            if isinstance(part, UserEncoder):
                part.statistics.observe(torch.from_numpy(features.user_statistics[rows]))
            elif isinstance(part, Ranker):
                part.statistics.observe(torch.from_numpy(features.item_statistics[rows]))
                part.moment.observe(torch.from_numpy(features.context[rows]))
        self.register_buffer("_cold_statistics", torch.tensor([one.prior or 0.0 for one in features.schema.item_statistics]), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """B requests of N candidates -> logits [B, N]."""
        return self.scored(batch, self.ranker.logits)

    def scored(self, batch: Batch, by: Callable[..., Tensor]) -> Tensor:
        """What `by` makes of the ranker's inputs, for B requests [B, …]. Users of like histories are encoded together, without the padding that none of them needs: it is half the work."""
        items = self._encode_items(batch)
        count = batch.history_mask.sum(1).to(torch.int64)
        order = torch.argsort(count)
        parts = [part for part in order.tensor_split(_LENGTHS) if len(part)]
        scored = [by(*self._read(batch.part(part, max(1, int(count[part[-1]]))), *items)) for part in parts]
        return torch.cat(scored)[torch.argsort(order)]

    def ranker_inputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """B requests of N candidates -> what the ranker reads of them: user_state [B, S], history_state [B, L, H], item [B, N, dRow], context [B, N, C]."""
        return self._read(batch, *self._encode_items(batch))

    def _encode_items(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The n distinct items of a batch: events [n + 1, dId + dRep], of which the first is zeros, representations [n, dRep], and for every item its place among them [I]."""
        items, place = self._distinct_items(batch)
        # A tower of `unified` may read nothing of an item but its ID.
        representation = self.item_encoder(**{name: value[items] for name, value in self.inputs.items()}) if self.inputs else torch.zeros(len(items), 0)
        # An ID that is dropped from the histories of a batch is dropped from all of them, so that each item is gathered in one piece.
        event = torch.cat([self.item_table(self._examples.item_row[items]), representation], 1)
        return functional.pad(event, (0, 0, 1, 0)), representation, place

    def _read(self, batch: Batch, events: Tensor, representation: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        item_row = self._examples.item_row
        past = (place[batch.history_items] + 1) * batch.history_mask.to(torch.int64)
        user_state, history_state = self.user_encoder(
            user_embedding=self.user_table(self._examples.user_row[batch.user]),
            profile=batch.profile,
            user_statistics=batch.user_statistics,
            history=functional.embedding(past, events, padding_idx=0),
            history_actions=batch.history_actions,
            history_intervals=batch.history_intervals,
            history_mask=batch.history_mask,
        )
        candidate = self.item_table.drop(item_row[batch.item])
        statistics = batch.item_statistics
        if self.training and self._cold_share:
            cold = (candidate == 0) & (torch.rand(candidate.shape) < self._cold_share)
            statistics = torch.where(cold.unsqueeze(2), self._cold_statistics, statistics)
        item = torch.cat([functional.embedding(candidate, self.item_table.embedding), functional.embedding(place[batch.item], representation), statistics], 2)
        return user_state, history_state, item, batch.context

    def loss(self, requests: Tensor, embedding_prior: float = 0.0) -> Tensor:
        """Mean log loss of the rows of requests [B, N], with a Gaussian prior on all embeddings.

        `embedding_prior` is the precision of the prior, so its effect does not depend on how much data there is: an ID of few rows stays near zero. It is over whole tables, not over
        the rows of a batch: then Adam also takes the unused ones towards zero.
        """
        batch = self._examples.batch(requests)
        loss = self.log_loss(batch)
        if not embedding_prior:
            return loss
        tables = [self.item_table.embedding, self.user_table.embedding]
        tables += [part.weight for part in self.modules() if isinstance(part, nn.Embedding)]
        return loss + 0.5 * embedding_prior / self._training_rows * torch.stack([table.square().sum() for table in tables]).sum()

    def log_loss(self, batch: Batch) -> Tensor:
        """Mean over the rows of a batch."""
        each = functional.binary_cross_entropy_with_logits(self(batch), batch.label, reduction="none")
        return (each * batch.present).sum() / batch.present.sum()

    def _distinct_items(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The items of a batch, each once however often it occurs [n], and for every item [I] its place among them."""
        here = torch.zeros(len(self._examples.item_row), dtype=torch.bool)
        here[batch.item.flatten()] = True
        here[batch.history_items.flatten()] = True
        return here.nonzero().squeeze(1), here.cumsum(0) - 1

    def score(self, requests: Tensor) -> float:
        """AUC over the rows of requests: what training maximises on the validation part."""
        rows, logits = self.predict(requests)
        return metrics.auc(self._examples.features.label[rows], logits)

    @torch.no_grad()
    def predict(self, requests: Tensor, batch: int = 2048, progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Rows of requests [G, N] and their uncalibrated logits, both [R] in the order of the requests. In eval mode."""
        self.eval()
        parts = []
        for part in requests.split(batch):
            parts.append(self(self._examples.batch(part)))
            if progress is not None:
                progress.update(min(len(requests), batch * len(parts)), len(requests))
        logits = torch.cat(parts)
        present = requests >= 0
        return requests[present].numpy(), logits[present].double().numpy()


class Progress(Protocol):
    """Receives the state of long work; the command line draws it."""

    def stage(self, name: str, unit: str = "steps") -> None: ...

    def update(self, done: int, total: int, loss: float | None = None) -> None: ...


def begin(progress: Progress | None, stage: str, unit: str = "steps") -> None:
    """Says which work begins, if anybody listens."""
    if progress is not None:
        progress.stage(stage, unit)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn. Rows are shuffled anew for every epoch."""

    epochs: int = 6
    batch: int = 256
    """Requests (or pairs, or items) in one step."""
    least_steps: int = 0
    """Steps that an epoch has at least: batches are smaller where there is little to learn from, or the few steps would not go far."""
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.0
    """Fraction of `learning_rate` at the end of a cosine decay; 1 keeps it constant."""
    warmup: float = 0.05
    """Fraction of all steps in which the rate rises from 0."""
    weight_decay: float = 0.0
    """Decoupled (AdamW), on weight matrices only."""
    clip_norm: float = 10.0
    average: float = 0.0
    """Span, in epochs, of the exponential moving average of the weights that validation and the result use; 0 uses the weights themselves."""
    checks_per_epoch: int = 1
    patience: int = 2
    """Checks without a better validation before training ends."""


@dataclass(frozen=True)
class ClickConfig:
    """The settings of a click model that every recipe has; a recipe's `Config` adds its own, and may have other defaults."""

    item_id: int = 32
    user_id: int = 32
    category_width: int = 16
    attribute_width: int = 16
    shape: RankingShape = RankingShape()
    item_dropout: float = 0.05
    """Share of the items, and of the candidates, that a step of training takes for unknown."""
    user_dropout: float = 0.2
    embedding_prior: float = 16.0
    """Precision of the Gaussian prior on embeddings (`ClickModel.loss`)."""
    request: int = 8
    """Rows of a user that training scores with one history (`requests`). More is faster, and trains on histories that are staler than those of serving."""
    history: int = 50
    schedule: Schedule = Schedule(epochs=10, batch=256, least_steps=150, learning_rate=12e-3, final_learning_rate=0.05, average=1.5, patience=0)
    """Of the last stage, clicks. A recipe whose model has a transformer learns more slowly (docs/quality.md, Search); no recipe has more epochs than another, so that none is ahead by the length of its training alone. A long average is better than the weights of any epoch and
    changes little from one to the next, so that training may end with the first that is no better."""

    def check(self) -> None:
        """What settings must be together, or the files that they name: DataError or UnfitData, before anything is trained."""


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
    examples: Tensor,
    loss: Callable[[Tensor], Tensor],
    schedule: Schedule,
    seed: int,
    validate: Callable[[], float] | None = None,
    progress: Progress | None = None,
    parameters: Iterable[nn.Parameter] | None = None,
    rates: dict[nn.Parameter, float] | None = None,
) -> Fit:
    """Minimise `loss` over shuffled batches of `examples` [G, …]; leave the best weights in `model`, in eval mode.

    `loss` gets a batch of them [B, …] and returns a scalar, the mean over the batch. `validate` returns a number to maximise, computed on the model in eval mode with the averaged weights
    if averaging is on; without it the last ones are kept, averaged if that is on. Only `parameters` (default: all that require a gradient) are changed, those in `rates` at that share of the learning rate. `seed` is of the order of the
    examples; dropout draws from PyTorch's global generator, which a recipe seeds when it makes the model. With both the same, so are the weights, on the same number of threads.
    """
    _keep_freed_memory()
    started = time.monotonic()
    generator = torch.Generator().manual_seed(seed)
    trained = [p for p in (model.parameters() if parameters is None else parameters) if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p], "lr": schedule.learning_rate * (rates or {}).get(p, 1.0), "weight_decay": schedule.weight_decay if p.dim() > 1 else 0.0}
            for p in trained
        ]
    )
    batch_size = max(1, min(schedule.batch, len(examples) // max(1, schedule.least_steps)))
    steps_per_epoch = max(1, (len(examples) + batch_size - 1) // batch_size)
    total = steps_per_epoch * schedule.epochs
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, total, schedule))
    average = [p.detach().clone() for p in trained] if schedule.average else None
    decay = 1 - 1 / max(1.0, schedule.average * steps_per_epoch)
    checks_at = {round(steps_per_epoch * (k + 1) / schedule.checks_per_epoch) for k in range(schedule.checks_per_epoch)}
    best, best_epoch, best_weights, since_best = -float("inf"), 0.0, None, 0
    losses: list[float] = []
    checks: list[float] = []
    step, sum_loss, sum_steps, running = 0, 0.0, 0, None
    for _ in range(schedule.epochs):
        order = examples[torch.randperm(len(examples), generator=generator)]
        model.train()
        for in_epoch, batch in enumerate(order.split(batch_size), start=1):
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
                _update_average(average, trained, decay, step)
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

    Newton's method with step halving, from scale 0 and the click rate, towards Platt's smoothed targets, which keep it finite where the classes are separable (Lin, Lin, Weng 2007,
    "A note on Platt's probabilistic outputs"). The identity (1, 0) where there is one class alone, where it does not lower the loss, and where the scale would not be positive: that
    would turn the ranking around, or make a tie of it.
    """
    x = np.asarray(logits, dtype=np.float64)
    clicked = np.asarray(labels, dtype=np.float64) > 0
    clicks, others = int(clicked.sum()), int((~clicked).sum())
    if not clicks or not others:
        return 1.0, 0.0
    target = np.where(clicked, (clicks + 1) / (clicks + 2), 1 / (others + 2))
    inputs = np.stack([x, np.ones_like(x)], 1)

    def loss(point: np.ndarray) -> float:
        value = inputs @ point
        return float(np.mean(np.logaddexp(0, value) - target * value))

    point = np.array([0.0, np.log((clicks + 1) / (others + 1))])
    for _ in range(100):
        p = 0.5 * (1 + np.tanh(0.5 * (inputs @ point)))
        gradient = inputs.T @ (p - target) / len(x)
        hessian = (inputs * (p * (1 - p))[:, None]).T @ inputs / len(x) + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        present, size = loss(point), 1.0
        while size > 1e-10 and not loss(point - size * step) < present:
            size /= 2
        if size <= 1e-10:  # nothing lower can be told from the present loss in 64 bits
            break
        point = point - size * step
    scale, bias = float(point[0]), float(point[1])
    if not scale > _LEAST_SCALE or not loss(point) < loss(np.array([1.0, 0.0])):
        return 1.0, 0.0
    return scale, bias


def train_on_clicks(
    recipe: str,
    model: ClickModel,
    features: Features,
    config: ClickConfig,
    seed: int,
    progress: Progress | None = None,
    item_encoder: nn.Module | None = None,
    item_inputs: tuple[str, ...] | None = None,
) -> TrainedModel:
    """The last stage of every recipe: learns the clicks of the training part, stops on the validation part's AUC, and concludes.

    `item_encoder` and `item_inputs` are those of `conclude`; a recipe without frozen parts leaves them out.
    """
    learn_clicks(model, features, config, seed, progress)
    return conclude(recipe, model, features, item_encoder or model.item_encoder, item_inputs or tuple(model.inputs), config, progress)


def learn_clicks(model: ClickModel, features: Features, config: ClickConfig, seed: int, progress: Progress | None = None) -> Fit:
    """Learns the clicks of the training part, and stops on the validation part's AUC."""
    validation = requests(features, features.rows(1), config.request)
    return fit(
        model,
        requests(features, features.rows(0), config.request, seed),
        lambda batch: model.loss(batch, config.embedding_prior),
        config.schedule,
        seed,
        (lambda: model.score(validation)) if len(validation) else None,
        progress,
    )


def conclude(
    recipe: str,
    model: ClickModel,
    features: Features,
    item_encoder: nn.Module,
    item_inputs: tuple[str, ...],
    config: Any,
    progress: Progress | None = None,
) -> TrainedModel:
    """Calibrates the ranker on the validation part and takes the model apart into what a bundle holds.

    `item_encoder` reads the contract's inputs `item_inputs`; in recipes with frozen parts it is those and `model.item_encoder` in one. Without validation rows the
    training rows are what is left to calibrate on.
    """
    begin(progress, "calibrate", "rows")
    rows = features.rows(1) if len(features.rows(1)) else features.rows(0)
    rows, logits = model.predict(requests(features, rows, 1), progress=progress)
    scale, bias = fit_calibration(logits, features.label[rows])
    model.ranker.calibration.scale.fill_(scale)
    model.ranker.calibration.bias.fill_(bias)
    model.eval()
    item_encoder.eval()
    item_table = model.item_table.embedding.detach().numpy().copy()
    user_table = model.user_table.embedding.detach().numpy().copy()
    schema = features.schema
    representation = model.ranker.event - item_table.shape[1]
    return TrainedModel(
        recipe=recipe,
        item_encoder=item_encoder,
        user_encoder=model.user_encoder,
        ranker=model.ranker,
        item_inputs=item_inputs,
        item_ids=features.known_item_ids,
        item_table=item_table,
        user_ids=features.known_user_ids,
        user_table=user_table,
        dims={
            "item_id": item_table.shape[1],
            "representation": representation,
            "statistics": len(schema.item_statistics),
            "row": item_table.shape[1] + representation + len(schema.item_statistics),
            "user_id": user_table.shape[1],
            "user_statistics": len(schema.user_statistics),
            "profile": len(schema.profile),
            "context": len(schema.context),
            "history": schema.history,
            "user_state": model.user_encoder.user_state,
            "history_state": model.user_encoder.history_state,
        },
        settings=json.loads(json.dumps(asdict(config)), object_hook=_without_folders),
    )


def _without_folders(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: without_folder(value) if isinstance(value, str) else value for name, value in settings.items()}


def _keep_freed_memory() -> None:
    """Lets glibc reuse the large tensors of a step instead of returning them to the system after each: page faults would take more time than the arithmetic (6x here)."""
    if sys.platform == "linux":
        no_trim, no_mmap = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of mallopt(3)
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(no_trim, 2**31 - 1)
            libc.mallopt(no_mmap, 0)


def _rate(step: int, total: int, schedule: Schedule) -> float:
    """Linear warm-up, then a cosine from 1 to `final_learning_rate`."""
    warmup = min(1.0, (step + 1) / max(1.0, schedule.warmup * total))
    cosine = 0.5 * (1 + np.cos(np.pi * min(1.0, step / max(1, total))))
    return warmup * (schedule.final_learning_rate + (1 - schedule.final_learning_rate) * cosine)


@torch.no_grad()
def _update_average(average: list[Tensor], parameters: list[nn.Parameter], decay: float, step: int) -> None:
    """`step` counts from 1. The weights before the first step are no part of the average, as in Adam's corrected moments."""
    keep = decay * (1 - decay ** (step - 1)) / (1 - decay**step)
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
