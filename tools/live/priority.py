"""Lets the process of a live stream compute before others, as far as the system allows it."""

from __future__ import annotations

import ctypes
import logging
import os

NICE = -10  # real time would hold up the browser's own sound where cores are few
HIGH_PRIORITY_CLASS = 0x80  # of Windows, which grants it to everybody

logger = logging.getLogger(__name__)


def come_first() -> None:
    """Ask for a high priority; Linux and macOS grant it to those they trust."""
    if os.name == "nt":
        windows = ctypes.WinDLL("kernel32")
        windows.SetPriorityClass(ctypes.c_void_p(-1), HIGH_PRIORITY_CLASS)  # -1: this process
        return
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    except PermissionError:
        logger.info("no priority is granted: other programs can hold up live sound")
