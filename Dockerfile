# One image for every process: docker run IMAGE web|worker|relay|scheduler|migrate|check.
# PostgreSQL, Redis, RabbitMQ and the file store are outside; their URLs are given by the environment.
FROM python:3.11-slim-bookworm AS packages
COPY requirements.lock /tmp/requirements.lock
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r /tmp/requirements.lock

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /srv/edurise --shell /usr/sbin/nologin edurise \
 && install -d -o edurise -g edurise -m 0700 /data
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/edurise
COPY . .
RUN python -m compileall -q .
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    EDU_MODE=production \
    EDU_HOST=0.0.0.0 \
    EDU_DATA_DIR=/data \
    PORT=8000
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Only web listens: start the other processes with --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz\", timeout=2)"]
ENTRYPOINT ["python", "run.py"]
CMD ["web"]
