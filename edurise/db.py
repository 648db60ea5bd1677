"""The unit of work: one hop to a thread, one session, one transaction, one commit. Nothing else in the code base
commits.

A hop begins with the definer function ``enter()``, which finds the organization from the row at hand, sets
``app.tenant`` and ``app.user`` for row-level security, and returns how the caller stands there. The permission that the
caller's verb declared is checked before the function runs.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar, cast
from uuid import UUID

from sqlalchemy import DateTime, Engine, Executable, MetaData, Text, Uuid, event
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from uuid_utils.compat import uuid7

from edurise.authz import About, Principal
from edurise.connections import engine_of
from edurise.entering import Opening, enter, serve
from edurise.errors import Overloaded, Retry
from edurise.ports import ChannelEvent, Clock, Quotas

if TYPE_CHECKING:
    from sqlalchemy import Table

P = ParamSpec("P")
T = TypeVar("T")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

_SERIALIZATION_FAILURE = "40001"
_DEADLOCK = "40P01"


class Base(DeclarativeBase):
    """Base of every model. Keys are UUIDv7, times are ``timestamptz``, text has no length in the database (the edge
    bounds it)."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {UUID: Uuid(), str: Text(), datetime: DateTime(timezone=True)}


class Keyed:
    """A UUIDv7 primary key, made here so that a row can be referred to before it is flushed."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)


class TenantScoped(Keyed):
    """A row of one organization. ``tenant_id`` is stamped from the hop's standing; a flush for another organization is
    refused."""

    tenant_id: Mapped[UUID] = mapped_column()


class PersonScoped(TenantScoped):
    """A row of one person, made inside an organization and readable by that person in any."""

    user_id: Mapped[UUID] = mapped_column()


@dataclass
class AfterCommit:
    """What a hop leaves to be done once it is committed. Losing it costs latency, never a fact."""

    events: list[ChannelEvent] = field(default_factory=list)
    bells: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.events or self.bells)


def after_commit(session: Session) -> AfterCommit:
    """The hop's list of announcements; ``channels`` and ``outbox`` add to it."""
    found: AfterCommit = session.info["after_commit"]
    return found


def moment(session: Session) -> datetime:
    """The time of this hop, by the injected clock."""
    found: datetime = session.info["now"]
    return found


def quotas(session: Session) -> Quotas:
    """What counts the uses that plans limit, by the limits of this installation."""
    found: Quotas = session.info["quotas"]
    return found


def picture_url(session: Session, path: str | None) -> str | None:
    """The absolute URL of a public picture, of which only the path is stored."""
    return None if path is None else f"{session.info['media']}{path}"


class WrongTenant(RuntimeError):
    """A programming error: a flush that would write a row of another organization than the one entered."""


@event.listens_for(Session, "before_flush")
def _stamp_tenant(session: Session, _context: object, _instances: object) -> None:
    acting = session.info.get("tenant")
    for row in (*session.new, *session.dirty):
        if not isinstance(row, TenantScoped):
            continue
        if acting is not None and row.__dict__.get("tenant_id") is None:
            row.tenant_id = acting
        if acting is not None and row.tenant_id != acting:
            raise WrongTenant(f"{type(row).__name__} of {row.tenant_id} while acting in {acting}")


def flush_unique(session: Session, *, on: str | tuple[str, ...], raises: type[Exception] | Exception) -> None:
    """Flush; turn a violation of (one of) the unique constraints ``on`` into ``raises`` (``Retry`` re-runs the hop
    once).

    Any other integrity error passes through: it is ours.
    """
    try:
        session.flush()
    except IntegrityError as refused:
        if constraint_of(refused) in ((on,) if isinstance(on, str) else on):
            raise raises from refused
        raise


def insert_missing(session: Session, model: type[Base], **values: Any) -> bool:
    """Insert a row unless a unique key says that it is there already; returns whether it was inserted. The only upsert
    helper."""
    session.flush()
    return bool(session.connection().execute(_inserting(model, missing=True), values).rowcount)


def add_row(session: Session, model: type[Base], **values: Any) -> None:
    """Insert a row that nothing will change in this hop, without the ORM's bookkeeping. Every column without a default
    of the database's is given."""
    session.connection().execute(_inserting(model, missing=False), values)


@cache
def _inserting(model: type[Base], *, missing: bool) -> Insert:
    """Built once: the columns are those of the values at execution."""
    statement = insert(cast("Table", model.__table__))
    return statement.on_conflict_do_nothing() if missing else statement


def constraint_of(refused: DBAPIError) -> str | None:
    """The name of the constraint that a statement violated."""
    name: str | None = getattr(getattr(refused.orig, "diag", None), "constraint_name", None)
    return name


@dataclass(frozen=True)
class Urls:
    """One URL for each role. ``application`` cannot bypass row-level security and owns nothing."""

    application: str
    system: str


class _Lane:
    """An engine with a thread pool of the same size, and a bound on who may wait for it."""

    def __init__(self, url: str, size: int, backlog: int, name: str) -> None:
        self.engine = engine_of(url, size, f"edurise-{name}")
        self.threads = ThreadPoolExecutor(size, thread_name_prefix=f"hop-{name}")
        self.limit = size + backlog
        self.inside = 0

    async def run(self, work: Callable[[], T]) -> T:
        if self.inside >= self.limit:
            raise Overloaded(retry_after_s=1.0)
        self.inside += 1
        try:
            carried = contextvars.copy_context()  # run_in_executor alone would lose the request id
            return await asyncio.get_running_loop().run_in_executor(self.threads, carried.run, work)
        finally:
            self.inside -= 1

    def close(self) -> None:
        self.threads.shutdown(wait=True)
        self.engine.dispose()


class Database:
    """Hops under the application role, and the few under the system role."""

    def __init__(
        self,
        urls: Urls,
        clock: Clock,
        *,
        pool_size: int = 8,
        system_pool_size: int = 4,
        backlog: int = 256,
        on_commit: Callable[[AfterCommit], None] | None = None,
        quotas: Quotas | None = None,
        media: str = "",
    ) -> None:
        self._clock = clock
        self._info: dict[str, Any] = {"quotas": quotas, "media": media}
        self._on_commit = on_commit
        self._app = _Lane(urls.application, pool_size, backlog, "app")
        self._sys = _Lane(urls.system, system_pool_size, backlog, "system")

    async def run(
        self,
        who: Principal,
        fn: Callable[Concatenate[Session, Principal, P], T],
        *args: Any,
        about: About | None = None,
        opening: Opening | None = None,
        out: Callable[[T], Any] | None = None,
    ) -> Any:
        """Run ``fn(session, who, *args)`` in one transaction as the application role and return ``out`` of its result.

        ``opening`` is sent before it, together with entering where that is possible.

        Raises NotFound, Forbidden or Unauthenticated by ``who.needs``; Overloaded when too many wait or the database
        is away.
        """
        return await self._app.run(lambda: self.run_sync(who, fn, *args, about=about, opening=opening, out=out))

    def run_sync(
        self,
        who: Principal,
        fn: Callable[..., T],
        *args: Any,
        about: About | None = None,
        opening: Opening | None = None,
        out: Callable[[T], Any] | None = None,
    ) -> Any:
        """The same, in the calling thread."""

        def work(session: Session) -> Any:
            if who.service and about is None:
                entered = serve(session, who, opening)
            else:
                entered = enter(session, who, about)
                if opening is not None:
                    opening.run(session)
            result = fn(session, entered, *args)
            return out(result) if out else result

        return self._transact(self._app.engine, work)

    async def system(
        self, fn: Callable[Concatenate[Session, P], T], *args: Any, out: Callable[[T], Any] | None = None
    ) -> Any:
        """Run ``fn(session, *args)`` as the system role: log-in, relay and platform work. Call sites are counted by a
        test."""
        return await self._sys.run(lambda: self.system_sync(fn, *args, out=out))

    def system_sync(self, fn: Callable[..., T], *args: Any, out: Callable[[T], Any] | None = None) -> Any:
        """The same, in the calling thread."""

        def work(session: Session) -> Any:
            session.connection().exec_driver_sql("BEGIN")
            result = fn(session, *args)
            return out(result) if out else result

        return self._transact(self._sys.engine, work)

    def close(self) -> None:
        """Wait for the hops under way and close the connections."""
        self._app.close()
        self._sys.close()

    def _transact(self, engine: Engine, work: Callable[[Session], T]) -> T:
        """One transaction, re-run once for a lost race or for a connection that died before the commit."""
        for last in (False, True):
            attempt = _Attempt(engine, {"now": self._clock.now(), **self._info})
            try:
                return attempt.make(work, self._on_commit)
            except Retry as lost:
                if last:
                    raise Overloaded(retry_after_s=1.0) from lost
            except DBAPIError as failed:
                if not last and attempt.may_repeat(failed):
                    continue
                if attempt.found_nobody(failed):
                    raise Overloaded("DATABASE_UNAVAILABLE", retry_after_s=1.0) from failed
                raise
        raise AssertionError("unreachable")  # the second round returns or raises


class _Attempt:
    """One try of one transaction. It remembers whether the commit had begun, for then the outcome is unknown and
    nothing is repeated."""

    def __init__(self, engine: Engine, info: dict[str, Any]) -> None:
        self._engine = engine
        self._info = info
        self._committing = False

    def make(self, work: Callable[[Session], T], on_commit: Callable[[AfterCommit], None] | None) -> T:
        after = AfterCommit()
        with Session(self._engine, expire_on_commit=False, info={**self._info, "after_commit": after}) as session:
            result = work(session)
            session.flush()
            self._committing = True
            session.commit()
        if after and on_commit:
            on_commit(after)
        return result

    def may_repeat(self, failed: DBAPIError) -> bool:
        if getattr(failed.orig, "pgcode", None) in {_SERIALIZATION_FAILURE, _DEADLOCK}:
            return True
        return failed.connection_invalidated and not self._committing

    def found_nobody(self, failed: DBAPIError) -> bool:
        """Whether the connection was lost, or refused: that has no SQLSTATE, and SQLAlchemy does not call it lost."""
        refused = isinstance(failed, OperationalError) and getattr(failed.orig, "pgcode", None) is None
        return failed.connection_invalidated or (refused and not self._committing)


# SQLAlchemy else rewrites the result's metadata for each new statement object, for look-ups by column that plain rows
# do
# not need; it is the ORM's own option, and without effect where a version does not know it (0.25 ms of a list of 20).
_PLAIN_ROWS = {"_result_disable_adapt_to_context": True}


def rows(session: Session, query: Executable, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Rows of a select of columns as plain dicts, straight from the connection: the ORM would cost a third of a list.

    What is pending is flushed first. Keys are made plain once a statement, because orjson refuses SQLAlchemy's
    ``quoted_name``.
    """
    session.flush()
    result = session.connection().execute(query, params, execution_options=_PLAIN_ROWS)
    keys = [str(key) for key in result.keys()]  # noqa: SIM118 - a result is not a mapping
    return [dict(zip(keys, row, strict=True)) for row in result.all()]


def see_own_everywhere(session: Session) -> None:
    """Let the rest of this hop read the caller's own rows over all organizations, as ``about=MINE`` does from the
    start. In a session that is confined to one organization they stay hidden."""
    session.connection().exec_driver_sql(
        "SELECT set_config('app.scope', 'self', true) WHERE coalesce(current_setting('app.only', true), '') = ''"
    )


def scalar(session: Session, query: Executable, params: Mapping[str, Any] | None = None) -> Any:
    """The first column of the first row, or None."""
    session.flush()
    return session.connection().scalar(query, params, execution_options=_PLAIN_ROWS)


def first(session: Session, query: Executable, params: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The first row as a plain dict, or None."""
    found = rows(session, query, params)
    return found[0] if found else None


__all__ = [
    "AfterCommit",
    "Base",
    "Database",
    "Keyed",
    "PersonScoped",
    "TenantScoped",
    "Urls",
    "add_row",
    "after_commit",
    "constraint_of",
    "first",
    "flush_unique",
    "insert_missing",
    "moment",
    "picture_url",
    "quotas",
    "rows",
    "scalar",
    "see_own_everywhere",
]
