"""`Options`: the base of every component's settings. Frozen, typed, unknown names refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from crypto_bot.core.errors import ConfigError, nearest


class Options(BaseModel):
    """Settings of one component; each field carries its default, unit and range in `Field(...)`.

    Building one with a wrong value raises ConfigError naming the field, the rule and the value:

    >>> class CostOptions(Options):
    ...     taker_fee: float = 0.001
    >>> CostOptions(taker_fe=0.1)
    Traceback (most recent call last):
        ...
    crypto_bot.core.errors.ConfigError: taker_fe is not an option of CostOptions; did you mean 'taker_fee'?
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(explain(error, type(self))) from None

    # Nested options must keep their path in the error: pydantic then validates them itself.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, path: str = "") -> Self:
        """Build from a mapping read from a file; errors carry `path` before the field's name."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(explain(error, cls, path=path)) from None

    def replace(self, **changes: Any) -> Self:
        """A checked copy with some fields changed."""
        return type(self)(**{**self.model_dump(), **changes})


def explain(error: ValidationError, options: type[BaseModel], *, path: str = "") -> str:
    """The first fault of a pydantic error in this project's words."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in ((path,) if path else ()) + fault["loc"])
    if fault["type"] == "extra_forbidden":
        owner = _owner(options, fault["loc"])
        return f"{where} is not an option of {owner.__name__}{nearest(str(fault['loc'][-1]), owner.model_fields)}"
    rule = fault["msg"].removeprefix("Input should ").removeprefix("Value error, ")
    if _is_secret(options, fault["loc"]):
        return f"{where} must {rule}, was none (not shown: it may be a secret)"
    return f"{where} must {rule}, was {fault['input']!r}"


def _is_secret(options: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    """Whether the field, or one around it, holds a secret: then no value of it is ever printed."""
    for depth in range(1, len(location) + 1):
        name = str(location[depth - 1])
        field = _owner(options, location[:depth]).model_fields.get(name)
        if field is not None and SecretStr in (field.annotation, *get_args(field.annotation)):
            return True
    return False


def _owner(options: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    owner = options
    for part in location[:-1]:
        field = owner.model_fields.get(str(part))
        annotation = field.annotation if field is not None else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        owner = annotation
    return owner
