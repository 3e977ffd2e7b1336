"""Write jars/*.txt anew from pom.xml. For maintainers, after a version changed there; needs Maven (`mvn`).

A line is `group:artifact:version sha256`. The lists name no repository: where to fetch from is the reader's business.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PROFILES = ("kafka", "debezium-postgres")


def closure(profile: str, folder: Path) -> list[str]:
    """Runtime closure of one profile of the pom, as lines of a list, sorted."""
    subprocess.run(
        [
            "mvn",
            "-q",
            "-B",
            "-f",
            str(HERE / "pom.xml"),
            f"-P{profile}",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-Dmdep.useRepositoryLayout=true",
            f"-DoutputDirectory={folder}",
        ],
        check=True,
    )
    lines = []
    for jar in folder.rglob("*.jar"):
        *group, artifact, version, name = jar.relative_to(folder).parts
        if name != f"{artifact}-{version}.jar":
            raise SystemExit(f"{name} has a classifier; the list has no place for one yet")
        lines.append(f"{'.'.join(group)}:{artifact}:{version} {hashlib.sha256(jar.read_bytes()).hexdigest()}")
    return sorted(lines)


def main() -> None:
    for profile in PROFILES:
        with tempfile.TemporaryDirectory() as folder:
            lines = closure(profile, Path(folder))
        (HERE / "jars" / f"{profile}.txt").write_text("\n".join(lines) + "\n")
        print(f"{profile}: {len(lines)} jars")


if __name__ == "__main__":
    main()
