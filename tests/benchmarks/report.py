"""How benchmarks print: a table for people, JSON for scripts, and always the payload, durability and hardware."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import psutil


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser


def hardware() -> dict[str, Any]:
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def publish(name: str, figures: dict[str, Any], path: Path | None, **setting: Any) -> None:
    """Print figures and what they were measured under; write them to ``path`` if given."""
    document = {"benchmark": name, "setting": setting, "hardware": hardware(), "figures": figures}
    text = json.dumps(document, indent=2)
    print(text)
    if path is not None:
        path.write_text(text + "\n")


def interim(figures: dict[str, Any], path: Path | None) -> None:
    """Write figures to ``path``, if given, while a long run goes on."""
    if path is not None:
        path.write_text(json.dumps({"interim": True, "figures": figures}, indent=2) + "\n")
