"""`python -m recbackend`: train a recipe, convert public data, check a data folder, rewrite the golden files."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import json
import os
import pkgutil
import shlex
import sys
import time
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

from . import data
from .data import TEST, TRAIN, VALID, DataError, Dataset, UnfitData

_SEED = 1
_EPILOG = """examples:
  rec train ppm --data samples/movielens --out /tmp/ppm
  rec train id --data ml-1m --out id.zip --no-statistics --no-time-context --config schedule.epochs=4
"""


class UsageError(Exception):
    """A wrong argument: one line that says what to do."""


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (DataError, UnfitData, UsageError, OSError, FloatingPointError) as error:
        print(f"rec {options.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nrec {options.verb}: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recbackend", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    train = verbs.add_parser(
        "train", help="train a recipe and export its bundle", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    train.add_argument("recipe", metavar="RECIPE", nargs="?", help=f"one of: {', '.join(recipe_names())}; none with --resume")
    train.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder in the neutral form")
    train.add_argument("--out", required=True, type=Path, metavar="BUNDLE", help="the bundle to write: a folder, or a file that ends in .zip")
    train.add_argument("--resume", type=Path, metavar="BUNDLE", help="go on from a bundle's folder: one pass over the training rows that follow those it was trained on")
    train.add_argument("--seed", type=int, default=_SEED, help=f"of weights and of the order of rows (default {_SEED})")
    train.add_argument("--epochs", type=int, metavar="N", help="the same as --config schedule.epochs=N")
    train.add_argument("--history", type=int, metavar="L", help="events of a user that the model reads (default: the recipe's)")
    train.add_argument("--no-statistics", action="store_true", help="let the model read no counters of items and users")
    train.add_argument("--no-time-context", action="store_true", help="let the model read nothing of a request's time")
    train.add_argument("--no-text", action="store_true", help="ignore the items' text")
    train.add_argument("--no-images", action="store_true", help="ignore the items' pictures")
    train.add_argument("--text-length", type=int, metavar="T", help="tokens of an item's text that the model reads (default: the recipe's)")
    train.add_argument("--config", action="append", default=[], metavar="KEY=VALUE", help="a setting of the recipe; may be given several times")
    train.set_defaults(run=_train)

    convert = verbs.add_parser("convert", help="convert a public data set to the neutral form")
    sets = convert.add_subparsers(dest="set", required=True, metavar="SET")
    small = sets.add_parser("movielens-small", help="MovieLens latest-small")
    large = sets.add_parser("movielens-1m", help="MovieLens-1M with content and posters")
    for one in (small, large):
        one.add_argument("source", type=Path, metavar="SRC")
        one.add_argument("out", type=Path, metavar="OUT")
        one.set_defaults(run=_convert)
    large.add_argument("--protocol", choices=["A", "B", "C"], default="A", help="split by time, new items, or warm-up of new items (default A)")
    large.add_argument("--text", choices=["abstract", "plot"], default="abstract", help="an item's text: its article's abstract, or else the plot; or the plot alone (default abstract)")
    large.add_argument("--image-features", choices=["pca128", "none"], default="none", help="given features of the posters (default none)")
    large.add_argument("--no-posters", action="store_true", help="leave the pictures out")

    validate = verbs.add_parser("validate", help="check a data folder and say what is in it")
    validate.add_argument("data", type=Path, metavar="DIR")
    validate.set_defaults(run=_validate)

    baseline = verbs.add_parser("baseline", help="rank by smoothed click rates alone: what a model must beat")
    baseline.add_argument("data", type=Path, metavar="DIR")
    baseline.set_defaults(run=_baseline)

    cost = verbs.add_parser("flops", help="count the arithmetic of a bundle's graphs")
    cost.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder")
    cost.add_argument("--candidates", type=int, nargs="+", default=[1, 100], metavar="N", help="of a request (default 1 and 100)")
    cost.set_defaults(run=_flops)

    golden = verbs.add_parser("golden", help="rewrite the golden files that the tests of both languages read")
    golden.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "tests" / "golden", metavar="DIR")
    golden.set_defaults(run=_golden)
    return parser


def _train(options: argparse.Namespace) -> None:
    if options.resume is not None:
        _resume(options)
        return
    if options.recipe is None:
        raise UsageError(f"name a recipe ({', '.join(recipe_names())}), or a bundle to go on from with --resume")
    # Here, because the other verbs and --help should not wait for PyTorch.
    from . import export, features
    from .progress import ProgressLine

    recipe = recipe_module(options.recipe)
    config = configured(recipe.Config(), _settings(options))
    check_ranges(config, options.seed)
    config.check()
    check_out(options.out)
    started = time.monotonic()
    dataset = data.read(options.data)
    _describe(dataset)
    training = export.Training(_command(options), options.seed, datetime.datetime.now(datetime.timezone.utc))
    progress = ProgressLine("read pictures", "items")
    try:
        built = features.build(dataset, feature_options(options, recipe.READS, config, features.FeatureOptions()), progress.update)
        progress.stage(f"train {options.recipe}")
        model = recipe.train(built, config, options.seed, progress)
        manifest = export.write(model, built, dataset, options.out, training, progress=progress)
    finally:
        progress.close()
    _report(manifest, options.out, started)


def _resume(options: argparse.Namespace) -> None:
    from . import export, features, resume
    from .progress import ProgressLine

    given = [flag for flag in ("recipe", "history", "text_length", "no_statistics", "no_time_context", "no_text", "no_images", "config") if getattr(options, flag)]
    if given:
        raise UsageError(f"--resume takes these from the bundle: {', '.join(given)}")
    schedule = resume.SCHEDULE if options.epochs is None else dataclasses.replace(resume.SCHEDULE, epochs=options.epochs)
    if schedule.epochs < 1:
        raise UsageError(f"--epochs is {schedule.epochs}; 1 or more is allowed")
    check_ranges(schedule, options.seed)
    check_out(options.out)
    started = time.monotonic()
    bundle = resume.read(options.resume)
    dataset = data.read(options.data)
    _describe(dataset)
    rows = resume.new_rows(dataset, bundle)
    training = export.Training(_command(options), options.seed, datetime.datetime.now(datetime.timezone.utc), bundle.manifest["version"])
    progress = ProgressLine("read pictures", "items")
    try:
        built = features.compute(dataset, bundle.schema, progress.update)
        model = resume.resume(bundle, built, rows, schedule, options.seed, progress)
        manifest = export.write(model, built, dataset, options.out, training, progress=progress)
    finally:
        progress.close()
    _report(manifest, options.out, started)


def _report(manifest: dict, out: Path, started: float) -> None:
    for part, values in manifest["metrics"].items():
        print(f"{part}: " + ", ".join(f"{name} {value}" for name, value in values.items()))
    print(f"bundle {manifest['version']} in {out}, {_size(out) / 1e6:.1f} MB, after {time.monotonic() - started:.0f} s")


def check_ranges(config: Any, seed: int) -> None:
    """UsageError for settings that would give a model that learned nothing, or a bundle that hosts refuse (docs/bundle-format.md section 1)."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"--seed is {seed}; 0 or more is allowed")
    for name, least, most in (("history", 1, 200), ("text_length", 1, 4096)):
        value = getattr(config, name, least)
        if not least <= value <= most:
            raise UsageError(f"{name} is {value}; {least} to {most} is allowed")
    for field in dataclasses.fields(config):
        epochs = getattr(getattr(config, field.name), "epochs", 1)
        if epochs < 1:
            raise UsageError(f"{field.name}.epochs is {epochs}; 1 or more is allowed")


def check_out(out: Path) -> None:
    """UsageError now rather than after the training: `out` must be writable, and what it replaces must be a bundle."""
    from .export import is_replaceable

    if out.is_dir() and not is_replaceable(out):
        raise UsageError(f"{out} is a folder that is no bundle, or holds more than one; it would be deleted. Choose another --out")
    if out.suffix == ".zip" and out.is_dir():
        raise UsageError(f"{out} is a folder; --out must be a file if it ends in .zip")
    if out.suffix != ".zip" and out.is_file():
        raise UsageError(f"{out} is a file; --out must be a folder, or end in .zip")
    folder = out.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} is not writable")


def _settings(options: argparse.Namespace) -> list[str]:
    shortcuts = [] if options.epochs is None else [f"schedule.epochs={options.epochs}"]
    if options.history is not None:
        shortcuts.append(f"history={options.history}")
    if options.text_length is not None:
        shortcuts.append(f"text_length={options.text_length}")
    return shortcuts + options.config


def feature_options(options: argparse.Namespace, reads: tuple[str, ...], config: Any, default: Any) -> Any:
    """What the recipe reads and the command does not switch off: no picture is decoded for a model that looks at none."""
    chosen = {
        "statistics": not options.no_statistics,
        "time_context": not options.no_time_context,
        "text": "text" in reads and not options.no_text,
        "images": "image" in reads and not options.no_images,
        "image_features": "image_features" in reads and not options.no_images,
        "history": getattr(config, "history", default.history),
        "text_length": getattr(config, "text_length", default.text_length),
        "text_vocabulary": getattr(config, "text_vocabulary", default.text_vocabulary),
        "image_size": getattr(config, "image_size", default.image_size),
    }
    return dataclasses.replace(default, **chosen)


def _command(options: argparse.Namespace) -> str:
    """The command that trains this model again, without the folders of absolute paths."""
    data_path, out, resumed = (None if path is None else data.without_folder(str(path)) for path in (options.data, options.out, options.resume))
    words = ["rec", "train", *([options.recipe] if resumed is None else ["--resume", resumed]), "--data", data_path, "--out", out]
    if options.seed != _SEED:
        words += ["--seed", str(options.seed)]
    flags = ("no_statistics", "no_time_context", "no_text", "no_images")
    words += [f"--{flag.replace('_', '-')}" for flag in flags if getattr(options, flag)]
    if resumed is None:
        for setting in _settings(options):
            key, equals, value = setting.partition("=")
            words += ["--config", key + equals + data.without_folder(value)]
    elif options.epochs is not None:
        words += ["--epochs", str(options.epochs)]
    return shlex.join(words)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.iterdir())


# Recipes and their settings


def recipe_names() -> list[str]:
    """The modules of `recbackend.recipes`, each of which is a recipe."""
    folder = Path(__file__).parent / "recipes"
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_"))


def recipe_module(name: str) -> ModuleType:
    """The module of a recipe. UsageError where there is none of that name."""
    if name not in recipe_names():
        raise UsageError(f"no recipe {name!r}; there are {', '.join(recipe_names())}")
    return importlib.import_module(f"recbackend.recipes.{name}")


def configured(config: Any, settings: list[str]) -> Any:
    """A copy of a configuration with `key=value` settings; dots reach into nested ones. UsageError for an unknown key or a wrong type."""
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--config {setting!r} must be KEY=VALUE")
        config = _set(config, key.split("."), value, key)
    return config


def _set(config: Any, path: list[str], value: str, key: str) -> Any:
    names = [field.name for field in dataclasses.fields(config)]
    if path[0] not in names:
        raise UsageError(f"no setting {key!r}; there are {', '.join(names)}")
    present = getattr(config, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(present):
            raise UsageError(f"setting {path[0]!r} has no parts, so there is no {key!r}")
        return dataclasses.replace(config, **{path[0]: _set(present, path[1:], value, key)})
    if dataclasses.is_dataclass(present):
        raise UsageError(f"{key!r} has parts: {', '.join(field.name for field in dataclasses.fields(present))}")
    hint = typing.get_type_hints(type(config))[path[0]]
    parsed = value if hint == (str | None) else _parse(value, present, key)
    if isinstance(parsed, tuple):
        parts = typing.get_args(hint)
        if ... not in parts and len(parts) != len(parsed):
            raise UsageError(f"{key}={value} must be a list of {len(parts)}, such as {json.dumps(present)}")
    return dataclasses.replace(config, **{path[0]: parsed})


def _parse(value: str, present: Any, key: str) -> Any:
    if isinstance(present, str):
        return value
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value
    if isinstance(present, tuple):
        parsed = tuple(parsed) if isinstance(parsed, list) else (parsed,)
        if present and not all(type(one) is type(present[0]) for one in parsed):
            raise UsageError(f"{key}={value} must be a list such as {json.dumps(present)}")
        return parsed
    if isinstance(present, float) and isinstance(parsed, int) and not isinstance(parsed, bool):
        parsed = float(parsed)
    if present is not None and type(parsed) is not type(present):
        raise UsageError(f"{key}={value} must be a {type(present).__name__}, such as {json.dumps(present)}")
    return parsed


# Data


def _convert(options: argparse.Namespace) -> None:
    from . import convert

    if options.set == "movielens-small":
        convert.movielens_small(options.source, options.out)
    else:
        convert.movielens_1m(options.source, options.out, options.protocol, options.image_features, not options.no_posters, options.text)
    _describe(data.read(options.out))


def _validate(options: argparse.Namespace) -> None:
    _describe(data.read(options.data))


def _describe(dataset: Dataset) -> None:
    parts = ", ".join(f"{name} {int((dataset.split == code).sum())}" for name, code in (("train", TRAIN), ("validation", VALID), ("test", TEST)))
    print(
        f"data {dataset.folder}: {len(dataset.items)} items, {len(dataset.user_ids)} users, {dataset.rows} events ({parts}), "
        f"{100 * dataset.label.mean():.1f} % clicked, fingerprint {dataset.fingerprint}",
        file=sys.stderr,
    )


def _baseline(options: argparse.Namespace) -> None:
    from . import baseline, features

    built = features.build(data.read(options.data), features.FeatureOptions(text=False, images=False, image_features=False))
    for part, values in baseline.evaluate(built).items():
        print(f"{part}: " + ", ".join(f"{name} {value}" for name, value in values.items()))


def _flops(options: argparse.Namespace) -> None:
    from . import flops

    print(flops.report(options.bundle, options.candidates))


def _golden(options: argparse.Namespace) -> None:
    from . import golden

    golden.write(options.out)
    print(f"golden files in {options.out}")


if __name__ == "__main__":
    sys.exit(main())
