"""Run by test_fuzzed_artifacts in a process of its own: load mutated artifacts, judge every answer.

A mutant is either damage (the bytes of a stored version are changed behind the registry's back) or a
forgery (manifest and version id are made to fit the change, so that it reaches the parsers). Either
is loaded by a registry that trusts a key and by one that trusts whatever is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from crypto_bot.core.errors import CryptoBotError
from crypto_bot.registry import FolderStore, ModelRegistry, RegistryLimits, Signer, new_key_pair
from crypto_bot.registry.version_files import MANIFEST, SIGNATURE
from registry import mutations
from registry.artifacts import artifacts

SYMBOL, SLUG = "BTC/USDT", "BTC-USDT"
LIMITS = RegistryLimits(max_file_bytes=2**20, max_total_bytes=2**22, max_json_bytes=2**18)
STAMP = "20240906T044000.000000Z"
SLOWEST_S = 5.0
MOST_GROWTH_BYTES = 256 * 2**20


class Fuzzer:
    """Versions of every kind, published and signed once; each mutant is a changed copy of one."""

    def __init__(self, root: Path) -> None:
        os.fsync = lambda descriptor: None
        pair = new_key_pair()
        signer = Signer(pair.private)
        self.root = root
        self.kinds = artifacts()
        self.stored: dict[str, dict[str, bytes]] = {}
        self.answers: dict[str, Any] = {}
        self.folders: dict[str, str] = {}
        for name, each in self.kinds.items():
            place = root / "whole" / name.replace(" ", "_")
            registry = self._registry(place, pair.public, signer)
            version = registry.publish(SYMBOL, each.files, each.card)
            folder = place / SLUG / "versions" / version
            self.stored[name] = {path.name: path.read_bytes() for path in folder.iterdir()}
            self.folders[name] = version
            self.answers[name] = registry.load(SYMBOL, version)[0].predict_proba(each.rows)
        self.public = pair.public
        self.outcome: Counter[str] = Counter()
        self.faults: list[str] = []

    def run(self, first: int, count: int) -> None:
        names = sorted(self.kinds)
        for seed in range(first, first + count):
            chance = Random(seed)
            name = names[seed % len(names)]
            place = self.root / "mutant"
            is_forged = chance.random() < 0.6
            version = (self._forge if is_forged else self._damage)(chance, name, place)
            kind = "forged" if is_forged else "damaged"
            for trust in ("trusting", "any"):
                started = time.process_time()
                told = self._load(place, version, name, trust)
                spent = time.process_time() - started
                if spent > SLOWEST_S:
                    self.faults.append(f"{seed} {name} took {spent:.1f} s")
                if told not in self._allowed(is_forged, trust):
                    self.faults.append(f"{seed} {name} {kind} {trust}: {told}")
                self.outcome[f"{kind} {trust} {told.partition(':')[0]}"] += 1
            shutil.rmtree(place)

    @staticmethod
    def _allowed(is_forged: bool, trust: str) -> tuple[str, ...]:
        """Only a consistent forgery, where no key is asked for, may be another model: a sound one."""
        always = ("refused", "identical")
        return (*always, "sound") if is_forged and trust == "any" else always

    def _registry(self, place: Path, public: str | None, signer: Signer | None) -> ModelRegistry:
        return ModelRegistry(
            FolderStore(place),
            limits=LIMITS,
            trusted_keys=[public] if public else (),
            signer=signer,
        )

    def _load(self, place: Path, version: str, name: str, trust: str) -> str:
        registry = self._registry(place, self.public if trust == "trusting" else None, None)
        rows = self.kinds[name].rows
        try:
            predictor, _ = registry.load(SYMBOL, version)
            if rows.shape[1] != len(predictor.feature_names):
                rows = np.zeros((3, len(predictor.feature_names)))
            found = predictor.predict_proba(rows)
        except CryptoBotError:
            return "refused"
        except BaseException:
            return f"crashed: {traceback.format_exc()}"
        if np.array_equal(found, self.answers[name]):
            return "identical"
        return "sound" if _are_probabilities(found, len(rows)) else f"unsound: {found[:3]}"

    def _damage(self, chance: Random, name: str, place: Path) -> str:
        """Bytes, files and links of a stored version are changed; nothing else is made to fit."""
        files = dict(self.stored[name])
        victim = chance.choice(sorted(files))
        what = chance.randrange(7)
        if what <= 1:
            files[victim] = chance.choice(mutations.ANY_BYTES)(chance, files[victim])
        elif what == 2:
            files[victim] = (
                mutations.edited_json(chance, files[victim])
                if victim.endswith((".json", ".sig"))
                else mutations.edited(chance, victim, files[victim])
            )
        elif what == 3:
            files = mutations.swapped(
                chance, files, self.stored[chance.choice(sorted(self.stored))]
            )
        elif what == 4:
            files[MANIFEST] = self._edited_manifest(chance, files[MANIFEST])
        folder = _write(place, self.folders[name], files)
        if what == 5:
            elsewhere = place / "elsewhere"
            elsewhere.write_bytes(files[victim])
            (folder / victim).unlink()
            (folder / victim).symlink_to(elsewhere)
        elif what == 6:
            self._odd_entry(chance, folder, victim)
        return self.folders[name]

    @staticmethod
    def _odd_entry(chance: Random, folder: Path, victim: str) -> None:
        """Something that is no plain file stands among them, or in the place of one."""
        path = folder / (victim if chance.random() < 0.5 else "odd")
        path.unlink(missing_ok=True)
        if chance.random() < 0.5:
            path.mkdir()
        else:
            os.mkfifo(path)

    @staticmethod
    def _edited_manifest(chance: Random, content: bytes) -> bytes:
        values = json.loads(content)
        files = values["files"]
        name = chance.choice(sorted(files))
        what = chance.randrange(4)
        if what == 0:
            files[chance.choice(mutations.NAMES)] = files.pop(name)
        elif what == 1:
            files[name]["size"] = chance.choice((0, -1, 2**62, 10**30, 1.5, "9"))
        elif what == 2:
            files |= {f"f{k}.bin": dict(files[name]) for k in range(chance.choice((40, 1000)))}
        else:
            return mutations.edited_json(chance, content)
        return json.dumps(values).encode()

    def _forge(self, chance: Random, name: str, place: Path) -> str:
        """Model files or the card are changed, and manifest and id are made to fit."""
        files = {k: v for k, v in self.stored[name].items() if k not in (MANIFEST, SIGNATURE)}
        strange: Mapping[str, bytes] = self.stored[chance.choice(sorted(self.stored))]
        if chance.random() < 0.15:
            files = mutations.swapped(chance, files, strange)
        else:
            victim = chance.choice(sorted(files))
            is_blind = chance.random() < 0.2
            change = chance.choice(mutations.ANY_BYTES) if is_blind else None
            files[victim] = (
                change(chance, files[victim])
                if change
                else mutations.edited(chance, victim, files[victim])
            )
        described, version = _described(files, SYMBOL)
        signature = {SIGNATURE: self.stored[name][SIGNATURE]} if chance.random() < 0.5 else {}
        _write(place, version, {**files, **signature, MANIFEST: described})
        return version


def _described(files: Mapping[str, bytes], symbol: str) -> tuple[bytes, str]:
    """A manifest and an id that fit whatever is given, as a forger would make them."""
    records = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in sorted(files.items())
    }
    table = "\n".join(f"{name} {record['sha256']}" for name, record in records.items())
    identity = hashlib.sha256(f"{symbol}\n{table}".encode()).hexdigest()[:8]
    manifest = {"format": 1, "symbol": symbol, "files": records}
    return json.dumps(manifest).encode(), f"{STAMP}-{identity}"


def _write(place: Path, version: str, files: Mapping[str, bytes]) -> Path:
    folder = place / SLUG / "versions" / version
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _are_probabilities(found: Any, rows: int) -> bool:
    """Each row is probabilities, or says by NaN that there is no answer."""
    if found.ndim != 2 or len(found) != rows or found.dtype != np.float64:
        return False
    known = found[~np.isnan(found).any(axis=1)]
    sums = np.abs(known.sum(axis=1) - 1.0)
    return bool(((known >= 0) & (known <= 1)).all() and (sums <= 1e-6).all())


def main(root: Path, first: int, count: int) -> None:
    fuzzer = Fuzzer(root)
    fuzzer.run(0, len(fuzzer.kinds))
    fuzzer.outcome.clear()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    started = time.process_time()
    fuzzer.run(first, count)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    told = {
        "kinds": sorted(fuzzer.kinds),
        "outcome": dict(fuzzer.outcome),
        "faults": fuzzer.faults,
        "grown_bytes": grown,
        "seconds": time.process_time() - started,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
