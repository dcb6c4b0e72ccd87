"""Another program trains: judged by our folds on candles it was not given, refused where it cannot be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crypto_bot.backtest.external_trainer import ExternalTrainer, external_recipe, read_back
from crypto_bot.backtest.file_training import FILE_FEATURES
from crypto_bot.backtest.per_symbol import train_symbols
from crypto_bot.backtest.recipes import three_class
from crypto_bot.backtest.retraining import EXTERNAL, recipe_of
from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.dataset import build_dataset
from crypto_bot.market import BarStore, SimulationOptions, simulate_market
from crypto_bot.splits import WalkForwardOptions, split_dataset
from crypto_bot.training import LightGBMOptions, LightGBMTrainer
from crypto_bot.validation import out_of_sample
from small_runs import small_bench

MARKET = simulate_market(
    SimulationOptions(seed=4, symbols=1, timeframe="15m", bars=45 * 96, outages_per_year=0)
)
SCRIPT = """#!{python}
import hashlib, json, os, shutil, sys
from pathlib import Path
words = sys.argv[1:]
given = dict(zip(words[1::2], words[2::2]))
here = Path({folder!r})
with (here / "calls.jsonl").open("a") as log:
    rows = open(given["--file"]).read().splitlines()
    hidden = sorted(k for k in os.environ if k.startswith(("SUPABASE", "CRYPTO_BOT")))
    log.write(json.dumps([words, rows[-1], len(rows) - 1, hidden]) + "\\n")
out = Path(given["--outdir"])
out.mkdir()
{body}
"""
WRITES = """
content = (here / "model.txt").read_bytes()
(out / "m_regime_lgbm.txt").write_bytes(content)
metadata = json.loads((here / "metadata.json").read_text())
metadata["hash"] = "sha256:" + hashlib.sha256(content).hexdigest()
(out / "m_metadata.json").write_text(json.dumps(metadata))
print("trained")
"""


@pytest.fixture
def program(tmp_path):
    """Makes a program of the body given; the model that it hands out was trained once, here."""

    def make(body: str = WRITES, **metadata: object) -> Path:
        path = tmp_path / "program.py"
        path.write_text(SCRIPT.format(python=sys.executable, folder=str(tmp_path), body=body))
        path.chmod(0o755)
        told = {"feature_list": list(FILE_FEATURES), "label_order": [-1, 0, 1], "horizon": "15m"}
        (tmp_path / "metadata.json").write_text(json.dumps({**told, **metadata}))
        return path

    return make


@pytest.fixture
def bench(tmp_path, program):
    with small_bench(
        tmp_path, **{"ml_integration.cointrainer_path": str(tmp_path / "program.py")}
    ) as found:
        program()
        (bars,) = MARKET
        (tmp_path / "model.txt").write_bytes(fitted(found, bars).files["model.txt"])
        yield found


def rows_of(bench, bars):
    return build_dataset([bars], feature_names=FILE_FEATURES, labels=three_class(bench))


def fitted(bench, bars):
    options = LightGBMOptions(n_estimators=2, num_leaves=4, n_jobs=1)
    return LightGBMTrainer(options).fit(rows_of(bench, bars))


def calls(folder: Path) -> list[list[object]]:
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


def test_each_fold_is_given_candles_that_end_before_what_it_is_judged_on(bench, tmp_path):
    (bars,) = MARKET
    rows = rows_of(bench, bars)
    splits = split_dataset(rows, WalkForwardOptions(folds=2))
    found = out_of_sample(rows, ExternalTrainer(bench, bars), splits)
    assert found.is_tested.sum() == sum(len(split.test) for split in splits)
    said = calls(tmp_path)
    assert len(said) == len(splits)
    for (words, last, count, hidden), split in zip(said, splits, strict=True):
        known_ns = int(rows.label_end_ns[split.train].max())
        assert count == len(bars.closed_by(known_ns)) < len(bars)
        last_open = np.datetime64(str(last).split(",")[0][:19], "ns").astype(np.int64)
        assert last_open + bars.interval_ns <= known_ns < split.test_start_ns
        assert words[0] == "csv-train"
        assert "--publish" not in words
        options = dict(zip(words[1::2], words[2::2], strict=False))
        assert (options["--symbol"], options["--device-type"]) == ("BTC/USDT", "cpu")
        assert (options["--horizon"], options["--hold"]) == ("15", "0.0015")
        assert hidden == []


def test_training_a_symbol_runs_it_publishes_a_candidate_and_says_whose_it_is(
    bench, tmp_path, monkeypatch
):
    monkeypatch.setenv("SUPABASE_KEY", "service-key-of-ours")
    BarStore(bench.settings.data.store_folder).append(MARKET[0])
    told: list[str] = []
    (result,) = train_symbols(bench, ["BTC/USDT"], data=None, announce=told.append)
    assert result["error"] is None, result
    assert (result["promoted"], len(calls(tmp_path))) == (False, 3)
    card = bench.registry_of(True).show("BTC/USDT", result["version"]).card
    assert card.options[EXTERNAL] == str(tmp_path / "program.py")
    assert recipe_of(card) is None
    # Two folds, then all of the development stretch: the hold-out is in no file.
    newest = max(str(last).split(",")[0] for _, last, *_ in calls(tmp_path))
    assert newest < str(np.datetime64(int(MARKET[0].close_time[-1]) - 2 * 86_400 * 10**9, "ns"))
    assert all(hidden == [] for *_, hidden in calls(tmp_path))


BODIES = {
    "fails": ("print('no memory left'); sys.exit(9)", "exit code 9; it said: no memory left"),
    "silent": ("sys.exit(1)", "exit code 1; it said nothing"),
    "writes nothing": ("pass", "must write one LightGBM text .* wrote 0 and 0"),
    "pickles": (
        "(out / 'm_regime_lgbm.pkl').write_bytes(b'x'); (out / 'metadata.json').write_text('{}')",
        "m_regime_lgbm.pkl: a pickle can run code and is never opened",
    ),
    "wrong hash": (
        WRITES + "(out / 'm_regime_lgbm.txt').write_bytes(content + b' ')",
        "must have the sha256 of its metadata",
    ),
    "no json": (WRITES + "(out / 'm_metadata.json').write_text('{')", "must be JSON, was not"),
    "key in its words": ("print(os.environ['PATH'] and 'sb_secret_abc'); sys.exit(2)", r"\*\*\*\*"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_program_that_fails_is_refused_with_what_it_said_last(bench, program, name):
    body, message = BODIES[name]
    program(body)
    (bars,) = MARKET
    with pytest.raises(ModelError, match=message) as caught:
        ExternalTrainer(bench, bars).fit(rows_of(bench, bars))
    assert "sb_secret_abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"feature_list": ["obv"]}, "had obv; obv depends on where a file begins"),
        ({"feature_list": None}, "feature_list must be a list of names, was None"),
        ({"label_order": [1, 0, -1]}, r"label_order must be \[-1, 0, 1\], was \[1, 0, -1\]"),
        ({"feature_list": [*reversed(FILE_FEATURES)]}, "must equal the model file's"),
    ],
)
def test_a_model_of_another_schema_is_refused(bench, program, metadata, message):
    program(WRITES, **metadata)
    (bars,) = MARKET
    with pytest.raises(ModelError, match=message):
        ExternalTrainer(bench, bars).fit(rows_of(bench, bars))


def test_a_program_that_takes_too_long_is_ended_with_what_it_started(
    bench, tmp_path, program, monkeypatch
):
    program(
        "import signal, subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "(here / 'child').write_text(str(child.pid))\n"
        "print('working', flush=True)\n"
        "signal.pause()"
    )
    (bars,) = MARKET
    trainer = ExternalTrainer(bench, bars)
    monkeypatch.setattr(trainer, "_limit_s", 8.0)
    with pytest.raises(ModelError, match=r"must train within 8 s, did not; .*it said: working"):
        trainer.fit(rows_of(bench, bars))
    state = Path("/proc") / (tmp_path / "child").read_text() / "stat"
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_program_that_is_not_there_is_named(tmp_path):
    with (
        small_bench(tmp_path, **{"ml_integration.cointrainer_path": "no-such-trainer"}) as bench,
        pytest.raises(ConfigError, match="must name an executable, was 'no-such-trainer'"),
    ):
        external_recipe(bench, MARKET[0])


def test_links_out_of_the_folder_are_refused(tmp_path):
    (tmp_path / "real.bin").write_bytes(b"tree\n")
    models = tmp_path / "models"
    models.mkdir()
    (models / "m.txt").symlink_to(tmp_path / "real.bin")
    (models / "metadata.json").write_text("{}")
    with pytest.raises(ModelError, match="must be a file of at most"):
        read_back(models)


def test_the_candles_given_are_those_of_the_store(bench, tmp_path, program):
    program(WRITES + "shutil.copy(given['--file'], here / 'seen.csv')")
    (bars,) = MARKET
    ExternalTrainer(bench, bars).fit(rows_of(bench, bars))
    seen = pl.read_csv(tmp_path / "seen.csv")
    assert seen["close"].to_list() == bars.close[: len(seen)].tolist()
