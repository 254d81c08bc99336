"""The part of a command line that every command with a configuration shares; light, for --help."""

import argparse
from typing import Any


class _BelongsToDvc(argparse.Action):
    """Explains ``-S``, which people know from ``dvc exp run``."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        parser.error("-S belongs to dvc exp run. Here, write only the override, such as train.epochs=3")


def add_overrides(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the positional ``overrides``; ``text`` is what ``--help`` says."""
    parser.add_argument("-S", "--set-param", action=_BelongsToDvc, help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help=text)
