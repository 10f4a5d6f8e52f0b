"""Files of the command line: tables with a header, and models."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellsolve.certificate import statement
from cellsolve.data import Array
from cellsolve.measure import SparseMeasure
from cellsolve.problem import Problem
from cellsolve.replacing import replacing

# -- tables -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """A CSV file with a header, its fields still text."""

    path: Path
    names: list[str]
    #: (line in the file, fields)
    rows: list[tuple[int, list[str]]]

    def columns(self, names: Sequence[str]) -> Array:
        """Return columns as numbers, shape (n, len(names)).

        Raises
        ------
        ValueError
            A column that is not there, or a field that is no finite number; both are named.
        """
        for name in names:
            if name not in self.names:
                raise ValueError(f"{self.path} has no column {name!r}; it has {', '.join(self.names)}.")
        places = [self.names.index(name) for name in names]
        result = np.empty((len(self.rows), len(places)))
        for i, (line, fields) in enumerate(self.rows):
            for k, place in enumerate(places):
                result[i, k] = self._number(fields[place], line, names[k])
        return result

    def _number(self, text: str, line: int, name: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            what = repr(text.strip()) if text.strip() else "empty"
            raise ValueError(
                f"{self.path}, line {line}, column {name!r} is {what}, not a finite number; mend or drop that row, "
                "or name the columns to use with --features."
            )
        return value


def read_table(path: str | Path) -> Table:
    """Read a CSV file whose first line names its columns; empty lines are skipped.

    Raises
    ------
    ValueError
        No header, no rows, or a row of another length than the header; the line is named.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, fields) for fields in reader if fields]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV file ({error}).") from error
    if not lines:
        raise ValueError(f"{path} is empty; its first line has to name the columns.")
    (_, header), *rows = lines
    names = [name.strip() for name in header]
    if any(_is_number(name) for name in names):
        raise ValueError(f"{path} has numbers in its first line; a header that names the columns is needed.")
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"{path} has a header with empty or repeated names: {', '.join(map(repr, names))}.")
    if not rows:
        raise ValueError(f"{path} has a header but no rows.")
    for line, fields in rows:
        if len(fields) != len(names):
            raise ValueError(f"{path}, line {line} has {len(fields)} fields, but the header has {len(names)}.")
    return Table(path, names, rows)


def write_table(path: str | Path, names: Sequence[str], columns: Array) -> None:
    """Write a CSV file whose floats are read back bit for bit."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(columns.tolist())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# -- models -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A measure with the names of its columns and the problem that it solves."""

    measure: SparseMeasure
    features: list[str]
    target: str
    problem: dict[str, Any]

    def save(self, path: str | Path) -> None:
        """Write the measure's own file with three keys more, so that `SparseMeasure.load` reads it too."""
        with replacing(path) as draft:
            self.measure.save(draft)
            content = json.loads(draft.read_text(encoding="utf-8"))
            content |= {"features": self.features, "target": self.target, "problem": self.problem}
            draft.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a file written by `save`.

        Raises
        ------
        ValueError
            The file is not such a file.
        """
        measure = SparseMeasure.load(path)
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        missing = [key for key in ("features", "target", "problem") if key not in content]
        if missing:
            raise ValueError(f"{path} has no {', '.join(missing)}; `cellsolve fit` writes models that have them.")
        return cls(measure, content["features"], content["target"], content["problem"])

    @classmethod
    def of(cls, measure: SparseMeasure, problem: Problem, features: Sequence[str], target: str) -> Model:
        """Return the model of a measure that was fitted to `problem`."""
        return cls(measure, list(features), target, statement(problem))


# -- outputs ------------------------------------------------------------------------------------------------------


def refuse_unwritable(*paths: str | Path | None) -> None:
    """Raise at once what writing these files would raise after a long computation."""
    for path in paths:
        if path is None:
            continue
        folder = Path(path).resolve().parent
        if Path(path).is_dir():
            raise ValueError(f"{path} is a folder; name a file.")
        if not folder.is_dir():
            raise ValueError(f"{path} cannot be written: there is no folder {folder}.")
        if not os.access(folder, os.W_OK):
            raise ValueError(f"{path} cannot be written: no permission in {folder}.")
