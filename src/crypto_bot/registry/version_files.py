"""The versions of one symbol: files first, the manifest last; read only after every check."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from crypto_bot.core.errors import ModelError, StorageError, nearest
from crypto_bot.core.models import ModelCard
from crypto_bot.registry.objects import Listed, MissingObject, ObjectStore
from crypto_bot.registry.records import (
    MANIFEST_FORMAT,
    FileRecord,
    Manifest,
    RegistryLimits,
    read_json,
    read_record,
    to_json,
)
from crypto_bot.registry.signatures import MOST_BYTES, SIGNATURE, Signer, TrustedKeys

CARD = "card.json"
MANIFEST = "manifest.json"
VERSION = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")
_RESERVED = (MANIFEST, SIGNATURE)
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CODE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".py", ".pyc", ".so")
_PICKLE_STARTS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_ATTEMPTS = 1000


class UnknownVersion(ModelError):  # noqa: N818 - a state
    """There is no complete version of that id, or it was removed while it was read."""


class Checked(NamedTuple):
    """A manifest whose place, signature and names hold; `signed_by` is a trusted key's id or None."""

    manifest: Manifest
    signed_by: str | None
    present: Mapping[str, Listed]


class VersionShelf:
    """All versions of one symbol in a store: `<slug>/versions/<version>/<file>`.

    A version exists once its manifest does, which is created last. Nothing of it is changed
    afterwards; files without a manifest are what a killed writer left.
    """

    def __init__(
        self, store: ObjectStore, slug: str, limits: RegistryLimits, trusted: TrustedKeys
    ) -> None:
        self._store, self._slug, self._limits, self._trusted = store, slug, limits, trusted
        self._prefix = f"{slug}/versions"

    def name_of(self, version: str, file: str = "") -> str:
        """What messages call a version or a file of it."""
        return f"{self._store.where}/{self._key(version, file)}"

    def versions(self) -> list[str]:
        """Ids of complete versions, oldest first; anything else there is not a version."""
        return [version for version in self._ids() if _is_complete(self._listing(version))]

    def write(
        self, contents: Mapping[str, bytes], symbol: str, now_ns: int, signer: Signer | None
    ) -> str:
        """Store `contents` as a new version, later than every one before it, and return its id.

        The first file claims the id, so that two publishers never share one; readers see nothing of
        it before the manifest is there. StorageError leaves nothing that a reader can see.
        """
        manifest = build_manifest(contents, symbol)
        described = to_json(manifest.model_dump(mode="json"), MANIFEST)
        moment = self._next_moment(now_ns)
        for _ in range(_ATTEMPTS):
            version = f"{moment.strftime(_STAMP)}-{content_hash(manifest)}"
            extra = {SIGNATURE: signer.sign(self._slug, version, described)} if signer else {}
            if self._put(version, {**contents, **extra, MANIFEST: described}):
                self._check_whole(version, manifest)
                return version
            moment += timedelta(microseconds=1)
        raise StorageError(
            f"{self._store.where}/{self._prefix} must have a free version id, had none near {version}"
        )

    def checked(self, version: str) -> Checked:
        """The manifest of a version, checked against keys, name, limits and what lies beside it.

        Raises UnknownVersion if there is none, ModelError naming the file and the rule; reads no
        model file.
        """
        self._require_id(version)
        name = self.name_of(version, MANIFEST)
        content = self._manifest_bytes(version)
        signed_by = self._signed_by(version, content) if self._trusted else None
        manifest = self._parsed(content, name)
        if content_hash(manifest) != version[-8:]:
            raise ModelError(
                f"{name} must hash to the version's name, was {content_hash(manifest)} in {version}; "
                "the manifest or the folder's name was changed: do not use this version"
            )
        listing = self._listing(version)
        present = {each.name: each for each in listing if each.name not in _RESERVED}
        for file in sorted(set(present) ^ set(manifest.files)):
            self._require_there(version)
            rule = "be listed in the manifest" if file in present else "exist as the manifest says"
            raise ModelError(
                f"{self.name_of(version, _shown(file))} must {rule}, did not; do not use this version"
            )
        return Checked(manifest, signed_by, present)

    def read(
        self, version: str, checked: Checked, names: Sequence[str] | None = None
    ) -> dict[str, bytes]:
        """Files of a version, each compared with the manifest's size and sha256 before use."""
        wanted = checked.manifest.files if names is None else names
        return {name: self._file(version, name, checked) for name in wanted}

    def card(self, version: str, content: bytes) -> ModelCard:
        """The card out of verified bytes."""
        return read_record(ModelCard, content, self.name_of(version, CARD))

    def remove(self, version: str) -> None:
        """Take a version away for good: its manifest first, so that no reader sees half of it."""
        self._require_id(version)
        self._store.remove([self._key(version, MANIFEST)])
        self._remove_files(version, self._listing(version))

    def sweep(self, older_than_s: float) -> int:
        """Remove files without a manifest, untouched for that long, and give how many versions."""
        swept = 0
        for version in self._ids():
            listing = self._listing(version)
            if not _is_complete(listing) and _is_older(listing, older_than_s):
                self._remove_files(version, listing)
                swept += 1
        return swept

    def require(self, version: str) -> None:
        """UnknownVersion unless there is a complete version of that id."""
        self._require_id(version)
        if not _is_complete(self._listing(version)):
            raise self.unknown(version)

    def unknown(self, version: str) -> UnknownVersion:
        """The error for an id that is no complete version, naming the nearest."""
        return UnknownVersion(
            f"{version} must be a version of {self._slug}, was not"
            f"{nearest(version, self.versions())}"
        )

    def _key(self, version: str, file: str = "") -> str:
        return f"{self._prefix}/{version}/{file}" if file else f"{self._prefix}/{version}"

    def _ids(self) -> list[str]:
        listed = self._store.entries(self._prefix)
        return [each.name for each in listed if each.is_folder and VERSION.fullmatch(each.name)]

    def _listing(self, version: str) -> list[Listed]:
        return self._store.entries(self._key(version))

    def _next_moment(self, now_ns: int) -> datetime:
        moment = datetime.fromtimestamp(now_ns // 1000 / 1e6, tz=UTC)
        known = self._ids()
        if not known:
            return moment
        last = datetime.strptime(known[-1][:-9], _STAMP).replace(tzinfo=UTC)
        return max(moment, last + timedelta(microseconds=1))

    def _put(self, version: str, objects: Mapping[str, bytes]) -> bool:
        """All objects in their order, the manifest last; False if the id is another's."""
        done: list[str] = []
        for name, content in objects.items():
            key = self._key(version, name)
            if not self._store.put_new(key, content):
                self._store.remove(done)
                return False
            done.append(key)
        return True

    def _check_whole(self, version: str, manifest: Manifest) -> None:
        """A writer that slept so long that a janitor took its files must not leave a manifest."""
        found = {each.name for each in self._listing(version)}
        if not found.issuperset(manifest.files):
            self._store.remove([self._key(version, MANIFEST)])
            raise StorageError(
                f"{self.name_of(version)} must keep its files until its manifest is written, "
                "lost some to a janitor; publish again"
            )

    def _require_id(self, version: str) -> None:
        if not VERSION.fullmatch(version):
            raise ModelError(
                f"version must look like 20240906T044000.000000Z-1a2b3c4d, was {version!r}"
            )

    def _manifest_bytes(self, version: str) -> bytes:
        try:
            return self._store.get(self._key(version, MANIFEST), self._limits.max_json_bytes)
        except MissingObject as error:
            raise self.unknown(version) from error

    def _require_there(self, version: str) -> None:
        """UnknownVersion if the manifest is gone: then the version was removed while it was read."""
        self._manifest_bytes(version)

    def _signed_by(self, version: str, manifest: bytes) -> str:
        try:
            signature = self._store.get(self._key(version, SIGNATURE), MOST_BYTES)
        except MissingObject:
            self._require_there(version)
            signature = None
        return self._trusted.verify(self.name_of(version), self._slug, version, manifest, signature)

    def _parsed(self, content: bytes, name: str) -> Manifest:
        files = read_json(content, name).get("files")
        if isinstance(files, dict):
            check_names(files, self._limits, where=name)
        manifest = read_record(Manifest, content, name)
        if CARD not in manifest.files:
            raise ModelError(f"{name} must list {CARD}, did not")
        total = sum(file.size for file in manifest.files.values())
        if total > self._limits.max_total_bytes:
            raise ModelError(
                f"{name} must list at most {self._limits.max_total_bytes} bytes, was {total}"
            )
        return manifest

    def _file(self, version: str, file: str, checked: Checked) -> bytes:
        name, record = self.name_of(version, file), checked.manifest.files[file]
        most = self._limits.max_json_bytes if file == CARD else self._limits.max_file_bytes
        listed = checked.present[file].size
        if listed is not None and listed > record.size:
            raise _wrong_size(name, record, listed)
        try:
            content = self._store.get(self._key(version, file), most)
        except MissingObject as error:
            self._require_there(version)
            raise ModelError(f"{name} must exist as the manifest says, did not") from error
        if len(content) != record.size:
            raise _wrong_size(name, record, len(content))
        digest = hashlib.sha256(content).hexdigest()
        if digest != record.sha256:
            raise ModelError(
                f"{name} must have sha256 {record.sha256[:16]}..., was {digest[:16]}...; "
                "the file was changed: do not use this version"
            )
        return content

    def _remove_files(self, version: str, listing: Sequence[Listed]) -> None:
        names = [each.name for each in listing if not each.is_folder]
        plain = [name for name in names if _FILE_NAME.fullmatch(name)]
        if plain:
            self._store.remove([self._key(version, name) for name in plain])


def build_manifest(contents: Mapping[str, bytes], symbol: str) -> Manifest:
    """Name, size and sha256 of each file, in name order."""
    files = {
        name: FileRecord(
            sha256=hashlib.sha256(contents[name]).hexdigest(), size=len(contents[name])
        )
        for name in sorted(contents)
    }
    return Manifest(format=MANIFEST_FORMAT, symbol=symbol, files=files)


def content_hash(manifest: Manifest) -> str:
    """First 8 hex digits of the identity of all files; the end of the version id."""
    table = "\n".join(f"{name} {file.sha256}" for name, file in sorted(manifest.files.items()))
    return hashlib.sha256(f"{manifest.symbol}\n{table}".encode()).hexdigest()[:8]


def check_contents(contents: Mapping[str, bytes], limits: RegistryLimits) -> None:
    """Refuse a version that could not be read back: names, sizes, code instead of data."""
    check_names(contents, limits, where="files")
    for name, content in contents.items():
        most = limits.max_json_bytes if name == CARD else limits.max_file_bytes
        if len(content) > most:
            raise ModelError(f"{name} must have at most {most} bytes, was {len(content)}")
        if content.startswith(_PICKLE_STARTS):
            raise ModelError(f"{name} must be data in a safe format, was a pickle")
    total = sum(map(len, contents.values()))
    if total > limits.max_total_bytes:
        raise ModelError(f"files must have at most {limits.max_total_bytes} bytes, was {total}")


def check_names(names: Mapping[str, object], limits: RegistryLimits, *, where: str) -> None:
    """Refuse file names that could leave the folder, hide, or run."""
    if len(names) > limits.max_files:
        raise ModelError(f"{where} must name at most {limits.max_files} files, was {len(names)}")
    if len({name.lower() for name in names}) < len(names):
        raise ModelError(f"{where} must name each file once, two differ in case only")
    for name in names:
        if not _FILE_NAME.fullmatch(name) or name.lower() in _RESERVED:
            raise ModelError(
                f"{where} must name plain files (letters, digits, . _ -), was {_shown(name)!r}"
            )
        if name.lower().endswith(_CODE_SUFFIXES):
            raise ModelError(f"{where} must name data files, was {name!r}, which can carry code")


def is_code(name: str, content: bytes) -> bool:
    """Whether reading a file could run code: by its name, or because it is a pickle."""
    return name.lower().endswith(_CODE_SUFFIXES) or content.startswith(_PICKLE_STARTS)


def _is_complete(listing: Sequence[Listed]) -> bool:
    return any(each.name == MANIFEST and not each.is_folder for each in listing)


def _is_older(listing: Sequence[Listed], older_than_s: float) -> bool:
    """Whether every object is that old; of unknown age counts as young, nothing as not there."""
    ages = [each.changed_at_ns for each in listing]
    limit = time.time_ns() - int(older_than_s * 1e9)
    return bool(ages) and all(age is not None and age <= limit for age in ages)


def _shown(name: str) -> str:
    """A name of a hostile listing, fit for a message."""
    return ascii(name[:100])[1:-1]


def _wrong_size(name: str, record: FileRecord, found: int) -> ModelError:
    return ModelError(
        f"{name} must have {record.size} bytes, was {found}; "
        "the file was cut or changed: do not use this version"
    )
