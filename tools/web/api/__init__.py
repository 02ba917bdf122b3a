"""The page's actions for other programs: gradio_client, HTTP and MCP. docs/api.md shows their use.

Endpoints take plain values and uploads, none of the page's widgets, and what they refuse is one
English line. The page's own events are private.
"""

from __future__ import annotations

from tools.convert.client import Session
from tools.jobs.jobs import Jobs
from tools.web.api.converting import ConvertEndpoints
from tools.web.api.machine import MachineEndpoints
from tools.web.api.training import TrainEndpoints
from tools.web.api.voices import VoiceEndpoints


def add_endpoints(session: Session, jobs: Jobs) -> None:
    """Give the page that is being built its named endpoints."""
    ConvertEndpoints(session)
    TrainEndpoints(jobs)
    VoiceEndpoints(session)
    MachineEndpoints()
