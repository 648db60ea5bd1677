"""What a process is built of. Only here do the adapters meet the ports."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog

import edurise.models  # noqa: F401 - every table, and what is personal in it, is declared once it is imported
from edurise.adapters.argon2_hasher import Argon2Hasher
from edurise.adapters.cdn_purger import CdnPurger, NoPurger
from edurise.adapters.clamav_scanner import ClamAvScanner
from edurise.adapters.clock import SystemClock
from edurise.adapters.device_names import UserAgentDevices
from edurise.adapters.embedded_tutor import EmbeddedTutor
from edurise.adapters.folder_mailer import FolderMailer
from edurise.adapters.google_accounts import GoogleAccounts, NoGoogle
from edurise.adapters.limiters import RedisLimiter
from edurise.adapters.magic_detector import MagicDetector
from edurise.adapters.no_scanner import NoScanner
from edurise.adapters.oidc_client import OidcClient
from edurise.adapters.openai_tutor import OpenAITutor
from edurise.adapters.password_judge import ZxcvbnJudge
from edurise.adapters.pillow_pictures import PillowPictures
from edurise.adapters.qr_codes import SvgQrCodes
from edurise.adapters.readiness import Readiness
from edurise.adapters.redis_announcer import RedisAnnouncer
from edurise.adapters.redis_answers import RedisAnswers
from edurise.adapters.redis_streams import RedisStreams
from edurise.adapters.sandbox_gateway import SandboxGateway
from edurise.adapters.sheet_writer import SheetWriter
from edurise.adapters.smtp_mailer import SmtpMailer, smtp_settings
from edurise.adapters.stores.local_store import LocalStore
from edurise.adapters.stores.s3_store import S3Store
from edurise.adapters.stores.sealed_blocks import EncryptionKey
from edurise.adapters.stripe_gateway import StripeGateway
from edurise.adapters.totp import TotpCodes
from edurise.ai.ports import Tutor
from edurise.config import Settings, SettingsError
from edurise.db import AfterCommit, Database, Urls
from edurise.errors import NotFound
from edurise.files.keeping import Keeping
from edurise.files.links import LinkSigner
from edurise.files.ports import Detector, FileStore, Pictures, Purger, Scanner
from edurise.identity import keys, sessions
from edurise.identity.ports import Devices, Google, OneTimeCodes, OpenIdClient, PasswordHasher, PasswordJudge, QrCodes
from edurise.identity.tokens import Tokens
from edurise.mail_links import MailLinks
from edurise.notifications.ports import Mailer
from edurise.payments.ports import PaymentGateway
from edurise.ports import Clock, Limiter, Sheets
from edurise.sealing import Vault, derive
from edurise.tenants.directory import CachedDirectory, Directory
from edurise.tenants.limits import Limits, in_bytes, read_types
from edurise.tenants.quotas import PlanQuotas

LOG = structlog.get_logger("edurise")


class Tasks:
    """Work that outlives the request or socket that began it. Failures are logged; closing waits for what is under
    way."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def drain(self, seconds: float) -> None:
        """Wait for what is under way, then cancel what is left."""
        if self._running:
            _, left = await asyncio.wait(set(self._running), timeout=seconds)
            for task in left:
                task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            LOG.error("background work failed", exc_info=task.exception())


@dataclass(frozen=True)
class Container:
    """The built dependencies of one process, on one event loop."""

    settings: Settings
    clock: Clock
    db: Database
    tokens: Tokens
    lifetimes: sessions.Lifetimes
    hasher: PasswordHasher
    judge: PasswordJudge
    devices: Devices
    codes: OneTimeCodes
    qr_codes: QrCodes
    google: Google
    openid: OpenIdClient
    sheets: Sheets
    gateways: Mapping[str, PaymentGateway]
    mailer: Mailer
    announcer: RedisAnnouncer
    streams: RedisStreams
    answers: RedisAnswers
    tutor: Tutor
    stores: Mapping[str, FileStore]
    scanner: Scanner
    detector: Detector
    pictures: Pictures
    purger: Purger
    keeping: Keeping
    link_signer: LinkSigner
    mail_links: MailLinks
    vault: Vault
    limiter: Limiter
    directory: Directory
    readiness: Readiness
    tasks: Tasks

    def gateway(self, name: str) -> PaymentGateway:
        """The gateway of a stored payment. Raises NotFound for one that this installation does not have."""
        for found in self.gateways.values():
            if found.name == name:
                return found
        raise NotFound("PAYMENT_GATEWAY_UNKNOWN", gateway=name)

    async def close(self) -> None:
        """Finish what is under way and close every connection."""
        await self.tasks.drain(self.settings.drain_s)
        for gateway in self.gateways.values():
            await gateway.close()
        for store in self.stores.values():
            await store.close()
        await self.purger.close()
        await self.google.close()
        await self.pictures.close()
        await self.answers.close()
        await self.tutor.close()
        await self.openid.close()
        await self.announcer.close()
        await self.streams.close()
        await self.readiness.close()
        await self.limiter.close()
        self.db.close()
        if isinstance(self.hasher, Argon2Hasher):
            self.hasher.close()
        if isinstance(self.judge, ZxcvbnJudge):
            self.judge.close()


def build(settings: Settings, urls: Urls, redis_url: str, clock: Clock | None = None) -> Container:
    """Build everything; call it on the loop that will use it. Reads (or makes) the signing keys, so the database must
    be migrated."""
    clock = clock or SystemClock()
    tasks = Tasks()
    announcer = RedisAnnouncer(redis_url, settings.redis_prefix)
    limits = plan_limits(settings)
    quotas = PlanQuotas(limits)
    db = Database(
        urls,
        clock,
        pool_size=settings.pool_size,
        backlog=settings.pool_backlog,
        on_commit=_Telling(announcer, tasks),
        quotas=quotas,
        media=settings.media_url,
    )
    ring = db.system_sync(keys.load, settings.secret_key)
    stores = _stores(settings, clock)
    return Container(
        settings=settings,
        clock=clock,
        db=db,
        tokens=Tokens(ring, clock, settings.access_token_s),
        lifetimes=sessions.Lifetimes(settings.access_token_s, settings.refresh_token_s, settings.refresh_grace_s),
        hasher=Argon2Hasher(
            memory_kib=settings.argon2_memory_kib,
            time_cost=settings.argon2_time_cost,
            parallelism=settings.argon2_parallelism,
            workers=settings.hash_workers,
        ),
        judge=ZxcvbnJudge(settings.breached_passwords),
        devices=UserAgentDevices(),
        codes=TotpCodes(),
        qr_codes=SvgQrCodes(),
        google=_google(settings),
        openid=OidcClient(clock, private_hosts=settings.oidc_private_hosts),
        sheets=SheetWriter(),
        gateways=_gateways(settings),
        mailer=_mailer(settings, clock),
        announcer=announcer,
        streams=RedisStreams(redis_url, settings.redis_prefix, clock),
        answers=RedisAnswers(announcer),
        tutor=_tutor(settings),
        stores=stores,
        scanner=ClamAvScanner(settings.clamav_url, settings.clamav_max_bytes) if settings.clamav_url else NoScanner(),
        detector=MagicDetector(),
        pictures=PillowPictures(),
        purger=CdnPurger(settings.cdn_url, settings.cdn_token) if settings.cdn_url else NoPurger(),
        keeping=_keeping(settings, stores, limits, quotas),
        link_signer=LinkSigner(settings.secret_key),
        mail_links=MailLinks(settings.secret_key),
        vault=_vault(settings),
        limiter=RedisLimiter(redis_url, settings.redis_prefix, settings.sensitive_calls_per_min, clock),
        directory=CachedDirectory(db, urlsplit(settings.public_url).hostname or ""),
        readiness=Readiness(db, redis_url),
        tasks=tasks,
    )


class _Telling:
    """Called in a hop's thread after its commit; tells the other processes from the loop, without making the hop
    wait."""

    def __init__(self, announcer: RedisAnnouncer, tasks: Tasks) -> None:
        self._announcer = announcer
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()

    def __call__(self, after: AfterCommit) -> None:
        self._loop.call_soon_threadsafe(self._tasks.spawn, self._tell(after))

    async def _tell(self, after: AfterCommit) -> None:
        if after.events:
            await self._announcer.announce(after.events)
        for bell in after.bells:
            await self._announcer.ring(bell)


def _gateways(settings: Settings) -> dict[str, PaymentGateway]:
    """By the method that clients name. Without a Stripe key the sandbox stands in and says so; production refuses to
    start so."""
    if settings.stripe_secret_key and settings.stripe_webhook_secret:
        stripe = StripeGateway(
            api_key=settings.stripe_secret_key,
            webhook_secret=settings.stripe_webhook_secret,
            api_url=settings.stripe_api_url,
        )
        return {"stripe": stripe}
    return {"stripe": SandboxGateway(derive(settings.secret_key, "sandbox-gateway"))}


def _google(settings: Settings) -> Google:
    if settings.google_client_id is None:
        return NoGoogle()
    return GoogleAccounts(settings.google_client_id, settings.google_tokeninfo_url, settings.google_userinfo_url)


def _vault(settings: Settings) -> Vault:
    """The keys of the settings, the first of which seals; without one, a key derived from the secret does. That one
    always opens: what was sealed before there were keys is sealed anew by ``run.py keys reseal``."""
    keys = {name: bytes.fromhex(key) for name, _, key in (one.partition(":") for one in settings.sealing_keys)}
    keys.setdefault("secret", derive(settings.secret_key, "vault"))
    return Vault(keys)


def _stores(settings: Settings, clock: Clock) -> dict[str, FileStore]:
    """The local store is always there, for files that were kept in it before; S3 where a bucket is named."""
    keys = [
        EncryptionKey(name, bytes.fromhex(key)) for name, _, key in (one.partition(":") for one in settings.file_keys)
    ]
    found: dict[str, FileStore] = {"local": LocalStore(settings.data_dir / "files", clock, keys)}
    if settings.s3_bucket and settings.s3_access_key_id and settings.s3_secret_access_key:
        found["s3"] = S3Store(
            bucket=settings.s3_bucket,
            endpoint_url=settings.s3_endpoint_url,
            public_endpoint_url=settings.s3_public_endpoint_url,
            region=settings.s3_region,
            access_key_id=settings.s3_access_key_id,
            secret_access_key=settings.s3_secret_access_key,
            path_style=settings.s3_path_style,
            encryption=settings.s3_encryption,
            kms_key_id=settings.s3_kms_key_id,
        )
    return found


def plan_limits(settings: Settings) -> Limits:
    """What plans allow, by the settings."""
    return Limits(
        storage_bytes=in_bytes(settings.storage_gb, 1024**3),
        course_storage_bytes=in_bytes(settings.course_storage_gb, 1024**3),
        person_storage_bytes=in_bytes(settings.person_storage_gb, 1024**3),
        file_bytes=in_bytes(settings.file_mb, 1024**2),
        file_types=read_types(settings.file_types),
        downloads_per_day=settings.downloads_per_day,
        users=settings.users,
        courses=settings.courses,
        ai_questions_per_day=settings.plan_ai_questions,
        sockets=settings.sockets,
    )


def _keeping(settings: Settings, stores: Mapping[str, FileStore], limits: Limits, quotas: PlanQuotas) -> Keeping:
    return Keeping(
        quotas=quotas,
        limits=limits,
        store=settings.store,
        stores=frozenset(stores),
        upload_for=timedelta(days=settings.upload_days),
        trash_for=timedelta(days=settings.trash_days),
    )


def _tutor(settings: Settings) -> Tutor:
    """Without a key the embedded tutor quotes the course and says so; production refuses to start so."""
    if settings.openai_api_key:
        return OpenAITutor(
            api_key=settings.openai_api_key,
            model=settings.ai_model,
            base_url=settings.openai_base_url,
            stall_s=settings.ai_stall_s,
        )
    return EmbeddedTutor()


def _mailer(settings: Settings, clock: Clock) -> Mailer:
    if settings.smtp_url:
        try:
            return SmtpMailer(smtp_settings(settings.smtp_url, sender=settings.mail_sender), clock)
        except ValueError as wrong:
            raise SettingsError({"EDU_SMTP_URL": [str(wrong)]}) from wrong
    return FolderMailer(settings.data_dir / "mail", clock, sender=settings.mail_sender)
