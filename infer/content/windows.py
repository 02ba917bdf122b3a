"""Long recordings in overlapping windows whose results are cross-faded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

FADE = 10  # frames over which neighbouring windows are cross-faded


def encode_windows(
    frames: int, window: int, context: int, encode: Callable[[int, int], Tensor]
) -> Tensor:
    """Encode a recording in one piece if it fits into a window, else in overlapping windows.

    encode: first frame and end of a window -> (end - first, dim). The context (at least FADE
    frames) on both sides of a window is thrown away. Returns (frames, dim).
    """
    parts: list[Tensor] = []  # each but the last reaches FADE frames into its neighbour
    for start in range(0, max(1, frames - 2 * context), window - 2 * context):
        end = min(start + window, frames)
        encoded = encode(start, end)[context if start else 0 :]
        if start:
            ramp = torch.arange(1, FADE + 1, device=encoded.device)[:, None] / (FADE + 1)
            encoded[:FADE] = torch.lerp(parts[-1][-FADE:], encoded[:FADE], ramp)
            parts[-1] = parts[-1][:-FADE]
        parts.append(encoded if end == frames else encoded[: len(encoded) - context + FADE])
    return torch.cat(parts)
