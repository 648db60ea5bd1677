"""What a learner does: see one's courses, and enroll."""

from __future__ import annotations

import itertools

from benchmarks.against import Call, against_hello
from benchmarks.registry import Measured, figure
from benchmarks.stage import Stage, request

_PER_RUN = 8_000
_STUDENTS = 400


@figure("enrolled-courses")
def enrolled(stage: Stage) -> Measured:
    """Two hundred students in turn, each with five courses."""
    mine = [request("GET", "/api/v1/courses/enrolled_courses/", token=one.token) for one in stage.log_in(200)]
    return against_hello(stage, Call("enrolled-courses", 0.14, {"EDU_CACHE_S": "0"}, lambda _run: mine))


@figure("enroll")
def enroll(stage: Stage) -> Measured:
    """Students and free courses that do not know each other yet; no pair comes twice."""
    people = stage.log_in(_STUDENTS)
    fresh = (
        request("POST", f"/api/v1/courses/{course}/enroll/", token=person.token)
        for course in stage.bulk.free
        for person in people
        if course not in stage.bulk.places[person.id]
    )
    runs: dict[int, list[str]] = {}

    def slice_of(run: int) -> list[str]:
        if run not in runs:
            runs[run] = list(itertools.islice(fresh, _PER_RUN))
        return runs[run]

    return against_hello(stage, Call("enroll", 0.05, {"EDU_CACHE_S": "0"}, slice_of, expect=201, once=True))
