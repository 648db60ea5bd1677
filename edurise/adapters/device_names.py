"""Names devices by the definitions of the uap-core project."""

from __future__ import annotations

from ua_parser import parse

_READ = 300


class UserAgentDevices:
    """``Firefox on Linux``, ``Mobile Safari on iOS``."""

    def name_of(self, user_agent: str) -> str:
        found = parse(user_agent[:_READ])
        parts = [part.family for part in (found.user_agent, found.os) if part is not None]
        return " on ".join(parts)
