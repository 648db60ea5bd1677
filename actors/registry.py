"""Which actor reacts to which event. Actors are declared where they are written, and checked when they are declared."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from edurise import outbox
from edurise.outbox import Event

if TYPE_CHECKING:
    from actors.runtime import DeliveryHop
    from edurise.container import Container

E = TypeVar("E", bound=Event)

ActorFunction = Callable[["Container", E, "DeliveryHop"], Awaitable[None]]

_ARGUMENTS = 3


@dataclass(frozen=True)
class Actor:
    """A declared actor: ``name`` is its queue and its key in ``deliveries``, so renaming one orphans its open
    deliveries.
    """

    name: str
    on: type[Event]
    fatal: tuple[type[Exception], ...]
    run: ActorFunction[Any]


class Registry:
    """The actors of a process, by name."""

    def __init__(self) -> None:
        self._actors: dict[str, Actor] = {}

    def add(self, actor: Actor) -> None:
        """Raises ValueError for a name that is taken or no name."""
        if actor.name in self._actors:
            raise ValueError(f"actor {actor.name} is declared twice")
        if not actor.name.replace(".", "_").isidentifier():
            raise ValueError(f"{actor.name!r} is no name for an actor: use letters, digits, dots and underscores")
        self._actors[actor.name] = actor

    def get(self, name: str) -> Actor | None:
        """The actor of this name, or None for one of another version of the code."""
        return self._actors.get(name)

    def names(self) -> Sequence[str]:
        """The names of all actors, sorted."""
        return sorted(self._actors)

    def wanted(self) -> Mapping[str, Sequence[str]]:
        """Every known topic, with the actors that want it; with nobody, for an event that nobody reacts to."""
        found: dict[str, list[str]] = {topic: [] for topic in outbox.topics()}
        for name in self.names():
            found[self._actors[name].on.topic].append(name)
        return found


ACTORS = Registry()
"""What ``@actor`` declares."""


def actor(
    *, on: type[E], fatal: Sequence[type[Exception]] = (), name: str | None = None, registry: Registry = ACTORS
) -> Callable[[ActorFunction[E]], ActorFunction[E]]:
    """Declare the coroutine function below as an actor for the event ``on``; it stays what it is and can be called as
    before.

    It is called at least once with (container, event, hop) until its final hop commits. A ``fatal`` error makes the
    delivery dead at once, any other is tried again. ``name`` defaults to ``module.function`` below ``actors``.
    """
    given: object = on  # what is declared, whatever a type checker was told
    if not (isinstance(given, type) and issubclass(given, Event) and given is not Event):
        raise TypeError(f"an actor is declared on a class of event, not on {on!r}")
    outbox.readers(on)  # a field that events cannot carry shows here, not at the first delivery
    errors: Sequence[object] = fatal
    refused = [one for one in errors if not (isinstance(one, type) and issubclass(one, Exception))]
    if refused:
        raise TypeError(f"fatal takes classes of exceptions, not {refused!r}")

    def declare(function: ActorFunction[E]) -> ActorFunction[E]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is no coroutine function")
        if len(inspect.signature(function).parameters) != _ARGUMENTS:
            raise TypeError(f"{function.__qualname__} does not take (container, event, hop)")
        default = f"{function.__module__.removeprefix('actors.')}.{function.__name__}"
        registry.add(Actor(name or default, on, tuple(fatal), function))
        return function

    return declare


def load_actors() -> Registry:
    """Import every module of this package, so that what they declare is known; returns ACTORS."""
    package = importlib.import_module("actors")
    for found in pkgutil.iter_modules(package.__path__, "actors."):
        importlib.import_module(found.name)
    return ACTORS
