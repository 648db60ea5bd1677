"""Who sees which figures."""

from __future__ import annotations

from edurise.authz import Grade, permission


class Analytics:
    """Figures of organizations: what is public, and what their administrators and the platform's see."""

    PLATFORM = permission("analytics.platform", Grade.PLATFORM)
    STATS = permission("analytics.stats", Grade.ADMINISTRATOR, Grade.PLATFORM)
    COURSES = permission("analytics.courses", Grade.PUBLIC, Grade.ADMINISTRATOR, Grade.PLATFORM)
