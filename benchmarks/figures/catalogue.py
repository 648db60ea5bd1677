"""Public reads: the marketplace with and without the cache, and one course."""

from __future__ import annotations

from benchmarks.against import Call, against_hello
from benchmarks.registry import Measured, figure
from benchmarks.stage import Stage, request

_MARKETPLACE = "/api/v1/courses/marketplace/?page={0}&page_size=20"


@figure("marketplace-cached")
def cached(stage: Stage) -> Measured:
    """One page of 20 out of the process's cache, through the whole handler."""
    one = [request("GET", _MARKETPLACE.format(1))]
    return against_hello(
        stage, Call("marketplace-cached", 0.5, {}, lambda _run: one, least_bytes=12 * 1024, counts=False)
    )


@figure("marketplace")
def uncached(stage: Stage) -> Measured:
    """Ten pages of 20 in turn, the cache switched off."""
    pages = [request("GET", _MARKETPLACE.format(page)) for page in range(1, 11)]
    return against_hello(stage, Call("marketplace", 0.10, {"EDU_CACHE_S": "0"}, lambda _run: pages, statements=4))


@figure("course-detail")
def course(stage: Stage) -> Measured:
    """Every published course in turn, each with ten modules, the cache switched off."""
    all_of_them = [request("GET", f"/api/v1/courses/{one}/") for one in stage.bulk.published]
    return against_hello(stage, Call("course-detail", 0.11, {"EDU_CACHE_S": "0"}, lambda _run: all_of_them))
