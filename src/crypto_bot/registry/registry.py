"""`ModelRegistry`: immutable versions of every symbol's models and the log of which one serves.

::

    BTC-USDT/versions/20240906T044000.000000Z-1a2b3c4d/{model files, card.json, manifest.json}
    BTC-USDT/champion/000001.json ...
    BTC-USDT/LATEST.json
    tmp/<unfinished>
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import (
    ConfigError,
    CryptoBotError,
    ModelError,
    NotPromoted,
    StorageError,
)
from crypto_bot.core.models import ModelCard, Predictor, require_schema
from crypto_bot.core.timeframes import Clock, SystemClock
from crypto_bot.registry.champion_log import ChampionLog, Known, Reign, replay
from crypto_bot.registry.comparison import compared, rank_key, stage_of
from crypto_bot.registry.latest import LATEST, latest_record
from crypto_bot.registry.objects import STAGING, ObjectStore
from crypto_bot.registry.records import (
    Action,
    ChampionEntry,
    Manifest,
    RegistryLimits,
    SmokeResult,
    Stage,
    VersionDetails,
    VersionDiff,
    VersionSummary,
    cut,
    making,
    to_json,
)
from crypto_bot.registry.signatures import Signer, TrustedKeys
from crypto_bot.registry.smoke import smoke_test
from crypto_bot.registry.version_files import (
    CARD,
    Checked,
    UnknownVersion,
    VersionShelf,
    check_contents,
)

Loader = Callable[[ModelCard, Mapping[str, bytes]], Predictor]
_LOG = logging.getLogger(__name__)
_LEFTOVER_AGE_S = 86_400.0
_MOST_LOST_RACES = 10_000


class ModelRegistry:
    """The `Registry` port over an `ObjectStore`. Safe for many processes; no locks.

    Parameters
    ----------
    store : ObjectStore        where everything lies
    clock : Clock              stamps versions and log entries
    limits : RegistryLimits    largest version written or read
    load_model : callable      (card, files) -> Predictor, by default `predictors.load_predictor`;
                               it is given verified bytes only
    trusted_keys : public keys in base64; with any, versions not signed by one of them are refused
                   wherever one is loaded, promoted or returned to, and listed as damaged
    signer : Signer or None    signs what is published

    Raises
    ------
    ConfigError    if a trusted key is none
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        clock: Clock | None = None,
        limits: RegistryLimits | None = None,
        load_model: Loader | None = None,
        trusted_keys: Sequence[str] = (),
        signer: Signer | None = None,
    ) -> None:
        self.store = store
        self._clock: Clock = SystemClock() if clock is None else clock
        self._limits = RegistryLimits() if limits is None else limits
        self._load_model: Loader = _load_predictor if load_model is None else load_model
        self._trusted = TrustedKeys(trusted_keys)
        self._signer = signer
        self._known: Known = {}

    @property
    def where(self) -> str:
        """Name of the store for people; holds no secret."""
        return self.store.where

    def publish(self, symbol: str, files: Mapping[str, bytes], card: ModelCard) -> str:
        """Store a new version, all or nothing, and return its id; signed where there is a signer.

        The model is loaded from the given bytes first: what cannot be loaded is not published.

        Raises
        ------
        ModelError      if the files are no loadable model, are too large, badly named or a pickle,
                        or if the card names another symbol or schema
        ConfigError     if keys are trusted but the signing key is none of them
        StorageError    if the store cannot be written; a version is then whole or not there
        """
        slug = _slug(symbol)
        if symbol_slug(card.symbol) != slug:
            raise ModelError(f"card.symbol must be {symbol}, was {card.symbol}")
        if CARD in files or not files:
            raise ModelError(f"files must be the model's files without {CARD}, was {sorted(files)}")
        contents = {**files, CARD: to_json(card.model_dump(), CARD)}
        check_contents(contents, self._limits)
        self._check_signer()
        self._build(card, files)
        shelf = self._shelf(slug)
        self.store.sweep(older_than_s=_LEFTOVER_AGE_S)
        shelf.sweep(_LEFTOVER_AGE_S)
        return shelf.write(contents, card.symbol, self._clock.now_ns(), self._signer)

    def published_by(
        self, symbol: str, run_id: str, *, like: ModelCard | None = None
    ) -> str | None:
        """The newest version that this run published: a resumed run does not publish twice.

        `like` is the card of what is about to be published; of several models of one run only the
        version made the same way is then found. A damaged version is not found.
        """
        if not run_id:
            raise ConfigError("run_id must not be empty, was ''")
        for version in reversed(self.versions(symbol)):
            card, _ = self._inspect(symbol, version, check_files=False)
            if card is None or card.run_id != run_id:
                continue
            is_alike = like is None or making(card) == making(like)
            if is_alike and self._inspect(symbol, version)[0] is not None:
                return version
        return None

    def symbols(self) -> list[str]:
        """Symbols with at least one version, sorted."""
        folders = [each.name for each in self.store.entries("") if each.is_folder]
        slugs = [name for name in folders if name != STAGING and _is_slug(name)]
        return [self._name(slug) for slug in slugs if self._shelf(slug).versions()]

    def versions(self, symbol: str) -> list[str]:
        """Version ids, oldest first; empty for a symbol without any."""
        return self._shelf(_slug(symbol)).versions()

    def load(self, symbol: str, version: str | None = None) -> tuple[Predictor, ModelCard]:
        """The model of a version, or of the champion.

        Signature, manifest, names, sizes and sha256 of every file are checked before any byte of a
        model is parsed.

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
        ModelError     if the version is damaged, not to be trusted, unknown or retired
        """
        if evidence.get("promoted") is not True:
            raise NotPromoted(
                f"{symbol} {version} must have passed the gate to be promoted, had not: "
                f"{evidence.get('reason', 'no verdict was given')}"
            )
        self.load(symbol, version)

        def decide(reign: Reign) -> tuple[str, str | None]:
            _check_not_retired(symbol, version, reign, "promoted")
            return version, version

        return self._append(symbol, "promote", decide, evidence, run_id)

    def shadow(
        self, symbol: str, version: str, *, reason: str = "asked for", run_id: str = ""
    ) -> ChampionEntry:
        """Let a version run beside the champion, which stays in service; it replaces the last shadow.

        Raises ModelError if the version is damaged, not to be trusted, unknown, retired or serving.
        """
        self.load(symbol, version)

        def decide(reign: Reign) -> tuple[str, str | None]:
            _check_not_retired(symbol, version, reign, "a shadow")
            if version == reign.champion:
                raise ModelError(f"{symbol} {version} must not serve to be a shadow, does")
            return version, reign.champion

        return self._append(symbol, "shadow", decide, {"reason": reason}, run_id)

    def champion(self, symbol: str) -> str | None:
        """The version in service, or None; read from the highest log entry alone."""
        entry = self._log(symbol).latest()
        return entry.champion if entry is not None else None

    def previous(self, symbol: str) -> str | None:
        """The version that a rollback would put back into service, or None."""
        return replay(self.history(symbol)).before_champion()

    def rollback(
        self, symbol: str, *, of: str | None = None, reason: str = "asked for", run_id: str = ""
    ) -> ChampionEntry:
        """Put the champion before the present one back into service; retired ones are passed over.

        `of` is the version that the caller means: another one in service stays there. Raises ModelError
        for that, and if there was none before, or if its files are damaged or not to be trusted.
        """

        def decide(reign: Reign) -> tuple[str, str | None]:
            if of is not None and reign.champion != of:
                raise ModelError(
                    f"{symbol} {of} must serve to be rolled back, {reign.champion} does; look again"
                )
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

    def rank(
        self, symbol: str, *, by: str = "sharpe", check_files: bool = True
    ) -> list[VersionSummary]:
        """Versions with their card's metrics, best first.

        Usable ones come before retired and damaged ones, higher `by` first, undefined last, newer
        first among equals. A damaged version is listed with its problem, never hidden. Without
        `check_files` model files are not fetched: only manifest, card and listing are checked.
        """
        reign = replay(self.history(symbol))
        found = [
            self._summary(symbol, version, reign, check_files)
            for version in reversed(self.versions(symbol))
        ]
        summaries = [summary for summary in found if summary is not None]
        return sorted(summaries, key=lambda summary: rank_key(summary, by))

    def show(self, symbol: str, version: str | None = None) -> VersionDetails:
        """All that is known of one version, or of the champion; its files are verified."""
        name = self._wanted(symbol, version)
        card, checked, _ = self._verified(symbol, name)
        entries = self.history(symbol)
        return VersionDetails(
            symbol=card.symbol,
            version=name,
            stage=stage_of(name, replay(entries)),
            card=card,
            manifest=checked.manifest,
            history=tuple(entry for entry in entries if entry.version == name),
            signed_by=checked.signed_by,
        )

    def diff(self, symbol: str, a: str, b: str) -> VersionDiff:
        """How version `b` differs from version `a`: card, metrics, files, features, label.

        Raises ModelError if one is unknown, or its manifest or card is damaged; model files are
        compared by the sha256 their manifests state.
        """
        first, second = (
            (version, *self._described(symbol, self._wanted(symbol, version))) for version in (a, b)
        )
        return compared(first, second)

    def keep_newest(
        self, symbol: str, kept: int, *, spare_run_id: str = "", run_id: str = ""
    ) -> list[str]:
        """Remove all but the newest versions of a symbol and return the ids of what was removed.

        What serves, served once or is the shadow is never removed, nor is anything that the run
        `spare_run_id` published. Each removal is first written to the champion log, where it competes
        with promotions: no version is promoted and removed. Then its manifest goes, then its files.

        Raises ConfigError if `kept` is below 1.
        """
        if kept < 1:
            raise ConfigError(f"kept must be at least 1, was {kept}")
        shelf = self._shelf(_slug(symbol))
        reign = replay(self.history(symbol))
        present = shelf.versions()
        left = [version for version in present if version not in reign.removed]
        for version in left[:-kept]:
            if reign.is_needed(version) or self._was_made_by(symbol, version, spare_run_id):
                continue
            self._give_up(symbol, version, run_id)
        removed = replay(self.history(symbol)).removed
        gone = [version for version in present if version in removed]
        for version in gone:
            shelf.remove(version)
        return gone

    def smoke(self, symbol: str) -> SmokeResult:
        """Store, list, fetch and remove a small file below tmp: proof that the registry works."""
        return smoke_test(self.store, symbol, _slug(symbol))

    def clean(self, *, older_than_s: float = _LEFTOVER_AGE_S) -> int:
        """Remove what killed writers left, of that age, and return how many; younger work is kept.

        That is unfinished work below tmp, and files of a version whose manifest was never written or
        was removed.
        """
        swept = self.store.sweep(older_than_s=older_than_s)
        for each in self.store.entries(""):
            if each.is_folder and each.name != STAGING and _is_slug(each.name):
                swept += self._shelf(each.name).sweep(older_than_s)
        return swept

    def _shelf(self, slug: str) -> VersionShelf:
        return VersionShelf(self.store, slug, self._limits, self._trusted)

    def _log(self, symbol: str) -> ChampionLog:
        return ChampionLog(
            self.store, _slug(symbol), self._clock, self._limits.max_json_bytes, self._known
        )

    def _check_signer(self) -> None:
        if self._trusted and (self._signer is None or self._signer.public not in self._trusted):
            was = "none" if self._signer is None else f"key {self._signer.key_id}"
            raise ConfigError(
                "the signing key must be one of registry.trusted_keys to publish, was "
                f"{was}; set CRYPTO_BOT_SIGNING_KEY or add its public key"
            )

    def _wanted(self, symbol: str, version: str | None) -> str:
        """The version asked for, or the champion; ModelError if it is none of the symbol's."""
        if version is None:
            version = self.champion(symbol)
            if version is None:
                raise ModelError(
                    f"{symbol} must have a champion, had none; promote or name one of its "
                    f"{len(self.versions(symbol))} versions"
                )
        self._shelf(_slug(symbol)).require(version)
        return version

    def _verified(self, symbol: str, version: str) -> tuple[ModelCard, Checked, dict[str, bytes]]:
        card, checked = self._described(symbol, version)
        return card, checked, self._shelf(_slug(symbol)).read(version, checked)

    def _described(self, symbol: str, version: str) -> tuple[ModelCard, Checked]:
        """Card and manifest of a version, checked; no model file is read."""
        slug = _slug(symbol)
        shelf = self._shelf(slug)
        checked = shelf.checked(version)
        card = shelf.card(version, shelf.read(version, checked, [CARD])[CARD])
        manifest: Manifest = checked.manifest
        if card.symbol != manifest.symbol or not _is_of(card.symbol, slug):
            raise ModelError(
                f"{shelf.name_of(version, CARD)} must be of {cut(manifest.symbol)} in folder {slug}, "
                f"was of {cut(card.symbol)}"
            )
        return card, checked

    def _inspect(
        self, symbol: str, version: str, *, check_files: bool = True
    ) -> tuple[ModelCard | None, str | None]:
        """The card, or what is wrong with the version: listing must survive a damaged one.

        Neither, where the version was removed meanwhile.
        """
        try:
            found = self._verified if check_files else self._described
            return found(symbol, version)[0], None
        except UnknownVersion:
            return None, None
        except ModelError as error:
            return None, cut(str(error))

    def _name(self, slug: str) -> str:
        """The symbol of a folder as its newest readable version writes it, else the slug."""
        for version in reversed(self._shelf(slug).versions()):
            card, _ = self._inspect(slug, version, check_files=False)
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
        for _ in range(_MOST_LOST_RACES):
            entries = log.entries()
            version, champion = decide(replay(entries))
            entry = log.try_append(entries, action, version, champion, evidence, run_id)
            if entry is not None:
                if entry.champion != entry.previous or action == "promote":
                    self._offer_latest(symbol)
                return entry
        raise StorageError(
            f"{self.where}/{_slug(symbol)}/champion must take an entry, was always another's first"
        )

    def _offer_latest(self, symbol: str) -> None:
        """Write the courtesy copy; that it cannot be written never undoes what the log says."""
        try:
            self._write_latest(symbol)
        except CryptoBotError as error:
            _LOG.warning("%s of %s lags behind the champion log: %s", LATEST, symbol, error)

    def _write_latest(self, symbol: str) -> None:
        slug = _slug(symbol)
        key = f"{slug}/{LATEST}"
        champion = self.champion(symbol)
        while True:
            if champion is None:
                self.store.remove([key])
            else:
                card, checked = self._described(symbol, champion)
                record = latest_record(f"{slug}/versions/{champion}", card, checked.manifest)
                self.store.put_copy(key, to_json(record, key))
            now = self.champion(symbol)
            if now == champion:
                return
            champion = now

    def _was_made_by(self, symbol: str, version: str, run_id: str) -> bool:
        if not run_id:
            return False
        card, _ = self._inspect(symbol, version, check_files=False)
        return card is not None and card.run_id == run_id

    def _give_up(self, symbol: str, version: str, run_id: str) -> None:
        """Log that a version goes, unless another writer needs it by now."""

        def decide(reign: Reign) -> tuple[str, str | None]:
            if reign.is_needed(version):
                raise _Needed
            return version, reign.champion

        try:
            self._append(symbol, "remove", decide, {"reason": "retention"}, run_id)
        except _Needed:
            return

    def _summary(
        self, symbol: str, version: str, reign: Reign, check_files: bool
    ) -> VersionSummary | None:
        card, problem = self._inspect(symbol, version, check_files=check_files)
        if card is None and problem is None:
            return None
        if card is None:
            return VersionSummary(version, Stage.DAMAGED, None, None, None, None, {}, problem)
        passed = card.gate.get("promoted")
        return VersionSummary(
            version=version,
            stage=stage_of(version, reign),
            model_type=card.model_type,
            created_at=card.created_at,
            is_simulated=card.is_simulated,
            gate_passed=passed if isinstance(passed, bool) else None,
            metrics=dict(card.metrics),
        )


class _Needed(Exception):  # noqa: N818 - a turn of events
    """A version is needed after all."""


def _load_predictor(card: ModelCard, files: Mapping[str, bytes]) -> Predictor:
    """Imported on use: listing and promoting need no compiled kernels."""
    from crypto_bot.predictors import load_predictor

    return load_predictor(card, files)


def _slug(symbol: str) -> str:
    slug = symbol_slug(symbol)
    if slug.lower() == STAGING:
        raise ConfigError(f"symbol must not be {STAGING!r}, the registry's own folder")
    return slug


def _is_slug(name: str) -> bool:
    """Whether a folder can be a symbol's."""
    return _is_of(name, name)


def _is_of(symbol: str, slug: str) -> bool:
    """Whether a symbol's folder is that one; text that is no symbol has none."""
    try:
        return symbol_slug(symbol) == slug
    except ConfigError:
        return False


def _check_not_retired(symbol: str, version: str, reign: Reign, what: str) -> None:
    if version in reign.removed:
        raise ModelError(f"{symbol} {version} must not be removed to be {what}, was")
    if version in reign.retired:
        raise ModelError(f"{symbol} {version} must not be retired to be {what}, was")
