"""What `python run.py check` finds: each fault of roles and connections as one sentence. It changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aio_pika
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from edurise.adapters.migrations import head
from edurise.adapters.tls import certificate_fault, exposure
from edurise.config import Settings

_ROLE = """
SELECT current_user AS name, rolsuper, rolbypassrls, rolcreaterole,
       EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relowner = r.oid) AS owns,
       current_setting('server_version_num')::int AS version
  FROM pg_roles r WHERE rolname = current_user
"""
_OLDEST = 150_000
_PATIENCE_S = 5


def faults_of(settings: Settings) -> list[str]:
    """Every fault, in the order in which it is best mended."""
    return [
        *_database_faults(settings),
        *asyncio.run(_broker_faults(settings)),
        *_stand_ins(settings),
        *_exposures(settings),
    ]


def _database_faults(settings: Settings) -> Iterator[str]:
    named = {
        "DATABASE_URL": settings.database_url,
        "DATABASE_SYSTEM_URL": settings.database_system_url,
        "DATABASE_OWNER_URL": settings.database_owner_url,
    }
    for name, url in named.items():
        if url is not None:
            yield from _role_faults(name, url)


def _role_faults(name: str, url: str) -> Iterator[str]:
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": _PATIENCE_S})
    try:
        with engine.connect() as connection:
            role = connection.execute(text(_ROLE)).one()
            if role.version < _OLDEST:
                yield f"{name}: PostgreSQL 15 or newer is needed, this is {role.version // 10_000}."
            if role.rolsuper or role.rolbypassrls:
                yield (
                    f"{name}: the role {role.name} bypasses row-level security (superuser or BYPASSRLS); "
                    "use a role of `python run.py provision --print`."
                )
            if name == "DATABASE_URL" and role.owns:
                yield f"{name}: the role {role.name} owns tables; requests must be served by a role that owns nothing."
            if name == "DATABASE_SYSTEM_URL":
                found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
                if found != head():
                    yield (
                        f"{name}: the schema is at revision {found}, this version needs {head()}; "
                        "run `python run.py migrate`."
                    )
    except DBAPIError as refused:
        yield f"{name}: {certificate_fault(url) or str(refused.orig).strip().splitlines()[0]}"
    finally:
        engine.dispose()


async def _broker_faults(settings: Settings) -> list[str]:
    found: list[str] = []
    if settings.redis_url is not None:
        redis = Redis.from_url(settings.redis_url, socket_connect_timeout=_PATIENCE_S, socket_timeout=_PATIENCE_S)
        try:
            await redis.ping()
        except (RedisError, OSError, TimeoutError) as refused:
            fault = await asyncio.to_thread(certificate_fault, settings.redis_url)
            found.append(f"REDIS_URL: {fault or refused}")
        finally:
            await redis.aclose()
    if settings.amqp_url is not None:
        # Asked before the library, which logs at length what it does not believe.
        fault = await asyncio.to_thread(certificate_fault, settings.amqp_url)
        fault = fault or await _rabbit_fault(settings.amqp_url)
        if fault is not None:
            found.append(f"AMQP_URL: {fault}")
    return found


async def _rabbit_fault(url: str) -> str | None:
    try:
        connection = await asyncio.wait_for(aio_pika.connect(url), _PATIENCE_S)
        await connection.close()
    except (aio_pika.exceptions.AMQPError, OSError, TimeoutError) as refused:
        return str(refused) or "RabbitMQ does not answer"
    except StopAsyncIteration:  # what aiormq raises when the other side closes during the handshake
        return "the connection was closed before RabbitMQ answered"
    return None


def _stand_ins(settings: Settings) -> Iterator[str]:
    if settings.production and settings.stripe_secret_key and settings.stripe_secret_key.startswith("sk_test_"):
        yield "EDU_STRIPE_SECRET_KEY: this is a test key; no money would move."


def _exposures(settings: Settings) -> Iterator[str]:
    """Connections of production that anybody on their way could read or take over."""
    if not settings.production:
        return
    named = {
        "DATABASE_URL": settings.database_url,
        "DATABASE_SYSTEM_URL": settings.database_system_url,
        "DATABASE_OWNER_URL": settings.database_owner_url,
        "REDIS_URL": settings.redis_url,
        "AMQP_URL": settings.amqp_url,
    }
    for name, url in named.items():
        if url is not None and (fault := exposure(url)) is not None:
            yield f"{name}: {fault}"
