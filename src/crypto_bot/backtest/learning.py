"""Learn, and find out whether it is real: dataset, walk-forward, costs, significance, gate, publish."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from functools import partial
from itertools import pairwise

from crypto_bot.backtest.champions import TERMS, champion_evidence
from crypto_bot.backtest.examined import Examined, Learned
from crypto_bot.backtest.recipes import (
    AnyRecipe,
    Recipe,
    SearchRecipe,
    gate_options,
    model_exits,
    sampled,
    taught,
    walk_forward_options,
)
from crypto_bot.backtest.retraining import ROW_WEIGHTS, predictions_of
from crypto_bot.backtest.search_learning import examine_search
from crypto_bot.backtest.trial_record import (
    kept_returns,
    pooled_figures,
    trial_record,
    tried_until,
)
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import Bars, ModelCard
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.timeframes import DAY_NS, iso_time
from crypto_bot.dataset import Dataset, build_dataset, check_defined
from crypto_bot.engine import BacktestResult, SignalExit
from crypto_bot.features import compute_features
from crypto_bot.gate import Verdict, gather_evidence, judge, pool_results
from crypto_bot.journal import Step, Trial, TrialKind
from crypto_bot.registry import FolderRegistry
from crypto_bot.registry import ModelRegistry
