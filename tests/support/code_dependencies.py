"""The code that each stage depends on, as DVC sees it: ``make deps`` writes it into ``dvc.yaml``.

    python -m tests.support.code_dependencies            rewrite the code dependencies of every stage
    python -m tests.support.code_dependencies --check    print how much of what each stage lists is unneeded

A stage depends on every module that importing and running it may load, except for what changes no result:
tracking and records, which show them, and ``src/__init__.py``, which readies the process. A folder stands for
its modules where the stage needs at least ``USED`` of its lines.
"""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import grimp

from src.__main__ import STAGES
from tests.support.workspaces import ROOT

USED = 2 / 3  # least share of a folder's lines that the stage needs, for the folder to be listed as one
VIEWS = ("src.tracking", "src.records")
START = "src/__init__.py"
BLOCK = re.compile(r"(?:^ +- src/.*\n)+", re.MULTILINE)


@cache
def import_graph() -> grimp.ImportGraph:
    """Who imports whom at run time."""
    return grimp.build_graph("src", exclude_type_checking_imports=True)


@cache
def closure(stage: str, without: tuple[str, ...] = VIEWS) -> frozenset[str]:
    """Files that running ``src.<stage>`` may load, relative to the repository, ``without`` these packages."""
    found: set[str] = set()
    waiting = [f"src.{stage}"]
    while waiting:
        module = waiting.pop()
        if module in found or module.startswith(without):
            continue
        found.add(module)
        parts = module.split(".")
        waiting += [".".join(parts[:depth]) for depth in range(1, len(parts))]
        waiting += import_graph().find_modules_directly_imported_by(module)
    return frozenset(file for file in map(_file, found) if not (file == START or _is_docstring(file)))


def code_dependencies(stage: str) -> list[str]:
    """The paths for ``dvc.yaml``, the stage's own file first."""
    own = f"src/{stage}.py"
    return [own, *sorted(path for path in _cover(Path("src"), closure(stage)) if path != own)]


def unneeded(path: str, stage: str) -> float:
    """Share of the lines below ``path`` that ``stage`` does not need."""
    lines = {file: _lines(file) for file in _files(Path(path))}
    idle = sum(
        count for file, count in lines.items() if file not in closure(stage) and not _is_docstring(file)
    )
    return idle / max(1, sum(lines.values()))


def with_code_dependencies(text: str) -> str:
    """``dvc.yaml`` with the code dependencies of every stage written again."""
    blocks = iter(STAGES)

    def block(found: re.Match[str]) -> str:
        indent = found[0][: found[0].index("-")]
        return "".join(f"{indent}- {path}\n" for path in code_dependencies(next(blocks)))

    return BLOCK.sub(block, text)


def _cover(folder: Path, needed: frozenset[str]) -> list[str]:
    paths: list[str] = []
    for child in sorted((ROOT / folder).iterdir()):
        path = child.relative_to(ROOT)
        files = _files(path)
        used = [file for file in files if file in needed]
        if not used:
            continue
        needs_all = sum(map(_lines, used)) >= USED * sum(_lines(f) for f in files if not _is_docstring(f))
        paths += [path.as_posix()] if child.is_file() or needs_all else _cover(path, needed)
    return paths


def _files(path: Path) -> list[str]:
    """Python files at or below ``path``."""
    whole = ROOT / path
    found = whole.rglob("*.py") if whole.is_dir() else [whole] if whole.suffix == ".py" else []
    return sorted(file.relative_to(ROOT).as_posix() for file in found)


def _file(module: str) -> str:
    path = Path(*module.split("."))
    return (path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")).as_posix()


@cache
def _lines(file: str) -> int:
    return len((ROOT / file).read_text(encoding="utf-8").splitlines())


def _is_docstring(file: str) -> bool:
    """A package's ``__init__`` that only says what the package is for: it decides nothing."""
    if not file.endswith("__init__.py"):
        return False
    return len(ast.parse((ROOT / file).read_text(encoding="utf-8")).body) <= 1


def main() -> None:
    """Rewrite ``dvc.yaml``, or show what it lists."""
    if "--check" not in sys.argv:
        path = ROOT / "dvc.yaml"
        path.write_text(with_code_dependencies(path.read_text(encoding="utf-8")), encoding="utf-8")
    listed = idle = 0.0
    for stage in STAGES:
        paths = code_dependencies(stage)
        lines = {path: sum(map(_lines, _files(Path(path)))) for path in paths}
        spare = sum(count * unneeded(path, stage) for path, count in lines.items())
        listed, idle = listed + sum(lines.values()), idle + spare
        print(f"{stage:<16} {len(paths):>3} paths, {spare / sum(lines.values()):>4.0%} of the lines unneeded")
    print(f"{'all':<16} {sum(len(code_dependencies(s)) for s in STAGES):>3} paths, {idle / listed:>4.0%}")


if __name__ == "__main__":
    main()
