"""Makes a torchvision wheel that was built for CUDA importable with a CPU build of torch.

Its compiled operators do not load there, and everything that imports torchvision (timm, torchmetrics,
Lightning) fails with ``operator torchvision::nms does not exist``. It is enough to declare the schemas of
the two operators for which torchvision registers a Python kernel; the rest of it is Python. Where the
operators load, nothing is declared. The work is done when torchvision is first imported, which keeps
``import src`` free of torch. ``src/__init__.py`` calls `install`: every entry point passes it first.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


class _FirstImport:  # a finder of sys.meta_path; importing its base class would take longer than all of this
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
    """Declare the operators when torchvision is first imported; a second call does nothing."""
    waiting = any(isinstance(finder, _FirstImport) for finder in sys.meta_path)
    if "torchvision" not in sys.modules and not waiting:
        sys.meta_path.insert(0, _FirstImport())


def _declare_missing_operators() -> None:
    import torch

    if _compiled_operators_load():
        return
    for name, schema in SCHEMAS.items():
        # declared already if someone looked for torchvision without importing it, which ends a first hook
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)


def _compiled_operators_load() -> bool:
    from pathlib import Path

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
