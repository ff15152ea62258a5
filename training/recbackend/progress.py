"""Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_DRAWS = 0.1
_BAR = 24


class ProgressLine:
    """Shows how far a stage of the work is, its loss, its rate and the time left. `close` ends the line."""

    def __init__(self, stage: str, unit: str = "steps", out: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self._out = out if out is not None else sys.stderr
        self._clock = clock
        self._terminal = self._out.isatty()
        self._drawn = False
        self.stage(stage, unit)

    def stage(self, name: str, unit: str = "steps") -> None:
        """Begins another stage, counted from zero."""
        self.close()
        self._unit = unit
        self._name = name
        self._begin = self._clock()
        self._last = self._begin - (_SECONDS_BETWEEN_DRAWS if self._terminal else 0)
        self._done = 0
        self._text = ""

    def update(self, done: int, total: int, loss: float | None = None) -> None:
        """`done` of `total` are done; fewer than before means that a new round of the stage began."""
        if done < self._done:
            self.stage(self._name, self._unit)
        self._done = done
        now = self._clock()
        pause = _SECONDS_BETWEEN_DRAWS if self._terminal else _SECONDS_BETWEEN_LINES
        if done < total and now - self._last < pause:
            return
        self._last = now
        self._show(done, total, loss, now - self._begin)

    def close(self) -> None:
        """Leaves the bar as it is and goes to the next line."""
        if self._drawn:
            self._out.write("\n")
            self._out.flush()
            self._drawn = False

    def _show(self, done: int, total: int, loss: float | None, seconds: float) -> None:
        rate = done / seconds if seconds > 0 else 0.0
        parts = [f"{done}/{total} {self._unit}", f"{rate:.1f}/s"]
        if loss is not None:
            parts.append(f"loss {loss:.4f}")
        parts.append(f"{_duration((total - done) / rate)} left" if rate > 0 and done < total else f"took {_duration(seconds)}")
        if self._terminal:
            filled = _BAR * done // max(1, total)
            text = f"{self._name} [{'#' * filled}{'.' * (_BAR - filled)}] {', '.join(parts)}"
            self._out.write("\r" + text + " " * max(0, len(self._text) - len(text)))
            self._text = text
            self._drawn = True
        else:
            self._out.write(f"{self._name}: {', '.join(parts)}\n")
        self._out.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
