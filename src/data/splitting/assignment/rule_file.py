"""``near.parquet``: how the images were divided, so that later stages use the same rule."""

import json
from pathlib import Path

import numpy as np

from src.data.splitting.assignment.rule import SplitRule

KEY = b"assay.split"  # of the metadata of the table
FIELDS = ("method", "rare")


def write_rule(folder: Path, rule: SplitRule) -> None:
    """Write the pairs of near copies (id, other), with the method in the metadata, into ``folder``."""
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"id": rule.near[:, 0], "other": rule.near[:, 1]})
    text = json.dumps({name: getattr(rule, name) for name in FIELDS})
    table = table.replace_schema_metadata({KEY: text.encode()})
    parquet.write_table(table, folder / "near.parquet", compression="zstd")


def read_rule(folder: Path) -> SplitRule:
    """Read what :func:`write_rule` wrote."""
    from pyarrow import parquet

    file = parquet.ParquetFile(folder / "near.parquet")
    columns = file.read().to_pydict()
    near = np.array([columns["id"], columns["other"]], dtype=np.int64).T  # (P, 2)
    return SplitRule(near=near, **json.loads(file.schema_arrow.metadata[KEY]))
