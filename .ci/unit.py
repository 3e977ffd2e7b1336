"""Run the unit tests on Python 3.11 and every later one that this machine has, each in a virtual environment of its own.

Environments live in `.local/venv-X.Y` and are made anew when pyproject.toml or constraints.txt change.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
_PYTHON = re.compile(r"python3\.\d+")
_PROBE = "import sys, ensurepip; print(*sys.version_info[:2], sys.version_info.releaselevel)"


def interpreters() -> dict[tuple[int, int], Path]:
    """Version → interpreter, from PATH and pyenv's folder; a shim that starts nothing, and alphas and betas, do not count."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep) if folder]
    folders += sorted(pyenv.glob("3.*/bin"))
    found: dict[tuple[int, int], Path] = {}
    for folder in folders:
        for program in sorted(folder.glob("python3.*")) if folder.is_dir() else ():
            if _PYTHON.fullmatch(program.name) and (version := _version(program)) and version >= OLDEST:
                found.setdefault(version, program)
    return dict(sorted(found.items()))


def _version(program: Path) -> tuple[int, int] | None:
    try:
        probe = subprocess.run([program, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if probe.returncode:
        return None
    major, minor, level = probe.stdout.split()
    return (int(major), int(minor)) if level == "final" else None


def environment(version: tuple[int, int], program: Path) -> Path:
    """The interpreter of an up-to-date environment for this version: our own where it is ours."""
    if version == sys.version_info[:2]:
        return Path(sys.executable)
    folder = ROOT / ".local" / f"venv-{version[0]}.{version[1]}"
    python = folder / "bin" / "python"
    stamp = folder / ".installed"
    wanted = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing for Python {version[0]}.{version[1]}", file=sys.stderr, flush=True)
        subprocess.run([program, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-c", "constraints.txt", "-e", ".[stack,dev]"], cwd=ROOT, check=True)
        stamp.write_text(wanted)
    return python


def run(version: tuple[int, int], program: Path) -> bool:
    """Whether all passed."""
    python = environment(version, program)
    # One process more than there are processors: a third of the time is waiting.
    processes = str((os.cpu_count() or 1) + 1)
    pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", processes, "tests/unit"]
    return subprocess.run(pytest, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    failed = []
    found = interpreters()
    for version, program in found.items():
        print(f"unit tests on Python {version[0]}.{version[1]}", flush=True)
        if not run(version, program):
            failed.append(f"{version[0]}.{version[1]}")
    if failed:
        print(f"unit tests failed on Python {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
