"""Lets torchvision's wheel, built for CUDA, be imported beside a CPU build of torch.

Its compiled operators do not load there, and everything that imports torchvision (timm, torchmetrics,
Lightning) dies with ``operator torchvision::nms does not exist``. Declaring the schemas of the two
operators that it registers a Python kernel for is enough for all of torchvision that is Python. Where
the operators load, nothing is declared. Waiting for the first import of torchvision keeps ``import src``
free of torch. The packages that need torchvision install it in their ``__init__``.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


class _FirstImport(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _declare_missing_operators()
        return None


def install() -> None:
    """Fix torchvision when it is first imported in this process; does nothing the second time."""
    waiting = any(isinstance(finder, _FirstImport) for finder in sys.meta_path)
    if "torchvision" not in sys.modules and not waiting:
        sys.meta_path.insert(0, _FirstImport())


def _declare_missing_operators() -> None:
    import torch

    if _compiled_operators_load():
        return
    for name, schema in SCHEMAS.items():
        torch.library.define(f"torchvision::{name}", schema)


def _compiled_operators_load() -> bool:
    import torch

    package = PathFinder.find_spec("torchvision")
    if package is None or package.origin is None:
        return True
    for library in Path(package.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        except OSError:
            return False
    return True
