"""GPU facts, from fake drivers and fake system files; and the truth of this machine."""

from __future__ import annotations

import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest

from crypto_bot.backtest import gpu_accelerator
from crypto_bot.backtest.gpu_accelerator import get_gpu_info, is_gpu_available, log_gpu_use

GIB = 1024**3


class NVMLError(Exception):
    pass


class NVMLErrorLibraryNotFound(NVMLError):
    pass


class NVMLErrorDriverNotLoaded(NVMLError):
    pass


class FakeNvml:
    """pynvml as far as it is asked: one (name, total, used, load) a card."""

    NVMLError = NVMLError
    NVMLError_LibraryNotFound = NVMLErrorLibraryNotFound
    NVMLError_DriverNotLoaded = NVMLErrorDriverNotLoaded

    def __init__(self, *cards: tuple[object, ...], fault: Exception | None = None) -> None:
        self.cards, self.fault, self.is_open = cards, fault, False

    def nvmlInit(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.is_open = True

    def nvmlShutdown(self) -> None:
        self.is_open = False

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> object:
        return self.cards[handle][0]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        if self.cards[handle][1] is None:
            raise NVMLError("Not Supported")
        return SimpleNamespace(total=self.cards[handle][1], used=self.cards[handle][2])

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=self.cards[handle][3])


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """No driver, no cards, whatever this machine has."""
    monkeypatch.setattr(gpu_accelerator, "DRM", tmp_path / "drm")
    monkeypatch.setattr(gpu_accelerator, "KFD_NODES", tmp_path / "nodes")
    monkeypatch.setattr(sys, "platform", "linux")
    use_nvml(monkeypatch, FakeNvml(fault=NVMLErrorLibraryNotFound("no library")))


def use_nvml(monkeypatch, nvml: FakeNvml | None) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)


def add_amd_card(root, number: int, **files: str) -> None:
    device = root / "drm" / f"card{number}" / "device"
    (device / "drm" / f"renderD{128 + number}").mkdir(parents=True)
    for name, text in {"vendor": "0x1002", "device": "0x744c", **files}.items():
        (device / name).write_text(f"{text}\n")


def test_a_machine_without_a_gpu_says_so_and_what_was_looked_for():
    assert get_gpu_info() == {
        "status": "no_gpu",
        "gpu_type": None,
        "memory_gb": None,
        "compute_units": None,
        "devices": [],
        "reason": "NVIDIA: no driver; AMD: none found",
    }
    assert not is_gpu_available()


def test_an_nvidia_card_is_described_and_the_library_closed(monkeypatch):
    nvml = FakeNvml((b"NVIDIA H100 PCIe", 80 * GIB, 2 * GIB, 35))
    use_nvml(monkeypatch, nvml)
    info = get_gpu_info()
    assert (info["status"], info["gpu_type"]) == ("available", "NVIDIA H100 PCIe")
    assert (info["memory_gb"], info["compute_units"]) == (80.0, None)
    assert info["reason"] == "NVIDIA: 1 found; AMD: none found"
    assert not nvml.is_open
    assert is_gpu_available()


def test_the_card_with_the_most_memory_speaks_for_several(monkeypatch):
    cards = (("Tesla T4", 16 * GIB, 0, 0), ("NVIDIA A100", 40 * GIB, 0, 0))
    use_nvml(monkeypatch, FakeNvml(*cards))
    info = get_gpu_info()
    assert info["gpu_type"] == "NVIDIA A100"
    assert [device["name"] for device in info["devices"]] == ["NVIDIA Tesla T4", "NVIDIA A100"]


def test_what_a_card_may_not_tell_stays_unknown(monkeypatch):
    use_nvml(monkeypatch, FakeNvml(("NVIDIA X", None, None, 5)))
    info = get_gpu_info()
    assert (info["status"], info["memory_gb"]) == ("available", None)


@pytest.mark.parametrize(
    ("nvml", "reason"),
    [
        (None, "NVIDIA: not looked for, pip install nvidia-ml-py"),
        (FakeNvml(fault=NVMLErrorDriverNotLoaded("not loaded")), "NVIDIA: no driver"),
        (FakeNvml(fault=NVMLError("Insufficient Permissions")), "NVIDIA: Insufficient Permissions"),
        (FakeNvml(), "NVIDIA: 0 found"),
    ],
)
def test_every_way_of_having_no_nvidia_card_is_told_apart(monkeypatch, nvml, reason):
    use_nvml(monkeypatch, nvml)
    assert get_gpu_info()["reason"].split(";")[0] == reason


def test_an_amd_card_is_read_from_the_system(tmp_path):
    add_amd_card(
        tmp_path,
        0,
        product_name="Radeon RX 7900 XTX",
        mem_info_vram_total=str(24 * GIB),
        mem_info_vram_used=str(GIB),
        gpu_busy_percent="12",
    )
    (tmp_path / "drm" / "card0-DP-1").mkdir()
    node = tmp_path / "nodes" / "1"
    node.mkdir(parents=True)
    (node / "properties").write_text("simd_count 192\nsimd_per_cu 2\ndrm_render_minor 128\n")
    info = get_gpu_info()
    assert (info["status"], info["gpu_type"]) == ("available", "AMD Radeon RX 7900 XTX")
    assert (info["memory_gb"], info["compute_units"]) == (24.0, 96)
    assert info["devices"][0]["load_percent"] == 12


def test_an_amd_card_that_tells_little_is_still_a_card(tmp_path):
    add_amd_card(tmp_path, 1)
    info = get_gpu_info()
    assert info["gpu_type"] == "AMD GPU 0x744c"
    assert (info["memory_gb"], info["compute_units"]) == (None, None)


def test_cards_of_other_makers_are_not_amd(tmp_path):
    add_amd_card(tmp_path, 0, vendor="0x8086")
    assert get_gpu_info()["status"] == "no_gpu"


def test_on_windows_amd_cards_come_from_the_registry_with_their_full_memory(monkeypatch):
    adapters = {
        "0000": {"DriverDesc": "Intel UHD"},
        "0001": {
            "DriverDesc": "Radeon RX 6800",
            "HardwareInformation.qwMemorySize": 16 * GIB,
        },
        "0002": {},
        "Properties": {},
    }

    def query(key, name):
        if name not in adapters.get(key, {}):
            raise FileNotFoundError(name)
        return adapters[key][name], 0

    registry = SimpleNamespace(
        HKEY_LOCAL_MACHINE=0,
        OpenKey=lambda root, name: name,
        QueryInfoKey=lambda key: (len(adapters), 0, 0),
        EnumKey=lambda key, index: list(adapters)[index],
        QueryValueEx=query,
    )
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(sys, "platform", "win32")
    info = get_gpu_info()
    assert (info["gpu_type"], info["memory_gb"]) == ("AMD Radeon RX 6800", 16.0)
    assert len(info["devices"]) == 1


def test_on_macos_nothing_is_claimed(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert get_gpu_info()["reason"].endswith("AMD: not looked for on darwin")


def test_what_was_found_and_how_it_is_used_goes_to_the_gpu_log(monkeypatch, caplog):
    use_nvml(monkeypatch, FakeNvml(("NVIDIA H100", 80 * GIB, 2 * GIB, 35)))
    caplog.set_level(logging.INFO, logger="crypto_bot.gpu")
    get_gpu_info()
    assert log_gpu_use()[0]["memory_used_gb"] == 2.0
    assert [record.getMessage() for record in caplog.records] == [
        "GPU available: NVIDIA H100",
        "NVIDIA H100: load 35 %, memory used 2.0 of 80.0 GB",
    ]


def test_the_guides_line_works_as_printed():
    line = "from crypto_bot.backtest.gpu_accelerator import get_gpu_info; print(get_gpu_info())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", line], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("{'status': '")
    assert done.stderr == ""


def test_asking_loads_nothing_heavy():
    code = (
        "import sys; from crypto_bot.backtest.gpu_accelerator import get_gpu_info; get_gpu_info();"
        "print([m for m in ('numba', 'numpy', 'polars', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.gpu
def test_the_real_gpu_is_found(monkeypatch):
    monkeypatch.undo()
    assert is_gpu_available()
