"""The table that a run ends with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.table import Table

from sync_worker.testing.torture.checker import Verdict
from sync_worker.testing.torture.probe import Regress


@dataclass(frozen=True, slots=True)
class Recovery:
    """One fault (or two at once) that was survived.

    Attributes:
        down_s: from its beginning until everything was there again.
        back_s: from then until a row of every table that was written then was searchable.
    """

    kinds: tuple[str, ...]
    down_s: float
    back_s: float


@dataclass(slots=True)
class Report:
    """All that one run has to tell.

    Attributes:
        events: committed changes of rows by kind.
        ended: workers that ended by themselves: (exit status, last line).
        failed_tasks: tasks of the connector that were FAILED and restarted, as by somebody who is alarmed.
        quiet_s: from the last write until both sides were equal.
    """

    seed: int
    minutes: float
    batch: int
    real: str
    events: Counter[str] = field(default_factory=Counter)
    transactions: int = 0
    recoveries: list[Recovery] = field(default_factory=list)
    regresses: Sequence[Regress] = ()
    came_back: Sequence[str] = ()
    looks: int = 0
    ended: Sequence[tuple[int, str]] = ()
    failed_tasks: int = 0
    quiet_s: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    violations: list[str] = field(default_factory=list)

    def write(self, console: Console) -> None:
        faults = Table("fault", "times", "down s", "back after s, median", "worst", title=f"torture, seed {self.seed}")
        for kind in sorted({kind for one in self.recoveries for kind in one.kinds}):
            hit = [one for one in self.recoveries if kind in one.kinds]
            back = [one.back_s for one in hit]
            faults.add_row(
                kind, str(len(hit)), f"{sum(one.down_s for one in hit):.0f}", f"{median(back):.1f}", f"{max(back):.1f}"
            )
        console.print(faults)
        healed = [one for one in self.regresses if one.ended is not None]
        after = Counter(f"{one.index} after {one.during}" for one in healed).most_common(4)
        back_in = Counter(self.came_back).most_common(4)
        longest = max((one.ended - one.began for one in healed if one.ended is not None), default=0.0)
        for name, value in (
            ("seed", f"{self.seed}, {self.minutes:g} min, max.batch.size {self.batch}"),
            ("transactions", f"{self.transactions}"),
            (
                "changed rows",
                f"{sum(self.events.values())}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(self.events.items())),
            ),
            (
                "faults",
                f"{sum(len(one.kinds) for one in self.recoveries)}, {sum(one.down_s for one in self.recoveries):.0f} s down",
            ),
            (
                "compared",
                f"{self.verdict.rows} rows, {self.verdict.documents} documents, equal {self.quiet_s:.0f} s after the last write",
            ),
            (
                "dead letters",
                f"{self.verdict.letters}; failures open {self.verdict.open_failures}, superseded {self.verdict.superseded}",
            ),
            ("looks at an index", f"{self.looks}"),
            (
                "visible regress that healed",
                f"{len(healed)}, the longest {longest:.1f} s" + "".join(f"; {times} in {where}" for where, times in after),
            ),
            ("gone for a moment, and back", f"{len(self.came_back)}" + "".join(f"; {n} in {where}" for where, n in back_in)),
            ("workers that ended by themselves", f"{len(self.ended)}"),
            ("FAILED tasks restarted", f"{self.failed_tasks}"),
            ("findings", ", ".join(self.verdict.findings) or "none"),
            ("parts", self.real),
            ("violations", f"{len(self.violations)}"),
        ):
            console.print(f"{name}: {value}", highlight=False, markup=False, soft_wrap=True)
        for violation, times in Counter(self.violations).items():
            console.print(
                f"VIOLATION {violation}{f' ({times} times)' if times > 1 else ''}", highlight=False, markup=False, soft_wrap=True
            )
