"""What the worker costs beside the part underneath: each figure measures both sides in one run. `python -m benchmarks`."""
