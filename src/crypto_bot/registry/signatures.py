"""Ed25519 signatures of manifests: who published a version, shown by bytes that no store can make.

The signed message binds a domain, the symbol's folder, the version's id and the bytes of
manifest.json, which holds the sha256 of every file: nothing of a signed version can be changed, and
it cannot be shown as another version or another symbol's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, SecretStr

from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.core.options import Options
from crypto_bot.registry.records import read_record, to_json

SIGNATURE = "manifest.sig"
KEY_VARIABLE = "CRYPTO_BOT_SIGNING_KEY"
FILE_VARIABLE = "CRYPTO_BOT_SIGNING_KEY_FILE"
MOST_BYTES = 4096
"""Of manifest.sig and of a key file."""
_FORMAT = "crypto-bot signature 1"
_DOMAIN = b"crypto-bot model manifest 1"
_KEY_BYTES = 32
_KEY_ID_LENGTH = 16


class KeyPair(NamedTuple):
    """A new key: `private` stays with whoever publishes, `public` goes into registry.trusted_keys."""

    private: SecretStr
    public: str
    key_id: str


class SignatureRecord(Options):
    """What manifest.sig holds."""

    format: str = Field(pattern=f"^{_FORMAT}$", description="of the record")
    key_id: str = Field(pattern=r"^[0-9a-f]{16}$", description="which key signed")
    signature: str = Field(max_length=100, description="base64 of 64 bytes")


def new_key_pair() -> KeyPair:
    """A fresh Ed25519 key from the system's randomness; both parts are base64 of 32 bytes.

    Examples
    --------
    >>> pair = new_key_pair()
    >>> Signer(pair.private).public == pair.public
    True
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()
    signer = Signer(SecretStr(private))
    return KeyPair(SecretStr(private), signer.public, signer.key_id)


class Signer:
    """Signs manifests with a private key, which is never shown.

    Raises
    ------
    ConfigError    if the key is not base64 of 32 bytes; the message holds no part of it
    """

    def __init__(self, private: SecretStr, *, name: str = KEY_VARIABLE) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        raw = _decoded(private.get_secret_value().strip())
        if raw is None:
            raise ConfigError(
                f"{name} must be base64 of {_KEY_BYTES} bytes, was not (not shown: it is a secret); "
                "make one with: cointrainer keys new"
            )
        self._key = Ed25519PrivateKey.from_private_bytes(raw)
        self.public = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()
        self.key_id = key_id_of(self.public)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Signer | None:
        """The signer of CRYPTO_BOT_SIGNING_KEY or of the file CRYPTO_BOT_SIGNING_KEY_FILE, or None.

        Raises ConfigError if both are given, or if others than the owner can read the file.
        """
        given = os.environ if environment is None else environment
        text, file = given.get(KEY_VARIABLE, ""), given.get(FILE_VARIABLE, "")
        if text and file:
            raise ConfigError(f"{KEY_VARIABLE} and {FILE_VARIABLE} must not both be set, were")
        if file:
            return cls(SecretStr(_read_key_file(Path(file))), name=f"{FILE_VARIABLE} {file}")
        return cls(SecretStr(text)) if text else None

    def sign(self, slug: str, version: str, manifest: bytes) -> bytes:
        """The content of manifest.sig."""
        signature = self._key.sign(_message(slug, version, manifest))
        record = SignatureRecord(
            format=_FORMAT, key_id=self.key_id, signature=base64.b64encode(signature).decode()
        )
        return to_json(record.model_dump(), SIGNATURE)


class TrustedKeys:
    """Public keys whose signatures count; empty: signatures are not asked for.

    Raises
    ------
    ConfigError    naming the first that is not base64 of 32 bytes
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._keys = {key_id_of(key): key for key in keys}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __contains__(self, public: str) -> bool:
        return public in self._keys.values()

    def verify(
        self, name: str, slug: str, version: str, manifest: bytes, signature: bytes | None
    ) -> str:
        """The id of the key that signed these bytes for this symbol and version.

        Parameters
        ----------
        name : str    what messages call the version

        Raises
        ------
        ModelError    if it is unsigned, signed by an unknown key, or the signature is not of this
                      manifest, symbol and version
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        known = ", ".join(sorted(self._keys))
        if signature is None:
            raise ModelError(
                f"{name} must be signed by a trusted key ({known}), was unsigned; "
                "publish it again with a signing key"
            )
        record = read_record(SignatureRecord, signature, f"{name}/{SIGNATURE}")
        if record.key_id not in self._keys:
            raise ModelError(
                f"{name} must be signed by a trusted key ({known}), was by {record.key_id}; "
                "add its public key to registry.trusted_keys if you trust it"
            )
        public = Ed25519PublicKey.from_public_bytes(
            base64.b64decode(self._keys[record.key_id], validate=True)
        )
        try:
            public.verify(_signature_bytes(record), _message(slug, version, manifest))
        except InvalidSignature as error:
            raise ModelError(
                f"{name} must carry a signature of its own manifest, symbol and id, carried another; "
                "it was changed or moved: do not use this version"
            ) from error
        return record.key_id


def key_id_of(public: str) -> str:
    """First 16 hex digits of the key's sha256. ConfigError unless it is base64 of 32 bytes."""
    raw = _decoded(public)
    if raw is None:
        raise ConfigError(
            f"registry.trusted_keys must be base64 of {_KEY_BYTES} bytes each, was {public[:60]!r}; "
            "give the public key that cointrainer keys new printed"
        )
    return hashlib.sha256(raw).hexdigest()[:_KEY_ID_LENGTH]


def _message(slug: str, version: str, manifest: bytes) -> bytes:
    """Neither slug nor version can hold the separator, so no two triples give the same message."""
    return b"\0".join((_DOMAIN, slug.encode(), version.encode(), manifest))


def _signature_bytes(record: SignatureRecord) -> bytes:
    try:
        return base64.b64decode(record.signature, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _decoded(key: str) -> bytes | None:
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == _KEY_BYTES else None


def _read_key_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if os.name != "nt" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(
                    f"{FILE_VARIABLE} {path} must be readable by its owner only, was mode "
                    f"{stat.S_IMODE(status.st_mode):o}; run: chmod 600 {path}"
                )
            return file.read(MOST_BYTES).decode("ascii")
    except OSError as error:
        raise ConfigError(
            f"{FILE_VARIABLE} {path} must be readable, was not: {error.strerror}"
        ) from error
    except UnicodeDecodeError:
        raise ConfigError(
            f"{FILE_VARIABLE} {path} must be base64 text, was not (not shown: it is a secret)"
        ) from None
