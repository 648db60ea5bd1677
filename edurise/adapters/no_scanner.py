"""The scanner of an installation that has none: it says so of every file."""

from __future__ import annotations

from collections.abc import AsyncIterator

from edurise.files.ports import Verdict


class NoScanner:
    """Behind the port ``Scanner``. Nothing is read."""

    async def scan(self, source: AsyncIterator[bytes], size: int) -> Verdict:  # noqa: ARG002 - the port's signature
        """Always ``not_scanned``, because of ``no_scanner``."""
        return Verdict("not_scanned", "no_scanner")
