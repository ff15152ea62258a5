"""`python -m recbackend.quality`, which is `rec bench quality`: train recipes and controls on MovieLens-1M, measure them, write tables and plots."""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..__main__ import UsageError, recipe_names
from ..data import DataError, UnfitData
from ..progress import ProgressLine
from .protocols import PROTOCOLS

if TYPE_CHECKING:
    from .runs import Bench, Run

_ROOT = Path(__file__).parents[3]
_OUT = _ROOT / "docs" / "quality.json"
_CONTROLS = (
    *("unified:shuffled", "unified:random-encoder", "unified:plots", "ppm:shuffled", "ppm:random-encoder", "mim:shuffled", "mim:random-encoder", "mim:pixels", "ctrl:shuffled"),
    *("id:resumed", "popularity", "ridge"),
)
_EPILOG = """examples:
  rec bench quality --data ml-1m --protocol A --recipes id,ppm --seeds 1,2,3
  rec bench quality --data ml-1m --recipes ppm:shuffled,popularity --keep
  rec bench quality --data ml-1m --protocol A --recipes ppm --seeds 1 --config schedule.learning_rate=6e-3
  rec bench quality --report
  rec bench quality --data ml-1m --recipes id,ppm --seeds 1 --rows 20000 --epochs 1 --out /tmp/quality.json

A run that the file has already, of the same training code, is not made again, so a stopped command goes on where it was. Every object of the file names the command that makes it anew.
"""


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        run(options)
    except (DataError, UnfitData, UsageError, OSError, FloatingPointError) as error:
        print(f"rec bench quality: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrec bench quality: stopped; the same command goes on with the run that was under way", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="rec bench quality", description=__doc__.split(": ", 1)[1], epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--data", type=Path, metavar="SRC", help="folder of MovieLens-1M with content, as docs/quality.md describes it")
    result.add_argument("--protocol", default=",".join(PROTOCOLS), metavar="A,B,C", help="by time, new items, warm-up of new items (default: all)")
    result.add_argument("--recipes", metavar="R,R:CONTROL", help=f"recipes, and controls of them: shuffled, random-encoder, pixels, plots, resumed (default: all recipes, {', '.join(_CONTROLS)})")
    result.add_argument("--config", action="append", default=[], metavar="KEY=VALUE", help="a setting of the recipes other than its default, as of `rec train`; such runs have a table of their own")
    result.add_argument("--seeds", default="1,2,3", metavar="N,N", help="default 1,2,3")
    result.add_argument("--out", type=Path, metavar="FILE", help="the runs, with tables and plots beside it (default docs/quality.json)")
    result.add_argument("--runs", type=Path, default=_ROOT / "artifacts" / "quality", metavar="DIR", help="folder for data, bundles and scores of rows (default artifacts/quality)")
    result.add_argument("--keep", action="store_true", help="do not make a run again because the training code has changed since")
    result.add_argument("--epochs", type=int, metavar="N", help="at most so many of each stage: to see that all works, with --out")
    result.add_argument("--rows", type=int, metavar="N", help="only so many rows of the data: to see that all works, with --out")
    result.add_argument("--report", action="store_true", help="run nothing, only write tables and plots of what is in the file")
    return result


def run(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("the plots need matplotlib: apt-get install python3-matplotlib, or pip install matplotlib")
    # Here, because --help should not wait for PyTorch.
    import torch

    from . import report
    from .runs import COUNTED, RESUMED, Arm, Bench, Limits, Record, Run

    limits = Limits(options.epochs, options.rows)
    for name in ("epochs", "rows"):
        if getattr(limits, name) is not None and getattr(limits, name) < 1:
            raise UsageError(f"--{name} is {getattr(limits, name)}; 1 or more is allowed")
    if limits and options.out is None:
        raise UsageError("--epochs and --rows give figures that mean nothing: name another file with --out")
    out = options.out or _OUT
    if not options.report:
        if options.data is None:
            raise UsageError("--data SRC is missing; --report alone needs none")
        names = options.recipes.split(",") if options.recipes else [*recipe_names(), *_CONTROLS]
        if options.config and not options.recipes:
            raise UsageError("--config is of recipes that --recipes names")
        arms = [Arm.parse(name).configured(options.config) for name in names]
        seeds = [_seed(text) for text in options.seeds.split(",")]
        chosen = options.protocol.split(",")
        for name in chosen:
            if name not in PROTOCOLS:
                raise UsageError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
        # Seed by seed, so that a command that is stopped leaves all arms with as many seeds.
        runs = [Run(arm, name, seed) for name, seed, arm in itertools.product(chosen, seeds, arms) if arm.recipe not in COUNTED]
        # Slices of time are of the split by time.
        runs = [one for one in runs if one.arm.control != RESUMED or one.protocol == "A"]
        if any(arm.control == RESUMED for arm in arms) and "A" not in chosen:
            raise UsageError(f"{RESUMED} is of protocol A, which --protocol leaves out")
        runs = [Run(arm, name, 0) for name, arm in itertools.product(chosen, arms) if arm.recipe in COUNTED] + runs
        # The same figures on any number of processors, and times that can be compared. Several commands may share a file.
        torch.set_num_threads(1)
        _run_all(Bench(options.data, options.runs, out, limits), runs, options.keep)
    for path in report.write(Record(out), options.runs):
        print(path)


def _run_all(bench: Bench, runs: list[Run], keep: bool) -> None:
    for one in runs:
        bench.check(one)
    for number, one in enumerate(runs, start=1):
        if bench.record.holds(one, None if keep else bench.commit):
            continue
        print(f"{number} of {len(runs)}: {one.arm} on {one.protocol}, seed {one.seed}", file=sys.stderr, flush=True)
        started = time.monotonic()
        progress = ProgressLine("read data", "rows")
        try:
            rows = bench.run(one, progress)
        finally:
            progress.close()
        for row in rows:
            name = " ".join(str(row[part]) for part in ("recipe", "control", "protocol", "phase", "seed", "split") if row[part] is not None)
            print(f"{name}: " + ", ".join(f"{part} {row[part]}" for part in ("rows", "auc", "gauc", "p_at_2", "logloss", "ece")), flush=True)
        print(f"took {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--seeds has {text!r}; whole numbers of 0 or more are allowed, with commas between them")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
