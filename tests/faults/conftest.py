from __future__ import annotations

import sys
from pathlib import Path

# What runs the whole chain lies beside the acceptance tests.
sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
