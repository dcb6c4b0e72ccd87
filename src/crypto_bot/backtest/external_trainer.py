"""Another program trains (`ml_integration.cointrainer_path`); our own walk-forward and gate judge it.

The program is run once a fold on a candle file that ends where the fold's training rows end, so
what it predicts of the fold's test rows it cannot have seen, whatever it does inside.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from crypto_bot.backtest.file_training import file_recipe
from crypto_bot.backtest.logs import masked
from crypto_bot.backtest.recipes import Recipe
from crypto_bot.backtest.retraining import EXTERNAL
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.config import Settings
from crypto_bot.core import Bars
from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.dataset import Dataset
from crypto_bot.predictors import LIGHTGBM, LIGHTGBM_FILE
from crypto_bot.training import TrainedModel
from crypto_bot.training.trainers import rebuilt_predictor

OURS = "cointrainer"
"""The default of `ml_integration.cointrainer_path`: training in our own processes."""
_LAST_LINES = 5
_SIZE_LIMIT_BYTES = 256 * 2**20
_NOT_PASSED_ON = ("SUPABASE", "CRYPTO_BOT")
"""Environment that is ours: keys, and settings that would make it write to our journal."""


def is_external(settings: Settings) -> bool:
    """Whether another program is to train."""
    return settings.ml_integration.cointrainer_path != OURS


def external_recipe(bench: Workbench, bars: Bars) -> Recipe:
    """What the configured program learns of a symbol's candles. ConfigError if it is not there."""
    return file_recipe(bench, bars.symbol, ExternalTrainer(bench, bars))


def found_executable(name: str) -> str | None:
    """The path of a program on PATH or in this environment; None if it is not there."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


class ExternalTrainer:
    """A program with the trainer's `csv-train`, as a `Trainer`.

    Parameters
    ----------
    bars : Bars     the symbol's candles; `fit` passes on those known when its last label was known

    Notes
    -----
    It is not told to publish: what our gate says decides that. It gets no key of ours.
    """

    def __init__(self, bench: Workbench, bars: Bars) -> None:
        path = bench.settings.ml_integration.cointrainer_path
        program = found_executable(path)
        if program is None:
            raise ConfigError(
                "ml_integration.cointrainer_path must name an executable, was "
                f"{path!r}; leave it {OURS!r} to train in our own processes"
            )
        self._program = program
        self._bars = bars
        self._limit_s = bench.settings.loop.step_deadline_minutes * 60
        self._device = bench.settings.training_device(bench.gpu)
        self._settings = bench.settings.ml_integration
        self._jobs = self._settings.training.n_jobs or bench.settings.workers

    @property
    def name(self) -> str:
        """Such as 'external (/opt/trainer)'."""
        return f"external ({self._program})"

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Run the program on the candles that these rows and their labels are made of.

        Raises
        ------
        ModelError    it failed, took too long, or wrote no model that can be read without pickle
        """
        known = self._bars.closed_by(int(dataset.label_end_ns.max()))
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="external-trainer-") as folder:
            place = Path(folder)
            known.to_pandas().to_csv(place / "candles.csv")
            self._run(self._words(place), place)
            metadata, content = read_back(place / "models")
        names = _checked_schema(metadata, dataset)
        files = {LIGHTGBM_FILE: content}
        predictor = rebuilt_predictor(LIGHTGBM, dataset.columns(names), files)
        told = {name: metadata.get(name) for name in ("horizon", "thresholds", "schema_version")}
        return TrainedModel(
            predictor=predictor,
            files=files,
            importance=dict.fromkeys(names, 1.0 / len(names)),
            model_type=LIGHTGBM,
            options={EXTERNAL: self._program, "said": told},
            device=f"{self._device}, by {self._program}",
            seconds=time.perf_counter() - start,
            seed=0,
            evidence={"importance": "not told by the program, taken as even"},
        )

    def _words(self, place: Path) -> list[str]:
        label, training = self._settings.features, self._settings.training
        options = {
            "--file": place / "candles.csv",
            "--symbol": self._bars.symbol,
            "--horizon": f"{label.horizon_minutes:g}",
            "--hold": f"{label.hold_threshold:g}",
            "--device-type": self._device,
            "--max-bin": training.max_bin,
            "--n-jobs": self._jobs,
            "--outdir": place / "models",
        }
        given = [str(word) for pair in options.items() for word in pair]
        return [self._program, "csv-train", *given, "--no-write-predictions"]

    def _run(self, words: Sequence[str], place: Path) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)
        }
        with (place / "said.txt").open("w+b") as said:
            try:
                process = subprocess.Popen(
                    words,
                    cwd=place,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise ModelError(
                    f"{self._program} must start, did not: {error.strerror}"
                ) from error
            try:
                code = process.wait(self._limit_s)
            except subprocess.TimeoutExpired as error:
                raise ModelError(
                    f"{self._program} must train within {self._limit_s:g} s, did not; "
                    f"raise loop.step_deadline_minutes{_last_lines(said)}"
                ) from error
            finally:
                _end(process)
            if code != 0:
                raise ModelError(
                    f"{self._program} must train, ended with exit code {code}{_last_lines(said)}"
                )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it started, whatever made us stop waiting."""
    if process.poll() is None:
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_lines(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").split("\n")
    last = [line.strip() for line in lines if line.strip()][-_LAST_LINES:]
    return masked(f"; it said: {' | '.join(last)}") if last else "; it said nothing"


def read_back(folder: Path) -> tuple[Mapping[str, Any], bytes]:
    """The metadata and the LightGBM text that a `csv-train` left in a folder.

    Raises ModelError where one is missing or too large, the metadata is no JSON, its sha256 is of
    another file, or the model is a pickle, which can run code and is never opened.
    """
    found = sorted(folder.glob("*metadata.json"))
    models = sorted(folder.glob("*.txt"))
    if len(models) != 1 or len(found) != 1:
        pickles = ", ".join(path.name for path in sorted(folder.glob("*.pkl")))
        why = f" but {pickles}: a pickle can run code and is never opened" if pickles else ""
        raise ModelError(
            "external trainer must write one LightGBM text (.txt) and one *metadata.json, wrote "
            f"{len(models)} and {len(found)}{why}; use one that saves the booster as text"
        )
    for path in (models[0], found[0]):
        if path.is_symlink() or path.stat().st_size > _SIZE_LIMIT_BYTES:
            raise ModelError(f"{path.name} must be a file of at most {_SIZE_LIMIT_BYTES} bytes")
    content = models[0].read_bytes()
    try:
        metadata = json.loads(found[0].read_bytes())
    except ValueError as error:
        raise ModelError(f"{found[0].name} must be JSON, was not: {error}") from error
    if not isinstance(metadata, dict):
        raise ModelError(f"{found[0].name} must be a JSON object, was a {type(metadata).__name__}")
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if metadata.get("hash", digest) != digest:
        raise ModelError(f"{models[0].name} must have the sha256 of its metadata, had {digest}")
    return metadata, content


def _checked_schema(metadata: Mapping[str, Any], dataset: Dataset) -> tuple[str, ...]:
    """The model's features, every one of them ours; its classes must be those of the label."""
    names = metadata.get("feature_list")
    if not (isinstance(names, list) and names and all(isinstance(each, str) for each in names)):
        raise ModelError(f"metadata feature_list must be a list of names, was {names!r}")
    unknown = [each for each in names if each not in dataset.feature_names]
    if unknown:
        raise ModelError(
            f"metadata feature_list must be of {', '.join(dataset.feature_names)}, had "
            f"{', '.join(unknown)}; obv depends on where a file begins and cannot be served live"
        )
    if metadata.get("label_order") != list(dataset.classes):
        raise ModelError(
            f"metadata label_order must be {list(dataset.classes)}, was "
            f"{metadata.get('label_order')!r}"
        )
    return tuple(names)
