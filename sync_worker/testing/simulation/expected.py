"""The dangerous states that many runs must reach: one that none reaches is one that nobody looks at."""

from __future__ import annotations

MUST_BE_REACHED = frozenset(
    {
        "a TRUNCATE that was read again empties the index",
        "a batch fails while later ones wait",
        "a commit is lost",
        "a commit is refused",
        "a dead letter is sent twice",
        "a late clear arrives",
        "a lost request's write arrives",
        "a merged batch fails as a whole",
        "a recorded failure is acknowledged",
        "a row read from the source is ahead of the log",
        "a worker dies between a dead letter and its acknowledgement",
        "a zombie's write arrives",
        "an older document heals",
        "an older document is shown",
        "finding: failure-flood",
        "finding: foreign-write",
        "finding: late-write-not-undone",
        "finding: log-replaced",
        "finding: sink-lost-memory",
        "finding: truncate-over-partitions",
        "memory is full",
        "partitions change hands while tasks are unfinished",
        "records are delivered again",
        "retention takes what was not read",
        "tasks of two workers merge",
        "tasks of two workers merge and fail",
    }
)
