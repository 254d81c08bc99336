"""List the stages and commands of the project, one line each."""

import argparse
import ast
from pathlib import Path

STAGES = (
    *("ingest", "split", "normalize", "sweep", "train", "cross_validate"),
    *("evaluate", "compress", "compare", "benchmark", "register"),
)  # in the order of the pipeline
EPILOG = """\
Run one with    python -m src.NAME
and read more   python -m src.NAME --help
All stages, each only if its inputs have changed:    dvc repro"""


def main() -> None:
    """Print the list. Nothing is imported: the lines are read from the files."""
    parser = argparse.ArgumentParser("python -m src", description=_listing(), epilog=EPILOG)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.usage = "python -m src"
    _, unknown = parser.parse_known_args()
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}. To run a stage: python -m src.NAME")
    print(f"{_listing()}\n\n{EPILOG}")


def _listing() -> str:
    """``NAME  first line of its docstring``, the stages before the commands."""
    modules = {path.stem: path for path in sorted(Path(__file__).parent.glob("[!_]*.py"))}
    commands = [name for name in modules if name not in STAGES]
    return "\n".join(
        [
            "Stages, in the order of the pipeline:",
            *(f"  {name:<15} {_summary(modules[name])}" for name in STAGES),
            "\nCommands:",
            *(f"  {name:<15} {_summary(modules[name])}" for name in commands),
        ]
    )


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


if __name__ == "__main__":
    main()
