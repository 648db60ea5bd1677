"""Settings, read once from the environment. This is the only reader of the environment in the code base.

Connection URLs and ``PORT`` are bare names, every other setting starts with ``EDU_``. All faults are reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from environs import Env, EnvValidationError, validate

DEFAULT_SECRET = "embedded-mode-only-secret-0123456789abcdef"  # noqa: S105 - refused in production, see _faults_of_production


_BY_PLAN = (
    *("storage_gb", "course_storage_gb", "person_storage_gb", "file_mb", "downloads_per_day"),
    *("users", "courses", "plan_ai_questions", "sockets"),
)


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
    sockets_per_person: int
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
    file_store: Literal["", "local", "s3"]
    file_keys: tuple[str, ...]
    s3_bucket: str | None
    s3_endpoint_url: str | None
    s3_public_endpoint_url: str | None
    s3_region: str
    s3_access_key_id: str | None
    s3_secret_access_key: str | None
    s3_path_style: bool
    s3_encryption: Literal["", "AES256", "aws:kms"]
    s3_kms_key_id: str | None
    clamav_url: str | None
    clamav_max_bytes: int
    cdn_url: str | None
    cdn_token: str | None
    accel_location: str | None
    storage_gb: Mapping[str, float]
    course_storage_gb: Mapping[str, float]
    person_storage_gb: Mapping[str, float]
    file_mb: Mapping[str, float]
    file_types: Mapping[str, str]
    downloads_per_day: Mapping[str, int]
    users: Mapping[str, int]
    courses: Mapping[str, int]
    plan_ai_questions: Mapping[str, int]
    sockets: Mapping[str, int]
    sealing_keys: tuple[str, ...]
    breached_passwords: Path | None
    oidc_private_hosts: bool
    google_client_id: str | None
    google_tokeninfo_url: str
    google_userinfo_url: str
    deletion_grace_days: int
    upload_days: int
    trash_days: int
    file_accesses_days: int
    delivery_steps_s: tuple[float, ...]
    delivery_resend_s: float
    worker_prefetch: int
    drain_s: float
    log_level: str

    @property
    def embedded(self) -> bool:
        return self.mode == "embedded"

    @property
    def store(self) -> str:
        """Where new files go: to the local disk unless the settings say otherwise, which production must."""
        return self.file_store or "local"

    @property
    def media_url(self) -> str:
        """What stands before the path of a public picture."""
        return self.cdn_url or self.public_url or f"http://{self.host}:{self.port}"

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
    faults = _faults_of_production(settings) | _faults_of_stores(settings)
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
        return {
            **_process(env),
            **_limits(env),
            **_vendors(env),
            **_tutor(env),
            **_stores(env),
            **_keeping(env),
            **_accounts(env),
        }


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
        "sockets_per_person": env.int("SOCKETS_PER_PERSON", 100, validate=validate.Range(1)),
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


def _accounts(env: Env) -> dict[str, object]:
    """``sealing_keys``: NAME:64 hexadecimal digits each; the first seals, all open. Without one a key is derived from
    the secret. ``oidc_private_hosts`` lets identity providers be on private addresses, and plain http."""
    return {
        "sealing_keys": tuple(env.list("SEALING_KEYS", [])),
        "breached_passwords": env.path("BREACHED_PASSWORDS", None),
        "oidc_private_hosts": env.bool("OIDC_PRIVATE_HOSTS", False),
        "google_client_id": env.str("GOOGLE_CLIENT_ID", None),
        "google_tokeninfo_url": env.str("GOOGLE_TOKENINFO_URL", "https://oauth2.googleapis.com/tokeninfo"),
        "google_userinfo_url": env.str("GOOGLE_USERINFO_URL", "https://openidconnect.googleapis.com/v1/userinfo"),
        "deletion_grace_days": env.int("DELETION_GRACE_DAYS", 14, validate=validate.Range(1, 90)),
    }


def _stores(env: Env) -> dict[str, object]:
    return {
        "file_store": env.str("FILE_STORE", "", validate=validate.OneOf(["", "local", "s3"])),
        "file_keys": tuple(env.list("FILE_KEYS", [])),
        "s3_bucket": env.str("S3_BUCKET", None),
        "s3_endpoint_url": env.str("S3_ENDPOINT_URL", None),
        "s3_public_endpoint_url": env.str("S3_PUBLIC_ENDPOINT_URL", None),
        "s3_region": env.str("S3_REGION", "us-east-1"),
        "s3_access_key_id": env.str("S3_ACCESS_KEY_ID", None),
        "s3_secret_access_key": env.str("S3_SECRET_ACCESS_KEY", None),
        "s3_path_style": env.bool("S3_PATH_STYLE", False),
        "s3_encryption": env.str("S3_ENCRYPTION", "", validate=validate.OneOf(["", "AES256", "aws:kms"])),
        "s3_kms_key_id": env.str("S3_KMS_KEY_ID", None),
        "clamav_url": env.str("CLAMAV_URL", None, validate=validate.Regexp(r"^(tcp://[^/]+:\d+|unix://.+)$")),
        "clamav_max_bytes": env.int("CLAMAV_MAX_BYTES", 26_214_400, validate=validate.Range(1)),
        "cdn_url": env.str("CDN_URL", None),
        "cdn_token": env.str("CDN_TOKEN", None),
        "accel_location": env.str("ACCEL_LOCATION", None, validate=validate.Regexp(r"^/[a-z0-9/_-]+/$")),
    }


def _keeping(env: Env) -> dict[str, object]:
    """Limits are by plan, and by the subdomain of an organization that has another: ``basic=10,riverside=20``."""
    return {
        "storage_gb": env.dict("STORAGE_GB", {"basic": 20.0, "pro": 200.0, "enterprise": 2000.0}, subcast_values=float),
        "course_storage_gb": env.dict(
            "COURSE_STORAGE_GB", {"basic": 10.0, "pro": 100.0, "enterprise": 500.0}, subcast_values=float
        ),
        "person_storage_gb": env.dict(
            "PERSON_STORAGE_GB", {"basic": 5.0, "pro": 50.0, "enterprise": 200.0}, subcast_values=float
        ),
        "file_mb": env.dict("FILE_MB", {"basic": 1024.0, "pro": 5120.0, "enterprise": 20480.0}, subcast_values=float),
        "file_types": env.dict("FILE_TYPES", {}),
        "downloads_per_day": env.dict(
            "DOWNLOADS_PER_DAY", {"basic": 20_000, "pro": 200_000, "enterprise": 2_000_000}, subcast_values=int
        ),
        "users": env.dict("USERS", {"basic": 500, "pro": 10_000, "enterprise": 1_000_000}, subcast_values=int),
        "courses": env.dict("COURSES", {"basic": 50, "pro": 1_000, "enterprise": 100_000}, subcast_values=int),
        "plan_ai_questions": env.dict(
            "PLAN_AI_QUESTIONS", {"basic": 1_000, "pro": 20_000, "enterprise": 500_000}, subcast_values=int
        ),
        "sockets": env.dict("SOCKETS", {"basic": 2_000, "pro": 20_000, "enterprise": 200_000}, subcast_values=int),
        "upload_days": env.int("UPLOAD_DAYS", 2, validate=validate.Range(1, 30)),
        "trash_days": env.int("TRASH_DAYS", 30, validate=validate.Range(1)),
        "file_accesses_days": env.int("FILE_ACCESSES_DAYS", 400, validate=validate.Range(1)),
    }


def _faults_of_stores(settings: Settings) -> dict[str, list[str]]:
    """A store that is used must be reachable, and keys of files must be keys."""
    faults: dict[str, list[str]] = {}
    needed = {
        "EDU_S3_BUCKET": settings.s3_bucket,
        "EDU_S3_ACCESS_KEY_ID": settings.s3_access_key_id,
        "EDU_S3_SECRET_ACCESS_KEY": settings.s3_secret_access_key,
    }
    if settings.file_store == "s3" or any(needed.values()):
        for name, value in needed.items():
            if not value:
                faults[name] = ["must be set where files are kept in S3."]
    for name in _BY_PLAN:
        if "basic" not in getattr(settings, name):
            faults[f"EDU_{name.upper()}"] = ["must give a number for basic, which counts where a plan has none."]
    for setting, listed in (("EDU_FILE_KEYS", settings.file_keys), ("EDU_SEALING_KEYS", settings.sealing_keys)):
        for one in listed:
            name, _, key = one.partition(":")
            if not re.fullmatch(r"[a-z0-9]{1,8}", name) or not re.fullmatch(r"[0-9a-f]{64}", key):
                faults[setting] = ["holds a key that is not NAME:64 hexadecimal digits."]
    if settings.breached_passwords is not None and not settings.breached_passwords.is_file():
        faults["EDU_BREACHED_PASSWORDS"] = ["is no file."]
    return faults


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
        "EDU_FILE_STORE": settings.file_store,
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
