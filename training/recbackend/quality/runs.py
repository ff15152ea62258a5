"""Trains, measures and records one run after another.

A run is an arm (a recipe, or a control of it), a protocol and a seed. Its figures are objects in a JSON file, one for each split and warm-up phase; its scores stay in a folder beside its bundle.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import __main__ as command_line
from .. import export, features, flops, metrics
from ..data import TEST, VALID, Dataset
from ..features import FeatureOptions, Features
from ..progress import ProgressLine
from ..replay import Replay
from ..train import Schedule, TrainedModel
from . import controls, protocols, slices, warmup
from .protocols import COLD, PHASES
from .slices import RESUMED

BASELINE = "id"
SHUFFLED, RANDOM_ENCODER, UNKNOWN_IDS = "shuffled", "random-encoder", "unknown-ids"
PIXELS, PLOTS = "pixels", "plots"
"""Other content of the same items."""
POPULARITY, RIDGE = "popularity", "ridge"
COUNTED = (POPULARITY, RIDGE)
"""Predictions without a network: nothing in them is random, so that they have seed 0 alone."""
# Times of MovieLens-1M's negatives are interpolated: a model may read nothing of them. Counters belong to the product's models and would hide what the recipes differ in.
_FLAGS = argparse.Namespace(no_statistics=True, no_time_context=True, no_text=False, no_images=False)
_BUCKETS = (("0", 0, 0), ("1-5", 1, 5), ("6-20", 6, 20), ("21-100", 21, 100), (">100", 101, np.inf))
_SECONDS_OF_DAY = 86400


@dataclass(frozen=True, order=True)
class Arm:
    """A row of the table: a recipe as it is, under a control, or with other settings."""

    recipe: str
    control: str | None = None
    """Name of a control, or of settings (`settings_of`), as the objects of the file have it."""

    @classmethod
    def parse(cls, text: str) -> Arm:
        """`ppm` or `ppm:shuffled`. UsageError for what does not exist."""
        recipe, _, control = text.partition(":")
        known = [*command_line.recipe_names(), *COUNTED]
        if recipe not in known:
            raise command_line.UsageError(f"no recipe {recipe!r}; there are {', '.join(known)}")
        if control and (recipe in COUNTED or control not in (SHUFFLED, RANDOM_ENCODER, PIXELS, PLOTS, RESUMED)):
            allowed = "has none" if recipe in COUNTED else f"has {SHUFFLED}, {RANDOM_ENCODER}, {PIXELS}, {PLOTS} and {RESUMED}; {UNKNOWN_IDS} comes with {BASELINE}"
            raise command_line.UsageError(f"no control {control!r}: {recipe} {allowed}")
        return cls(recipe, control or None)

    def configured(self, settings: list[str]) -> Arm:
        """The same with settings `key=value` other than its defaults. UsageError where it has no settings, or is a control of them already."""
        if settings and (self.recipe in COUNTED or self.control):
            raise command_line.UsageError(f"{self}: --config is for recipes as they are")
        return Arm(self.recipe, shlex.join(sorted(settings)) or self.control)

    @property
    def settings(self) -> list[str]:
        """What differs from the recipe's defaults, `key=value`."""
        return settings_of(self.control)

    def __str__(self) -> str:
        return f"{self.recipe}:{self.control}" if self.control else self.recipe


def settings_of(control: str | None) -> list[str]:
    """The settings that an object of the file names in the place of a control; none for a control."""
    return shlex.split(control) if control and "=" in control else []


@dataclass(frozen=True)
class Limits:
    """What a run that only shows that all works leaves out; its figures mean nothing."""

    epochs: int | None = None
    rows: int | None = None

    def __bool__(self) -> bool:
        return self.epochs is not None or self.rows is not None


@dataclass(frozen=True)
class Run:
    arm: Arm
    protocol: str
    seed: int

    def command(self, source: Path, limits: Limits, out: Path) -> str:
        """What runs it again, and nothing else."""
        settings = self.arm.settings
        words = ["rec", "bench", "quality", "--data", source.name, "--protocol", self.protocol, "--recipes", self.arm.recipe if settings else str(self.arm)]
        for setting in settings:
            words += ["--config", setting]
        if self.arm.recipe not in COUNTED:
            words += ["--seeds", str(self.seed)]
        for name in ("epochs", "rows"):
            if getattr(limits, name) is not None:
                words += [f"--{name}", str(getattr(limits, name))]
        return shlex.join([*words, "--out", out.name] if limits else words)


@dataclass(frozen=True)
class Scored:
    """Scores of the rows of one part."""

    control: str | None
    phase: str | None
    split: str
    rows: np.ndarray
    scores: np.ndarray
    cost: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Where it is not that of the run."""


class Record:
    """The JSON file: a list of objects, one a line, rewritten as a whole for each run, so that it is whole at any moment."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> list[dict]:
        """DataError where the file is something else."""
        if not self.path.exists():
            return []
        try:
            rows = json.loads(self.path.read_text("utf-8"))
            for row in rows:
                _ = row["recipe"], row["protocol"], row["seed"], row["split"], row["auc"], row["commit"]
        except (ValueError, TypeError, KeyError) as error:
            raise command_line.UsageError(f"{self.path} is no list of runs: {error!r}") from None
        return rows

    def holds(self, run: Run, commit: str | None) -> bool:
        """`commit` None: a run of any commit counts."""
        wanted = (run.arm.recipe, run.arm.control, run.protocol, run.seed)
        return any(key_of(row)[:4] == wanted and commit in (None, row["commit"]) for row in self.read())

    def put(self, rows: list[dict]) -> None:
        """Adds rows, in the place of those of the same run and commit."""
        keys = {(*key_of(row), row["commit"]) for row in rows}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.path.parent):
            kept = [row for row in self.read() if (*key_of(row), row["commit"]) not in keys]
            text = ",\n".join(json.dumps(row, allow_nan=False) for row in [*kept, *rows])
            partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            partial.write_text(f"[\n{text}\n]\n", "utf-8")
            partial.replace(self.path)


def key_of(row: dict) -> tuple:
    """Recipe, control, protocol, seed, phase, split: what tells an object of the file from others, but for its commit."""
    return row["recipe"], row.get("control"), row["protocol"], row["seed"], row.get("phase"), row["split"]


class Bench:
    """Runs on one source of data, all of whose files go to one folder."""

    def __init__(self, source: Path, folder: Path, out: Path, limits: Limits = Limits(), commit: str | None = None):
        self.source, self.folder, self.limits = source, folder, limits
        self.record = Record(out)
        self.commit = commit_of_training() if commit is None else commit
        self._prepared: tuple[str, Dataset] | None = None  # the last one, by its folder's name

    def check(self, run: Run) -> None:
        """Loads what a run needs of the code, which from here on may change: UsageError for a control that the recipe does not have, or that changes nothing that it reads."""
        if run.arm.recipe in COUNTED:
            return
        recipe, *_ = self._recipe(run)
        needed = {PIXELS: {"image"}, PLOTS: {"text"}, SHUFFLED: {"text", "image", "image_features"}}.get(run.arm.control)
        if needed is not None and needed.isdisjoint(recipe.READS):
            raise command_line.UsageError(f"{run.arm}: the recipe reads no {' and no '.join(sorted(needed))}")

    def run(self, run: Run, progress: ProgressLine) -> list[dict]:
        """Trains (or counts), measures, keeps scores and bundle, adds the figures to the file, and returns them."""
        dataset = self._dataset(run)
        if run.arm.control == RESUMED:
            cost, parts = {}, self._sliced(run, dataset, progress)
        elif run.arm.recipe in COUNTED:
            cost, parts = {}, list(_counted(run.arm.recipe, dataset, run.protocol))
        else:
            cost, parts = self._trained(run, dataset, progress)
        common = {"commit": self.commit, "command": run.command(self.source, self.limits, self.record.path), "data": dataset.fingerprint}
        common["date"] = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
        rows = []
        for part in parts:
            head = {"recipe": run.arm.recipe, "control": part.control, "protocol": run.protocol, "phase": part.phase, "seed": run.seed, "split": part.split}
            row = head | measure(dataset, part.rows, part.scores) | cost | part.cost | common
            if self.limits:
                row["limits"] = dataclasses.asdict(self.limits)
            self._keep(row, dataset, part)
            rows.append(row)
        self.record.put(rows)
        return rows

    def _dataset(self, run: Run) -> Dataset:
        content = run.arm.control if run.arm.control in (PIXELS, PLOTS) else None
        name = f"{run.protocol}-{content}" if content else run.protocol
        if self._prepared is None or self._prepared[0] != name:
            folder = self.folder / "data" / name
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder):
                dataset = protocols.prepare(self.source, folder, run.protocol, content == PIXELS, "plot" if content == PLOTS else "abstract")
            self._prepared = name, protocols.thinned(dataset, self.limits.rows) if self.limits.rows else dataset
        return self._prepared[1]

    def _trained(self, run: Run, dataset: Dataset, progress: ProgressLine) -> tuple[dict, list[Scored]]:
        bundle = self._bundle(run)
        recipe, config, options = self._recipe(run)
        if run.arm.control == SHUFFLED and not hasattr(config, "shuffled_text"):
            dataset = controls.with_shuffled_content(dataset, run.seed)
        built = features.build(dataset, options)
        begun = time.process_time()
        progress.stage(f"train {run.arm}")
        model = recipe.train(built, config, run.seed, progress)
        cost = {"train_cpu_seconds": round(time.process_time() - begun)}
        phase = COLD if run.protocol == "C" else None
        parts: list[Scored] = []
        export.write(
            model, built, dataset, bundle, self._training(run), progress=progress,
            scored=lambda split, rows, scores: parts.append(Scored(run.arm.control, phase, split, rows, scores)),
        )  # fmt: skip
        cost |= cost_of(model, bundle)
        if run.protocol == "C":
            parts += _phases(run, model, built, dataset, progress)
        elif run.protocol == "A" and run.arm == Arm(BASELINE):
            rows, count = built.rows(TEST), protocols.training_rows(dataset)
            rare = controls.without_ids(model, (built.item_ids[place] for place in np.flatnonzero(count <= controls.RARE)))
            parts.append(Scored(UNKNOWN_IDS, None, "test", rows, _scores(rare, built, rows, progress, "score unknown IDs")))
        return cost, parts

    def _sliced(self, run: Run, dataset: Dataset, progress: ProgressLine) -> list[Scored]:
        parts = slices.run(*self._recipe(run), dataset, run.seed, self._bundle(run), self._training(run), progress)
        return [Scored(part.control, None, part.split, part.rows, part.scores, {"train_cpu_seconds": round(part.seconds)}) for part in parts]

    def _recipe(self, run: Run) -> tuple[ModuleType, Any, FeatureOptions]:
        """The recipe's module, its configuration, and what it reads."""
        recipe = command_line.recipe_module(run.arm.recipe)
        try:
            config = command_line.configured(recipe.Config(), _settings(run.arm, recipe.Config()))
        except command_line.UsageError as error:
            raise command_line.UsageError(f"{run.arm}: {error}") from None
        if self.limits.epochs is not None:
            config = with_epochs(config, self.limits.epochs)
        config.check()
        return recipe, config, command_line.feature_options(_FLAGS, recipe.READS, config, FeatureOptions())

    def _bundle(self, run: Run) -> Path:
        return self.folder / "bundles" / _file_name(f"{run.protocol}-{run.arm}-{run.seed}-{self.commit}")

    def _training(self, run: Run) -> export.Training:
        return export.Training(run.command(self.source, self.limits, self.record.path), run.seed, datetime.datetime.now(datetime.timezone.utc))

    def _keep(self, row: dict, dataset: Dataset, part: Scored) -> None:
        path = scores_path(self.folder, row)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, label=dataset.label[part.rows], user=dataset.user[part.rows], score=part.scores)


def _settings(arm: Arm, config: Any) -> list[str]:
    """What an arm changes of a recipe's configuration. A recipe that has its own way to shuffle content, as its paper does, is shuffled so, and not by its data."""
    if arm.settings:
        return arm.settings
    if arm.control == RANDOM_ENCODER:
        return ["pretrained_content=false"]
    return ["shuffled_text=true"] if arm.control == SHUFFLED and hasattr(config, "shuffled_text") else []


def scores_path(folder: Path, row: dict) -> Path:
    """Where the scores of one object of the file are kept."""
    parts = (row["protocol"], row["recipe"], row.get("control"), row["seed"], row.get("phase"), row["split"], row["commit"])
    return folder / "scores" / (_file_name("-".join(str(part) for part in parts if part is not None)) + ".npz")


def _file_name(text: str) -> str:
    """Of a run: settings may have any characters."""
    return re.sub(r"[^\w.,=-]", "-", text)


def with_epochs(config: Any, epochs: int) -> Any:
    """A copy of a configuration none of whose schedules, and of those of its parts, is longer."""
    parts = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    shorter = {name: with_epochs(one, epochs) for name, one in parts.items() if dataclasses.is_dataclass(one)}
    if isinstance(config, Schedule):
        shorter["epochs"] = min(epochs, config.epochs)
    return dataclasses.replace(config, **shorter)


def measure(dataset: Dataset, rows: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """The figures of one part, rounded; None where one is not defined."""
    label, user = dataset.label[rows], dataset.user[rows]
    day = np.floor(dataset.timestamp[rows] / _SECONDS_OF_DAY).astype(np.int64)
    values: dict[str, Any] = metrics.evaluate(label, scores, user)
    values["p_at_2"] = metrics.precision_at(2, label, scores, user * (day.max() - day.min() + 1) + day - day.min())
    count = protocols.training_rows(dataset)[dataset.item[rows]]
    by_count = {}
    for name, least, most in _BUCKETS:
        within = (count >= least) & (count <= most)
        by_count[name] = _rounded(metrics.auc(label[within], scores[within])) if within.any() else None
    return {name: _rounded(value) for name, value in values.items()} | {"auc_by_item_rows": by_count}


def cost_of(model: TrainedModel, bundle: Path) -> dict[str, Any]:
    """Parameters (of the graphs, and of the ID tables), bytes of an item's row in the catalogue, and FLOPs per candidate of requests of 1 and of 100."""
    graphs = sum(part.numel() for module in (model.item_encoder, model.user_encoder, model.ranker) for part in module.parameters())
    try:
        each = {count: flops.of_bundle(bundle, count) for count in (1, 100)}
        arithmetic = {str(count): round(costs.folded / count) for count, costs in each.items()}
    except flops.UnknownOperator as error:  # no reason to lose the hours of a training
        print(f"\nFLOPs are not counted: {error}", file=sys.stderr)
        arithmetic = None
    return {
        "parameters": graphs,
        "id_parameters": int(model.item_table.size + model.user_table.size),
        "bytes_per_item": 4 * model.dims["row"],
        "flops_per_candidate": arithmetic,
    }


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps other processes out, so that several commands may share a file and a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def commit_of_training() -> str:
    """The last commit that changed the training code; `-changed` where the working tree differs from it, `unknown` without git."""
    package = Path(__file__).parents[1]
    try:
        commit = _git(package, "log", "-1", "--format=%h", "--", ".")
        return f"{commit}-changed" if _git(package, "status", "--porcelain", "--", ".") else commit or "unknown"
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def _phases(run: Run, model: TrainedModel, built: Features, dataset: Dataset, progress: ProgressLine) -> Iterator[Scored]:
    """Protocol C after each phase: with ID rows of the new items, and for the baseline without them too."""
    rows = built.rows(TEST)
    for phase in PHASES:
        warm = protocols.after(dataset, phase)
        seen = dataclasses.replace(features.compute(warm, built.schema), items=built.items)
        tuned = warmup.warmed_up(model, seen, np.flatnonzero(warm.warmed), run.seed, progress)
        yield Scored(run.arm.control, phase, "test", rows, _scores(tuned, seen, rows, progress, f"score phase {phase}"))
        if run.arm == Arm(BASELINE):
            yield Scored(UNKNOWN_IDS, phase, "test", rows, _scores(model, seen, rows, progress, f"score phase {phase} without IDs"))


def _counted(name: str, dataset: Dataset, protocol: str) -> Iterator[Scored]:
    options = FeatureOptions(text=name == RIDGE, text_length=512, text_vocabulary=12000, images=False, image_features=False, time_context=False)
    predict = {POPULARITY: controls.popularity, RIDGE: controls.ridge}[name]
    built = features.build(dataset, options)
    phases: dict[str | None, Features] = {COLD if protocol == "C" else None: built}
    if protocol == "C" and name == POPULARITY:  # the ridge regression is of training alone
        phases |= {phase: features.compute(protocols.after(dataset, phase), built.schema) for phase in PHASES}
    for phase, seen in phases.items():
        scores = predict(seen)
        for split, code in (("valid", VALID), ("test", TEST)):
            if split == "test" or phase in (None, COLD):
                rows = seen.rows(code)
                yield Scored(None, phase, split, rows, scores[rows])


def _scores(model: TrainedModel, seen: Features, rows: np.ndarray, progress: ProgressLine, stage: str) -> np.ndarray:
    progress.stage(stage, "rows")
    return Replay(model, seen).scores(rows, progress.update)


def _rounded(value: float) -> float | int | None:
    return value if isinstance(value, int) else None if np.isnan(value) else round(float(value), 6)
