"""What a command says before its work."""

from __future__ import annotations

import pytest

from backtest.tiny import bench_in
from crypto_bot.backtest import workbench


@pytest.mark.parametrize("is_first", [True, False])
def test_the_first_run_says_that_it_compiles_and_later_ones_do_not(tmp_path, monkeypatch, is_first):
    monkeypatch.setattr(workbench, "kernels_were_cached", lambda: not is_first)
    with bench_in(tmp_path) as bench:
        assert (workbench.COMPILES in bench.start_lines()) is is_first
