"""Log-in, of which nearly all is the password hash."""

from __future__ import annotations

import subprocess
import sys

from argon2 import PasswordHasher

from benchmarks.processes import ROOT
from benchmarks.registry import Measured, figure
from benchmarks.stage import HASHING, RUN_S, RUNS, Stage, median, request, spread

_TARGET = 0.85


@figure("log-in")
def log_in(stage: Stage) -> Measured:
    """Hundreds of students in turn, at the production parameters of Argon2id, beside bare verifies of such a hash."""
    password = stage.bulk.password
    calls = [
        request("POST", "/api/v1/accounts/auth/login/", body={"email": one.email, "password": password})
        for one in stage.bulk.students[:400]
    ]
    encoded = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4).hash(password)
    web = stage.web()
    ours, bare = [], []
    for run in range(RUNS):
        for is_ours in (run % 2 == 0, run % 2 == 1):
            if is_ours:
                ours.append(stage.load(web, calls))
            else:
                bare.append(_verifies(encoded, password))
    ratios = [one.rate / other for one, other in zip(ours, bare, strict=True)]
    return Measured(
        name="log-in",
        value=median([one.rate for one in ours]),
        unit="log-ins/s",
        ratio=median(ratios),
        of="bare Argon2id verifies",
        target=f"≥ {_TARGET} × bare verifies",
        holds=median(ratios) >= _TARGET,
        details=(
            f"bare {median(bare):.1f}/s, {HASHING['EDU_HASH_WORKERS']} workers, 64 MiB, t=3, p=4",
            f"ratio {spread(ratios)}",
            f"p50 {median([one.p50_ms for one in ours]):.0f} ms, p99 {median([one.p99_ms for one in ours]):.0f} ms",
        ),
    )


def _verifies(encoded: str, password: str) -> float:
    command = [sys.executable, "-m", "benchmarks.verifies", HASHING["EDU_HASH_WORKERS"], str(RUN_S), encoded, password]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
