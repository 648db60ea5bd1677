"""``run.py web`` that writes each statement of the application's hops to a file: ``python -m benchmarks.counted FILE``.

Counted are all statements but BEGIN, COMMIT (which never pass a cursor) and the setting of parameters.
"""

from __future__ import annotations

import runpy
import sys
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from benchmarks.processes import ROOT


def main(target: Path) -> None:
    """Install the counter and become the web process."""
    lines = target.open("a", encoding="utf-8", buffering=1)

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.current_thread().name.startswith("hop-app") and not statement.startswith("SELECT set_config"):
            lines.write(" ".join(statement.split())[:160] + "\n")

    event.listen(Engine, "before_cursor_execute", note)
    sys.argv = ["run.py", "web"]
    runpy.run_path(str(ROOT / "run.py"), run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
