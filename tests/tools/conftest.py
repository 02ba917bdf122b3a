from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.tools.bad_server import Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("tools.fetch.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("tools.fetch.READ_SECONDS", 0.5)
    monkeypatch.setattr("tools.fetch.PROBE_SECONDS", 1.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield running
    running.shutdown()
    running.server_close()
