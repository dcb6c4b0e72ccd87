"""Windows spelled as lag features: `f~19 ... f~1 f` of each feature, oldest first."""

from __future__ import annotations

from collections.abc import Sequence

from crypto_bot.core.errors import ConfigError

LAG_MARK = "~"
"""Between a feature's name and how many bars ago it is meant, as in `rsi_14~3`."""


def sequence_features(names: Sequence[str], look_back: int) -> tuple[str, ...]:
    """The names of a window of `look_back` bars ending at the decision.

    Parameters
    ----------
    names : features without lags
    look_back : bars in a window, >= 1; the last of them is the bar decided on

    Returns
    -------
    tuple of str    for each feature its lags from `look_back - 1` down to 1, then the feature itself

    Raises
    ------
    ConfigError    no name, a name that is a lag already, or look_back < 1

    Notes
    -----
    A lag is NaN wherever a bar in between is missing, so no window of defined values crosses a gap.

    >>> sequence_features(["rsi_14", "bb_width"], 3)
    ('rsi_14~2', 'rsi_14~1', 'rsi_14', 'bb_width~2', 'bb_width~1', 'bb_width')
    """
    if look_back < 1:
        raise ConfigError(f"look_back must be at least 1, was {look_back}")
    lagged = [name for name in names if LAG_MARK in name]
    if lagged or not names:
        raise ConfigError(f"names must be features without lags, were {', '.join(names) or 'none'}")
    return tuple(lag for name in names for lag in (*_lags(name, look_back), name))


def sequence_names(feature_names: Sequence[str], look_back: int) -> tuple[str, ...]:
    """The features whose windows of `look_back` bars the names spell, in order.

    Raises ConfigError unless the names are exactly those of `sequence_features`.
    """
    names = tuple(feature_names[look_back - 1 :: look_back]) if look_back >= 1 else ()
    is_plain = bool(names) and not any(LAG_MARK in name for name in names)
    if not is_plain or tuple(feature_names) != sequence_features(names, look_back):
        some = ", ".join(feature_names[:3]) + (", ..." if len(feature_names) > 3 else "")
        raise ConfigError(
            f"feature_names must be windows of {look_back} bars (such as f~{look_back - 1} ... f~1 f), "
            f"were {len(feature_names)}: {some}; spell them with sequence_features(names, {look_back})"
        )
    return names


def _lags(name: str, look_back: int) -> tuple[str, ...]:
    return tuple(f"{name}{LAG_MARK}{bars}" for bars in range(look_back - 1, 0, -1))
