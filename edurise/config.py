"""Settings, read once from the environment. This is the only reader of the environment in the code base.

Connection URLs and ``PORT`` are bare names, every other setting starts with ``EDU_``. All faults are reported at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from environs import Env, EnvValidationError, validate

DEFAULT_SECRET = "embedded-mode-only-secret-0123456789abcdef"  # noqa: S105 - refused in production, see _faults_of_production


class SettingsError(Exception):
    """One or more settings are missing or wrong; ``faults`` maps each name to its sentences."""

    def __init__(self, faults: dict[str, list[str]]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{name}: {' '.join(found)}" for name, found in sorted(faults.items())))


@dataclass(frozen=True)
class Settings:
    """Everything the process was told. Durations end in ``_s``, sizes in ``_bytes``."""

    mode: Literal["embedded", "production", "test"]
    host: str
    port: int
    public_url: str
    ui_url: str
    data_dir: Path
    secret_key: str
    database_url: str | None
    database_owner_url: str | None
    database_system_url: str | None
    database_admin_url: str | None
    redis_url: str | None
    redis_prefix: str
    amqp_url: str | None
    amqp_prefix: str
    cpu: int | None
    pool_size: int
    pool_backlog: int
    hash_workers: int
    argon2_memory_kib: int
    argon2_time_cost: int
    argon2_parallelism: int
    access_token_s: int
    refresh_token_s: int
    refresh_grace_s: int
    body_limit_bytes: int
    frame_limit_bytes: int
    frames_per_s: int
    socket_backlog_frames: int
    public_reads_per_min: int
    sensitive_calls_per_min: int
    cache_s: float
    cors_origins: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    stripe_secret_key: str | None
    stripe_webhook_secret: str | None
    stripe_api_url: str
    smtp_url: str | None
    mail_sender: str
    openai_api_key: str | None
    openai_base_url: str
    ai_model: str
    ai_prompt_usd_per_m: float | None
    ai_completion_usd_per_m: float | None
    ai_questions_per_day: int
    ai_streams: int
    ai_stall_s: float
    delivery_steps_s: tuple[float, ...]
    delivery_resend_s: float
    worker_prefetch: int
    drain_s: float
    log_level: str

    @property
    def embedded(self) -> bool:
        return self.mode == "embedded"

    @property
    def production(self) -> bool:
        return self.mode == "production"


def read_settings(environment: dict[str, str] | None = None) -> Settings:
    """Read and validate the environment (or, in tests, a mapping in its place); raises SettingsError with every
    fault."""
    env = _OverlaidEnv(environment) if environment is not None else Env(eager=False)
    values = _bare(env) | _prefixed(env)
    try:
        env.seal()
    except EnvValidationError as refused:
        listed = (
            dict(refused.error_messages)
            if isinstance(refused.error_messages, Mapping)
            else {"environment": refused.error_messages}
        )
        raise SettingsError({name: [str(line) for line in found] for name, found in listed.items()}) from refused
    settings = Settings(**values)  # type: ignore[arg-type]  # environs returns untyped values, validated one by one above
    faults = _faults_of_production(settings)
    if faults:
        raise SettingsError(faults)
    return settings


def _bare(env: Env) -> dict[str, object]:
    database = env.str("DATABASE_URL", None)
    return {
        "database_url": database,
        "database_owner_url": env.str("DATABASE_OWNER_URL", None),
        "database_system_url": env.str("DATABASE_SYSTEM_URL", None),
        "database_admin_url": env.str("DATABASE_ADMIN_URL", None),
        "redis_url": env.str("REDIS_URL", None),
        "amqp_url": env.str("AMQP_URL", None),
        "port": env.int("PORT", 8000, validate=validate.Range(0, 65535)),
    }


def _prefixed(env: Env) -> dict[str, object]:
    with env.prefixed("EDU_"):
        return {**_process(env), **_limits(env), **_vendors(env), **_tutor(env)}


def _process(env: Env) -> dict[str, object]:
    return {
        "mode": env.str("MODE", "embedded", validate=validate.OneOf(["embedded", "production", "test"])),
        "host": env.str("HOST", "127.0.0.1"),
        "public_url": env.str("PUBLIC_URL", ""),
        "ui_url": env.str("UI_URL", "http://localhost:3000"),
        "data_dir": Path(env.str("DATA_DIR", ".data")),
        "secret_key": env.str("SECRET_KEY", DEFAULT_SECRET, validate=validate.Length(min=32)),
        "redis_prefix": env.str("REDIS_PREFIX", "edurise:"),
        "amqp_prefix": env.str("AMQP_PREFIX", "edurise."),
        "cpu": env.int("CPU", None, validate=validate.Range(0, 4095)),
        "pool_size": env.int("POOL_SIZE", 8, validate=validate.Range(1, 64)),
        "pool_backlog": env.int("POOL_BACKLOG", 256, validate=validate.Range(1, 10_000)),
        "hash_workers": env.int("HASH_WORKERS", 2, validate=validate.Range(1, 32)),
        "argon2_memory_kib": env.int("ARGON2_MEMORY_KIB", 65_536, validate=validate.Range(8, 1_048_576)),
        "argon2_time_cost": env.int("ARGON2_TIME_COST", 3, validate=validate.Range(1, 20)),
        "argon2_parallelism": env.int("ARGON2_PARALLELISM", 4, validate=validate.Range(1, 16)),
        "cors_origins": tuple(env.list("CORS_ORIGINS", ["http://localhost:3000"])),
        "trusted_proxies": tuple(env.list("TRUSTED_PROXIES", [])),
        "drain_s": env.float("DRAIN_S", 10.0, validate=validate.Range(0)),
        "log_level": env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"])),
    }


def _limits(env: Env) -> dict[str, object]:
    return {
        "access_token_s": env.int("ACCESS_TOKEN_S", 900, validate=validate.Range(1)),
        "refresh_token_s": env.int("REFRESH_TOKEN_S", 30 * 86_400, validate=validate.Range(1)),
        "refresh_grace_s": env.int("REFRESH_GRACE_S", 30, validate=validate.Range(0)),
        "body_limit_bytes": env.int("BODY_LIMIT_BYTES", 1_048_576, validate=validate.Range(1024)),
        "frame_limit_bytes": env.int("FRAME_LIMIT_BYTES", 65_536, validate=validate.Range(1024)),
        "frames_per_s": env.int("FRAMES_PER_S", 20, validate=validate.Range(1)),
        "socket_backlog_frames": env.int("SOCKET_BACKLOG_FRAMES", 256, validate=validate.Range(1)),
        "public_reads_per_min": env.int("PUBLIC_READS_PER_MIN", 600, validate=validate.Range(1)),
        "sensitive_calls_per_min": env.int("SENSITIVE_CALLS_PER_MIN", 30, validate=validate.Range(1)),
        "cache_s": env.float("CACHE_S", 3.0, validate=validate.Range(0)),
        "delivery_steps_s": tuple(env.list("DELIVERY_STEPS_S", [1.0, 10.0, 60.0, 600.0], subcast=float)),
        "delivery_resend_s": env.float("DELIVERY_RESEND_S", 900.0, validate=validate.Range(1)),
        "worker_prefetch": env.int("WORKER_PREFETCH", 32, validate=validate.Range(1, 1000)),
    }


def _vendors(env: Env) -> dict[str, object]:
    return {
        "stripe_secret_key": env.str("STRIPE_SECRET_KEY", None),
        "stripe_webhook_secret": env.str("STRIPE_WEBHOOK_SECRET", None),
        "stripe_api_url": env.str("STRIPE_API_URL", "https://api.stripe.com"),
        "smtp_url": env.str("SMTP_URL", None),
        "mail_sender": env.str("MAIL_SENDER", "EduRise <no-reply@edurise.invalid>"),
    }


def _tutor(env: Env) -> dict[str, object]:
    return {
        "openai_api_key": env.str("OPENAI_API_KEY", None),
        "openai_base_url": env.str("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        "ai_model": env.str("AI_MODEL", "gpt-4o-mini"),
        "ai_prompt_usd_per_m": env.float("AI_PROMPT_USD_PER_M", None, validate=validate.Range(0)),
        "ai_completion_usd_per_m": env.float("AI_COMPLETION_USD_PER_M", None, validate=validate.Range(0)),
        "ai_questions_per_day": env.int("AI_QUESTIONS_PER_DAY", 100, validate=validate.Range(1)),
        "ai_streams": env.int("AI_STREAMS", 256, validate=validate.Range(1, 10_000)),
        "ai_stall_s": env.float("AI_STALL_S", 20.0, validate=validate.Range(0.1)),
    }


def _faults_of_production(settings: Settings) -> dict[str, list[str]]:
    """What embedded mode may leave out and production may not. A URL without its driver is refused in every mode."""
    faults: dict[str, list[str]] = {}
    urls = {
        "DATABASE_URL": settings.database_url,
        "DATABASE_OWNER_URL": settings.database_owner_url,
        "DATABASE_SYSTEM_URL": settings.database_system_url,
        "DATABASE_ADMIN_URL": settings.database_admin_url,
    }
    for name, url in urls.items():
        if url is not None and not url.startswith("postgresql+psycopg2://"):
            faults[name] = ["must name the driver: postgresql+psycopg2://user:password@host/database."]
    if settings.database_url is not None:
        for name in ("DATABASE_OWNER_URL", "DATABASE_SYSTEM_URL"):
            if urls[name] is None:
                faults[name] = ["must be set beside DATABASE_URL: the three roles are three URLs."]
    if settings.secret_key == DEFAULT_SECRET and (settings.production or (settings.embedded and settings.database_url)):
        faults["EDU_SECRET_KEY"] = ["must be set, to at least 32 random characters: the default is published."]
    if not settings.production:
        return faults
    needed = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "AMQP_URL": settings.amqp_url,
        "EDU_PUBLIC_URL": settings.public_url,
        "EDU_STRIPE_SECRET_KEY": settings.stripe_secret_key,
        "EDU_STRIPE_WEBHOOK_SECRET": settings.stripe_webhook_secret,
        "EDU_SMTP_URL": settings.smtp_url,
        "EDU_OPENAI_API_KEY": settings.openai_api_key,
    }
    for name, value in needed.items():
        if not value:
            faults.setdefault(name, ["must be set in production: its embedded stand-in is refused there."])
    return faults


class _OverlaidEnv(Env):
    """An Env that reads a mapping instead of the process's environment, for tests and child processes."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(eager=False)
        self._environment = environment

    def _get_value(self, env_key: str, default: object) -> object:
        return self._environment.get(env_key, default)
