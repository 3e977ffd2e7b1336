"""`python -m sync_worker.testing.stack up|down|status`."""

from __future__ import annotations

import argparse
import sys

from sync_worker.testing.stack import StackError, default_home, down, remove_orphans, up, what_was_real
from sync_worker.testing.stack.lifecycle import status


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sync_worker.testing.stack", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status"])
    command = parser.parse_args().command
    home = default_home()
    try:
        if command == "up":
            stack = up(home)
            print(what_was_real(stack))
            print(f"addresses and keys: {home / 'env'}")
        elif command == "down":
            down(home)
            remove_orphans(home)
        else:
            lines = status(home)
            print("\n".join(lines) if lines else "nothing is running")
            return 0 if lines else 3
    except StackError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
