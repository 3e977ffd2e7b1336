"""No machine of ours runs containers, so what they would run is held to what is run every day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from sync_worker.config import load_config
from sync_worker.config.model import SECTIONS
from sync_worker.testing.stack import PARTS, meilisearch, postgres, versions
from sync_worker.testing.stack.part import checkout
from sync_worker.testing.stack.place import PORT_VARIABLE

ROOT = checkout()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
KUBERNETES = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))]
DEPLOYMENT = next(document for document in KUBERNETES if document["kind"] == "Deployment")
CONTAINER = DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]
CONNECT_IMAGES_OWN_NAMES = {
    "group.id": "GROUP_ID",
    "config.storage.topic": "CONFIG_STORAGE_TOPIC",
    "offset.storage.topic": "OFFSET_STORAGE_TOPIC",
    "status.storage.topic": "STATUS_STORAGE_TOPIC",
    "key.converter": "KEY_CONVERTER",
    "value.converter": "VALUE_CONVERTER",
}


def _settings(name: str) -> dict[str, str]:
    lines = (ROOT / "deploy" / "local" / f"{name}.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _variable(setting: str, prefix: str) -> str:
    return f"{prefix}_{setting.upper().replace('.', '_')}"


def test_the_same_versions() -> None:
    """One place for versions; what users run is what was tested."""
    assert {name: SERVICES[name]["image"] for name in PARTS} == {
        "postgres": f"postgres:{versions.POSTGRESQL}",
        "kafka": f"apache/kafka:{versions.KAFKA}",
        "connect": f"quay.io/debezium/connect:{versions.DEBEZIUM}",
        "meilisearch": f"getmeili/meilisearch:v{versions.MEILISEARCH}",
    }
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.findall(r"getmeili/meilisearch:v(\S+)", workflow) == [versions.MEILISEARCH]


@pytest.mark.parametrize(
    ("service", "prefix", "own_names"), [("kafka", "KAFKA", {}), ("connect", "CONNECT", CONNECT_IMAGES_OWN_NAMES)]
)
def test_the_same_settings_and_topics(service: str, prefix: str, own_names: Mapping[str, str]) -> None:
    """Each setting of the native process stands in the container's environment, with the same value."""
    native = {own_names.get(name) or _variable(name, prefix): value for name, value in _settings(service).items()}
    environment = SERVICES[service]["environment"]
    assert {name: environment.get(name) for name in native} == native


@pytest.mark.parametrize("service", ["kafka", "connect"])
def test_no_setting_of_the_container_alone(service: str) -> None:
    """What only the container has is addresses, folders and the Java machine."""
    native = {CONNECT_IMAGES_OWN_NAMES.get(name) or _variable(name, service.upper()) for name in _settings(service)}
    alone = {name for name in SERVICES[service]["environment"] if name not in native}
    places = r".*(LISTENER|ADVERTISED|BOOTSTRAP_SERVERS|QUORUM_VOTERS|LOG_DIRS|HEAP_OPTS|KAFKA_OPTS).*"
    assert not [name for name in alone if not re.fullmatch(places, name)]


def test_postgres_has_the_same_settings() -> None:
    """Without wal_level=logical there is no stream; the addresses differ by nature."""
    command = SERVICES["postgres"]["command"]
    container = dict(word.split("=", 1) for word in command if "=" in word)
    native = {
        name: value for name, value in postgres.SETTINGS.items() if name not in ("listen_addresses", "unix_socket_directories")
    }
    assert container == native


def test_the_same_databases() -> None:
    """Source and state bear the same names everywhere."""
    assert SERVICES["postgres"]["environment"]["POSTGRES_DB"] == postgres.SOURCE_DATABASE
    statements = (ROOT / "deploy" / "compose" / "state-database.sql").read_text()
    assert re.findall(r"CREATE DATABASE (\w+);", statements) == [postgres.STATE_DATABASE]


def test_connect_thinks_in_utc_and_meilisearch_keeps_its_memory() -> None:
    """Without UTC, Debezium shifts times; without the limit, a batch takes ten times as long."""
    assert "-Duser.timezone=UTC" in SERVICES["connect"]["environment"]["KAFKA_OPTS"]
    assert SERVICES["meilisearch"]["environment"]["MEILI_MAX_INDEXING_MEMORY"] == meilisearch.MAX_INDEXING_MEMORY
    assert "MEILI_MASTER_KEY" in SERVICES["meilisearch"]["environment"]


def test_ports_are_published_on_loopback_by_the_same_variables() -> None:
    """`make up` chooses ports by these variables, and nothing is open to the network unasked."""
    for service, port in {"postgres": "POSTGRES", "kafka": "KAFKA", "connect": "CONNECT", "meilisearch": "MEILI"}.items():
        (published,) = SERVICES[service]["ports"]
        assert published.startswith(f"127.0.0.1:${{{PORT_VARIABLE.format(port)}:-")
    assert SERVICES["worker"]["ports"][0].startswith("127.0.0.1:")


def test_every_service_has_a_health_check_and_data_has_volumes() -> None:
    """`up --wait` waits for all of them; the worker's stands in its image."""
    assert all("healthcheck" in SERVICES[name] for name in PARTS)
    assert "HEALTHCHECK" in (ROOT / "deploy" / "Dockerfile").read_text()
    assert all(SERVICES[name]["volumes"] for name in ("postgres", "kafka", "meilisearch"))


def test_no_secret_has_a_default() -> None:
    """A stack that starts with a known password is an open one."""
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "MEILI_MASTER_KEY"):
        assert f"${{{name}:?" in text
        assert f"${{{name}:-" not in text
    assert all(line.endswith("=") for line in (ROOT / "deploy/compose/example.env").read_text().splitlines() if line[0] != "#")


def test_the_variables_of_the_worker_are_keys_of_the_configuration() -> None:
    """A misspelled variable would silently leave the default."""
    names = {name for name in SERVICES["worker"]["environment"] if name.startswith("SYNC_WORKER_")}
    names |= {variable["name"] for variable in CONTAINER["env"] if variable["name"].startswith("SYNC_WORKER_")}
    for name in names:
        section, key = name.removeprefix("SYNC_WORKER_").lower().split("__")
        assert key in SECTIONS[section].model_fields, name


def test_the_worker_of_compose_has_a_valid_configuration(tmp_path: Any) -> None:
    """The variables of docker-compose.yml and a file with nothing but an index are enough."""
    environment = {name: re.sub(r"\$\{\w+(:-)?\}", "secret", value) for name, value in SERVICES["worker"]["environment"].items()}
    file = tmp_path / "sync-worker.toml"
    file.write_text('[indexes.cities]\ntable = "public.cities"\nprimary_key = "id"\n[indexes.cities.fields]\nname = "text"\n')
    config = load_config(file, environment)
    assert config.worker.http_host == "0.0.0.0"


def test_the_worker_is_not_root_and_its_probes_are_its_own() -> None:
    """One user in image and manifest, one port in image, compose and manifest, and liveness is not readiness."""
    image = (ROOT / "deploy" / "Dockerfile").read_text()
    user = DEPLOYMENT["spec"]["template"]["spec"]["securityContext"]
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in image
    assert user["runAsNonRoot"]
    port = SECTIONS["worker"].model_fields["http_port"].default
    assert f"EXPOSE {port}\n" in image
    assert SERVICES["worker"]["ports"][0].endswith(f":{port}")
    assert [declared["containerPort"] for declared in CONTAINER["ports"]] == [port]
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == CONTAINER["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert "/healthz" in image


def test_there_is_one_connector_template() -> None:
    """The file in `connectors/`, for whoever deploys by hand, is the one that the worker fills in."""
    assert (ROOT / "connectors" / "postgres.json").resolve() == (ROOT / "sync_worker/adapters/debezium/postgres.json").resolve()
    converters = {name: value for name, value in _settings("connect").items() if ".converter" in name}
    template = yaml.safe_load((ROOT / "connectors" / "postgres.json").read_text())
    assert {name: template[name] for name in converters} == converters
