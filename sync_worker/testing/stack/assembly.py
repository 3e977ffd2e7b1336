"""Decides for each part who runs it, and puts a stack together without starting anything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from sync_worker.config.model import check_postgres_url
from sync_worker.testing.stack import meilisearch, postgres
from sync_worker.testing.stack.containers import Compose, ContainerPart, use_containers
from sync_worker.testing.stack.jars import cache_folder, fetch, read_list
from sync_worker.testing.stack.kafka import Broker, Connect, broker_answers, connect_answers
from sync_worker.testing.stack.model import Stack
from sync_worker.testing.stack.part import Kind, OutsidePart, Part, checkout
from sync_worker.testing.stack.place import PORT_VARIABLE, Place
from sync_worker.testing.stack.process import Daemon, StackError


@dataclass(frozen=True, slots=True)
class _Address:
    part: Part
    url: str
    seen_by_connect: str


class Assembly:
    """Everything that was asked for and given from outside, and what follows from it.

    Args:
        parts: names of the parts that will be started; what only others need is not fetched.
    """

    def __init__(self, place: Place, environment: Mapping[str, str], parts: Collection[str], say: Callable[[str], None]) -> None:
        self._place = place
        self._given = place.given_from_outside(environment)
        self._parts = parts
        self._say = say
        self._containers = use_containers(environment)
        self._compose = Compose(place.home)

    def stack(self) -> Stack:
        source = self._postgres()
        broker = self._kafka()
        connect = self._connect(broker)
        sink, key = self._meilisearch()
        return Stack(
            kafka_bootstrap=broker.url,
            connect_url=connect.url,
            database_url=source.url,
            meili_url=sink.url,
            meili_key=key,
            state_url=self._state_url(source),
            connect_database_url=source.seen_by_connect,
            connect_kafka_bootstrap=broker.seen_by_connect,
            postgres=source.part,
            kafka=broker.part,
            connect=connect.part,
            meilisearch=sink.part,
        )

    def start_containers(self, parts: Sequence[Part]) -> None:
        """Start all containers in one go: several `docker compose up` at once get in each other's way."""
        missing = [part.name for part in parts if part.kind is Kind.CONTAINER and not part.is_running()]
        if missing:
            self._say(f"starting containers: {', '.join(missing)}")
            self._compose.up(missing)

    @property
    def given(self) -> Collection[str]:
        """Names of the variables that came from outside."""
        return self._given

    def _postgres(self) -> _Address:
        if url := self._given.get("DATABASE_URL"):
            try:
                check_postgres_url(url)
            except ValueError as error:
                raise StackError(f"DATABASE_URL {error}") from error
            return _Address(OutsidePart("postgres", partial(_database_answers, url)), url, url)
        password = self._secret("postgres", "POSTGRES_PASSWORD")
        port = self._port("postgres")
        native = postgres.Postgres(self._place.home, port, password)
        url = native.url(postgres.SOURCE_DATABASE)
        if self._containers:
            inside = url.replace(f"127.0.0.1:{port}", "postgres:5432")
            return _Address(ContainerPart(self._compose, "postgres", native.answers), url, inside)
        return _Address(native, url, url)

    def _state_url(self, source: _Address) -> str:
        if url := self._given.get("STATE_URL"):
            return url
        if source.part.kind is Kind.OUTSIDE:
            return f"sqlite:///{self._place.home / 'state.db'}"
        return source.url.removesuffix(postgres.SOURCE_DATABASE) + postgres.STATE_DATABASE

    def _kafka(self) -> _Address:
        if servers := self._given.get("KAFKA_BOOTSTRAP_SERVERS"):
            return _Address(OutsidePart("kafka", partial(broker_answers, servers)), servers, servers)
        port = self._port("kafka")
        servers = f"127.0.0.1:{port}"
        if self._containers:
            return _Address(ContainerPart(self._compose, "kafka", partial(broker_answers, servers)), servers, "kafka:19092")
        controller = self._port("kafka_controller", of="kafka")
        return _Address(Broker(self._place.home, port, controller, self._jars("kafka")), servers, servers)

    def _connect(self, broker: _Address) -> _Address:
        if url := self._given.get("CONNECT_URL"):
            return _Address(OutsidePart("connect", partial(connect_answers, url)), url, url)
        port = self._port("connect")
        url = f"http://127.0.0.1:{port}"
        if not self._containers:
            return _Address(
                Connect(self._place.home, port, broker.url, self._jars("kafka"), self._jars("debezium-postgres")), url, url
            )
        if broker.part.kind is Kind.OUTSIDE:
            raise StackError("KAFKA_BOOTSTRAP_SERVERS was given, so CONNECT_URL must be: a container cannot reach that address")
        return _Address(ContainerPart(self._compose, "connect", partial(connect_answers, url)), url, url)

    def _meilisearch(self) -> tuple[_Address, str]:
        choice = meilisearch.choose(self._given, containers=self._containers)
        if choice.kind is Kind.OUTSIDE:
            url, key = self._given["MEILI_URL"].rstrip("/"), self._given.get("MEILI_API_KEY", "")
            return _Address(OutsidePart("meilisearch", partial(meilisearch.meilisearch_answers, url, key)), url, url), key
        key = self._secret("meilisearch", "MEILI_MASTER_KEY")
        port = self._port("meili", of="meilisearch")
        url = f"http://127.0.0.1:{port}"
        part: Part
        if choice.kind is Kind.CONTAINER:
            part = ContainerPart(self._compose, "meilisearch", partial(meilisearch.meilisearch_answers, url, key))
        elif choice.kind is Kind.DOUBLE:
            part = meilisearch.Double(self._place.home, port, key)
        else:
            program = choice.program or meilisearch.download(cache_folder(), say=self._say)
            part = meilisearch.Server(self._place.home, port, key, program)
        return _Address(part, url, url), key

    def _port(self, name: str, *, of: str | None = None) -> int:
        """The port of a part; `of` names the part where the port bears another name."""
        part = of or name
        ours = self._compose.is_running(part) if self._containers else Daemon(self._place.home, part).process() is not None
        port = self._place.port(name, taken_by_us=ours)
        if self._containers:
            self._compose.set({PORT_VARIABLE.format(name.upper()): str(port)})
        return port

    def _secret(self, name: str, variable: str) -> str:
        """A secret of this stack. For containers, compose prefers the environment's variable to ours, so we do as well."""
        if not self._containers:
            return self._place.secret(name)
        secret = self._given.get(variable) or self._place.secret(name)
        self._compose.set({variable: secret})
        return secret

    def _jars(self, name: str) -> Sequence[Path]:
        if not {"kafka", "connect"} & set(self._parts):
            return ()
        return fetch(read_list(checkout() / "deploy" / "local" / "jars" / f"{name}.txt"), cache_folder(), say=self._say)


def _database_answers(url: str) -> bool:
    with psycopg.connect(url, connect_timeout=5) as connection:
        (wal_level,) = connection.execute("SHOW wal_level").fetchone() or (None,)
    if wal_level != "logical":
        raise StackError(f"its wal_level is {wal_level}, and must be logical")
    return True
