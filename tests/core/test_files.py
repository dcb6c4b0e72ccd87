"""A file is the old one or the new one, never half of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from crypto_bot.core.errors import StorageError
from crypto_bot.core.files import write_file, write_json


def test_a_write_replaces_the_whole_file(tmp_path):
    target = tmp_path / "folder" / "a.txt"
    write_file(target, "first")
    write_file(target, "second")
    assert target.read_text() == "second"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_an_unwritable_place_is_named_and_left_as_it_was(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("here")
    with pytest.raises(StorageError, match=r"file/a\.txt must be writable"):
        write_file(blocker / "a.txt", "text")
    assert blocker.read_text() == "here"


def test_nan_never_reaches_a_json_file(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_writer_killed_before_the_rename_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"version": 1})
    code = (
        "import os, signal, sys; from pathlib import Path; from crypto_bot.core import files\n"
        "files.publish_file = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_json(Path(sys.argv[1]), {'version': 2})"
    )
    result = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert result.returncode == -9
    assert json.loads(target.read_text()) == {"version": 1}
