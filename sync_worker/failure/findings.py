"""Every kind of finding: one row says whether it stops writing, what it puts in doubt, what mends it, what clears it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sync_worker.errors import OperatorNeeded
from sync_worker.failure.model import Finding


class FindingKind(StrEnum):
    """Stable names: operators filter and clear by them."""

    SINK_LOST_MEMORY = "sink-lost-memory"
    LOG_REPLACED = "log-replaced"
    STATE_LOST = "state-lost"
    NEVER_FILLED = "never-filled"
    FAILURE_FLOOD = "failure-flood"
    TRUNCATE = "truncate"
    TRUNCATE_OVER_PARTITIONS = "truncate-over-partitions"
    PARTITION_COUNT_CHANGED = "partition-count-changed"
    FOREIGN_WRITE = "foreign-write"
    LATE_WRITE_NOT_UNDONE = "late-write-not-undone"
    TASKS_UNSEEN = "tasks-unseen"
    CHANGES_LOST = "changes-lost"
    DELETES_UNPROVEN = "deletes-unproven"
    ROWS_CHANGED_UNSEEN = "rows-changed-unseen"
    KEY_CHANGED = "key-changed"
    REPLICA_IDENTITY_CHANGED = "replica-identity-changed"
    OLDER_DECLARATION = "older-declaration"
    SLOT_MISSING = "slot-missing"
    SLOT_INVALID = "slot-invalid"
    SLOT_AT_RISK = "slot-at-risk"
    PUBLICATION_NARROWED = "publication-narrowed"
    TABLE_NOT_STREAMED = "table-not-streamed"
    CONNECTOR_DOWN = "connector-down"
    CONNECTOR_LOSES = "connector-loses"
    TOPIC_LOSES = "topic-loses"
    WATCH_BLIND = "watch-blind"
    DRIFT = "drift"


class Proof(StrEnum):
    """What shows that the doubt is gone. `findings clear` with a reason stands for it: somebody vouches."""

    DECISION = "decision"
    """Somebody looked and decided; no command can know."""
    FILL = "fill"
    """The index was filled completely, ghosts removed, after the finding was last seen."""
    COMPARISON = "comparison"
    """Every row was compared with its document, after the finding was last seen, and none differed."""
    IDS = "ids"
    """The ids of rows and documents were compared, after the finding was last seen, and none was missing or too many."""
    GONE = "gone"
    """What was seen is no longer so. The watch itself looks every minute, and clears it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is true of every finding of one kind.

    Attributes:
        blocks: writing holds until it is cleared.
        unready: `/readyz` answers 503 while it is open. What blocks is always unready.
        doubt, remedy: templates; `{subject}` is always given, other words by whoever found it.
    """

    blocks: bool
    unready: bool
    doubt: str
    remedy: str
    proof: Proof


def _clear(kind: FindingKind) -> str:
    return f"sync-worker findings clear {kind} {{subject}} --reason …"


def _vouch(kind: FindingKind) -> str:
    """Where no command has shown yet that the doubt is gone, somebody says so."""
    return f"{_clear(kind)} --unproven"


_FILL = "sync-worker backfill {subject} --prune"
"""Clears what it proves by itself."""

_FILL_ALL = "sync-worker backfill INDEX --prune, for each index of the table"


def _shown_by_drift(options: str, kind: FindingKind) -> str:
    return f"sync-worker drift {{subject}} {options} (clears this once nothing differs; where that can't be: {_vouch(kind)})"


RULES: dict[FindingKind, Rule] = {
    FindingKind.SINK_LOST_MEMORY: Rule(
        blocks=True,
        unready=True,
        doubt="every document of {subject}",
        remedy=f"{_FILL} (it lets the worker write again, and fills the index)",
        proof=Proof.FILL,
    ),
    FindingKind.LOG_REPLACED: Rule(
        blocks=True,
        unready=True,
        doubt="every document of the indexes that {subject} feeds: changes are missing from the log",
        remedy=f"{_FILL_ALL} (it lets the worker write again, and fills the index)",
        proof=Proof.FILL,
    ),
    FindingKind.STATE_LOST: Rule(
        blocks=True,
        unready=True,
        doubt="failed work of {subject}, and whether every change of it was read",
        remedy="Where the offset was moved, move it back (kafka-consumer-groups.sh --reset-offsets). Where the state database is "
        "another one, restore it, or take what failed meanwhile from the dead-letter topic: sync-worker dlq rebuild-table. Then: "
        f"{_clear(FindingKind.STATE_LOST)}",
        proof=Proof.DECISION,
    ),
    FindingKind.NEVER_FILLED: Rule(
        blocks=False,
        unready=False,
        doubt="{subject} lacks every row that did not change since",
        remedy=_FILL,
        proof=Proof.FILL,
    ),
    FindingKind.FAILURE_FLOOD: Rule(
        blocks=True,
        unready=True,
        doubt="nothing yet: what fails from the limit on is neither recorded nor acknowledged; what failed before is failed work",
        remedy="Mend the declaration, the hook or the source, start the worker again, say that it is mended: "
        f"{_clear(FindingKind.FAILURE_FLOOD)} and try again what was recorded: sync-worker retry --index {{subject}}. Where the "
        "failures are right, the same clearing lets them through",
        proof=Proof.DECISION,
    ),
    FindingKind.TRUNCATE: Rule(
        blocks=True,
        unready=True,
        doubt="every document of {subject} from before the TRUNCATE: their rows are gone",
        remedy=f"Let it clear the index: {_clear(FindingKind.TRUNCATE)}",
        proof=Proof.DECISION,
    ),
    FindingKind.TRUNCATE_OVER_PARTITIONS: Rule(
        blocks=False,
        unready=False,
        doubt="whether documents of {subject} that were written around the TRUNCATE should be there",
        remedy=f"{_FILL} (a new one: what ran already when the table was truncated does not mend it)",
        proof=Proof.FILL,
    ),
    FindingKind.PARTITION_COUNT_CHANGED: Rule(
        blocks=False,
        unready=False,
        doubt="A key may have changed its partition: two changes of one document have no order between the two.",
        remedy=f"{_FILL_ALL}; where there are several, then: {_vouch(FindingKind.PARTITION_COUNT_CHANGED)}",
        proof=Proof.FILL,
    ),
    FindingKind.FOREIGN_WRITE: Rule(
        blocks=False,
        unready=False,
        doubt="whether {subject} shows what the database says",
        remedy=f"Find out who writes to the index, take away its key, then: {_FILL}",
        proof=Proof.COMPARISON,
    ),
    FindingKind.LATE_WRITE_NOT_UNDONE: Rule(
        blocks=False,
        unready=False,
        doubt="documents of {subject} that were changed at offsets {low} to {high}",
        remedy=_FILL,
        proof=Proof.COMPARISON,
    ),
    FindingKind.TASKS_UNSEEN: Rule(
        blocks=False,
        unready=False,
        doubt="whether {subject} shows what the database says: a write that came late may be among the tasks that were forgotten",
        remedy=_FILL,
        proof=Proof.COMPARISON,
    ),
    FindingKind.CHANGES_LOST: Rule(
        blocks=False,
        unready=True,
        doubt="{subject} may lack changes that never came, and hold documents of rows that are gone",
        remedy=_FILL,
        proof=Proof.COMPARISON,
    ),
    FindingKind.DELETES_UNPROVEN: Rule(
        blocks=False,
        unready=False,
        doubt="{subject} may hold documents of rows that were deleted before the tables were read again",
        remedy=_shown_by_drift("--ids --prune", FindingKind.DELETES_UNPROVEN),
        proof=Proof.IDS,
    ),
    FindingKind.ROWS_CHANGED_UNSEEN: Rule(
        blocks=False,
        unready=False,
        doubt="documents of {subject} whose rows did not change by themselves since",
        remedy=_FILL,
        proof=Proof.COMPARISON,
    ),
    FindingKind.KEY_CHANGED: Rule(
        blocks=True,
        unready=True,
        doubt="which document a change of {subject} belongs to: a connector that lags gives yesterday's rows today's key",
        remedy="Declare the key that the table has under [indexes.{subject}] and start the worker with it; then: "
        f"{_vouch(FindingKind.KEY_CHANGED)}, and {_FILL}",
        proof=Proof.FILL,
    ),
    FindingKind.REPLICA_IDENTITY_CHANGED: Rule(
        blocks=False,
        unready=False,
        doubt="deletes and key changes of {subject} since the change",
        remedy=_shown_by_drift("--ids --prune", FindingKind.REPLICA_IDENTITY_CHANGED),
        proof=Proof.IDS,
    ),
    FindingKind.OLDER_DECLARATION: Rule(
        blocks=False,
        unready=False,
        doubt="documents of {subject} that did not change since the declaration did",
        remedy=_FILL,
        proof=Proof.FILL,
    ),
    FindingKind.SLOT_MISSING: Rule(
        blocks=False,
        unready=True,
        doubt="every change since: none is kept for the connector",
        remedy="sync-worker connector apply",
        proof=Proof.GONE,
    ),
    FindingKind.SLOT_INVALID: Rule(
        blocks=False,
        unready=True,
        doubt="every change that the connector had not read",
        remedy="sync-worker connector delete --drop-slot, delete its offsets, and sync-worker connector apply",
        proof=Proof.GONE,
    ),
    FindingKind.SLOT_AT_RISK: Rule(
        blocks=False,
        unready=False,
        doubt="nothing yet",
        remedy="Let the connector read (sync-worker connector status), or raise max_slot_wal_keep_size",
        proof=Proof.GONE,
    ),
    FindingKind.PUBLICATION_NARROWED: Rule(
        blocks=False,
        unready=True,
        doubt="every change that it does not send",
        remedy="sync-worker connector apply",
        proof=Proof.GONE,
    ),
    FindingKind.TABLE_NOT_STREAMED: Rule(
        blocks=False,
        unready=True,
        doubt="every change of {subject}",
        remedy="Bring the table back (ALTER TABLE {subject} SET LOGGED, where it is unlogged), then: sync-worker connector apply",
        proof=Proof.GONE,
    ),
    FindingKind.CONNECTOR_DOWN: Rule(
        blocks=False,
        unready=True,
        doubt="nothing: what changes meanwhile waits in the WAL",
        remedy="sync-worker connector status",
        proof=Proof.GONE,
    ),
    FindingKind.CONNECTOR_LOSES: Rule(
        blocks=False,
        unready=True,
        doubt="every change that came while it ran so",
        remedy="sync-worker connector apply",
        proof=Proof.GONE,
    ),
    FindingKind.TOPIC_LOSES: Rule(
        blocks=False,
        unready=False,
        doubt="changes that an outage keeps from being read",
        remedy="kafka-configs.sh --alter --entity-type topics --entity-name {subject} --add-config {settings}",
        proof=Proof.GONE,
    ),
    FindingKind.WATCH_BLIND: Rule(
        blocks=False,
        unready=False,
        doubt="whatever is lost at {subject} meanwhile: nobody looks",
        remedy="sync-worker check",
        proof=Proof.GONE,
    ),
    FindingKind.DRIFT: Rule(
        blocks=False,
        unready=False,
        doubt="documents of {subject}: some are not what their rows say",
        remedy=_shown_by_drift("--repair", FindingKind.DRIFT),
        proof=Proof.COMPARISON,
    ),
}


_LOSSES = frozenset(
    kind.value
    for kind in (
        FindingKind.CHANGES_LOST,
        FindingKind.DELETES_UNPROVEN,
        FindingKind.ROWS_CHANGED_UNSEEN,
        FindingKind.REPLICA_IDENTITY_CHANGED,
        FindingKind.LATE_WRITE_NOT_UNDONE,
        FindingKind.TASKS_UNSEEN,
    )
)

KEPT_WORDS = 4000
"""Characters of what was told of one loss that stay before the newest words: one that repeats for a year is still one row."""


def keeps_words(kind: str) -> bool:
    """Whether each sighting of an open finding is a loss of its own: what was told first stays beside what is told next.

    What the watch compares with is recorded once it is told, so that the next look tells only what is still to be seen.
    """
    return kind in _LOSSES


def found(kind: FindingKind, subject: str, evidence: str, *, now: float, **words: object) -> Finding:
    """A finding as it is stored.

    Args:
        now: seconds since 1970.
        words: what the kind's templates need beside the subject. Raises KeyError for one that is missing.
    """
    rule = RULES[kind]
    doubt = rule.doubt.format(subject=subject, **words)
    remedy = rule.remedy.format(subject=subject, **words)
    return Finding(kind.value, subject, evidence, doubt, remedy, rule.blocks, now, now)


def needed(kind: FindingKind, subject: str, evidence: str) -> OperatorNeeded:
    """The error to raise where nothing may be written before somebody decided."""
    return OperatorNeeded(evidence, kind=kind.value, subject=subject, remedy=RULES[kind].remedy.format(subject=subject))


def rule_of(kind: str) -> Rule | None:
    """None for a kind that another version wrote."""
    try:
        return RULES[FindingKind(kind)]
    except ValueError:
        return None


def leaves_unready(finding: Finding) -> bool:
    """Whether `/readyz` shows it. A kind that another version wrote counts by whether it blocks."""
    rule = rule_of(finding.kind)
    return finding.blocking or (rule is not None and rule.unready)
