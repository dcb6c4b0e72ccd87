"""`cointrainer keys`: the key that signs versions, and which public keys are trusted."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from crypto_bot.backtest.command import Result, say
from crypto_bot.config import load_settings
from crypto_bot.core.errors import ConfigError, StorageError
from crypto_bot.core.files import sync_folder, temporary_path
from crypto_bot.registry import KeyPair, Signer, new_key_pair
from crypto_bot.registry.signatures import FILE_VARIABLE, KEY_VARIABLE, key_id_of


def keys(options: argparse.Namespace) -> tuple[int, Result]:
    """A new key pair, or the public part of the one that signs here."""
    return _new(options) if options.action == "new" else _show(options)


def _new(options: argparse.Namespace) -> tuple[int, Result]:
    pair = new_key_pair()
    result = {"public": pair.public, "key_id": pair.key_id}
    if options.file is None:
        private = pair.private.get_secret_value()
        say(
            options,
            "private key, shown this once; keep it out of files that others read:",
            f"  export {KEY_VARIABLE}={private}",
            *_public_lines(pair),
        )
        return 0, {**result, "private": private}
    path = Path(options.file).expanduser()
    _write_private(path, pair.private.get_secret_value())
    say(
        options,
        f"private key written to {path}, readable by you alone; sign with it by",
        f"  export {FILE_VARIABLE}={path}",
        *_public_lines(pair),
    )
    return 0, {**result, "file": str(path)}


def _show(options: argparse.Namespace) -> tuple[int, Result]:
    trusted = {key_id_of(key): key for key in load_settings(options.config).registry.trusted_keys}
    environment = os.environ if options.file is None else {FILE_VARIABLE: options.file}
    signer = Signer.from_environment(environment)
    if signer is None:
        say(options, f"no key signs here: set {FILE_VARIABLE} or {KEY_VARIABLE}")
    else:
        word = "trusted" if signer.key_id in trusted else "not among registry.trusted_keys"
        say(options, f"signs here: {signer.public} (id {signer.key_id}), {word}")
    say(options, *(f"trusted: {key} (id {key_id})" for key_id, key in trusted.items()))
    if not trusted:
        say(options, "registry.trusted_keys is empty: unsigned versions are accepted")
    return 0, {
        "public": None if signer is None else signer.public,
        "key_id": None if signer is None else signer.key_id,
        "trusted": trusted,
    }


def _public_lines(pair: KeyPair) -> list[str]:
    return [
        f"public key (id {pair.key_id}); whoever shall accept your versions puts into the",
        "configuration:",
        "  registry:",
        "    trusted_keys:",
        f'      - "{pair.public}"',
    ]


def _write_private(path: Path, private: str) -> None:
    """Create the file with mode 600, whole or not at all; ConfigError if the name is taken."""
    partial = temporary_path(path)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(private + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, path)  # a rename would replace the other's key
        finally:
            partial.unlink()
        sync_folder(path.parent)
    except FileExistsError:
        raise ConfigError(
            f"{path} must be a new file, was there; a key is never overwritten: give another --file"
        ) from None
    except OSError as error:
        raise StorageError(
            f"{path} must be writable, was not: {error.strerror or error}"
        ) from error
