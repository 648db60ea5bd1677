"""compose.yaml, nginx.conf and start.py say the same of ports, names, verbs and settings, and as much as the code does.

No container engine runs here: what can be read of the compose file is read, and its settings are given to the code.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

import run
from edurise.adapters.tls import link_of
from edurise.config import Settings, read_settings
from handlers.ws.crowd import PING_EVERY
from tests.unit.test_readme import SETTING, settings_of_the_code

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
NGINX = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
EXAMPLE = (DEPLOY / "example.env").read_text(encoding="utf-8")
STORES = ("postgres", "redis", "rabbitmq")
JOBS = ("provision", "migrate", "check")
URLS = ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_SYSTEM_URL", "REDIS_URL", "AMQP_URL")
FILLED = {
    "EDU_FILE_KEYS": f"a:{'0f' * 32}",
    "DOMAIN": "edurise.example.org",
    "EDU_UI_URL": "https://learn.example.org",
    "EDU_SMTP_URL": "smtps://user:word@mail.example.org",
    "EDU_SECRET_KEY": "0123456789012345678901234567890123456789",
}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([?-])((?:[^{}]|\{[^{}]*\})*))?\}")


@cache
def start() -> ModuleType:
    """deploy/start.py as a module; it is no part of a package."""
    spec = importlib.util.spec_from_file_location("edurise_deploy_start", DEPLOY / "start.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look theirs up
    spec.loader.exec_module(module)
    return module


def example() -> dict[str, str]:
    """The names that example.env leaves open, each with something to stand there."""
    names = re.findall(r"^(\w+)=$", EXAMPLE, re.MULTILINE)
    return {name: FILLED.get(name, f"of-{name.lower().replace('_', '-')}") for name in names}


def offered() -> dict[str, str]:
    """The names that example.env offers to change, with their defaults."""
    return dict(re.findall(r"^#(\w+)=(.*)$", EXAMPLE, re.MULTILINE))


def filled(value: Any, given: Mapping[str, str]) -> Any:
    """A value of the compose file as Compose fills it in. Raises KeyError for what is required and not given."""
    if isinstance(value, dict):
        return {key: filled(one, given) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, given) for one in value]
    if not isinstance(value, str):
        return value

    def one(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if given.get(name):
            return given[name]
        if kind != "-":
            raise KeyError(name)
        return str(filled(rest, given))

    return VARIABLE.sub(one, value).replace("$$", "$")


@cache
def project() -> dict[str, Any]:
    """The compose file, filled in by example.env."""
    found: dict[str, Any] = filled(yaml.safe_load(COMPOSE), example())
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = project()["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """The services that run EduRise's image."""
    return {name: one for name, one in services().items() if one["image"] == "edurise"}


def of_the_image() -> dict[str, str]:
    """ENV of the Dockerfile."""
    block = re.search(r"^ENV (.*?[^\\])$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert block is not None
    return dict(re.findall(r"(\w+)=(\S+)", block.group(1)))


@cache
def settings(service: str) -> Settings:
    """What a container is told, as the code reads it."""
    return read_settings({**of_the_image(), **ours()[service]["environment"]})


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def content(config: str) -> str:
    found: str = project()["configs"][config]["content"]
    return found


def test_compose_and_the_script_run_the_same() -> None:
    running = {name: one["command"] for name, one in ours().items() if name not in JOBS}
    assert running == {name: [verb] for name, verb in start().PROCESSES.items()}
    assert sorted(start().PROCESSES.values()) == ["relay", "scheduler", "web", "web", "worker", "worker"]
    assert ours()["provision"]["command"] == list(start().PROVISION)
    assert ours()["migrate"]["command"] == list(start().MIGRATE)


def test_every_verb_is_one_of_run_py() -> None:
    verbs = {one.name or one.callback.__name__ for one in run.cli.registered_commands if one.callback is not None}
    named = {one["command"][0] for one in ours().values()}
    assert named == {"web", "worker", "relay", "scheduler", "provision", "migrate", "check"}
    assert named <= verbs


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    if path.is_file():
        named = set(SETTING.findall(path.read_text(encoding="utf-8")))
        assert named - {"PORT"} <= set(settings_of_the_code())


def test_what_is_required_is_what_example_env_leaves_open() -> None:
    found = VARIABLE.findall(COMPOSE) + [
        one for _, _, rest in VARIABLE.findall(COMPOSE) for one in VARIABLE.findall(rest)
    ]
    required = {name for name, kind, _ in found if kind == "?"}
    optional = {name: rest for name, kind, rest in found if kind == "-"}
    assert {kind for _, kind, _ in found} == {"?", "-"}, "a variable without either would be empty where it is missing"
    assert required == set(example())
    assert {name: "" if "${" in rest else rest for name, rest in optional.items()} == offered()
    assert not [name for name in optional if re.search("PASSWORD|SECRET|KEY", name)]
    for name in required:
        with pytest.raises(KeyError, match=name):
            filled(yaml.safe_load(COMPOSE), {key: value for key, value in example().items() if key != name})


@pytest.mark.parametrize("service", ["web-1", "web-2", "worker-1", "worker-2", "relay", "scheduler", *JOBS])
def test_the_code_takes_the_settings_of_every_container(service: str) -> None:
    found = settings(service)
    assert found.production
    assert found.public_url == "https://edurise.example.org"
    assert (found.database_admin_url is not None) == (service == "provision")
    listed = {name: value for name, value in ours()[service]["environment"].items() if name.endswith("_URL")}
    ports = {"postgres": 5432, "redis": 6379, "rabbitmq": 5671}
    for name in (*URLS, *(["DATABASE_ADMIN_URL"] if service == "provision" else [])):
        link = link_of(listed[name])
        assert (link.encrypted, link.verified, link.authority) == (True, True, "/run/secrets/authority"), name
        assert link.port == ports[link.host or ""], name


def test_services_speak_tls_only_and_are_not_published() -> None:
    assert [name for name, one in services().items() if "ports" in one] == ["nginx"]
    lines = [line.split()[0] for line in content("pg_hba").splitlines()]
    assert lines == ["local", "hostssl"]
    assert {"-cssl=on", "-chba_file=/etc/edurise/pg_hba.conf"} <= set(services()["postgres"]["command"])
    assert {"port 0", "tls-port 6379"} <= set(content("redis").splitlines())
    assert {"listeners.tcp = none", "listeners.ssl.default = 5671"} <= set(content("rabbitmq").splitlines())
    networks = project()["networks"]
    assert networks["services"] == {"internal": True}
    assert networks["edge"]["internal"] is True
    for name in STORES:
        assert services()[name]["networks"] == ["services"]
    assert set(services()["nginx"]["networks"]) == {"edge", "outside"}


def test_the_entrypoints_are_shell_and_take_what_they_are_given() -> None:
    shell = shutil.which("sh")
    assert shell is not None
    for name in STORES:
        program, options, script, zero = services()[name]["entrypoint"]
        assert (program, options, zero) == ("sh", "-ec", "sh")
        assert subprocess.run([shell, "-n", "-c", script], check=False).returncode == 0
        assert script.rstrip().endswith('exec docker-entrypoint.sh "$@"')
        named = set(re.findall(r"/run/secrets/([\w-]+)", script))
        assert named <= set(services()[name]["secrets"])
        made = set(re.findall(r"/run/tls/[\w.]+", script))
        used = {
            *re.findall(
                r"/run/tls/[\w.]+", content(name) if name != "postgres" else " ".join(services()[name]["command"])
            )
        }
        assert used <= made, name


def test_every_secret_network_config_and_dependency_is_there() -> None:
    for one in services().values():
        assert set(one.get("secrets", [])) <= set(project()["secrets"])
        told = str(one) + "".join(content(config["source"]) for config in one.get("configs", []))
        assert set(re.findall(r"/run/secrets/([\w-]+)", told)) == set(one.get("secrets", []))
        assert set(one["networks"]) <= set(project()["networks"])
        assert {config["source"] for config in one.get("configs", [])} <= set(project()["configs"])
        assert set(one.get("depends_on", [])) <= set(services())
        volumes = {volume.partition(":")[0] for volume in one.get("volumes", []) if not volume.startswith(".")}
        assert volumes <= set(project()["volumes"])
    used = {secret for one in services().values() for secret in one.get("secrets", [])}
    assert used == set(project()["secrets"])
    for name, one in ours().items():
        for other, wanted in one["depends_on"].items():
            if wanted["condition"] == "service_healthy":
                assert "test" in services()[other]["healthcheck"], (name, other)
            else:
                assert other in JOBS, (name, other)


def test_everything_is_pinned_restarted_watched_and_may_do_little() -> None:
    for name, one in services().items():
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["logging"]["options"]["max-size"], name
        assert one["restart"] == ("no" if name == "check" else "on-failure:5" if name in JOBS else "unless-stopped")
        if name in ours():
            assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"]), name
        else:
            assert re.search(r":\d+(\.\d+)?$", one["image"]), name
        has_port = name in (*STORES, "nginx", "clamav", "web-1", "web-2")
        assert ("test" in one["healthcheck"]) == has_port, name
    assert services()["nginx"]["read_only"] is True
    assert services()["postgres"]["read_only"] is True
    assert services()["redis"]["read_only"] is True


def test_stopping_has_the_time_that_draining_takes() -> None:
    for name in start().PROCESSES:
        grace = seconds(ours()[name]["stop_grace_period"])
        assert grace > 3 * settings(name).drain_s, "what is drained one after the other may take that long each"
        assert grace == start().GRACE_S


def variables(template: str) -> set[str]:
    return set(re.findall(r"\$\{(\w+)\}", template))


def test_the_template_is_filled_by_both() -> None:
    environment = services()["nginx"]["environment"]
    assert environment.pop("NGINX_ENVSUBST_FILTER", "^NGINX_") == "^NGINX_"
    given = start().arguments().parse_args(
        ["--directory", "d", "--certificate", "c.pem", "--certificate-key", "c.key", "--web-ports", "81", "82"]
    )  # fmt: skip
    values = start().nginx_values(given, "https://edurise.example.org:8443")
    assert variables(NGINX) == set(environment) == set(values)
    assert environment["NGINX_HSTS"] == values["NGINX_HSTS"] == offered()["NGINX_HSTS"]
    assert environment["NGINX_SERVER_NAMES"] == values["NGINX_SERVER_NAMES"]
    assert values["NGINX_PUBLIC_PORT"] == ":8443"
    made = start().render(NGINX, values)
    assert variables(made) == set()
    assert "server 127.0.0.1:81 " in made
    assert "server 127.0.0.1:82 " in made
    assert "return 308 https://$host:8443$request_uri;" in made
    for wrong in ("http://edurise.example.org", ""):
        with pytest.raises(start().CannotStart, match="EDU_PUBLIC_URL"):
            start().nginx_values(given, wrong)


def test_nginx_finds_the_webs_and_is_believed_by_them() -> None:
    nginx, port = services()["nginx"], settings("web-1").port
    for number in (1, 2):
        web = ours()[f"web-{number}"]
        assert nginx["environment"][f"NGINX_WEB_{number}"] == f"{web['networks']['edge']['ipv4_address']}:{port}"
        assert f"http://127.0.0.1:{port}/healthz" in web["healthcheck"]["test"][-1]
        assert settings(f"web-{number}").host == of_the_image()["EDU_HOST"]
        assert settings(f"web-{number}").trusted_proxies == (nginx["networks"]["edge"]["ipv4_address"],)
    assert urlsplit(settings("web-1").public_url).hostname in nginx["environment"]["NGINX_SERVER_NAMES"].split()
    mounted = [volume for volume in nginx["volumes"] if volume.startswith("./nginx.conf:")]
    assert mounted == ["./nginx.conf:/etc/nginx/templates/default.conf.template:ro"]


def directives(name: str) -> list[str]:
    """The arguments of each directive of that name."""
    plain = re.sub(r"#.*", "", NGINX)
    return [" ".join(found.split()) for found in re.findall(rf"^\s*{name}\s+(.*?);", plain, re.DOTALL | re.MULTILINE)]


def test_nginx_keeps_what_must_be_kept() -> None:
    assert directives("ssl_protocols") == ["TLSv1.2 TLSv1.3"]
    assert directives("add_header") == ['Strict-Transport-Security "${NGINX_HSTS}" always']
    usual, of_links = directives("log_format")
    for one in (usual, of_links):
        assert not re.search(r"\$(request|request_uri|args|query_string|http_referer)\b", one)
    assert "$uri" not in of_links, "the path of a signed link is its secret"
    assert {one.partition(" ")[2] for one in directives("access_log")} == {"edurise", "edurise_links"}
    limit, of_uploads = directives("client_max_body_size")
    assert of_uploads == "0", "the code knows how large an upload may be"
    assert directives("proxy_request_buffering") == ["off"]
    assert int(limit.removesuffix("m")) * 2**20 > int(str(settings_of_the_code()["EDU_BODY_LIMIT_BYTES"]))
    http, uploads, sockets = (float(one.removesuffix("s")) for one in directives("proxy_read_timeout"))
    assert uploads > http
    assert sockets > 3 * PING_EVERY
    assert directives("proxy_next_upstream") == ["error timeout"], "nothing that was answered is asked again"
    (patience,) = directives("proxy_next_upstream_timeout")
    assert seconds(patience) < http, "no read time-out is asked again"
    assert directives("proxy_buffering") == ["off"]
    headers = dict(one.split(" ", 1) for one in directives("proxy_set_header"))
    assert headers == {
        "Host": "$http_host",
        "X-Forwarded-For": "$proxy_add_x_forwarded_for",
        "X-Forwarded-Proto": "$scheme",
        "X-Request-ID": "$request_id",
        "Upgrade": "$http_upgrade",
        "Connection": "$connection_upgrade",
    }
    assert NGINX.count("proxy_set_header") == len(headers), "a location with one of its own would lose the others"


def test_a_file_of_settings_is_read_as_docker_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "production.env"
    file.write_text('# a comment\n\nEDU_CPU = 1\nEDU_MAIL_SENDER=EduRise <no-reply@example.org>\nX="a=b"\n', "utf-8")
    assert start().settings_in(file) == {
        "EDU_CPU": "1", "EDU_MAIL_SENDER": "EduRise <no-reply@example.org>", "X": '"a=b"',
    }  # fmt: skip
    assert start().settings_in(None) == {}
