"""Counts the tests of one run, from the result files that `rec test` collected.

Reads `*.trx` (VSTest) and `*.xml` (JUnit) of a folder, prints each failure and each reason for skipping, and last
`N passed, N failed, N skipped`. A runner that broke before it wrote results (`*.broken`), or that ended with an error
although no test of it failed (`*.status`), counts as one failure; one that could not be built here (`*.left_out`), as one skipped.
"""

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

TRX = "{http://microsoft.com/schemas/VisualStudio/TeamTest/2010}"
OUTCOMES = {"Passed": "passed", "NotExecuted": "skipped"}


@dataclass
class Summary:
    """Tests of one runner by outcome, with the messages of those that did not pass."""

    counts: Counter = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, outcome: str, message: str) -> None:
        self.counts[outcome] += 1
        if outcome == "failed":
            self.failures.append((name, message))
        elif outcome == "skipped":
            self.skipped.append((name, message))


def read_trx(path: Path, summary: Summary) -> None:
    for result in ElementTree.parse(path).getroot().iter(f"{TRX}UnitTestResult"):
        outcome = OUTCOMES.get(result.get("outcome", ""), "failed")
        text = [result.findtext(f".//{TRX}ErrorInfo/{TRX}{part}") or "" for part in ("Message", "StackTrace")]
        if outcome == "skipped":
            text = [text[0] or result.findtext(f".//{TRX}StdOut") or ""]
        summary.add(result.get("testName", "?"), outcome, "\n".join(part for part in text if part))


def read_junit(path: Path, summary: Summary) -> None:
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '?')}"
        bad = [child for child in case if child.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if bad:
            summary.add(name, "failed", "\n".join(child.text or child.get("message", "") for child in bad))
        elif skipped is not None:
            summary.add(name, "skipped", skipped.get("message", ""))
        else:
            summary.add(name, "passed", "")


def indent(text: str, lines: int) -> str:
    return "\n".join("      " + line for line in text.strip().splitlines()[:lines])


def main(folder: Path) -> int:
    total: Counter = Counter()
    for runner in sorted({path.stem for path in folder.iterdir() if path.is_file()}):
        summary = Summary()
        results = [path for path in (folder / f"{runner}.trx", folder / f"{runner}.xml") if path.exists()]
        for path in results:
            (read_trx if path.suffix == ".trx" else read_junit)(path, summary)
        broken, status = folder / f"{runner}.broken", folder / f"{runner}.status"
        left_out = folder / f"{runner}.left_out"
        if left_out.exists():
            summary.add(runner, "skipped", left_out.read_text())
        if broken.exists():
            summary.add(f"{runner} did not run", "failed", broken.read_text(errors="replace"))
        elif status.exists() and not summary.failures:
            log = (folder / f"{runner}.log").read_text(errors="replace").strip().splitlines()[-20:]
            summary.add(f"{runner} ended with {status.read_text().strip()}", "failed", "\n".join(log))
        elif results and not summary.counts:
            summary.add(f"{runner} has no test", "failed", "")
        print(f"{runner}: {summary.counts['passed']} passed, {summary.counts['failed']} failed, {summary.counts['skipped']} skipped")
        for name, message in summary.failures:
            print(f"  FAILED {name}\n{indent(message, 25)}")
        for name, message in summary.skipped:
            print(f"  skipped {name}: {(message.strip().splitlines() or ['no reason given'])[0]}")
        total += summary.counts
    if not total:
        print("no test ran")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 0 if total["passed"] and not total["failed"] else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
