"""Which GPU this machine really has: NVIDIA by its own library, AMD by what the system knows of it.

Nothing is run and nothing is guessed: what cannot be read is None, and `reason` says what was looked for.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

logger = logging.getLogger("crypto_bot.gpu")

DRM = Path("/sys/class/drm")
KFD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
AMD_VENDOR = "0x1002"
WINDOWS_ADAPTERS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_GIB = 1024**3


def get_gpu_info() -> dict[str, Any]:
    """Tell which GPU was found.

    Returns
    -------
    dict    status 'available' or 'no_gpu'; of the GPU with the most memory: gpu_type such as 'NVIDIA
        H100' or 'AMD Radeon RX 7900 XTX', memory_gb, compute_units (AMD only); devices, one dict each;
        reason, what was looked for and found. What is unknown is None.
    """
    devices, reasons = find_devices()
    first = max(devices, key=lambda device: device["memory_gb"] or 0.0, default=None)
    info = {
        "status": "no_gpu" if first is None else "available",
        "gpu_type": None if first is None else first["name"],
        "memory_gb": None if first is None else first["memory_gb"],
        "compute_units": None if first is None else first["compute_units"],
        "devices": devices,
        "reason": "; ".join(reasons),
    }
    logger.info("GPU %s: %s", info["status"], info["gpu_type"] or info["reason"])
    return info


def is_gpu_available() -> bool:
    """True when a GPU was found."""
    return bool(get_gpu_info()["status"] == "available")


def log_gpu_use() -> list[dict[str, Any]]:
    """Write every GPU's present load and memory use to the GPU log, and give them."""
    devices, _ = find_devices()
    for device in devices:
        logger.info(
            "%s: load %s %%, memory used %s of %s GB",
            *(device[name] for name in ("name", "load_percent", "memory_used_gb", "memory_gb")),
        )
    return devices


def find_devices() -> tuple[list[dict[str, Any]], list[str]]:
    """All GPUs, and a sentence for each place that was looked at."""
    nvidia, nvidia_reason = _nvidia_devices()
    amd, amd_reason = _amd_devices()
    return nvidia + amd, [nvidia_reason, amd_reason]


def _nvidia_devices() -> tuple[list[dict[str, Any]], str]:
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ModuleNotFoundError:
        return [], "NVIDIA: not looked for, pip install nvidia-ml-py"
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded):
        return [], "NVIDIA: no driver"
    except nvml.NVMLError as error:
        return [], f"NVIDIA: {error}"
    try:
        count = nvml.nvmlDeviceGetCount()
        devices = [_nvidia_device(nvml, index) for index in range(count)]
    except nvml.NVMLError as error:
        return [], f"NVIDIA: {error}"
    finally:
        nvml.nvmlShutdown()
    return devices, f"NVIDIA: {count} found"


def _nvidia_device(nvml: Any, index: int) -> dict[str, Any]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    name = _asked(nvml, nvml.nvmlDeviceGetName, handle)
    text = name.decode() if isinstance(name, bytes) else str(name or "GPU")
    memory = _asked(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _asked(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    return _device(
        text if text.startswith("NVIDIA") else f"NVIDIA {text}",
        total=None if memory is None else memory.total,
        used=None if memory is None else memory.used,
        load=None if rates is None else rates.gpu,
    )


def _asked(nvml: Any, question: Any, handle: Any) -> Any:
    """The answer, or None where this card or user may not know it."""
    try:
        return question(handle)
    except nvml.NVMLError:
        return None


def _amd_devices() -> tuple[list[dict[str, Any]], str]:
    if sys.platform == "win32":
        found = list(_windows_amd_devices())
    elif sys.platform.startswith("linux"):
        found = [_linux_amd_device(card) for card in _linux_amd_cards()]
    else:
        return [], f"AMD: not looked for on {sys.platform}"
    return found, f"AMD: {len(found) or 'none'} found"


def _linux_amd_cards() -> list[Path]:
    cards = (path / "device" for path in sorted(DRM.glob("card*")) if path.name[4:].isdigit())
    return [card for card in cards if _read(card / "vendor") == AMD_VENDOR]


def _linux_amd_device(card: Path) -> dict[str, Any]:
    product = _read(card / "product_name") or f"GPU {_read(card / 'device') or 'unknown'}"
    return _device(
        product if product.startswith("AMD") else f"AMD {product}",
        total=_number(card / "mem_info_vram_total"),
        used=_number(card / "mem_info_vram_used"),
        load=_number(card / "gpu_busy_percent"),
        compute_units=_amd_compute_units(card),
    )


def _amd_compute_units(card: Path) -> int | None:
    """Compute units from the kernel's topology; the node is found by the card's render device."""
    minors = {path.name.removeprefix("renderD") for path in (card / "drm").glob("renderD*")}
    for node in sorted(KFD_NODES.glob("*/properties")):
        lines = (line.split() for line in (_read(node) or "").splitlines())
        properties = {pair[0]: pair[1] for pair in lines if len(pair) == 2}
        per_unit = int(properties.get("simd_per_cu", "0"))
        if properties.get("drm_render_minor") in minors and per_unit > 0:
            return int(properties.get("simd_count", "0")) // per_unit
    return None


def _windows_amd_devices() -> Iterator[dict[str, Any]]:
    """Display adapters of the registry; its memory size has 64 bits, that of WMI only 32."""
    registry: Any = importlib.import_module("winreg")
    root = registry.OpenKey(registry.HKEY_LOCAL_MACHINE, WINDOWS_ADAPTERS)
    for index in range(registry.QueryInfoKey(root)[0]):
        name = registry.EnumKey(root, index)
        if not name.isdigit():
            continue
        try:
            key = registry.OpenKey(root, name)
            text = str(registry.QueryValueEx(key, "DriverDesc")[0])
        except OSError:
            continue  # an adapter without a driver, or one we may not read
        if text.startswith(("AMD", "Radeon", "ATI")):
            yield _device(
                text if text.startswith("AMD") else f"AMD {text}", total=_size(registry, key)
            )


def _size(registry: Any, key: Any) -> int | None:
    try:
        return int(registry.QueryValueEx(key, "HardwareInformation.qwMemorySize")[0])
    except (OSError, TypeError):
        return None


def _device(
    name: str,
    *,
    total: int | None,
    used: int | None = None,
    load: int | None = None,
    compute_units: int | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "memory_gb": None if total is None else round(total / _GIB, 1),
        "memory_used_gb": None if used is None else round(used / _GIB, 1),
        "load_percent": load,
        "compute_units": compute_units,
    }


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text is not None and text.isdigit() else None
