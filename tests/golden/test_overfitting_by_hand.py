"""The probability of backtest overfitting of three trials and four stretches, worked on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crypto_bot.significance import probability_of_backtest_overfitting

MEANS = {"A": (4, 0, 0, 0), "B": (1, 1, 1, 1), "C": (-1, -1, 2, 2)}


def test_six_halvings_by_hand():
    # Every stretch is (mean + 1, mean - 1). Two stretches with means p, q have the Sharpe ratio
    # sqrt(3) x (p + q) / 2 / sqrt(4 + (p - q)^2). In units of sqrt(3):
    #   stretches   1+2    3+4    1+3    2+4    1+4    2+3
    #   A          .447    0     .447    0     .447    0
    #   B          .5     .5     .5     .5     .5     .5
    #   C         -.5     1      .139   .139   .139   .139
    # Chosen on 1+2: B, second of three on 3+4. On 1+3, 1+4, 2+3, 2+4: B, best on the other half.
    # On 3+4: C, last on 1+2. A rank of r is r / 4: logits 0, ln 3 and -ln 3.
    performance = np.array(
        [[mean + side for mean in means for side in (1.0, -1.0)] for means in MEANS.values()]
    ).T
    found = probability_of_backtest_overfitting(performance, groups=4)
    three = math.log(3.0)
    assert found.logits == pytest.approx([0.0, three, three, three, three, -three])
    assert found.probability == pytest.approx(2 / 6)
    assert found.probability_of_loss == pytest.approx(1 / 6)
    # From (.5, .5) five times to (1, -.5) once.
    assert found.degradation_slope == pytest.approx(-2.0)
    assert (found.halvings, found.trials) == (6, 3)
