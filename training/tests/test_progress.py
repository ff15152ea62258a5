"""Progress is a bar on a terminal and plain lines elsewhere."""

import io

from recbackend.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def run(out, seconds, total=100):
    clock = Clock()
    progress = ProgressLine("train id", out=out, clock=clock)
    for step in range(1, total + 1):
        clock.now = step * seconds / total
        progress.update(step, total, 0.5)
    progress.close()
    return out.getvalue()


def test_plain_lines_come_every_few_seconds_with_rate_and_time_left():
    lines = run(io.StringIO(), 20.0).splitlines()
    assert lines == [
        "train id: 25/100 steps, 5.0/s, loss 0.5000, 15 s left",
        "train id: 50/100 steps, 5.0/s, loss 0.5000, 10 s left",
        "train id: 75/100 steps, 5.0/s, loss 0.5000, 5 s left",
        "train id: 100/100 steps, 5.0/s, loss 0.5000, took 20 s",
    ]


def test_terminal_has_one_line_that_is_drawn_over():
    text = run(Terminal(), 200.0)
    assert text.count("\n") == 1 and text.endswith("\n")
    assert "[############............] 50/100 steps, 0.5/s, loss 0.5000, 1 min 40 s left" in text


def test_new_round_starts_its_own_rate():
    out, clock = io.StringIO(), Clock()
    progress = ProgressLine("fit", out=out, clock=clock)
    clock.now = 100.0
    progress.update(10, 10)
    clock.now = 101.0
    progress.update(5, 5)  # 5 < 10: another round began
    clock.now = 107.0
    progress.update(3, 5)
    clock.now = 113.0
    progress.update(5, 5)
    assert out.getvalue().splitlines()[-1] == "fit: 5/5 steps, 0.8/s, took 6 s"
