"""Permissions of live classes."""

from __future__ import annotations

from edurise.authz import ANYBODY, Grade, permission

_TEACHING = (Grade.STAFF, Grade.ADMINISTRATOR, Grade.PLATFORM)


class Live:
    """Anybody reads when a class of a published course is; its learners and staff attend; its staff teaches."""

    BROWSE = ANYBODY
    READ = permission("live.read", Grade.PUBLIC, Grade.LEARNER, *_TEACHING)
    ATTEND = permission("live.attend", Grade.LEARNER, *_TEACHING)
    TEACH = permission("live.teach", *_TEACHING)
