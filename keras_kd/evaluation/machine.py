"""The machine and the versions that a figure was measured with."""

import importlib.metadata
import os
import platform
from pathlib import Path

PACKAGES = (
    "tensorflow",
    "keras",
    "keras-hub",
    "tensorflow-text",
    "ai-edge-litert",
    "tokenizers",
    "numpy",
)


def machine_description() -> dict:
    """Describes the machine for a report: what differs between two of them.

    Nothing heavy is imported, and no device is started: versions are read from
    the installed packages, the rest from the operating system. What can't be
    found out is left out.

    Returns:
        A dictionary with `processor`, `cores`, `memory_gb`, `gpu`, `system`,
        `python` and `versions`.
    """
    description = {
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gb": _memory(),
        "gpu": _gpus(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": _versions(),
    }
    return {key: value for key, value in description.items() if value}


def usable_cores():
    """The cores that this process may use, which TensorFlow uses all."""
    if hasattr(os, "sched_getaffinity"):  # Not on macOS and Windows.
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _processor():
    information = _read(Path("/proc/cpuinfo"))
    for line in information.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory():
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    return round(size / 1e9, 1)


def _gpus():
    names = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in _read(file).splitlines():
            if line.startswith("Model:"):
                names.append(line.partition(":")[2].strip())
    return ", ".join(names)


def _read(path):
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _versions():
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
