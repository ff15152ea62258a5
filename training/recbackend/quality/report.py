"""Tables and plots of the runs in a file. Nothing here is measured anew but the intervals, which are of the scores that the runs have kept."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import bootstrap
from .protocols import COLD, PHASES
from .runs import BASELINE, COUNTED, RANDOM_ENCODER, SHUFFLED, UNKNOWN_IDS, Record, key_of, scores_path, settings_of
from .slices import FROZEN, RESUMED, SLICES

_PROTOCOLS = {
    "A": "split at a moment",
    "B": "items that training never saw",
    "C": "warm-up of new items",
}
_DRAWS = 1000


@dataclass(frozen=True)
class Group:
    """The runs of one line of a table: all seeds of an arm on one protocol and, in C, phase."""

    recipe: str
    control: str | None
    protocol: str
    phase: str | None
    test: list[dict]
    valid: list[dict]
    interval: dict | None
    """`auc` and `gauc` minus those of the baseline, as `bootstrap.Interval` has them."""
    interval_seeds: tuple[int, ...] = ()
    """Of which seeds the interval is, where it is not of all that both have."""

    @property
    def settings(self) -> list[str]:
        """What differs from the recipe's defaults."""
        return settings_of(self.control)

    @property
    def name(self) -> str:
        if self.settings:
            return f"`{self.recipe}` with " + ", ".join(f"`{setting}`" for setting in self.settings)
        return f"`{self.recipe}`, {self.control.replace('-', ' ')}" if self.control else f"`{self.recipe}`"

    @property
    def order(self) -> tuple:
        """The baseline, recipes, controls, predictions without a network."""
        return self.recipe in COUNTED, self.control is not None, self.recipe != BASELINE, self.recipe == "unified", self.recipe, self.control or ""


def write(record: Record, folder: Path) -> list[Path]:
    """Writes tables, plots and intervals beside the file of runs; `folder` has the scores, if it has. Returns what was written."""
    rows = record.read()
    beside = record.path.parent
    stem = record.path.stem
    intervals = beside / f"{stem}-intervals.json"
    groups = groups_of(rows, folder, intervals)
    plots = _plots([group for group in groups if not group.settings], beside, stem)
    tables = beside / f"{stem}-tables.md"
    tables.write_text(tables_of(groups, [path.name for path in plots], record.path.name), "utf-8")
    return [tables, *plots]


def groups_of(rows: list[dict], folder: Path, path: Path) -> list[Group]:
    latest = {key_of(row): row for row in rows}  # of several commits the last
    by_line: defaultdict[tuple, dict[str, list[dict]]] = defaultdict(lambda: {"test": [], "valid": []})
    for (recipe, control, protocol, _, phase, split), row in sorted(latest.items(), key=lambda pair: pair[0][3]):
        by_line[recipe, control, protocol, phase][split].append(row)
    remembered = {json.dumps(entry["of"]): entry for entry in json.loads(path.read_text("utf-8"))} if path.exists() else {}
    kept, groups = [], []
    for (recipe, control, protocol, phase), parts in by_line.items():
        if not parts["test"]:
            continue
        theirs = by_line[BASELINE, None, protocol, phase]["test"] if (BASELINE, None, protocol, phase) in by_line else []
        interval, seeds = None, ()
        # Settings are chosen by validation; of those that were not, the difference from the baseline is of no interest.
        if theirs and (recipe, control) != (BASELINE, None) and not settings_of(control):
            interval, seeds = _interval(parts["test"], theirs, recipe in COUNTED, remembered, folder)
        if interval:
            kept.append(interval)
        groups.append(Group(recipe, control, protocol, phase, parts["test"], parts["valid"], interval, seeds))
    if kept:
        path.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in kept) + "\n]\n", "utf-8")
    return sorted(groups, key=lambda group: (group.order, group.protocol))


def _interval(ours: list[dict], theirs: list[dict], counted: bool, remembered: dict[str, dict], folder: Path) -> tuple[dict | None, tuple[int, ...]]:
    """The interval of as many of the seeds that both sides have as it is remembered of, or the scores are there, and these seeds where they are not all. `counted`: ours has no seed."""
    by_seed = {row["seed"]: row for row in ours}
    seeds = [row["seed"] for row in theirs if counted or row["seed"] in by_seed]
    for count in range(len(seeds), 0, -1):
        for chosen in itertools.combinations(seeds, count):
            paired = [row for row in theirs if row["seed"] in chosen]
            side = ours if counted else [by_seed[seed] for seed in chosen]
            of = [[*key_of(row), row["commit"]] for row in side + paired]
            found = remembered.get(json.dumps(of)) or _measured(of, side, paired, folder)
            if found:
                return found, chosen if count < len(seeds) else ()
    return None, ()


def _measured(of: list[list], ours: list[dict], theirs: list[dict], folder: Path) -> dict | None:
    """None where scores are missing."""
    if not all(scores_path(folder, row).exists() for row in ours + theirs):
        return None
    sides = [[dict(np.load(scores_path(folder, row))) for row in side] for side in (ours, theirs)]
    first = sides[0][0]
    for one in sides[0] + sides[1]:
        if not all(np.array_equal(first[name], one[name]) for name in ("label", "user")):
            return None  # other test rows: nothing to compare
    values = bootstrap.paired(first["label"], first["user"], *([one["score"] for one in side] for side in sides), draws=_DRAWS)
    return {"of": of, "draws": _DRAWS} | {name: {part: round(number, 6) for part, number in dataclasses.asdict(one).items()} for name, one in values.items()}


# Tables


def tables_of(groups: list[Group], plots: list[str], runs: str) -> str:
    lines = [
        "# Quality: tables",
        "",
        f"Written by `./rec bench quality` from [{runs}]({runs}); [quality.md](quality.md) says what each figure is. Mean ± standard deviation over seeds; in square brackets the middle 95 % of a",
        f"paired bootstrap over users ({_DRAWS:,} draws) of the difference from `{BASELINE}` with the same seeds; it needs the scores of all rows, and names the seeds where only some of them were at hand.",
    ]
    for protocol, what in _PROTOCOLS.items():
        of_protocol = [group for group in groups if group.protocol == protocol]
        if not of_protocol:
            continue
        lines += ["", f"## {protocol}: {what}", ""]
        if protocol == "C":
            lines += _phases([group for group in of_protocol if not group.settings]) + [""]
            of_protocol = [group for group in of_protocol if group.phase == COLD]
            lines += ["Cold:", ""]
        varied = [group for group in of_protocol if group.settings]
        of_protocol = [group for group in of_protocol if not group.settings]
        lines += _figures(of_protocol)
        shares = _gains(of_protocol)
        if shares:
            lines += ["", f"What is left of a recipe's gain in test AUC over `{BASELINE}`, with the same seeds:", "", *shares]
        if protocol == "A" and any(group.control == RESUMED for group in of_protocol):
            lines += ["", f"In {SLICES} slices of time: trained on the first alone, gone on with on each of the others, and trained on all at once.", "", *_slices(of_protocol)]
        if protocol == "A":
            lines += ["", "Test AUC by the item's number of training rows:", ""] + _by_item_rows(of_protocol)
        if varied:
            lines += ["", "With other settings than the defaults, of which validation chose:", "", *_varied(varied)]
    costs = {group.name: group for group in reversed(groups) if "parameters" in group.test[0] and group.control != UNKNOWN_IDS and not group.settings and group.phase in (None, COLD)}
    if costs:
        lines += ["", "## Costs", ""] + _costs(list(costs.values())[::-1])
    lines += ["", "## Again", "", "The runs of each line, on a folder `SRC` of the data and at the commit of the training code that the line names:", "", "```"]
    lines += [f"{command}   # {commit}" for command, commit in _commands(groups)]
    lines += ["```"]
    for plot in plots:
        lines += ["", f"![{plot.removesuffix('.svg')}]({plot})"]
    return "\n".join(lines) + "\n"


def _figures(groups: list[Group]) -> list[str]:
    lines = [
        "| | seeds | validation AUC | test AUC | GAUC | P@2 | log loss | ECE | AUC over `id` | GAUC over `id` |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for group in groups:
        cells = [group.name, str(len(group.test)), _mean(group.valid, "auc"), *(_mean(group.test, name) for name in ("auc", "gauc", "p_at_2", "logloss", "ece"))]
        cells += [_difference(group, name) for name in ("auc", "gauc")]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _varied(groups: list[Group]) -> list[str]:
    lines = ["| | seeds | validation AUC | test AUC | GAUC | log loss | ECE |", "|---|---:|---:|---:|---:|---:|---:|"]
    for group in groups:
        cells = [group.name, str(len(group.test)), _mean(group.valid, "auc"), *(_mean(group.test, name) for name in ("auc", "gauc", "logloss", "ece"))]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _slices(groups: list[Group]) -> list[str]:
    lines = ["| | seeds | test AUC | GAUC | training, CPU seconds |", "|---|---:|---:|---:|---:|"]
    sliced = {group.recipe for group in groups if group.control == RESUMED}
    for group in groups:
        if group.recipe in sliced and group.control in (None, FROZEN, RESUMED):
            seconds = np.mean([row["train_cpu_seconds"] for row in group.test])
            lines.append(f"| {group.name} | {len(group.test)} | {_mean(group.test, 'auc')} | {_mean(group.test, 'gauc')} | {seconds:,.0f} |")
    return lines


def _gains(groups: list[Group]) -> list[str]:
    """One line for each control whose recipe has a gain to lose."""
    auc = {(group.recipe, group.control): {row["seed"]: row["auc"] for row in group.test} for group in groups}
    baseline = auc.get((BASELINE, None), {})
    lines = []
    for group in groups:
        recipe = auc.get((group.recipe, None), {})
        seeds = sorted(auc[group.recipe, group.control].keys() & recipe.keys() & baseline.keys())
        if group.control not in (SHUFFLED, RANDOM_ENCODER) or group.recipe == BASELINE or not seeds:
            continue
        gain, left = (np.mean([of[seed] - baseline[seed] for seed in seeds]) for of in (recipe, auc[group.recipe, group.control]))
        share = f"{100 * left / gain:.0f} %" if gain > 0 else "there is no gain"
        lines.append(f"| {group.name} | {len(seeds)} | {gain:+.4f} | {left:+.4f} | {share} |")
    return ["| control | seeds | gain | with the control | left |", "|---|---:|---:|---:|---:|", *lines] if lines else []


def _by_item_rows(groups: list[Group]) -> list[str]:
    names = list(groups[0].test[0]["auc_by_item_rows"])
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for group in groups:
        flat = [row["auc_by_item_rows"] for row in group.test]
        lines.append(f"| {group.name} | {' | '.join(_mean(flat, name) for name in names)} |")
    return lines


def _phases(groups: list[Group]) -> list[str]:
    names = [COLD, *PHASES]
    by_arm: dict[str, dict[str, Group]] = {}
    for group in groups:
        by_arm.setdefault(group.name, {})[group.phase] = group
    lines = [f"| test AUC | {' | '.join(f'after {name}' if name in PHASES else name for name in names)} |", "|---|" + "---:|" * len(names)]
    for arm, found in by_arm.items():
        lines.append(f"| {arm} | {' | '.join(_mean(found[name].test, 'auc') if name in found else '' for name in names)} |")
    return lines


def _costs(groups: list[Group]) -> list[str]:
    lines = [
        "| | protocol | parameters | of ID tables | training, CPU seconds | bytes of an item | FLOPs per candidate, of 1 | of 100 |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for group in groups:
        first, seconds = group.test[0], [row["train_cpu_seconds"] for row in group.test]
        arithmetic = first["flops_per_candidate"] or {}
        counts = [f"{arithmetic[name]:,}" if name in arithmetic else "" for name in ("1", "100")]
        cells = [group.name, group.protocol, f"{first['parameters']:,}", f"{first['id_parameters']:,}", f"{np.mean(seconds):,.0f}", f"{first['bytes_per_item']:,}", *counts]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _commands(groups: list[Group]) -> list[tuple[str, str]]:
    found: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for group in groups:
        for row in group.test:
            words = shlex.split(row["command"].split(" --recipes ", 1)[1])
            settings = [part for name, value in itertools.pairwise(words) if name == "--config" for part in (name, value)]
            arm = shlex.join([words[0], *settings])
            found[f"./rec bench quality --data SRC --protocol {group.protocol} --recipes {arm}", row["commit"]].add(row["seed"])
    return [(command + (f" --seeds {','.join(map(str, sorted(seeds)))}" if seeds != {0} else ""), commit) for (command, commit), seeds in found.items()]


def _mean(rows: list[dict], name: str) -> str:
    values = [row[name] for row in rows if row.get(name) is not None]
    if not values:
        return ""
    mean = f"{np.mean(values):.4f}"
    return f"{mean} ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else mean


def _difference(group: Group, name: str) -> str:
    if group.interval is None:
        return ""
    one = group.interval[name]
    text = f"{one['difference']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]"
    if not group.interval_seeds:
        return text
    return f"{text}, of seed{'s' if len(group.interval_seeds) > 1 else ''} {', '.join(map(str, group.interval_seeds))}"


# Plots


def _plots(groups: list[Group], folder: Path, stem: str) -> list[Path]:
    import matplotlib

    matplotlib.use("Agg")
    # The same runs give the same files; letters stay letters.
    matplotlib.rcParams.update({"svg.hashsalt": "recbackend", "svg.fonttype": "none"})
    from matplotlib import pyplot

    written = []

    def save(figure, name: str) -> None:
        path = folder / f"{stem}-{name}.svg"
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
        written.append(path)

    present = [name for name in _PROTOCOLS if any(group.protocol == name and group.phase in (None, COLD) for group in groups)]
    if present:
        figure, axes = pyplot.subplots(1, len(present), figsize=(5 * len(present), 0.8 + 0.35 * len({(group.recipe, group.control) for group in groups})), squeeze=False)
        for axis, name in zip(axes[0], present):
            lines = [group for group in groups if group.protocol == name and group.phase in (None, COLD)][::-1]
            for place, group in enumerate(lines):
                values = [row["auc"] for row in group.test]
                axis.plot(values, [place] * len(values), "o", color="0.6", markersize=4)
                axis.plot(np.mean(values), place, "D", color="C0", markersize=6)
            axis.set_yticks(range(len(lines)), [group.name.replace("`", "") for group in lines])
            axis.set_title(f"{name}: {_PROTOCOLS[name]}{', cold' if name == 'C' else ''}", fontsize=10)
            axis.set_xlabel("test AUC: seeds, and their mean")
            axis.grid(axis="x", alpha=0.3)
        save(figure, "auc")
    buckets = [group for group in groups if group.protocol == "A" and group.recipe not in COUNTED]
    if buckets:
        figure, axis = pyplot.subplots(figsize=(6, 4))
        names = list(buckets[0].test[0]["auc_by_item_rows"])
        for group in buckets:
            values = [[row["auc_by_item_rows"][name] for row in group.test] for name in names]
            means = [np.mean([one for one in of if one is not None]) if any(one is not None for one in of) else np.nan for of in values]
            axis.plot(names, means, "--" if group.control else "-", marker="o", markersize=4, label=group.name.replace("`", ""))
        axis.set_xlabel("training rows of the item")
        axis.set_ylabel("test AUC, protocol A")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
        save(figure, "item-rows")
    warm = [group for group in groups if group.protocol == "C"]
    if any(group.phase in PHASES for group in warm):
        figure, axis = pyplot.subplots(figsize=(6, 4))
        names = [COLD, *PHASES]
        for arm in dict.fromkeys(group.name for group in warm):
            found = {group.phase: np.mean([row["auc"] for row in group.test]) for group in warm if group.name == arm}
            shown = [name for name in names if name in found]
            axis.plot([names.index(name) for name in shown], [found[name] for name in shown], marker="o", markersize=4, label=arm.replace("`", ""))
        axis.set_xticks(range(len(names)), [COLD, *(f"after {name}\n({PHASES[name]} rows)" for name in PHASES)])
        axis.set_ylabel("test AUC, protocol C")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
        save(figure, "warm-up")
    return written
