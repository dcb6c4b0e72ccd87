"""Options that training and simulating commands share; nothing is imported for them."""

from __future__ import annotations

import argparse


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """What the trainer's label is."""
    parser.add_argument(
        "--horizon",
        type=float,
        default=15,
        metavar="MINUTES",
        help="how far the label looks ahead (default: 15)",
    )
    parser.add_argument(
        "--hold",
        type=float,
        default=0.0015,
        metavar="FRACTION",
        help="returns within +-hold are 'flat' (default: 0.0015)",
    )


def add_device_options(parser: argparse.ArgumentParser, *, jobs: int = 0) -> None:
    """Where and how LightGBM trains; `jobs` is the default of --n-jobs."""
    parser.add_argument(
        "--device-type",
        choices=("cpu", "gpu", "cuda"),
        default="gpu",
        help="default: gpu; falls back to cpu and says so",
    )
    parser.add_argument("--max-bin", type=int, default=63, help="LightGBM max_bin (default: 63)")
    parser.add_argument("--n-jobs", type=int, default=jobs, help="threads; 0 = all (default)")
