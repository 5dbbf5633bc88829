"""Rows that many processes compute and write in parts; the finished parts are the state from which a run resumes.

    parts = Parts(work.resume / "parts", ("label", "index"))
    for keys in parts.missing(wanted, batch): parts.write(compute(keys))
    table = parts.whole()

A row is identified by its key columns, so a resumed run may use another batch size.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ddb.lazy import np, pa, pq


class Parts:
    """A folder of Parquet files, each written atomically."""

    def __init__(self, folder: Path, keys: tuple[str, ...]):
        self.folder, self.keys = folder, keys
        folder.mkdir(exist_ok=True)

    def missing(self, wanted: Iterable[tuple[int, ...]], size: int) -> list[pa.Table]:
        """The keys of `wanted` that no part contains, in their order, `size` to a table."""
        tables = (pq.read_table(path, columns=list(self.keys)) for path in self.folder.glob("*.parquet"))
        have = {key for table in tables for key in zip(*(table[name].to_pylist() for name in self.keys), strict=True)}
        left = [key for key in wanted if key not in have]
        blocks = (np.array(left[start : start + size]) for start in range(0, len(left), size))  # (<= size, K) each
        return [pa.table({name: rows[:, i] for i, name in enumerate(self.keys)}) for rows in blocks]

    def write(self, table: pa.Table) -> None:
        """Write one part, named after its first row."""
        first = "-".join(f"{table[name][0].as_py():07d}" for name in self.keys)
        name = f"{first}-{len(table)}.parquet"
        temporary = self.folder / f".{name}-{os.getpid()}"
        pq.write_table(table, temporary)
        os.replace(temporary, self.folder / name)

    def whole(self) -> pa.Table:
        """All rows, sorted by key, each once: parts overlap if a block was retried after it had been written."""
        table = pa.concat_tables([pq.read_table(path) for path in sorted(self.folder.glob("*.parquet"))])
        again = table.select(self.keys).to_pandas().duplicated().to_numpy()  # (rows,) bool
        return table.filter(~again).sort_by([(name, "ascending") for name in self.keys])
