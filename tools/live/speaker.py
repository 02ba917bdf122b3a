"""What is known of the speaker, from one live session to the next."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

import numpy as np

import config
from infer.content.statistics import RunningStatistics

FILE = config.DATA / ".speaker.npz"
FIELDS = ("mean", "std")  # not how loud: the next microphone may be softer

logger = logging.getLogger(__name__)


def remember(statistics: RunningStatistics, encoder: str, path: Path = FILE) -> None:
    """Keep what a session found out by an encoder; OSError where it cannot be written."""
    if not np.isfinite(statistics.loud):  # nobody spoke
        return
    known = statistics.result()
    with config.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, encoder=np.array(encoder), mean=known.mean, std=known.std)


def recall(statistics: RunningStatistics, encoder: str, path: Path = FILE) -> None:
    """Let statistics begin with what the last session found out, if it heard by this encoder."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["encoder"]) != encoder:
                return
            known = [kept[name].astype(np.float64) for name in FIELDS]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        logger.warning("%s is damaged and left out: %s", path, error)
        return
    shape = statistics.sum.shape
    if all(each.shape == shape and np.isfinite(each).all() for each in known):
        statistics.begin_with(*known)
    else:
        logger.warning("%s holds no statistics of such content and is left out", path)
