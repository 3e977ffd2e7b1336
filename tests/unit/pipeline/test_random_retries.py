"""Whatever an operator tries again, and whenever: rows equal documents in the end, nothing older is left over anything newer."""

from __future__ import annotations

from pathlib import Path

import pytest

from .retry_schedule import run


@pytest.mark.parametrize("seed", range(100, 106))
async def test_the_books_balance_with_retries(tmp_path: Path, seed: int) -> None:
    """Retries among changes, deletes, restarts, lost answers, zombies and clears."""
    await run(seed, tmp_path)
