"""One command on many files of the acting organization: each succeeds or is refused by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.errors import DomainError
from edurise.files import service, sharing
from edurise.files.keeping import Keeping
from edurise.files.links import Links

Results = list[dict[str, Any]]
"""``file_id``, ``success``, and of a refusal ``code`` and ``params``; for shares also ``result``."""


def move(session: Session, who: Principal, ids: Sequence[UUID], data: Mapping[str, Any], keeping: Keeping) -> Results:
    """Each to another category or course, by ``service.move``."""
    return _each(session, ids, lambda file_id: service.move(session, who, file_id, data, keeping))


def trash(session: Session, who: Principal, ids: Sequence[UUID]) -> Results:
    """Each into the trash, by ``service.trash``."""
    return _each(session, ids, lambda file_id: service.trash(session, who, file_id))


def restore(session: Session, who: Principal, ids: Sequence[UUID], links: Links) -> Results:
    """Each out of the trash, by ``service.restore``."""
    return _each(session, ids, lambda file_id: _nothing(service.restore(session, who, file_id, links)))


def erase(session: Session, who: Principal, ids: Sequence[UUID], keeping: Keeping) -> Results:
    """Each for good, by ``service.erase``."""
    return _each(session, ids, lambda file_id: service.erase(session, who, file_id, keeping))


def share(session: Session, who: Principal, ids: Sequence[UUID], emails: Sequence[str]) -> Results:
    """Each with the same people, by ``sharing.share``; ``result`` says what became of each address."""
    return _each(session, ids, lambda file_id: sharing.share(session, who, file_id, emails))


def tag(session: Session, who: Principal, ids: Sequence[UUID], add: list[str], remove: list[str]) -> Results:
    """Tags to and from each, by ``service.tag``."""
    return _each(session, ids, lambda file_id: service.tag(session, who, file_id, add, remove))


def _each(session: Session, ids: Sequence[UUID], act: Callable[[UUID], dict[str, Any] | None]) -> Results:
    """In the order of their ids, so that two bulk commands never wait for each other; answered in the asked order."""
    found: dict[UUID, dict[str, Any]] = {}
    for file_id in sorted(set(ids)):
        try:
            with session.begin_nested():  # what one has written before it was refused is taken back
                result = act(file_id)
        except DomainError as refused:
            told = {"code": refused.code, "params": refused.params}
            found[file_id] = {"file_id": file_id, "success": False, "result": None, **told}
        else:
            found[file_id] = {"file_id": file_id, "success": True, "result": result, "code": None, "params": {}}
    return [found[file_id] for file_id in dict.fromkeys(ids)]


def _nothing(_: object) -> None:
    return None
