"""What searches show while all this goes on: of every row the versions must only grow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from sync_worker.testing.torture.site import Site
from sync_worker.testing.torture.tables import MANY, TABLES, Key, Table

EVERY_S = 0.25


@dataclass(slots=True)
class Regress:
    """A row that searches showed in an older version than before.

    Attributes:
        shown: the version that was shown.
        before: the highest version that had been shown.
        during: the last fault before it.
        began, ended: monotonic seconds; `ended` is None as long as nothing newer was shown.
    """

    index: str
    key: Key
    shown: int
    before: int
    during: str
    began: float
    ended: float | None = None


@dataclass(slots=True)
class View:
    """What was seen of one index so far."""

    highest: dict[Key, int] = field(default_factory=dict)
    present: set[Key] = field(default_factory=set)
    open: dict[Key, Regress] = field(default_factory=dict)


class Probe(threading.Thread):
    """Looks at every index several times a second, until it is stopped.

    Args:
        fault: names the last fault.

    Attributes:
        regresses: every one seen, healed or not.
        came_back: index and last fault, for each document that was gone and came back in the version in which it went: a TRUNCATE
            that is read again clears first and writes then, or a document was deleted, shown again, and deleted for good.
        looks: how many times an index was seen whole.
    """

    def __init__(self, site: Site, fault: Callable[[], str]) -> None:
        super().__init__(daemon=True, name="probe")
        self._site, self._fault = site, fault
        self._stop_asked = threading.Event()
        self._views = {index: View() for index, _ in _INDEXES}
        self._lock = threading.Lock()
        self.regresses: list[Regress] = []
        self.came_back: list[str] = []
        self.looks = 0
        self.trouble: BaseException | None = None

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(60)

    def shown(self, index: str, key: Key) -> int:
        """The version that the last look saw; 0 where the document was not there."""
        with self._lock:
            view = self._views[index]
            if key not in view.present:
                return 0
            return view.open[key].shown if key in view.open else view.highest[key]

    def run(self) -> None:
        try:
            with self._site.meilisearch(timeout_s=10) as client:
                while not self._stop_asked.wait(EVERY_S):
                    for index, table in _INDEXES:
                        try:
                            documents = self._site.documents(client, index, [*table.key, "v"])
                        except httpx.HTTPError:
                            break
                        self.see(index, {table.key_in(document): document["v"] for document in documents})
        except BaseException as error:
            self.trouble = error

    def see(self, index: str, versions: dict[Key, int]) -> None:
        """One look at a whole index: key → version."""
        with self._lock:
            self.looks += 1
            self._compare(index, versions)

    def _compare(self, index: str, versions: dict[Key, int]) -> None:
        view, now = self._views[index], time.monotonic()
        for key, regress in list(view.open.items()):
            if key not in versions or versions[key] >= regress.before:
                view.open.pop(key).ended = now
        for key, version in versions.items():
            before = view.highest.get(key, 0)
            if version > before:
                view.highest[key] = version
            elif key in view.open:
                view.open[key].shown = version
            elif version < before:
                view.open[key] = Regress(index, key, version, before, self._fault(), now)
                self.regresses.append(view.open[key])
            elif key not in view.present:
                self.came_back.append(f"{index} after {self._fault()}")
        view.present = set(versions)


_INDEXES: tuple[tuple[str, Table], ...] = (*((table.name, table) for table in TABLES), (MANY.name, MANY.table))
