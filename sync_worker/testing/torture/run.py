"""One run: write and break for some minutes, then let it come to rest, then compare."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

import httpx
import psycopg
from confluent_kafka import KafkaException

from sync_worker.testing.stack import Kind, Stack, what_was_real
from sync_worker.testing.torture.checker import Verdict, check
from sync_worker.testing.torture.faults import Fault, draw, faults, restart_failed_tasks
from sync_worker.testing.torture.probe import Probe
from sync_worker.testing.torture.report import Recovery, Report
from sync_worker.testing.torture.site import Crew, SetUpError, Site
from sync_worker.testing.torture.tables import BEACON, TABLES, Table
from sync_worker.testing.torture.workload import WRITERS, Writer, light_beacon

BACK_WITHIN_S = 180.0
BEHIND_AFTER_S = 10.0
EQUAL_WITHIN_S = 90.0
_ORDER = ("postgres", "kafka", "connect", "meilisearch")
"""Connect does not answer without Kafka, so what was taken away at once comes back in this order."""


def torture(stack: Stack, folder: Path, *, minutes: float, seed: int, say: Callable[[str], None]) -> Report:
    """Torture the chain on this stack; everything that it makes there is taken away again.

    Args:
        folder: for configuration and logs of the workers.

    Raises SetUpError where the chain can't be built.
    """
    random = Random(f"{seed} faults")
    report = Report(seed, minutes, random.choice((11, 16, 33, 64)), what_was_real(stack))
    site = Site(stack, folder, report.batch)
    run = _Run(site, report, random, seed, say)
    with ExitStack() as leaving:
        leaving.callback(site.remove)
        leaving.callback(_all_running, stack)
        leaving.callback(run.crew.kill_all)
        site.set_up()
        run.all_of_it(time.monotonic() + minutes * 60)
    return report


class _Run:
    def __init__(self, site: Site, report: Report, random: Random, seed: int, say: Callable[[str], None]) -> None:
        self._site, self._report, self._random, self._say = site, report, random, say
        self._fault = "none yet"
        self.crew = Crew(site)
        self._probe = Probe(site, lambda: self._fault)
        self._behind = threading.Event()
        self._writers = [Writer(number, site.database_url, seed, pause_s=0.06, behind=self._behind) for number in range(WRITERS)]
        self._began = time.monotonic()

    def all_of_it(self, until: float) -> None:
        report = self._report
        self.crew.tend()
        self._probe.start()
        self._see_beacons()
        if self._report.violations:
            raise SetUpError(f"{self._report.violations[0]}; {self.crew.quiet[:1]}")
        for writer in self._writers:
            writer.start()
        try:
            self._break_things(until)
        finally:
            for writer in self._writers:
                writer.stop()
        quiet = time.monotonic()
        for writer in self._writers:
            report.events += writer.counts
            report.transactions += writer.transactions
            if writer.trouble is not None:
                report.violations.append(f"the workload ended: {writer.trouble!r}")
        self._say(f"{sum(report.events.values())} rows were changed; waiting until all of it is applied")
        self._see_beacons()
        report.verdict = self._come_to_rest()
        report.quiet_s = time.monotonic() - quiet
        self._probe.stop()
        report.looks, report.regresses, report.came_back = self._probe.looks, self._probe.regresses, self._probe.came_back
        if self._probe.trouble is not None:
            report.violations.append(f"the probe ended: {self._probe.trouble!r}")
        report.violations += report.verdict.violations
        report.ended = self.crew.ended
        report.violations += self.crew.quiet

    def _break_things(self, until: float) -> None:
        kinds = faults(self._site, self.crew)
        while time.monotonic() < until:
            time.sleep(self._random.uniform(0.5, 4))
            drawn = draw(self._random, kinds)
            self._fault = " and ".join(fault.kind for fault in drawn)
            began = time.monotonic()
            self._say(f"{began - self._began:6.1f} s  {self._fault}")
            self._do(drawn)
            ended = time.monotonic()
            back_s = self._see_beacons()
            self._say(f"{time.monotonic() - self._began:6.1f} s    was down {ended - began:.1f} s, back after {back_s:.1f} s")
            self._report.recoveries.append(Recovery(tuple(fault.kind for fault in drawn), ended - began, back_s))

    def _do(self, drawn: list[Fault]) -> None:
        with ExitStack() as leaving:
            for fault in sorted(
                drawn, key=lambda fault: _ORDER.index(fault.target) if fault.target in _ORDER else 9, reverse=True
            ):
                leaving.enter_context(fault.done())
                time.sleep(self._random.uniform(*fault.lasts_s))

    def _see_beacons(self) -> float:
        """Write a row into every table and wait until all are searchable; seconds that it took."""
        began = time.monotonic()
        wanted: dict[Table, int] = {}
        written = 0.0
        while True:
            now = time.monotonic()
            missing = [table for table in TABLES if not self._shows(table, wanted.get(table))]
            if not missing:
                self._behind.clear()
                return now - began
            if now - began > BEHIND_AFTER_S:
                self._behind.set()
            if now - began > BACK_WITHIN_S:
                names = ", ".join(table.name for table in missing)
                self._report.violations.append(f"{BACK_WITHIN_S:.0f} s after {self._fault} nothing new is searchable in {names}")
                return now - began
            if now - written > 5:
                # Again and again: a TRUNCATE takes beacons too.
                wanted = self._light([table for table in missing if table.truncated or table not in wanted]) | wanted
                written = now
            self.crew.tend()
            if self.crew.ended and self._writers[0].ident is None:
                raise SetUpError(f"a worker does not start: {self.crew.ended[0][1]}")
            self._report.failed_tasks += restart_failed_tasks(self._site)
            time.sleep(0.1)

    def _shows(self, table: Table, version: int | None) -> bool:
        return version is not None and self._probe.shown(table.name, table.key_of(BEACON)) >= version

    def _light(self, tables: list[Table]) -> dict[Table, int]:
        try:
            with psycopg.connect(self._site.database_url, connect_timeout=5) as connection:
                return {table: light_beacon(connection, table, BEACON) for table in tables}
        except psycopg.Error:
            return {}

    def _come_to_rest(self) -> Verdict:
        """The last look: by then everything is acknowledged, and both sides are equal or will never be."""
        deadline = time.monotonic() + EQUAL_WITHIN_S
        while True:
            self.crew.tend()
            try:
                behind, verdict = self._site.behind(), check(self._site)
            except (KafkaException, psycopg.Error, httpx.HTTPError, TimeoutError) as error:
                behind, verdict = {"everything": repr(error)}, Verdict([f"the last look failed: {error!r}"])
            if not behind and not verdict.violations:
                return verdict
            if time.monotonic() > deadline:
                verdict.violations += [f"{topic} is acknowledged to {where}" for topic, where in behind.items()]
                return verdict
            time.sleep(1)


def _all_running(stack: Stack) -> None:
    for part in stack.parts:
        if part.kind is not Kind.OUTSIDE:
            part.start()
