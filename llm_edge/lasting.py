"""
Libraries that must be loaded by a thread that does not end.

moka-py and pyreqwest bring an allocator (mimalloc) that takes the thread that loads it for the main one. Once that
thread has ended, the next thread that allocates ends the process with a segmentation fault. So where the first use
comes on any other thread than the main one, a daemon thread loads the library and stays for as long as the process.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from types import ModuleType
from typing import Final

_PATIENCE: Final = 10.0
"""Seconds for the thread that loads; a process forked in that moment has no such thread."""
_loading: dict[str, threading.Event] = {}


def lasting(name: str) -> ModuleType:
    """The module of that name, loaded so that every thread may use it from now on. ImportError when it is not there."""
    if name not in sys.modules and threading.current_thread() is not threading.main_thread():
        mine = threading.Event()
        loaded = _loading.setdefault(name, mine)
        if loaded is mine:
            try:
                threading.Thread(target=_load, args=(name, mine), name=f"llm_edge {name}", daemon=True).start()
            except RuntimeError:
                mine.set()  # no more threads in this process, or it is ending: then here
        loaded.wait(_PATIENCE)
    return import_module(name)


def _load(name: str, loaded: threading.Event) -> None:
    try:
        import_module(name)
    except ImportError:
        return  # whoever waits finds out
    finally:
        loaded.set()
    threading.Event().wait()
