"""`FolderRegistry`: models of every symbol below one folder of this machine.

::

    <root>/BTC-USDT/versions/20240906T044000.000000Z-1a2b3c4d/{model files, card.json, manifest.json}
    <root>/BTC-USDT/champion/000001.json ...
    <root>/BTC-USDT/LATEST.json
    <root>/tmp/<unfinished>
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import (
    ConfigError,
    ModelError,
    NotPromoted,
    nearest,
)
from crypto_bot.core.files import write_file
from crypto_bot.core.models import ModelCard, Predictor, require_schema
from crypto_bot.core.timeframes import Clock, SystemClock
from crypto_bot.registry.champion_log import ChampionLog, Reign, replay
from crypto_bot.registry.latest import latest_path, latest_record
from crypto_bot.registry.records import (
    Action,
    ChampionEntry,
    Manifest,
    RegistryLimits,
    SmokeResult,
    Stage,
    VersionDetails,
    VersionSummary,
    making,
    to_json,
)
from crypto_bot.registry.staging import smoke_test, sweep_leftovers
from crypto_bot.registry.version_files import (
    CARD,
    VERSION,
    check_contents,
    list_versions,
    read_card,
    read_files,
    read_manifest,
    write_version,
)

Loader = Callable[[ModelCard, Mapping[str, bytes]], Predictor]
_STAGING = "tmp"
_LEFTOVER_AGE_S = 86_400.0


def open_registry(where: str | Path) -> FolderRegistry:
    """Open the registry at a path or file:// address; nothing is created before the first publish.

    Raises
    ------
    ConfigError    for an address of a kind that this version does not serve

    Examples
    --------
    >>> open_registry("models").symbols()
    []
    """
    text = str(where)
    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme == "":
        return FolderRegistry(Path(where))
    if scheme != "file":
        # The address may carry a key: only its scheme is shown.
        raise ConfigError(
            f"registry must be a folder or file:// address, was {scheme}://...; "
            f"{scheme} registries are not in this version"
        )
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise ConfigError(f"registry must be on this machine, was on {parts.netloc!r}")
    return FolderRegistry(Path(url2pathname(parts.path)))


class FolderRegistry:
    """The `Registry` port over a folder. Safe for many processes; no locks, nothing overwritten.

    Parameters
    ----------
    root : Path                where everything lies; made by the first publish
    clock : Clock              stamps versions and log entries
    limits : RegistryLimits    largest version written or read
    load_model : callable      (card, files) -> Predictor, by default `predictors.load_predictor`;
                               it is given verified bytes only
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock | None = None,
        limits: RegistryLimits | None = None,
        load_model: Loader | None = None,
    ) -> None:
        self.root = root
        self._clock: Clock = SystemClock() if clock is None else clock
        self._limits = RegistryLimits() if limits is None else limits
        self._load_model: Loader = _load_predictor if load_model is None else load_model

    def publish(self, symbol: str, files: Mapping[str, bytes], card: ModelCard) -> str:
        """Store a new version, all or nothing, and return its id.

        The model is loaded from the given bytes first: what cannot be loaded is not published.

        Raises
        ------
        ModelError      if the files are no loadable model, are too large, badly named or a pickle,
                        or if the card names another symbol or schema
        StorageError    if the folder cannot be written; nothing is then visible
        """
        slug = _slug(symbol)
        if symbol_slug(card.symbol) != slug:
            raise ModelError(f"card.symbol must be {symbol}, was {card.symbol}")
        if CARD in files or not files:
            raise ModelError(f"files must be the model's files without {CARD}, was {sorted(files)}")
        contents = {**files, CARD: to_json(card.model_dump(), CARD)}
        check_contents(contents, self._limits)
        self._build(card, files)
        self.clean()
        return write_version(
            self._versions(slug), self._staging, contents, card.symbol, self._clock.now_ns()
        )

    def published_by(
        self, symbol: str, run_id: str, *, like: ModelCard | None = None
    ) -> str | None:
        """The newest version that this run published: a resumed run does not publish twice.

        `like` is the card of what is about to be published; of several models of one run only the
        version made the same way is then found.
        """
        if not run_id:
            raise ConfigError("run_id must not be empty, was ''")
        for version in reversed(self.versions(symbol)):
            card, _ = self._inspect(symbol, version)
            if card is None or card.run_id != run_id:
                continue
            if like is None or making(card) == making(like):
                return version
        return None

    def symbols(self) -> list[str]:
        """Symbols with at least one version, sorted."""
        try:
            slugs = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [
            self._name(slug)
            for slug in slugs
            if slug != _STAGING and list_versions(self._versions(slug))
        ]

    def versions(self, symbol: str) -> list[str]:
        """Version ids, oldest first; empty for a symbol without any."""
        return list_versions(self._versions(_slug(symbol)))

    def load(self, symbol: str, version: str | None = None) -> tuple[Predictor, ModelCard]:
        """The model of a version, or of the champion.

        Manifest, names, sizes and sha256 of every file are checked before any byte is parsed.

        Raises
        ------
        ModelError    naming file and rule if anything differs, or if there is no such version
        """
        card, _, contents = self._verified(symbol, self._wanted(symbol, version))
        files = {name: content for name, content in contents.items() if name != CARD}
        return self._build(card, files), card

    def promote(
        self, symbol: str, version: str, evidence: Mapping[str, Any], *, run_id: str = ""
    ) -> ChampionEntry:
        """Put a version into service; its files are verified first.

        Parameters
        ----------
        evidence : mapping    the gate's verdict (`Verdict.to_dict()`); `promoted` must be True

        Raises
        ------
        NotPromoted    if the evidence does not say that the gate passed it
        ModelError     if the version is damaged, unknown or retired
        """
        if evidence.get("promoted") is not True:
            raise NotPromoted(
                f"{symbol} {version} must have passed the gate to be promoted, had not: "
                f"{evidence.get('reason', 'no verdict was given')}"
            )
        self.load(symbol, version)

        def decide(reign: Reign) -> tuple[str, str | None]:
            if version in reign.retired:
                raise ModelError(f"{symbol} {version} must not be retired to be promoted, was")
            return version, version

        return self._append(symbol, "promote", decide, evidence, run_id)

    def champion(self, symbol: str) -> str | None:
        """The version in service, or None; read from the highest log entry alone."""
        entry = self._log(symbol).latest()
        return entry.champion if entry is not None else None

    def rollback(
        self, symbol: str, *, reason: str = "asked for", run_id: str = ""
    ) -> ChampionEntry:
        """Put the champion before the present one back into service; retired ones are passed over.

        Raises ModelError if there was none, or if its files are damaged.
        """

        def decide(reign: Reign) -> tuple[str, str | None]:
            target = reign.before_champion()
            if target is None:
                raise ModelError(
                    f"{symbol} must have an earlier champion to roll back to, had none; "
                    "retire the present one to take it out of service"
                )
            self.load(symbol, target)
            return target, target

        return self._append(symbol, "rollback", decide, {"reason": reason}, run_id)

    def retire(
        self, symbol: str, version: str, *, reason: str = "asked for", run_id: str = ""
    ) -> ChampionEntry:
        """Take a version out of use for ever; retiring the champion leaves none in service."""
        self._wanted(symbol, version)

        def decide(reign: Reign) -> tuple[str, str | None]:
            return version, None if reign.champion == version else reign.champion

        return self._append(symbol, "retire", decide, {"reason": reason}, run_id)

    def history(self, symbol: str) -> list[ChampionEntry]:
        """Every champion log entry, oldest first."""
        return self._log(symbol).entries()

    def rank(self, symbol: str, *, by: str = "sharpe") -> list[VersionSummary]:
        """Versions with their card's metrics, best first.

        Usable ones come before retired and damaged ones, higher `by` first, undefined last, newer
        first among equals. A damaged version is listed with its problem, never hidden.
        """
        reign = replay(self.history(symbol))
        summaries = [
            self._summary(symbol, version, reign) for version in reversed(self.versions(symbol))
        ]
        return sorted(summaries, key=lambda summary: _rank_key(summary, by))

    def show(self, symbol: str, version: str | None = None) -> VersionDetails:
        """All that is known of one version, or of the champion; its files are verified."""
        name = self._wanted(symbol, version)
        card, manifest, _ = self._verified(symbol, name)
        entries = self.history(symbol)
        return VersionDetails(
            symbol=card.symbol,
            version=name,
            stage=_stage(name, replay(entries)),
            card=card,
            manifest=manifest,
            history=tuple(entry for entry in entries if entry.version == name),
        )

    def smoke(self, symbol: str) -> SmokeResult:
        """Store, list, fetch and remove a small file below tmp: proof that the registry works."""
        return smoke_test(self.root, self._staging, symbol, _slug(symbol))

    def clean(self, *, older_than_s: float = _LEFTOVER_AGE_S) -> int:
        """Remove what killed writers left below tmp and return how many; younger work is kept."""
        return sweep_leftovers(self._staging, older_than_s)

    @property
    def _staging(self) -> Path:
        return self.root / _STAGING

    def _versions(self, slug: str) -> Path:
        return self.root / slug / "versions"

    def _log(self, symbol: str) -> ChampionLog:
        folder = self.root / _slug(symbol) / "champion"
        return ChampionLog(folder, self._staging, self._clock, self._limits.max_json_bytes)

    def _wanted(self, symbol: str, version: str | None) -> str:
        known = self.versions(symbol)
        if version is None:
            champion = self.champion(symbol)
            if champion is None:
                raise ModelError(
                    f"{symbol} must have a champion, had none; promote or name one of its "
                    f"{len(known)} versions"
                )
            version = champion
        if not VERSION.fullmatch(version):
            raise ModelError(
                f"version must look like 20240906T044000.000000Z-1a2b3c4d, was {version!r}"
            )
        if version not in known:
            raise ModelError(
                f"{version} must be a version of {symbol}, was not{nearest(version, known)}"
            )
        return version

    def _verified(self, symbol: str, version: str) -> tuple[ModelCard, Manifest, dict[str, bytes]]:
        slug = _slug(symbol)
        folder = self._versions(slug) / version
        manifest = read_manifest(folder, self._limits)
        contents = read_files(folder, manifest, self._limits)
        card = read_card(folder, contents)
        if card.symbol != manifest.symbol or symbol_slug(card.symbol) != slug:
            raise ModelError(
                f"{folder / CARD} must be of {manifest.symbol} in folder {slug}, was of {card.symbol}"
            )
        return card, manifest, contents

    def _inspect(self, symbol: str, version: str) -> tuple[ModelCard | None, str | None]:
        """The card, or what is wrong with the version: listing must survive a damaged one."""
        try:
            return self._verified(symbol, version)[0], None
        except ModelError as error:
            return None, str(error)

    def _name(self, slug: str) -> str:
        """The symbol of a folder as its newest readable version writes it, else the slug."""
        for version in reversed(list_versions(self._versions(slug))):
            card, _ = self._inspect(slug, version)
            if card is not None:
                return card.symbol
        return slug

    def _build(self, card: ModelCard, files: Mapping[str, bytes]) -> Predictor:
        predictor = self._load_model(card, files)
        require_schema(card.feature_names, predictor)
        if tuple(predictor.classes) != card.classes:
            raise ModelError(
                f"model classes must be the card's {card.classes}, was {predictor.classes}"
            )
        return predictor

    def _append(
        self,
        symbol: str,
        action: Action,
        decide: Callable[[Reign], tuple[str, str | None]],
        evidence: Mapping[str, Any],
        run_id: str,
    ) -> ChampionEntry:
        """Decide on the present log and append; whoever loses the race decides again."""
        log = self._log(symbol)
        while True:
            entries = log.entries()
            version, champion = decide(replay(entries))
            entry = log.try_append(entries, action, version, champion, evidence, run_id)
            if entry is not None:
                if action != "retire" or champion is None:
                    self._write_latest(symbol)
                return entry

    def _write_latest(self, symbol: str) -> None:
        slug = _slug(symbol)
        path = latest_path(self.root / slug)
        champion = self.champion(symbol)
        while True:
            if champion is None:
                path.unlink(missing_ok=True)
            else:
                card, manifest, _ = self._verified(symbol, champion)
                record = latest_record(f"{slug}/versions/{champion}", card, manifest)
                write_file(path, to_json(record, str(path)))
            now = self.champion(symbol)
            if now == champion:
                return
            champion = now

    def _summary(self, symbol: str, version: str, reign: Reign) -> VersionSummary:
        card, problem = self._inspect(symbol, version)
        if card is None:
            return VersionSummary(version, Stage.DAMAGED, None, None, None, None, {}, problem)
        return VersionSummary(
            version=version,
            stage=_stage(version, reign),
            model_type=card.model_type,
            created_at=card.created_at,
            is_simulated=card.is_simulated,
            gate_passed=card.gate.get("promoted"),
            metrics=dict(card.metrics),
        )


def _load_predictor(card: ModelCard, files: Mapping[str, bytes]) -> Predictor:
    """Imported on use: listing and promoting need no compiled kernels."""
    from crypto_bot.predictors import load_predictor

    return load_predictor(card, files)


def _slug(symbol: str) -> str:
    slug = symbol_slug(symbol)
    if slug.lower() == _STAGING:
        raise ConfigError(f"symbol must not be {_STAGING!r}, the registry's own folder")
    return slug


def _stage(version: str, reign: Reign) -> Stage:
    if version in reign.retired:
        return Stage.RETIRED
    return Stage.CHAMPION if version == reign.champion else Stage.CANDIDATE


def _rank_key(summary: VersionSummary, by: str) -> tuple[bool, bool, float]:
    value = summary.metrics.get(by)
    undefined = value is None or math.isnan(value)
    is_out = summary.stage in (Stage.RETIRED, Stage.DAMAGED)
    return is_out, undefined, 0.0 if value is None or undefined else -value
