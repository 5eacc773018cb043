"""What it takes to be there at all: import time, and memory before the first call, each in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from statistics import median

_IMPORT = "import time; began = time.perf_counter(); import llm_edge; print((time.perf_counter() - began) * 1e3)"
_CLIENT = """
import time; began = time.perf_counter()
from llm_edge import EdgeClient
EdgeClient(env={})
print((time.perf_counter() - began) * 1e3)
"""
_LIBRARIES = """
import sys, llm_edge
from llm_edge import EdgeClient
EdgeClient(env={})
names = "httpx", "httpx2", "httpcore2", "pyreqwest", "httptools", "requests"
print(",".join(name for name in names if name in sys.modules))
"""
_MEMORY = "import psutil; print(psutil.Process().memory_info().rss / 2**20)"
_BARE = _MEMORY
_WITH = f"from llm_edge import EdgeClient; edge = EdgeClient(env={{}}); {_MEMORY}"


@dataclass(frozen=True, slots=True)
class Footprint:
    import_ms: float
    """`import llm_edge`"""
    client_ms: float
    """`from llm_edge import EdgeClient; EdgeClient()`"""
    libraries: str
    """HTTP libraries loaded by then."""
    memory_mib: float
    """Added to a bare interpreter by then."""


def measure() -> Footprint:
    bare, ours = _several(_BARE), _several(_WITH)
    return Footprint(_several(_IMPORT), _several(_CLIENT), _said(_LIBRARIES), ours - bare)


def _several(code: str) -> float:
    _said(code)  # the first one may write bytecode
    return median(float(_said(code)) for _ in range(7))


def _said(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
