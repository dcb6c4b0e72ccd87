"""Of each feature that carries the price's or the volume's size, the twin that does not."""

from __future__ import annotations

from crypto_bot.features.catalogue import ALIASES, EVERY_FAMILY, feature
from crypto_bot.features.own import own_features

_TWINS = {
    "atr_sma_{}_{}": "atr_sma_frac_{}_{}",
    "atr_{}": "atr_frac_{}",
    "bb_lower_{}": "close_to_bb_lower_{}",
    "bb_upper_{}": "close_to_bb_upper_{}",
    "donchian_high_{}": "close_to_donchian_high_{}",
    "donchian_low_{}": "close_to_donchian_low_{}",
    "ema_{}": "close_to_ema_{}",
    "gma_{}": "close_to_gma_{}",
    "keltner_lower_{}": "close_to_keltner_lower_{}",
    "keltner_upper_{}": "close_to_keltner_upper_{}",
    "linreg_deviation_{}": "linreg_deviation_frac_{}",
    "linreg_slope_{}": "linreg_slope_frac_{}",
    "linreg_{}": "close_to_linreg_{}",
    "macd_hist_{}_{}_{}": "macd_hist_frac_{}_{}_{}",
    "macd_line_{}_{}": "macd_line_frac_{}_{}",
    "macd_signal_{}_{}_{}": "macd_signal_frac_{}_{}_{}",
    "obv": "obv_frac_20",
    "pivot": "close_to_pivot",
    "sma_{}": "close_to_sma_{}",
    "true_range_{}": "true_range_frac_{}",
    "volume_sma_{}": "volume_ratio_{}",
    "vwap_{}": "close_to_vwap_{}",
}
"""Families with a unit, and the family without that says the same beside the close."""


def stationary_twin(name: str) -> str | None:
    """The feature that says the same without the size of prices or volumes.

    Parameters
    ----------
    name : a feature's name, with any window, longer timeframe and lag, which the twin keeps

    Returns
    -------
    The twin's name; `name` itself if it carries no such size already; None where nobody knows: raw
    columns (ask for a return) and own features.

    Raises
    ------
    ConfigError    if no feature is called so, or the twin cannot have the window

    Notes
    -----
    A twin's value stays the same, to 1e-9, when all prices are multiplied by one number and all
    volumes by another: what one pair teaches holds for a pair at another price.

    >>> stationary_twin("sma_50"), stationary_twin("atr_14@1h~3"), stationary_twin("rsi_14")
    ('close_to_sma_50', 'atr_frac_14@1h~3', 'rsi_14')
    >>> stationary_twin("obv"), stationary_twin("close@1d")
    ('obv_frac_20', None)
    """
    feature(name)
    ends = [at for at in (name.find("@"), name.find("~")) if at >= 0]
    plain = name[: min(ends)] if ends else name
    twin = _plain_twin(plain)
    if twin is None:
        return None
    whole = twin + name[len(plain) :]
    feature(whole)
    return whole


def _plain_twin(plain: str) -> str | None:
    if plain in own_features():
        return None
    full = ALIASES.get(plain, plain)
    for family in EVERY_FAMILY:
        match = family.pattern.fullmatch(full)
        if match is not None:
            twin = _TWINS.get(family.template)
            return plain if twin is None else twin.format(*match.groups())
    return None
