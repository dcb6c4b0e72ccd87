"""The workbench: settings, journal and registry of one command, opened once and closed for sure."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from crypto_bot.backtest.gpu_accelerator import get_gpu_info
from crypto_bot.backtest.logs import configure_logging
from crypto_bot.config import Settings, load_settings, secret_values
from crypto_bot.config.effects import compact_lines
from crypto_bot.config.guide import SupabaseSettings
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import Clock, SystemClock
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions
from crypto_bot.feedback import SlippageEstimate
from crypto_bot.journal import Journal
from crypto_bot.kernel_cache import kernels_were_cached
from crypto_bot.registry import FolderStore, ModelRegistry, ObjectStore, Signer
from crypto_bot.trading import PaperOptions, RiskLimits

_LOG = logging.getLogger(__name__)
SIMULATED_SUFFIX = "-simulated"
"""Ends the name of every folder that holds what came from an invented market."""
SIMULATED_PREFIX = "simulated"
"""Beginning of every key of a bucket under which that lies."""
TRAINER_POINTERS = "models/regime"
"""Where readers of the original trainer look for <SYMBOL>/LATEST.json; CT_REGIME_PREFIX changes it."""
COMPILES = "first run here: kernels are compiled as they are needed, about half a minute, once"


@dataclass(frozen=True)
class Workbench:
    """What every stage call of a command needs."""

    settings: Settings
    journal: Journal
    registry: ModelRegistry
    simulated_registry: ModelRegistry
    gpu: Mapping[str, Any]
    log: Path
    clock: Clock = field(default_factory=SystemClock)
    slippage: SlippageEstimate | None = None
    """Of our own fills, charged instead of the configured one; see `own_slippage.charged`."""

    def registry_of(self, is_simulated: bool) -> ModelRegistry:
        """Models that learned from an invented market never stand beside those of a real one."""
        return self.simulated_registry if is_simulated else self.registry

    @property
    def costs(self) -> CostOptions:
        """Fees, slippage and venue limits of every fill."""
        costs = self.settings.costs.of(CostOptions)
        if self.slippage is None or not self.slippage.is_usable:
            return costs
        return costs.replace(slippage_frac=self.slippage.charged_frac)

    @property
    def exits(self) -> ExitOptions:
        """Exits that are configured for every strategy."""
        return self.settings.exits.of(ExitOptions)

    @property
    def sizing(self) -> SizingOptions:
        """How large positions are."""
        return self.settings.sizing.of(SizingOptions)

    def paper_options(self, exits: ExitOptions) -> PaperOptions:
        """Options of a paper session that trades by `exits`."""
        limits = self.settings.risk.of(RiskLimits)
        return PaperOptions(costs=self.costs, exits=exits, sizing=self.sizing, limits=limits)

    def start_lines(self) -> list[str]:
        """Every key without effect here with its reason, on a few lines for a terminal.

        And that this first run compiles, so that nobody takes the wait for a halt.
        """
        found = self.inactive_lines()
        notes = [] if kernels_were_cached() else [COMPILES]
        if not found:
            return notes
        head = f"settings without effect here ({len(found)}; line by line in {self.log.name}):"
        return [head, *(f"  {line}" for line in compact_lines(found)), *notes]

    def inactive_lines(self) -> list[str]:
        """Every key without effect here with its reason, a line each."""
        return self.settings.explain_inactive(gpu=self.gpu)


def open_registries(settings: Settings) -> tuple[ModelRegistry, ModelRegistry]:
    """The registry of real candles' models, and beside it that of simulated ones."""
    signer = Signer.from_environment()
    trusted = settings.registry.trusted_keys
    real, simulated = (
        ModelRegistry(
            _open_store(settings, is_simulated=is_simulated), trusted_keys=trusted, signer=signer
        )
        for is_simulated in (False, True)
    )
    return real, simulated


def _open_store(settings: Settings, *, is_simulated: bool) -> ObjectStore:
    """Where `registry.store` says that models lie: a bucket of Supabase, or a folder."""
    supabase, wanted = settings.ml_integration.supabase, settings.registry.store
    if wanted == "supabase" and not supabase.is_configured:
        raise ConfigError(
            "SUPABASE_URL and SUPABASE_SERVICE_KEY must be set for registry.store: supabase, were "
            "not; set them, or set registry.store: folder"
        )
    if wanted != "folder" and supabase.is_configured:
        return _open_bucket(supabase, is_simulated=is_simulated)
    suffix = SIMULATED_SUFFIX if is_simulated else ""
    return FolderStore(Path(settings.registry.folder + suffix))


def _open_bucket(supabase: SupabaseSettings, *, is_simulated: bool) -> ObjectStore:
    """Models of invented markets below a key of their own, and never where others look for LATEST."""
    from crypto_bot.adapters.supabase_store import SupabaseStore

    pointers = os.environ.get("CT_REGIME_PREFIX") or TRAINER_POINTERS
    return SupabaseStore(
        supabase.url or "",
        SecretStr("") if supabase.key is None else supabase.key,
        supabase.bucket,
        SIMULATED_PREFIX if is_simulated else "",
        courtesy=None if is_simulated else pointers,
    )


@contextmanager
def open_workbench(
    config: str | Path | Mapping[str, Any] | Settings | None,
    *,
    log: str,
    verbose: bool = False,
    foreground: bool = False,
    clock: Clock | None = None,
) -> Iterator[Workbench]:
    """Read the settings, set up the logs, open journal and registry.

    Parameters
    ----------
    config : path, mapping, Settings or None    as for `load_settings`
    log : str                         'backtest' or 'integrated_backtest': the guide's log file
    foreground : bool                 a loop that is watched: its log is on stdout too
    clock : Clock | None              what 'now' is; None: the machine's clock
    """
    settings = config if isinstance(config, Settings) else load_settings(config)
    logging_options = settings.logging
    log_file = configure_logging(
        log,
        Path(logging_options.folder),
        verbose,
        max_bytes=int(logging_options.max_megabytes * 2**20),
        files_kept=logging_options.files_kept,
        secrets=secret_values(settings),
        log_format=settings.operations.log_format,
        foreground=foreground,
    )
    gpu = get_gpu_info()
    clock = SystemClock() if clock is None else clock
    with Journal(settings.journal.url, clock=clock) as journal:
        bench = Workbench(settings, journal, *open_registries(settings), gpu, log_file, clock)
        for line in bench.inactive_lines():
            _LOG.info("%s", line)
        yield bench
