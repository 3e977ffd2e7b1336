"""How glibc's allocator treats what Python frees."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_OWN_MAPPING_FROM_BYTES = 256 * 1024


def give_memory_back() -> None:
    """Return payloads and fetched records to the system when they are freed. To be called before threads allocate.

    Left alone, glibc raises the size from which a block is a mapping of its own to the largest that was ever freed, so that
    payloads of many sizes leave holes in the heap, and keeps up to 64 MB for each thread: over a backlog that was half of the
    worker's memory. Threads share one arena then, which costs nothing: they have the interpreter's lock anyway. Another libc
    has no such switches and needs none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING_FROM_BYTES)
        mallopt(_M_ARENA_MAX, 1)
