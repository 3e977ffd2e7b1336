"""TOML + environment → Config, or all mistakes at once: where each is, what is wrong, and what to do."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from sync_worker.config.model import SECTIONS, Config, MeilisearchSection, StateSection, beside, secret_keys, topic_of
from sync_worker.config.overlay import Overlay
from sync_worker.config.wording import problems_of
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.hook import NAME as HOOK_NAME
from sync_worker.document.hook import load_hook
from sync_worker.document.problem import Problem, suggestion
from sync_worker.errors import ConfigurationError

_Model = TypeVar("_Model", bound=BaseModel)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}").fullmatch
_TOP = (*SECTIONS, "indexes")


def load_config(path: Path, environ: Mapping[str, str], *, indexes_required: bool = True) -> Config:
    """Read and validate everything: the file, `SYNC_WORKER_<SECTION>__<KEY>` over it, files of secrets, hooks.

    Args:
        path: the TOML file; relative `<secret>_file` paths, a relative SQLite path of `[state] url` and hooks' modules are
            looked for beside it.
        indexes_required: False for the commands that write the first declaration.

    Raises:
        ConfigurationError: every mistake, one line each. No line holds a secret.
    """
    return _Loader(path, environ).load(indexes_required=indexes_required)


class _Loader:
    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._problems: list[Problem] = []
        self._overlay = Overlay(environ)

    def load(self, *, indexes_required: bool) -> Config:
        raw = self._read()
        self._overlay.apply(raw)
        for name in raw:
            if name not in _TOP:
                self._problem((name,), f"unknown section; {suggestion(name, _TOP)}")
        kafka = self._section(raw, "kafka")
        state = self._state(raw)
        source = self._section(raw, "source")
        connector = self._section(raw, "connector")
        worker = self._section(raw, "worker")
        scrub = self._section(raw, "scrub")
        meilisearch = self._meilisearch(raw.get("meilisearch", {}))
        indexes = self._indexes(raw.get("indexes", {}), required=indexes_required)
        self._cross_check(raw, kafka, meilisearch, connector, indexes)
        if self._problems:
            raise ConfigurationError(
                [self._line(problem) for problem in self._problems],
                remedy="Mend the lines above. docs/configuration.md lists every key; `sync-worker check` tries them against the "
                "real services.",
            )
        return Config.model_construct(
            kafka=kafka,
            meilisearch=meilisearch,
            state=state,
            source=source,
            connector=connector,
            worker=worker,
            scrub=scrub,
            indexes=indexes,
        )

    def _read(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(
                [f"{self._path}: there is no such file"],
                remedy="Name the file with --config, or start from sync-worker.example.toml.",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError([f"{self._path}: can't be read: {error}"]) from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(
                [f"{self._path}: not TOML: {error}"], remedy="Texts need quotes, and each [section] stands once."
            ) from error

    def _section(self, raw: Mapping[str, Any], name: str) -> Any:
        return self._validate(SECTIONS[name], raw.get(name, {}), (name,))

    def _state(self, raw: Mapping[str, Any]) -> Any:
        section: StateSection | None = self._section(raw, "state")
        if section is None:
            return None
        # Verbs and worker mean the same file from wherever they are called.
        url = beside(section.url.get_secret_value(), self._path.absolute().parent)
        return section.model_copy(update={"url": SecretStr(url)})

    def _meilisearch(self, raw: object) -> dict[str, MeilisearchSection]:
        if not isinstance(raw, dict):
            self._problem(("meilisearch",), "must be a table: write [meilisearch]")
            return {}
        own = {key: value for key, value in raw.items() if not isinstance(value, dict)}
        named = {key: value for key, value in raw.items() if isinstance(value, dict)}
        if "default" in named:
            self._problem(("meilisearch", "default"), "is the table [meilisearch] itself; move its keys there")
            del named["default"]
        instances = {}
        if own or not named:
            instances["default"] = self._validate(MeilisearchSection, own, ("meilisearch",))
        for name, table in named.items():
            instances[name] = self._validate(MeilisearchSection, table, ("meilisearch", name))
        # A broken instance stays known, so that indexes that name it are not blamed too.
        return instances

    def _indexes(self, raw: object, *, required: bool) -> dict[str, IndexDeclaration]:
        if not isinstance(raw, dict):
            self._problem(("indexes",), "must hold tables: write [indexes.NAME]")
            return {}
        if required and not raw:
            self._problem(("indexes",), "no index is declared: `sync-worker init --table public.NAME` writes a first declaration")
        indexes = {}
        for name, table in raw.items():
            if not isinstance(table, dict):
                self._problem(("indexes", name), f"must be a table: write [indexes.{name}]")
                continue
            if _NAME(name) is None:
                self._problem(("indexes", name), "is no name for an index: use 1 to 200 of A-Z a-z 0-9 _ -")
            if "name" in table:
                self._problem(("indexes", name, "name"), "unknown key; the name stands in [indexes.NAME], Meilisearch's in `uid`")
            index = self._validate(IndexDeclaration, {**table, "name": name}, ("indexes", name))
            if index is not None:
                indexes[name] = index
        return indexes

    def _validate(self, model: type[_Model], raw: object, path: tuple[str, ...]) -> Any:
        """The validated model, or None with its mistakes noted."""
        if isinstance(raw, dict):
            raw = self._with_secrets(model, raw, path)
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            self._problems += problems_of(error, model, path)
            return None

    def _with_secrets(self, model: type[BaseModel], raw: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        filled = dict(raw)
        for key in secret_keys(model):
            file_key = f"{key}_file"
            if file_key not in filled:
                continue
            name = filled.pop(file_key)
            if key in filled:
                self._problem((*path, file_key), f"stands beside `{key}`; keep one of the two")
                continue
            filled[key] = "-"  # keeps "is missing" quiet where the file itself is the mistake
            try:
                filled[key] = (self._path.parent / str(name)).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                self._problem((*path, file_key), f"{name} can't be read: {reason}")
                del filled[key]
                if model.model_fields[key].is_required():
                    filled[key] = "postgresql://unread"
        return filled

    def _cross_check(
        self,
        raw: Mapping[str, Any],
        kafka: Any,
        meilisearch: Mapping[str, Any],
        connector: Any,
        indexes: Mapping[str, IndexDeclaration],
    ) -> None:
        if kafka is not None:
            self._check_sasl(kafka)
            for name, instance in meilisearch.items():
                if instance is not None and instance.write_timeout_s >= kafka.session_timeout_s:
                    path = ("meilisearch",) if name == "default" else ("meilisearch", name)
                    self._problem(
                        (*path, "write_timeout_s"),
                        f"{instance.write_timeout_s:g} s must be less than kafka.session_timeout_s "
                        f"({kafka.session_timeout_s:g} s), or a worker that lost its partitions could still be writing",
                    )
        self._check_instances(raw.get("indexes", {}), meilisearch)
        if connector is not None:
            self._check_topics(connector.topic_prefix, indexes)
        self._check_keys(indexes)
        self._check_hooks(raw.get("indexes", {}))

    def _check_instances(self, raw: object, meilisearch: Mapping[str, Any]) -> None:
        """From the raw tables, so that these mistakes show beside the other mistakes of their index."""
        uids: dict[tuple[str, str], str] = {}
        for name, table in raw.items() if isinstance(raw, dict) else ():
            instance = table.get("meilisearch", "default") if isinstance(table, dict) else None
            uid = table.get("uid", name) if isinstance(table, dict) else None
            if not isinstance(instance, str) or not isinstance(uid, str):
                continue
            if instance not in meilisearch:
                known = f"; {suggestion(instance, meilisearch)}" if meilisearch else ""
                missing = "[meilisearch]" if instance == "default" else f"[meilisearch.{instance}]"
                self._problem(("indexes", name, "meilisearch"), f"there is no {missing}{known}")
            other = uids.setdefault((instance, uid), name)
            if other != name:
                self._problem(
                    ("indexes", name, "uid"),
                    f"`{uid}` is the uid of [indexes.{other}] too, on the same Meilisearch; give each its own",
                )

    def _check_sasl(self, kafka: Any) -> None:
        if not kafka.security_protocol.startswith("SASL_"):
            return
        for key in ("sasl_mechanism", "sasl_username", "sasl_password"):
            if getattr(kafka, key) is None:
                self._problem(("kafka", key), f"is needed with security_protocol {kafka.security_protocol}")

    def _check_topics(self, prefix: str, indexes: Mapping[str, IndexDeclaration]) -> None:
        topics: dict[str, str] = {}
        for name, index in indexes.items():
            other = topics.setdefault(topic_of(prefix, index.table), index.table)
            if other != index.table:
                self._problem(
                    ("indexes", name, "table"),
                    f"`{index.table}` and `{other}` would share a topic: Debezium replaces what Kafka does not take by `_`; "
                    "stream them through two connectors",
                )

    def _check_keys(self, indexes: Mapping[str, IndexDeclaration]) -> None:
        keys: dict[str, tuple[str, IndexDeclaration]] = {}
        for name, index in indexes.items():
            other_name, other = keys.setdefault(index.table, (name, index))
            if set(other.primary_key) != set(index.primary_key):
                self._problem(
                    ("indexes", name, "primary_key"),
                    f"{list(index.primary_key)} differs from {list(other.primary_key)} of [indexes.{other_name}]; "
                    f"{index.table} has one primary key",
                )

    def _check_hooks(self, raw: object) -> None:
        """From the raw tables, so that a hook's mistake shows beside the other mistakes of its index."""
        for name, table in raw.items() if isinstance(raw, dict) else ():
            hook = table.get("hook") if isinstance(table, dict) else None
            if not isinstance(hook, str) or HOOK_NAME(hook) is None:
                continue
            directory = str(self._path.resolve().parent)
            if directory not in sys.path:
                sys.path.insert(0, directory)
            try:
                load_hook(hook)
            except ValueError as error:
                self._problem(("indexes", name, "hook"), f"{error}; hooks are imported from {directory} and Python's own path")

    def _problem(self, path: tuple[str, ...], what: str) -> None:
        self._problems.append(Problem(path, what))

    def _line(self, problem: Problem) -> str:
        variable = self._overlay.variable(problem.path)
        where = f"{self._path}: {'.'.join(problem.path)}" if variable is None else f"environment variable {variable}"
        return f"{where}: {problem.what}"
