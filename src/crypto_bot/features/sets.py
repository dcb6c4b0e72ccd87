"""Feature sets: lists of features under a name and a version, as data in YAML files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.features.catalogue import feature
from crypto_bot.features.nodes import Series

_FOLDER = Path(__file__).parent / "sets"
_KEYS = ("name", "version", "description", "features", "longer")
_NEEDED = _KEYS[:-1]
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class FeatureSet:
    """A named, versioned list of features.

    Attributes
    ----------
    name : str                  lower-case letters, digits and _
    version : int               from 1 up; another list is another version
    description : str           what it is for
    features : tuple of str     names in the order of a model's columns
    longer : tuple of str       of them or others, those worth having of longer timeframes too

    Raises
    ------
    ConfigError    if a field breaks a rule, a feature is unknown (the nearest is named) or stands
                   twice, also under two names
    """

    name: str
    version: int
    description: str
    features: tuple[str, ...]
    longer: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"name must be lower-case letters, digits and _, was {self.name!r}; such as my_set"
            )
        if not isinstance(self.version, int) or self.version is True or self.version < 1:
            raise ConfigError(
                f"version must be a whole number from 1 up, was {self.version!r}; count it up when "
                "the list changes"
            )
        if not isinstance(self.description, str) or not self.description.strip():
            raise ConfigError(f"description must say what the set is for, was {self.description!r}")
        if not self.features:
            raise ConfigError("features must hold at least one name, was empty")
        _check_names("features", self.features)
        _check_names("longer", self.longer)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the name, the version, and every feature with its definition in words."""
        identity = [
            *(self.name, self.version),
            *([name, feature(name).definition] for name in (*self.features, *self.longer)),
        ]
        return sha256(json.dumps(identity).encode()).hexdigest()

    def with_longer(self, *timeframes: str) -> tuple[str, ...]:
        """The features, then those of `longer` at each of these timeframes, as `name@timeframe`.

        ConfigError if the set names none for longer timeframes, or a timeframe is malformed.

        >>> load_feature_set("stationary").with_longer("1h", "1d")[-1]
        'volume_ratio_10@1d'
        """
        if timeframes and not self.longer:
            raise ConfigError(
                f"longer of feature set {self.name} must name features for {', '.join(timeframes)}, "
                "was empty"
            )
        added = tuple(f"{name}@{timeframe}" for timeframe in timeframes for name in self.longer)
        _check_names("features", names := (*self.features, *added))
        return names


def feature_sets() -> tuple[str, ...]:
    """Sorted names of the sets that come with the package.

    >>> feature_sets()
    ('bot_v31', 'market', 'stationary', 'trainer')
    """
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load_feature_set(source: str | Path) -> FeatureSet:
    """Read a feature set.

    Parameters
    ----------
    source : the name of one that comes with the package (`feature_sets`), or the path of a YAML file
        with the keys name, version, description, features and, if any, longer

    Raises
    ------
    ConfigError    if there is none, the file is no YAML mapping of these keys, a feature is unknown
                   (the nearest is named) or stands twice

    >>> load_feature_set("trainer").features
    ('ema_8', 'ema_21', 'rsi_14', 'atr_14', 'roc_5', 'obv_frac_20')
    """
    if isinstance(source, str) and source in feature_sets():
        path = _FOLDER / f"{source}.yaml"
    elif isinstance(source, Path) or source.endswith((".yaml", ".yml")):
        path = Path(source)
    else:
        raise ConfigError(
            f"feature set must be one of {', '.join(feature_sets())} or the path of a .yaml file, "
            f"was {source!r}{nearest(source, feature_sets())}"
        )
    return _parsed(_text(path), str(source))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"feature set {path} must be a readable file, was not: {error}"
        ) from error


def _parsed(text: str, source: str) -> FeatureSet:
    values = _mapping(text, source)
    unknown = [key for key in values if key not in _KEYS]
    if unknown:
        raise ConfigError(
            f"feature set {source} must have the keys {', '.join(_KEYS)} only, had "
            f"{unknown[0]!r}{nearest(str(unknown[0]), _KEYS)}"
        )
    lacking = [key for key in _NEEDED if key not in values]
    if lacking:
        raise ConfigError(f"feature set {source} must have {', '.join(lacking)}, had not")
    lists = {key: _list(values.get(key, []), key, source) for key in ("features", "longer")}
    try:
        return FeatureSet(values["name"], values["version"], values["description"], **lists)
    except ConfigError as error:
        raise ConfigError(f"feature set {source}: {error}") from None


def _mapping(text: str, source: str) -> Mapping[Any, Any]:
    """The file's keys and values; a key that stands twice would silently be the last."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"feature set {source} must be YAML, was not: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"feature set {source} must be keys and values, was {type(values).__name__}"
        )
    keys = [key.value for key, _ in getattr(root, "value", [])]
    repeated = [key for key in keys if keys.count(key) > 1]
    if repeated:
        raise ConfigError(
            f"feature set {source} must have each key once, had {repeated[0]!r} twice"
        )
    return values


def _list(values: Any, key: str, source: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise ConfigError(f"{key} of feature set {source} must be a list of names, was {values!r}")
    return tuple(values)


def _check_names(field: str, names: Sequence[str]) -> None:
    """Known, and no computation twice: `daily_return` and `return_1` are one column."""
    seen: dict[Series, str] = {}
    for name in names:
        node = feature(name).node
        if node in seen:
            twice = f"{name!r} twice" if seen[node] == name else f"{seen[node]!r} and {name!r}, one"
            raise ConfigError(f"{field} must differ, had {twice}")
        seen[node] = name
