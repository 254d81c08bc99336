"""Tables of predictions and the like, as arrays."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray


def read_table(path: Path) -> dict[str, NDArray[Any]]:
    """{column: values} of a parquet file."""
    from pyarrow import parquet

    table = parquet.ParquetFile(path).read()
    # copies: torch warns of arrays that cannot be written to
    return {name: table[name].to_numpy().copy() for name in table.column_names}
