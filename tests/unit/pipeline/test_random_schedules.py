"""Whatever comes in whatever order: rows equal documents in the end, and nothing was acknowledged too early."""

from __future__ import annotations

from pathlib import Path

import pytest

from .schedule import run


@pytest.mark.parametrize("seed", range(8))
async def test_the_books_balance(tmp_path: Path, seed: int) -> None:
    """All invariants of the cycle at once, on a schedule that nobody thought of."""
    await run(seed, tmp_path)
