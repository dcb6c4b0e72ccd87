"""What the pages say is so: code runs, commands and links exist, tables equal the declarations."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import crypto_bot
from crypto_bot.core.options import Options
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, simulate
from crypto_bot.features import forget_feature
from crypto_bot.features.catalogue import ALIASES, FAMILIES
from crypto_bot.features.own import own_features
from crypto_bot.gate import GateOptions
from crypto_bot.market import DownloadOptions, SimulationOptions, simulate_market
from crypto_bot.registry import RegistryLimits
from crypto_bot.report import TradeRecord
from crypto_bot.splits import WalkForwardOptions
from crypto_bot.strategies import get_strategy, list_strategies
from crypto_bot.strategies.base import enrolled
from crypto_bot.trading import RiskLimits
from pages import DOCS, PAGES, README, ROOT, blocks, prose

SOURCES = ROOT / "src"
PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python"]


@pytest.fixture
def nothing_enrolled():
    """Strategies and features that an example adds are taken out again."""
    strategies, features = set(list_strategies()), set(own_features())
    yield
    for name in set(enrolled()) - strategies:
        del enrolled()[name]
    for name in set(own_features()) - features:
        forget_feature(name)


@pytest.mark.parametrize(
    "block", [b for b in PYTHON if b.is_run and b.page != README], ids=lambda block: block.name
)
def test_the_python_of_a_page_runs_by_itself(block, tmp_path, monkeypatch, nothing_enrolled):
    monkeypatch.chdir(tmp_path)
    code = compile(block.code, block.page.name, "exec", dont_inherit=True)
    module = ModuleType("example")  # a class of the example may look its module up
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code, vars(module))


def run_fresh(script: Path, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_ten_lines_of_the_readme_run_in_a_fresh_process(tmp_path):
    (block,) = (block for block in PYTHON if block.page == README)
    wanted = "BarStore compute_features FeatureStream get_strategy simulate sweep open_registry"
    assert [name for name in wanted.split() if f"{name}(" not in block.code.replace(".", "(")] == []
    imports = [line for line in block.code.splitlines() if line.startswith("from ")]
    assert len(block.code.splitlines()) - len(imports) <= 10
    (tmp_path / "ten_lines.py").write_text(block.code, encoding="utf-8")
    assert "sma_cross" in run_fresh(tmp_path / "ten_lines.py", tmp_path)


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_an_example_runs_in_a_fresh_process_and_is_short(example, tmp_path):
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 40
    assert "SIMULATED" in run_fresh(example, tmp_path)
    assert list(tmp_path.iterdir()) == []


# Links, pages, pictures.

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page):
    for link in _LINK.findall(prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link} has no such heading"


def test_every_page_is_in_the_index_and_every_stage_in_the_readme():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = [page.name for page in DOCS if page.name != "index.md"]
    assert [name for name in pages if f"({name})" not in index] == []
    text = README.read_text(encoding="utf-8")
    assert [stage for stage in STAGES if f"`{stage}`" not in text] == []


def test_the_picture_of_the_readme_is_a_small_png():
    picture = ROOT / "docs" / "images" / "report.png"
    assert "(docs/images/report.png)" in README.read_text(encoding="utf-8")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 250_000


# Names, options, families.

STAGES = [module.name for module in pkgutil.iter_modules(crypto_bot.__path__) if module.ispkg]
RECORDS = {"ModelCard", "Gap", "Spike", "QualityReport", "FileRecord", "Manifest", "ChampionEntry"}
"""Options in form only: nobody sets them."""


@pytest.mark.parametrize("stage", STAGES)
def test_a_public_name_says_what_it_is(stage):
    module = importlib.import_module(f"crypto_bot.{stage}")
    assert module.__doc__
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if inspect.isclass(value):
            # Dataclasses and NamedTuples write their own signature where nobody wrote words.
            words = value.__dict__.get("__doc__") or ""
            assert words, f"crypto_bot.{stage}.{name} has no docstring"
            assert not words.startswith(f"{name}("), f"crypto_bot.{stage}.{name} has no docstring"
        elif inspect.isroutine(value) or hasattr(value, "py_func"):
            assert inspect.getdoc(value), f"crypto_bot.{stage}.{name} has no docstring"


def test_every_option_is_described():
    for module in pkgutil.walk_packages(crypto_bot.__path__, "crypto_bot."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    silent = {
        f"{options.__name__}.{name}"
        for options in descendants(Options)
        if options.__module__.startswith("crypto_bot.") and options.__name__ not in RECORDS
        for name, field in options.model_fields.items()
        if not field.description
    }
    assert silent == set()


def descendants(parent: type) -> Iterator[type]:
    for child in parent.__subclasses__():
        yield child
        yield from descendants(child)


def table_rows(page: str) -> dict[str, list[str]]:
    """First cell, without its backticks -> the other cells."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    rows = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `"))
    return {name.strip().strip("`"): [c.strip() for c in cells] for name, *cells in rows}


def shown_default(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return float(value) if isinstance(value, int | float) else str(getattr(value, "value", value))


def read_default(cell: str) -> object:
    word = cell.strip("`")
    if word in {"none", "as the strategy"}:
        return None
    return float(word) if re.fullmatch(r"-?\d+(\.\d+)?", word) else word


@pytest.mark.parametrize(
    ("page", "options", "prefix"),
    [
        ("engine.md", CostOptions, "CostOptions."),
        ("engine.md", ExitOptions, "ExitOptions."),
        ("engine.md", SizingOptions, "SizingOptions."),
        ("market.md", DownloadOptions, ""),
        ("market.md", SimulationOptions, ""),
        ("trading.md", RiskLimits, ""),
        ("validation.md", WalkForwardOptions, ""),
        ("validation.md", GateOptions, ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_table_of_options_shows_each_with_its_default(page, options, prefix):
    rows = table_rows(page)
    for name, field in options.model_fields.items():
        assert prefix + name in rows, f"{page} has no row {prefix}{name}"
        shown = read_default(rows[prefix + name][0])
        assert shown == shown_default(field.default), f"{page}: {name} is {field.default!r}"


def test_the_limits_of_the_registry_are_listed():
    assert set(RegistryLimits.model_fields) <= set(table_rows("registry.md"))


def test_every_family_of_features_and_every_short_name_is_listed():
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    letters = {0: (), 1: ("N",), 2: ("F", "S"), 3: ("F", "S", "G")}
    names = [f.template.format(*letters[f.template.count("{}")]) for f in FAMILIES]
    assert [name for name in (*names, *ALIASES) if f"`{name}`" not in page] == []


def test_the_page_of_the_journal_lists_its_tables():
    from crypto_bot.journal.tables import metadata

    assert set(table_rows("journal.md")) == set(metadata.tables)


def test_the_page_of_the_report_lists_every_file_and_every_column():
    from crypto_bot.backtest.turn import SWEEP_FILE
    from crypto_bot.report.folder import _MEANING
    from crypto_bot.report.tables import trade_files

    (bars,) = simulate_market(SimulationOptions(symbols=1, bars=500))
    result = simulate(bars, get_strategy("sma_cross").signals_on(bars))
    files = trade_files([TradeRecord("<strategy>", bars, result.trades)])
    assert set(table_rows("report.md")) == {"report.html", SWEEP_FILE, *_MEANING, *files}
    page = " ".join((ROOT / "docs" / "report.md").read_text(encoding="utf-8").split())
    for content in files.values():
        assert ", ".join(content.split("\n", 1)[0].split(",")) in page


# Figures, version, licence, words.


def figures():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "scripts" / "figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_of_the_readme_are_the_latest_measured():
    script = figures()
    if not script.RESULTS.exists():
        pytest.skip("nothing measured yet: make bench writes benchmarks/results/latest.json")
    page = README.read_text(encoding="utf-8")
    assert script.measured(page) == page, "run: python scripts/figures.py"


def test_a_figure_says_its_direction_and_a_missed_one_stands_out():
    row = {"name": "speed", "unit": "M/s", "target": ">= 150", "value": 160.0, "holds": True}
    lines = [
        figures()._line(row | change)
        for change in (
            {},
            {"value": 140.0, "holds": False},
            {"target": "<= 20", "value": 3.0},
            {"target": 1, "unit": "0/1", "value": 0.0, "holds": False},
        )
    ]
    assert lines == [
        "| speed | 160 | M/s | ≥ 150 | yes |",
        "| speed | 140 | M/s | ≥ 150 | **no** |",
        "| speed | 3 | M/s | ≤ 20 | yes |",
        "| speed | **no** | | yes | **no** |",
    ]


def test_the_changelog_has_this_version_and_the_licence_is_apache():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == crypto_bot.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{crypto_bot.__version__}]" in changelog
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert project["license"] == "Apache-2.0"
    assert re.search(r"Apache License\s+Version 2\.0", licence)


FORBIDDEN = re.compile(
    r"/(?:work|root)/|/tmp"
    + r"/b/|(?<!user-)\b(?:sub)?agents?\b(?!\.)|\b(?:helper|lead) session\b",
    re.I,
)
"""Whose machine it was made on, and by whom, is nobody's business."""


def test_no_tracked_file_speaks_of_the_machine_it_was_made_on():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git checkout: tracked files are not known")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = []
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if not name or path == Path(__file__) or path.suffix == ".png" or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {match[0]}" for match in FORBIDDEN.finditer(text)]
    assert found == []


def has_doctest(path: Path) -> bool:
    return bool(re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE))


MODULES_WITH_DOCTESTS = sorted(
    ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES.rglob("*.py")
    if has_doctest(path)
)


@pytest.mark.parametrize("name", MODULES_WITH_DOCTESTS)
def test_the_examples_in_docstrings_are_true(name, tmp_path, monkeypatch, nothing_enrolled):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
