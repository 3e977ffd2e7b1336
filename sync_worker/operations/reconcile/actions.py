"""Each action that may be recommended: its command, cost and risk. Pure."""

from __future__ import annotations

from sync_worker.operations.reconcile.report import Action


def look_into(subject: str, command: str, why: str) -> Action:
    """For a person: nothing that a command could do."""
    return Action(f"look:{subject}", command, why, "reads only", "none", applicable=False)


def run_worker(why: str) -> Action:
    cost = "none; it reads on where the last one stopped"
    return Action("run", "sync-worker run", why, cost, "none: what is read again shows nothing older", applicable=False)


def apply_connector(why: str) -> Action:
    cost = "seconds; a new connector reads every table once"
    risk = "where slot or offsets are gone, deletes of the gap are lost: the watch names the indexes that need a backfill"
    return Action("connector-apply", "sync-worker connector apply", why, cost, risk, applicable=True)


def restart_connector(why: str) -> Action:
    risk = "none for rows; a key change in the very moment is read from the source by the worker"
    return Action("connector-restart", "sync-worker connector restart", why, "seconds without changes", risk, applicable=True)


def create_index(index: str, why: str) -> Action:
    cost = "seconds; the index is empty then, and needs a fill"
    return Action(f"indexes-create:{index}", "sync-worker indexes create", why, cost, "none: live indexes are left alone", False)


def resume(index: str, why: str) -> Action:
    risk = "none, where what it was paused for is over"
    return Action(f"resume:{index}", f"sync-worker resume {index}", why, "what waited is written", risk, applicable=True)


def apply_settings(index: str, why: str, *, reindexing: bool, documents: int, seconds: float) -> Action:
    texts = f"{documents} documents are worked through" if reindexing else "no text is worked through"
    cost = f"{texts}, some {seconds:.0f} s of the server, and writes wait meanwhile"
    risk = "searches of the live index change; where somebody changed it by hand and was right, declare that instead"
    command = f"sync-worker settings apply {index} --acknowledge-live"
    return Action(f"settings-apply:{index}", command, why, cost, risk, applicable=True)


def reindex(index: str, why: str) -> Action:
    cost = "a second index beside the live one, filled from a snapshot: disk for both"
    risk = "none for searches before the cut-over, which is atomic and can be rolled back"
    return Action(f"reindex:{index}", f"sync-worker reindex {index}", why, cost, risk, applicable=False)


def backfill(index: str, why: str, *, prune: bool) -> Action:
    cost = "every row of the table is read and written again, beside the stream"
    risk = (
        "with --prune, documents of rows that are gone are removed after a proof"
        if prune
        else "ghosts stay: --prune removes them"
    )
    command = f"sync-worker backfill {index}{' --prune' if prune else ''}"
    return Action(f"backfill:{index}", command, why, cost, risk, applicable=True)


def rebuild_first(index: str, why: str) -> Action:
    """Beside a rebuild neither a fill nor a second rebuild is begun."""
    command = f"sync-worker reindex {index} --status"
    return Action(f"look:{index}:rebuild", command, why, "reads only; it names the next command", "none", applicable=False)


def drift(index: str, depth: str, why: str) -> Action:
    cost = "reads rows and documents, side by side"
    return Action(
        f"drift:{index}", f"sync-worker drift {index} --{depth}", why, cost, "none: it changes nothing", applicable=False
    )


def repair(index: str, why: str) -> Action:
    command = f"sync-worker drift {index} --repair --yes"
    cost = "reads rows and documents, side by side, and writes those that differ through the stream"
    risk = "ghosts are removed, each after its row was read once more; at most 10,000 documents, else fill the index again"
    return Action(f"drift-repair:{index}", command, why, cost, risk, applicable=True)


def clear_finding(kind: str, index: str, command: str, why: str) -> Action:
    risk = "you say that it is settled; writing goes on"
    return Action(f"decide:{kind}:{index}", command, why, "none", risk, applicable=False)


def retry(index: str, reason: str, count: int, why: str, *, force: bool) -> Action:
    name = f"{'retry-forced' if force else 'retry'}:{index}:{reason}"
    command = f"sync-worker retry --index {index} --class {reason}{' --force' if force else ''} --limit {count} --yes"
    risk = "never older over newer; what fails again stays open with one attempt more"
    if force:
        risk += ", as it does where its cause (the row, the declaration, the settings) is not mended yet"
    return Action(name, command, why, f"{count} writes through the stream", risk, applicable=True)
