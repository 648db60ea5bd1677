"""What log-in is held against: Argon2id verifies alone, as many at a time as the web process makes.

``python -m benchmarks.verifies WORKERS SECONDS ENCODED PASSWORD`` prints verifies a second.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher


def main(workers: int, seconds: float, encoded: str, password: str) -> None:
    """Verify in ``workers`` threads for ``seconds``; the parameters are those of the encoded hash."""
    hasher = PasswordHasher()
    began = time.monotonic()

    def verify_on() -> int:
        count = 0
        while time.monotonic() - began < seconds:
            hasher.verify(encoded, password)
            count += 1
        return count

    with ThreadPoolExecutor(workers) as threads:
        count = sum(one.result() for one in [threads.submit(verify_on) for _ in range(workers)])
    sys.stdout.write(f"{count / (time.monotonic() - began)}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4])
