"""What files tell the rest of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from edurise.outbox import Event


@dataclass(frozen=True, kw_only=True)
class FileArrived(Event):
    """All bytes of a file are in its store and are to be inspected."""

    topic: ClassVar[str] = "files.arrived.v1"
    file_id: UUID


@dataclass(frozen=True, kw_only=True)
class FileInspected(Event):
    """A file is ``ready``, ``quarantined`` or ``failed``; ``reason`` is a signature or an error code."""

    topic: ClassVar[str] = "files.inspected.v1"
    personal: ClassVar[tuple[str, ...]] = ("name",)
    whose: ClassVar[str] = "owner_id"
    file_id: UUID
    owner_id: UUID
    name: str
    state: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ObjectsForsaken(Event):
    """Nothing refers to these objects any more: a file was erased, moved or made anew, or an upload was given up."""

    topic: ClassVar[str] = "files.objects_forsaken.v1"
    store: str
    keys: list[str]


@dataclass(frozen=True, kw_only=True)
class FileWithdrawn(Event):
    """A file that anybody could open no longer is; caches are to forget these paths."""

    topic: ClassVar[str] = "files.withdrawn.v1"
    file_id: UUID
    paths: list[str]
