"""What the doctor looks at on this machine: folders, journal, libraries, GPU, secrets in files."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import stat
import sys
from pathlib import Path

from crypto_bot.backtest.doctor import Check, Finding, bad, good, noted
from crypto_bot.backtest.logs import GPU_FILE, LOG_FILES, masked
from crypto_bot.config import Settings

LEAST_FREE_GB, LITTLE_FREE_GB = 0.5, 5.0
_READ_BYTES = 1_000_000


def _folders(settings: Settings) -> dict[str, Path]:
    return {
        "data.store_folder": Path(settings.data.store_folder),
        "registry.folder": Path(settings.registry.folder),
        "reports.folder": Path(settings.reports.folder),
        "logging.folder": Path(settings.logging.folder),
    }


def _there(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.resolve()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def look_at_folders(settings: Settings) -> list[Finding]:
    """Whether every folder can be written, by writing a file that goes again."""
    import tempfile

    for key, folder in _folders(settings).items():
        place = _there(folder)
        try:
            with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-"):
                pass
        except OSError as error:
            return bad(
                "folders",
                f"{key} {folder} must be writable, was not: {error.strerror}",
                f"give this user the right to write in {place}, or set {key}",
            )
    return good("folders", "data, models, reports and logs can be written")


def look_at_disk(settings: Settings) -> list[Finding]:
    """How much is free where data and models lie."""
    places = {str(_there(folder)): key for key, folder in _folders(settings).items()}
    free = {place: shutil.disk_usage(place).free / 2**30 for place in places}
    least = min(free, key=lambda place: free[place])
    words = f"{free[least]:.1f} GB free at {least}"
    mend = f"make room, or move {places[least]}"
    if free[least] < LEAST_FREE_GB:
        return bad("disk", words, mend)
    return noted("disk", words, mend) if free[least] < LITTLE_FREE_GB else good("disk", words)


def look_at_journal(settings: Settings) -> list[Finding]:
    """Whether the journal opens, is of this version's schema, and is whole."""
    from crypto_bot.backtest.status import is_absent
    from crypto_bot.journal import Journal

    if is_absent(settings):
        return good("journal", "none yet; the first run makes it")
    with Journal(settings.journal.url) as journal:
        journal.require_intact()
        newest = journal.last_run()
        dead = len(journal.messages("dead"))
    words = f"whole, newest run {newest.id if newest else 'none'}"
    if dead:
        return noted("journal", f"{words}; {dead} messages given up", "look at webhook and mail")
    return good("journal", words)


def look_at_versions(_settings: Settings) -> list[Finding]:
    """Every library against the range that this version wants."""
    from packaging.requirements import Requirement

    try:
        wanted = importlib.metadata.requires("crypto-bot") or []
    except importlib.metadata.PackageNotFoundError:
        return noted("versions", "crypto-bot is not installed as a package", "pip install -e .")
    wrong, extras = [], dict[str, list[bool]]()
    for line in wanted:
        need = Requirement(line)
        there = _installed(need.name)
        fits = there is not None and need.specifier.contains(there, prereleases=True)
        extra = _extra(need)
        if extra is not None:
            extras.setdefault(extra, []).append(fits)
        elif not fits and (need.marker is None or need.marker.evaluate()):
            wrong.append(
                f"{need.name} must be {need.specifier or 'there'}, was {there or 'absent'}"
            )
    if wrong:
        return bad("versions", "; ".join(wrong), "pip install --upgrade crypto-bot")
    python = ".".join(map(str, sys.version_info[:3]))
    full = sorted(name for name, parts in extras.items() if all(parts))
    lacking = sorted(set(extras) - set(full))
    return [
        *good("versions", f"Python {python}, every library in its range"),
        *good("extras", f"there: {', '.join(full) or 'none'}; not: {', '.join(lacking) or 'none'}"),
    ]


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extra(need: object) -> str | None:
    """The extra that asks for a requirement, by its marker."""
    import re

    found = re.search(r"extra == ['\"]([\w-]+)['\"]", str(getattr(need, "marker", "") or ""))
    return found[1] if found else None


def look_at_gpu(settings: Settings) -> list[Finding]:
    """Which GPU is there, and whether LightGBM can train on it."""
    from crypto_bot.backtest.gpu_accelerator import get_gpu_info

    gpu = get_gpu_info()
    if gpu["status"] != "available":
        return noted("GPU", f"none, training runs on the processor ({gpu['reason']})")
    if not settings.use_gpu:
        return noted("GPU", f"{gpu['gpu_type']}, not used: use_gpu is false")
    from crypto_bot.training.devices import usable_device

    device, words = usable_device(settings.training_device(gpu))
    if device == "cpu":
        mend = "install the vendor's OpenCL driver, or set use_gpu: false"
        return noted("GPU", f"{gpu['gpu_type']}, but LightGBM cannot use it: {words}", mend)
    return good("GPU", f"{gpu['gpu_type']}, LightGBM trains on it")


def look_at_kernels(_settings: Settings) -> list[Finding]:
    """Whether compiled kernels are kept."""
    from crypto_bot.kernel_cache import VARIABLE, kernels_were_cached

    folder = os.environ.get(VARIABLE)
    place = _there(Path(folder)) if folder else None
    if place is not None and not os.access(place, os.W_OK):
        mend = f"give this user the right to write there, or set {VARIABLE}"
        return bad("kernels", f"{folder} must be writable, was not: every start compiles", mend)
    words = (
        "kept from earlier runs" if kernels_were_cached() else "none yet, the first run compiles"
    )
    return good("kernels", words)


def look_at_operations(settings: Settings) -> list[Finding]:
    """Whether the port of the metrics is free or the loop's, and the token private."""
    from crypto_bot.operations import operations_token

    operations = settings.operations
    if operations.port is None:
        return noted("operations", "operations.port is null: no metrics are served")
    token = operations.token
    if token is not None or os.path.lexists(operations.token_file):
        operations_token(None if token is None else token.get_secret_value(), operations.token_file)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            line.bind(("127.0.0.1", operations.port))
        except OSError:
            return noted(
                "operations",
                f"port {operations.port} is taken, by a loop that runs or another",
                "if no loop runs, set operations.port",
            )
    return good("operations", f"port {operations.port} is free, the token private")


def look_at_notifications(settings: Settings) -> list[Finding]:
    """Webhook and mail, as configured; nothing is sent."""
    notifications, url = settings.notifications, settings.webhook_url
    found: list[Finding] = []
    if url is None:
        found += noted("webhook", "webhook_url is not set: nothing is posted")
    elif not url.get_secret_value().startswith(("https://", "http://")):
        found += bad(
            "webhook", "webhook_url must be an http(s) address, was not", "set webhook_url"
        )
    elif not url.get_secret_value().startswith("https://"):
        found += noted("webhook", "webhook_url is http: anybody on the way can read", "use https")
    elif notifications.webhook_secret is None:
        mend = "set CRYPTO_BOT__NOTIFICATIONS__WEBHOOK_SECRET"
        found += noted("webhook", "posts are not signed", mend)
    else:
        found += good("webhook", "https, signed")
    if not notifications.email_host:
        return [*found, *noted("mail", "notifications.email_host is not set: nothing is mailed")]
    if not notifications.email_to:
        words = "notifications.email_to must name a receiver, was empty"
        return [*found, *bad("mail", words, "set notifications.email_to")]
    if notifications.email_user and notifications.email_password is None:
        mend = "set CRYPTO_BOT__NOTIFICATIONS__EMAIL_PASSWORD"
        return [*found, *bad("mail", "a login is set without its password", mend)]
    return [*found, *good("mail", f"{notifications.email_host}, STARTTLS")]


def look_for_secrets(settings: Settings) -> list[Finding]:
    """Keys in the configuration and the logs, and files of keys that others can read."""
    from crypto_bot.config.loading import DEFAULT_FILE

    places = [DEFAULT_FILE, Path(".env")]
    folder = Path(settings.logging.folder)
    places += [folder / name for name in (*LOG_FILES.values(), GPU_FILE)]
    told = [str(place) for place in places if place.name != ".env" and _holds_secret(place)]
    if told:
        mend = "replace that key where it was made, then remove it from the file"
        return bad("secrets", f"a key stands in {', '.join(told)}", mend)
    key_file = os.environ.get("CRYPTO_BOT_SIGNING_KEY_FILE")
    private = [Path(".env"), Path(settings.operations.token_file)]
    private += [Path(key_file)] if key_file else []
    seen = [str(place) for place in private if _others_can_read(place)]
    if seen:
        return bad("secrets", f"others can read {', '.join(seen)}", f"chmod 600 {' '.join(seen)}")
    return good("secrets", "none in configuration or logs")


def _holds_secret(place: Path) -> bool:
    if not place.is_file():
        return False
    with place.open("rb") as file:
        file.seek(max(0, place.stat().st_size - _READ_BYTES))
        text = file.read().decode("utf-8", "replace")
    return masked(text) != text


def _others_can_read(place: Path) -> bool:
    return os.name != "nt" and place.is_file() and bool(stat.S_IMODE(place.stat().st_mode) & 0o077)


LOCAL_CHECKS = (
    Check("folders", look_at_folders),
    Check("disk", look_at_disk),
    Check("journal", look_at_journal),
    Check("versions", look_at_versions),
    Check("GPU", look_at_gpu),
    Check("kernels", look_at_kernels),
    Check("operations", look_at_operations),
    Check("notifications", look_at_notifications),
    Check("secrets", look_for_secrets),
)
