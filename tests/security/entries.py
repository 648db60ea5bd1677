"""How a row of the permission table is written: what is asked for, and the status for each of four callers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.harness.world import Someone
from tests.security.scene import School

API = "/api/v1"
ANYBODY = (200, 200, 200, 200)
ONE_S_OWN = (401, 200, 403, 200)


@dataclass(frozen=True)
class Scene:
    """One school, and somebody who administers another.

    Its teacher has a file of their own, one for the learners of the free course, one in the trash, a public one, and an
    upload that has begun. ``link`` is the path of a signed link to the first, ``public`` that of the public one.
    """

    at: School
    stranger: Someone
    learner: Someone
    payment: str
    notification: str
    invitation: str
    conversation: str
    private_file: str
    course_file: str
    trashed_file: str
    category: str
    upload: str
    link: str
    public: str
    provider: str
    identity_link: str


@dataclass(frozen=True)
class Entry:
    """``expected``: statuses for nobody, a plain member of the organization, an administrator of another one who names
    this one in the header, and the person of the scene who may. ``raw``: body and headers of what sends no JSON."""

    expected: tuple[int, int, int, int]
    right: str = "teacher"
    path: Callable[[Scene], str] = lambda _: ""
    body: Callable[[Scene, Someone | None], dict[str, Any]] = lambda *_: {}
    raw: Callable[[Scene], tuple[bytes | None, dict[str, str]]] | None = None
