"""A predictor made of others: how its members' files, schemas and columns are kept apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from crypto_bot.core import Predictor
from crypto_bot.core.arrays import Index, PerBarFeature, PerRowClass
from crypto_bot.core.errors import ModelError
from crypto_bot.predictors.array_file import not_intact, read_names


class Member(NamedTuple):
    """What a file says of a member: how to read its files, and which features it reads."""

    model_type: str
    feature_names: tuple[str, ...]


def prefixed(prefix: str | int, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """A member's files under the name they have among those of the whole: `0.model.txt`."""
    return {f"{prefix}.{name}": content for name, content in files.items()}


def files_of(prefix: str | int, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of one member, under their own names."""
    start = f"{prefix}."
    return {name.removeprefix(start): files[name] for name in files if name.startswith(start)}


def described(members: Sequence[Member]) -> list[dict[str, Any]]:
    """Members as JSON for a schema."""
    return [
        {"model_type": each.model_type, "feature_names": list(each.feature_names)}
        for each in members
    ]


def read_members(schema: Mapping[str, Any], name: str, file: str, kind: str) -> tuple[Member, ...]:
    """Members of a schema. ModelError if it says anything else."""
    entries = schema.get(name)
    is_sound = isinstance(entries, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("model_type"), str) for entry in entries
    )
    if not is_sound or not entries:
        raise not_intact(file, kind, f"{name} are not members")
    return tuple(
        Member(entry["model_type"], read_names(entry, "feature_names", file, kind))
        for entry in entries
    )


def places(names: Sequence[str], wanted: Sequence[str]) -> Index:
    """Column of each wanted feature. ModelError if one is not there."""
    column = {name: k for k, name in enumerate(names)}
    lacking = [name for name in wanted if name not in column]
    if lacking:
        raise ModelError(
            f"feature_names must hold those of every member, lacked {', '.join(lacking)}"
        )
    return np.array([column[name] for name in wanted], dtype=np.int64)


def check_same_classes(members: Sequence[Predictor], classes: tuple[int, ...]) -> None:
    """ModelError unless every member answers for these classes."""
    for member in members:
        if member.classes != classes:
            raise ModelError(f"classes must be every member's, were {classes}, {member.classes}")


def ask(member: Predictor, matrix: PerBarFeature, columns: Index) -> PerRowClass:
    """A member's answer to the columns it reads."""
    return member.predict_proba(np.ascontiguousarray(matrix[:, columns]))
