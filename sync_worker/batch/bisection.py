"""Finding the documents of a group that make it fail, with few tests when few are bad.

Only groups are tested that decide something: when the first half of a failing group passes, the other half is known to
fail. What was not tested on the way is tested as one group at the end. One bad document among n costs about
log2(n) + 1 tests. What is found are suspects: the caller tries each alone where it counts.
"""

from __future__ import annotations

from collections.abc import Sequence


class Bisection:
    """Ask `next_group`, test it, say `passed` or `failed`; repeat until `next_group` gives None."""

    def __init__(self, document_ids: Sequence[str]) -> None:
        self._failing: list[list[str]] = [list(document_ids)] if document_ids else []
        self._untested: list[str] = []
        self._group: list[str] = []
        self._rest: list[str] = []
        self.suspects: list[str] = []
        self.acquitted: list[str] = []

    def next_group(self) -> Sequence[str] | None:
        while self._failing:
            failing = self._failing.pop()
            if len(failing) == 1:
                self.suspects.extend(failing)
                continue
            middle = (len(failing) + 1) // 2
            self._group, self._rest = failing[:middle], failing[middle:]
            return self._group
        if not self._untested:
            return None
        self._group, self._rest, self._untested = self._untested, [], []
        return self._group

    def passed(self) -> None:
        self.acquitted.extend(self._group)
        if self._rest:
            self._failing.append(self._rest)

    def failed(self, named: str | None = None) -> None:
        """The group failed; `named` is the document that the server's words named, if they did."""
        if named is not None and named in self._group:
            self.suspects.append(named)
            self._untested.extend(document_id for document_id in self._group if document_id != named)
        else:
            self._failing.append(self._group)
        self._untested.extend(self._rest)
