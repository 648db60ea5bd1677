"""Where a server's time goes: py-spy beside a load run, as folded stacks (speedscope reads them) and a short list."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.processes import Child

RATE, TOP = 400, 22
_TRUNK = (
    "typer/core.py)",
    "typer/main.py)",
    "_click/core.py)",
    "asyncio/runners.py)",
    "uvloop/__init__.py)",
    "(run.py)",
    "(<frozen runpy>)",
    "benchmarks/consumers.py)",
    "(threading.py)",
    "futures/thread.py)",
)
"""Where every stack begins: frames that say nothing about a request."""


def record(child: Child, seconds: float, target: Path) -> subprocess.Popen[bytes]:
    """Begin to sample the threads that hold the child's interpreter; the caller waits for the process."""
    spy = str(Path(sys.executable).with_name("py-spy"))
    sampling = ["--gil", "--nonblocking", "--rate", str(RATE), "--duration", f"{seconds:.0f}"]
    command = [spy, "record", *sampling, "--format", "raw", "--output", str(target), "--pid", str(child.pid)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def summary(folded: Path) -> str:
    """The functions that most samples end in, and those that most pass through, in percent of all samples."""
    own: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    total = 0
    for line in folded.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_function(frame) for frame in stack.split(";")]
        total += int(count)
        frames = [one for one in frames if not one.endswith(_TRUNK)] or frames
        own[frames[-1]] += int(count)
        for frame in set(frames):
            inside[frame] += int(count)
    lines = [f"{total} samples", f"{'itself':>7}  {'':60}{'with callees':>12}"]
    for (mine, ended), (through, passed) in zip(own.most_common(TOP), inside.most_common(TOP), strict=False):
        lines.append(f"{100 * ended / total:6.1f}%  {mine[:58]:60}{100 * passed / total:6.1f}%  {through[:70]}")
    return "\n".join(lines)


def _function(frame: str) -> str:
    """``name (package/file.py)`` without the line, so that lines of one function add up."""
    name, _, place = frame.partition(" (")
    path = place.rstrip(")").rpartition(":")[0]
    return f"{name} ({'/'.join(path.split('/')[-2:])})"
