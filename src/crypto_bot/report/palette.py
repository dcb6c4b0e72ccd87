"""Colours that a colour-blind reader can tell apart, on white and on black."""

BLUE = "#2f86c9"
ORANGE = "#e08a1e"
GREEN = "#1aa37a"
PURPLE = "#b565a7"
SKY = "#62b6e8"
GREY = "#8a8f98"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, GREY)
DIVERGING = ((0.0, "#c9611b"), (0.5, "#f2f2ee"), (1.0, "#1f6fb2"))
"""Losses orange, nothing pale, gains blue."""
LOW_TO_HIGH = ((0.0, BLUE), (0.5, "#9b93a8"), (1.0, ORANGE))
"""A feature's value: every step can be seen on white and on black."""
