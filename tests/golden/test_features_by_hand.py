"""Eight bars and their features worked out by hand, as fractions: no code computed these."""

from __future__ import annotations

from math import nan, sqrt

import numpy as np
import pytest

from crypto_bot.core import Bars
from crypto_bot.features import compute_features

OPEN = [10.0, 11.0, 12.0, 12.0, 10.0, 9.0, 12.0, 12.0]
HIGH = [12.0, 12.0, 13.0, 12.0, 11.0, 12.0, 13.0, 12.0]
LOW = [10.0, 11.0, 11.0, 9.0, 8.0, 9.0, 11.0, 12.0]
CLOSE = [11.0, 12.0, 12.0, 10.0, 9.0, 12.0, 12.0, 12.0]
VOLUME = [10.0, 20.0, 0.0, 0.0, 30.0, 40.0, 50.0, 0.0]

# True ranges from bar 1: 1 2 3 3 3 2 0. Typical prices: 11 35/3 12 31/3 28/3 11 12 12.
LEDGER = {
    "sma_3": [nan, nan, 35 / 3, 34 / 3, 31 / 3, 31 / 3, 11, 12],
    # Seed 35/3, then half the way to each close.
    "ema_3": [nan, nan, 35 / 3, 65 / 6, 119 / 12, 263 / 24, 551 / 48, 1127 / 96],
    # Average gain and loss: 1/2 0, 1/4 1, 1/8 1, 25/16 1/2, then no change.
    "rsi_2": [nan, nan, 100, 20, 100 / 9, 2500 / 33, 2500 / 33, 2500 / 33],
    "atr_2": [nan, nan, 3 / 2, 9 / 4, 21 / 8, 45 / 16, 77 / 32, 77 / 64],
    "stoch_k_3": [nan, nan, 200 / 3, 25, 20, 100, 80, 75],
    "stoch_d_3": [nan, nan, nan, nan, 335 / 9, 145 / 3, 200 / 3, 85],
    "bb_upper_3": [
        *(nan, nan, (35 + 2 * sqrt(2)) / 3, (34 + 4 * sqrt(2)) / 3),
        *((31 + 2 * sqrt(14)) / 3, (31 + 2 * sqrt(14)) / 3, 11 + 2 * sqrt(2), 12),
    ],
    "bb_width_3": [
        *(nan, nan, sqrt(2) / 9, 4 * sqrt(2) / 15, 4 * sqrt(14) / 27),
        *(sqrt(14) / 9, sqrt(2) / 3, 0),
    ],
    "return_1": [nan, 1 / 11, 0, -1 / 6, -1 / 10, 1 / 3, 0, 0],
    "roc_2": [nan, nan, 100 / 11, -100 / 6, -25, 20, 100 / 3, 0],
    # The last three returns 1/3 0 0: mean 1/9, squares 4/81 + 1/81 + 1/81 over 2.
    "return_std_3": [
        *(nan, nan, nan, sqrt(223 / 13068), sqrt(19 / 2700)),
        *(sqrt(199 / 2700), sqrt(139 / 2700), sqrt(1 / 27)),
    ],
    "donchian_high_2": [nan, nan, 12, 13, 13, 12, 12, 13],
    "donchian_low_2": [nan, nan, 10, 11, 9, 8, 8, 9],
    "volume_sma_2": [nan, 15, 10, 0, 15, 35, 45, 25],
    "volume_ratio_2": [nan, 4 / 3, 0, nan, 2, 8 / 7, 10 / 9, 0],
    "vwap_2": [nan, 103 / 9, 35 / 3, nan, 28 / 3, 72 / 7, 104 / 9, 12],
    "obv": [10, 30, 30, 30, 0, 40, 40, 40],
    "obv_frac_2": [nan, nan, 1, nan, -1, 1 / 7, 4 / 9, 0],
    # The fast mean is seeded at bar 2 with 12, then goes two thirds of the way to each close.
    "macd_line_2_3": [nan, nan, 1 / 3, -1 / 6, -13 / 36, 49 / 216, 323 / 1296, 1321 / 7776],
}


@pytest.mark.parametrize("name", LEDGER)
def test_a_feature_has_the_values_worked_out_by_hand(name):
    times = np.arange(8) * 60_000_000_000
    columns = map(np.array, (OPEN, HIGH, LOW, CLOSE, VOLUME))
    bars = Bars("BTC/USDT", "1m", times, *columns)
    values = compute_features(bars, [name]).column(name)
    np.testing.assert_allclose(values, LEDGER[name], rtol=1e-13, atol=1e-14)
