"""The relay and the actors of one World, run by hand: what is due is done once, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from actors.registry import load_actors
from actors.relay import Relay
from actors.runtime import Runtime
from edurise.ports import Dispatch
from tests.harness.world import World


class _Paper:
    """A transport that only writes down."""

    durable = True

    def __init__(self) -> None:
        self.sent: list[Dispatch] = []

    async def publish(self, dispatches: Sequence[Dispatch]) -> Sequence[Dispatch]:
        self.sent += dispatches
        return dispatches


class _NoBells:
    async def wait(self, bell: str, timeout_s: float) -> bool:
        return False


async def run_actors(world: World, *names: str, times: int = 1) -> int:
    """Relay everything that is due and call the named actors with it, each message ``times``; returns how many."""
    registry = load_actors()
    paper = _Paper()
    relay = Relay(world.c, paper, _NoBells(), registry.wanted())  # type: ignore[arg-type]  # it publishes, no more
    while await relay.round():
        pass
    wanted = [one for one in paper.sent if one.actor in names]
    runtime = Runtime(world.c, registry)
    for dispatch in wanted * times:
        await runtime.handle(dispatch)
    return len(wanted)
