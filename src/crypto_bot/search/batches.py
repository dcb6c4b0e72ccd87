"""The files of a study: one Parquet a finished batch, written beside and renamed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from crypto_bot.core.errors import StorageError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.engine import SWEEP_SCHEMA, ExitOptions
from crypto_bot.search.samplers import Suggestion
from crypto_bot.search.space import Setting

ROW_SCHEMA = pl.Schema([*SWEEP_SCHEMA.items(), ("reason", pl.String())])
"""A setting on one bars: what `sweep` says, or why it could not run."""
_RECORD = [(name, pl.String()) for name in ("exits", "raw", "notes")]
BATCH_SCHEMA = pl.Schema([("trial", pl.Int64()), *ROW_SCHEMA.items(), *_RECORD])


@dataclass(frozen=True)
class KeptTrial(Suggestion):
    """A trial that was finished, with its rows."""

    rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ROW_SCHEMA), repr=False)


def trial_rows(trial: int, suggestion: Suggestion, rows: pl.DataFrame) -> pl.DataFrame:
    """A setting's rows with all that a sampler must be told again."""
    exits = suggestion.setting.exits.model_dump(mode="json")
    record = {"exits": exits, "raw": suggestion.raw, "notes": suggestion.notes}
    texts = {
        name: pl.lit(json.dumps(dict(value), sort_keys=True)) for name, value in record.items()
    }
    named = rows.select(*ROW_SCHEMA.names()).with_columns(trial=pl.lit(trial, pl.Int64), **texts)
    return named.select(BATCH_SCHEMA.names())


class BatchFiles:
    """The folder of one study."""

    def __init__(self, root: Path, study: str, story: Mapping[str, Any]) -> None:
        self.study = study
        self._folder = root / "studies" / study
        self._story = story

    def read(self, number: int) -> list[KeptTrial]:
        """The finished trials of a batch in order; none where there is no such batch."""
        path = self._path(number)
        if not path.exists():
            return []
        try:
            table = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise StorageError(
                f"{path} must be a batch of a study, was not: {error}; remove it to compute it again"
            ) from error
        if table.schema != BATCH_SCHEMA:
            raise StorageError(
                f"{path} must have the columns of a batch, had others; remove it to compute it again"
            )
        return [_kept(rows) for _, rows in table.group_by("trial", maintain_order=True)]

    def write(self, number: int, rows: pl.DataFrame) -> None:
        """Keep a finished batch; raises StorageError where the folder cannot be written."""
        if not (self._folder / "study.json").exists():
            write_json(self._folder / "study.json", {"study": self.study, **self._story})
        content = BytesIO()
        rows.write_parquet(content, compression="zstd")
        write_file(self._path(number), content.getvalue())

    def _path(self, number: int) -> Path:
        return self._folder / f"batch-{number:06d}.parquet"


def _kept(rows: pl.DataFrame) -> KeptTrial:
    first = rows.row(0, named=True)
    setting = Setting(json.loads(first["parameters"]), ExitOptions(**json.loads(first["exits"])))
    return KeptTrial(setting, json.loads(first["raw"]), json.loads(first["notes"]), rows)
