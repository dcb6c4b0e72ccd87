"""One version's folder: written beside and renamed into place; read only after every check."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from crypto_bot.core.errors import ModelError, StorageError
from crypto_bot.core.files import sync_folder
from crypto_bot.core.models import ModelCard
from crypto_bot.registry.records import (
    MANIFEST_FORMAT,
    FileRecord,
    Manifest,
    RegistryLimits,
    read_record,
    to_json,
)

CARD = "card.json"
MANIFEST = "manifest.json"
VERSION = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CODE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".py", ".pyc", ".so")
_PICKLE_STARTS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_ATTEMPTS = 1000


def write_version(
    versions: Path,
    staging: Path,
    contents: Mapping[str, bytes],
    symbol: str,
    now_ns: int,
) -> str:
    """Store `contents` as a new version below `versions` and return its id.

    Everything is written and synced below `staging` and appears by one rename, which the file
    system refuses when that id exists: two publishers never share or overwrite a version.
    """
    manifest = build_manifest(contents, symbol)
    work = staging / uuid.uuid4().hex
    try:
        make_folder(versions)
        make_folder(work)
        for name, content in contents.items():
            write_synced(work / name, content)
        write_synced(work / MANIFEST, to_json(manifest.model_dump(mode="json"), MANIFEST))
        sync_folder(work)
        version = _claim(work, versions, content_hash(manifest), now_ns)
        sync_folder(versions)
    except OSError as error:
        shutil.rmtree(work, ignore_errors=True)
        raise StorageError(
            f"{versions} must be writable, was not: {error.strerror or error}"
        ) from error
    return version


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


def list_versions(versions: Path) -> list[str]:
    """Ids of complete versions, oldest first; anything else in the folder is not a version."""
    try:
        names = [entry.name for entry in os.scandir(versions) if VERSION.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if (versions / name / MANIFEST).is_file())


def read_manifest(folder: Path, limits: RegistryLimits) -> Manifest:
    """The manifest of a version, checked against the version's name, its limits and the folder.

    Raises ModelError naming the file and the rule; reads no model file.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise ModelError(f"{folder} must be a version folder, was missing or a link")
    path = folder / MANIFEST
    manifest = read_record(Manifest, _read_regular(path, limits.max_json_bytes), str(path))
    if CARD not in manifest.files:
        raise ModelError(f"{path} must list {CARD}, did not")
    check_names(manifest.files, limits, where=str(path))
    if content_hash(manifest) != folder.name[-8:]:
        raise ModelError(
            f"{path} must hash to the version's name, was {content_hash(manifest)} in {folder.name}; "
            "the manifest or the folder's name was changed: do not use this version"
        )
    present = {entry.name for entry in os.scandir(folder)} - {MANIFEST}
    for name in sorted(present ^ set(manifest.files)):
        rule = "be listed in the manifest" if name in present else "exist as the manifest says"
        raise ModelError(f"{folder / name} must {rule}, did not; do not use this version")
    return manifest


def read_files(folder: Path, manifest: Manifest, limits: RegistryLimits) -> dict[str, bytes]:
    """Every file of a version, each compared with the manifest's size and sha256 before use."""
    contents = {}
    for name, record in manifest.files.items():
        most = limits.max_json_bytes if name == CARD else limits.max_file_bytes
        content = _read_regular(folder / name, most)
        if len(content) != record.size:
            raise ModelError(
                f"{folder / name} must have {record.size} bytes, was {len(content)}; "
                "the file was cut or changed: do not use this version"
            )
        digest = hashlib.sha256(content).hexdigest()
        if digest != record.sha256:
            raise ModelError(
                f"{folder / name} must have sha256 {record.sha256[:16]}..., was {digest[:16]}...; "
                "the file was changed: do not use this version"
            )
        contents[name] = content
    return contents


def read_card(folder: Path, contents: Mapping[str, bytes]) -> ModelCard:
    """The card out of verified bytes."""
    return read_record(ModelCard, contents[CARD], str(folder / CARD))


def check_contents(contents: Mapping[str, bytes], limits: RegistryLimits) -> None:
    """Refuse a version that could not be read back: names, sizes, code instead of data."""
    check_names(contents, limits, where="files")
    for name, content in contents.items():
        most = limits.max_json_bytes if name == CARD else limits.max_file_bytes
        if len(content) > most:
            raise ModelError(f"{name} must have at most {most} bytes, was {len(content)}")
        if content.startswith(_PICKLE_STARTS):
            raise ModelError(f"{name} must be data in a safe format, was a pickle")


def check_names(names: Mapping[str, object], limits: RegistryLimits, *, where: str) -> None:
    """Refuse file names that could leave the folder, hide, or run."""
    if len(names) > limits.max_files:
        raise ModelError(f"{where} must name at most {limits.max_files} files, was {len(names)}")
    if len({name.lower() for name in names}) < len(names):
        raise ModelError(f"{where} must name each file once, two differ in case only")
    for name in names:
        if not _FILE_NAME.fullmatch(name) or name.lower() == MANIFEST:
            raise ModelError(
                f"{where} must name plain files (letters, digits, . _ -), was {name!r}"
            )
        if name.lower().endswith(_CODE_SUFFIXES):
            raise ModelError(f"{where} must name data files, was {name!r}, which can carry code")


def make_folder(folder: Path) -> None:
    """Create a folder and make each new level of it durable."""
    missing = [level for level in (folder, *folder.parents) if not level.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for level in reversed(missing):
        sync_folder(level.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Create `path`, which must not exist, and flush it to the disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _claim(work: Path, versions: Path, suffix: str, now_ns: int) -> str:
    """Rename the finished folder to the first free id, later than every version before it."""
    moment = datetime.fromtimestamp(now_ns // 1000 / 1e6, tz=UTC)
    known = list_versions(versions)
    if known:
        last = datetime.strptime(known[-1][:-9], _STAMP).replace(tzinfo=UTC)
        moment = max(moment, last + timedelta(microseconds=1))
    for _ in range(_ATTEMPTS):
        version = f"{moment.strftime(_STAMP)}-{suffix}"
        try:
            work.rename(versions / version)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.EACCES, errno.EPERM):
                raise
            if not (versions / version).exists():
                raise
            moment += timedelta(microseconds=1)
            continue
        return version
    raise StorageError(f"{versions} must have a free version id, had none near {version}")


def _read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of a plain file: links, devices and oversized files are refused unread."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except OSError as error:
        reason = "a link" if error.errno == errno.ELOOP else error.strerror
        raise ModelError(f"{path} must be a readable plain file, was not: {reason}") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} must be a plain file, was not")
        if status.st_size > most_bytes:
            raise ModelError(f"{path} must have at most {most_bytes} bytes, was {status.st_size}")
        return file.read(most_bytes + 1)
