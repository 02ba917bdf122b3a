"""Whisper's encoder on sound that is still coming: what was heard is remembered, not heard anew."""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

import config
from infer.content import FRAME
from infer.content.eight_bits import is_fast
from infer.content.whisper_encoder import WINDOW, Memory, WhisperEncoder, is_noisy, seen

if TYPE_CHECKING:
    from infer.content.whisper import WhisperContent

EDGE = 2  # frames before a block: the first one's spectrum is cut off, the second one's convolution
NOISE_FRAMES = 200  # newest frames (4 s) by which noise is told, ...
NOISE_EVERY = 50  # ... once in as many (1 s)


class WhisperStream:
    """Hears a block and its look-ahead; attention sees what it heard of the frames before.

    A block is heard twice, when it comes and with the one after it, and is then remembered, so it
    costs a fraction of what hearing all of its context would. After WINDOW frames there are no more
    positions: the context is heard anew at the first ones. So it is when noise comes or goes, with
    the ears for it.
    """

    def __init__(self, content: WhisperContent, block: int, look_ahead: int, context: int) -> None:
        self._content, self._block = content, block
        self._frames = block + look_ahead  # returned
        self._heard = block + self._frames  # at once
        self._before = max(0, context - block)
        self._ears = content.ears
        self._encoder = self._ears[0]
        self._memories: list[Memory] = []
        self._position = WINDOW  # of the next block: there is none yet
        self._mels: deque[torch.Tensor] = deque(maxlen=-(-NOISE_FRAMES // block))
        self._peaks: deque[torch.Tensor] = deque(maxlen=-(-WINDOW // block))
        self._untold = 0  # frames since noise was looked for

    @torch.inference_mode()
    def push(self, audio: np.ndarray) -> np.ndarray:
        """See ContentStream."""
        wav = torch.from_numpy(audio).to(self._content.device)
        encoder = self._pick_ears()
        if encoder is not self._encoder or self._position + self._heard > WINDOW:
            self._encoder, self._position = encoder, 0
            self._memories = [Memory() for _ in encoder.blocks]
            self._hear(wav[: len(wav) - self._heard * FRAME], self._before, self._before)
        return self._hear(wav, self._heard, self._block)[-self._frames :].cpu().numpy()

    def _pick_ears(self) -> WhisperEncoder:
        """The encoder for what was heard lately."""
        self._untold += self._block
        if len(self._ears) == 1 or self._untold < NOISE_EVERY or not self._mels:
            return self._encoder
        self._untold = 0
        mel = seen(torch.cat(list(self._mels), 1), torch.stack(list(self._peaks)).max())
        return self._ears[is_noisy(mel.cpu().numpy())]

    def _hear(self, wav: torch.Tensor, frames: int, final: int) -> torch.Tensor:
        """Content (frames, dim) of the end of wav; the first final frames are remembered."""
        content, place = self._content, self._position
        part = wav[-(frames + EDGE) * FRAME :]
        missing = (frames + EDGE) * FRAME - len(part)
        mel, energy = content.mel(F.pad(part, (missing, 0)), frames + EDGE)
        mel, energy = mel[:, 2:], energy[EDGE:]
        self._mels.append(mel[:, 2 : 2 + 2 * final])
        self._peaks.append(mel.max())
        mel = seen(mel, torch.stack(list(self._peaks)).max())
        with nullcontext() if is_fast(wav.device) else config.autocast(wav.device):
            x = self._encoder.embed(mel[None])[:, EDGE - 1 :]
            hidden = self._encoder.attend(x, place, self._memories)[0].float()
        self._position += final
        for memory in self._memories:
            memory.length += final
        speech = self._encoder.energy_of_speech(hidden, energy)
        hidden = hidden - content.position_mean[place : place + frames]
        return torch.cat([hidden, speech[:, None]], 1)
