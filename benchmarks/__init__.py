"""Figures of this project: each `bench_*.py` has `run() -> list[dict]` of name, value, unit, target, holds."""
