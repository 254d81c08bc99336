"""Audits in this process, of a repository in which one thing can be changed and put back."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from src.auditing.audit import Audit, RebuildOptions, run_audit
from src.auditing.resolve import Places, resolve_target
from src.auditing.verdict import Check
from src.tracking.mlflow_store import MlflowStore, connect
from tests.support.workspaces import Workspace

CHAMPION = "models:/assay-digits@champion"


class Scene:
    """A finished repository whose MLflow store knows where it lies."""

    def __init__(self, workspace: Workspace, scratch: Path) -> None:
        self.workspace = workspace
        self.scratch = scratch
        self.number = 0

    def __truediv__(self, path: str) -> Path:
        return self.workspace / path

    @property
    def database(self) -> Path:
        return self / "mlflow.db"

    def store(self) -> MlflowStore:
        return connect(self.workspace.folder)

    def audit(
        self, target: str | None = None, wish: RebuildOptions | None = None, key: Path | None = None
    ) -> Audit:
        """What the command finds, without writing anything."""
        self.number += 1
        places = Places(self.workspace.folder, self.scratch / str(self.number), key)
        return run_audit(
            resolve_target(target, places, self.store), wish or RebuildOptions(), False, lambda _: None
        )

    def execute(self, statement: str, *values: object) -> None:
        """Change MLflow's database as its own interface would not allow."""
        with closing(sqlite3.connect(self.database)) as database:
            changed = database.execute(statement, values).rowcount
            database.commit()
        assert changed >= 1, f"nothing was changed by {statement}"

    def ask(self, statement: str, *values: object) -> list[tuple]:
        with closing(sqlite3.connect(self.database)) as database:
            return database.execute(statement, values).fetchall()


@contextmanager
def changed(path: Path, edit: Callable[[bytes], bytes]) -> Iterator[None]:
    """Other bytes in a file, for a while."""
    before, mode = path.read_bytes(), path.stat().st_mode
    after = edit(before)
    assert after != before
    path.chmod(0o644)
    path.write_bytes(after)
    try:
        yield
    finally:
        path.write_bytes(before)
        path.chmod(mode)


def flip_byte(content: bytes) -> bytes:
    """One bit of the byte in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def check_of(found: Audit, name: str) -> Check:
    (check,) = [check for check in found.checks if check.name == name]
    return check


def findings(found: Audit) -> str:
    """All findings, as one text."""
    return "\n".join(
        f"{c.name}: {f.what}: {f.expected} | {f.found} [{f.verdict}]"
        for c in found.checks
        for f in c.evidence.findings
    )
