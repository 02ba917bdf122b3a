"""What works, waits or has just ended, in one line that stands on every tab and leads to it."""

from __future__ import annotations

import time

from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from tools.convert.client import Session
from tools.jobs import results
from tools.jobs.jobs import Job, Jobs
from tools.web.i18n import translate

TOLD_SECONDS = 60.0  # that the end of a job is told


class JobChip:
    """Looks at trainings, batches, covers and the conversion process."""

    def __init__(self, session: Session, jobs: Jobs) -> None:
        self._session = session
        batches, covers = Jobs(results.BATCHES), Jobs(results.COVERS)
        self._places = {"train": jobs, "convert": batches, "song": covers}  # tab -> its jobs

    def add_to(self, app: Starlette) -> None:
        """Serve it to page.js, which asks all the time: an event of gradio would cost far more."""
        app.router.routes[:0] = [Route("/chip", lambda request: HTMLResponse(self.html()))]

    def html(self) -> str:
        """Return a link to what works, else to what ended just now, "" for neither."""
        running, ended, waiting = [], [], 0
        for tab, jobs in self._places.items():
            for name, job in jobs.all().items():
                waiting += job.state == "waiting"
                if job.state == "running":
                    running.append((tab, translate(f"chip_{tab}", name=name)))
                elif job.state in ("done", "failed") and job.heavy and _is_recent(job):
                    ended.append((tab, name, job.state))
        if not running and self._session.is_converting:
            running.append(("convert", translate("chip_convert")))
        parts = running[:1] + ([("", translate("chip_waiting", count=waiting))] if waiting else [])
        kind = "chip"
        if not parts and ended:
            tab, name, state = ended[0]
            kind = f"chip chip-ended chip-{state}"
            parts = [(tab, translate(f"chip_{tab}_{state}", name=name))]
        said = " · ".join(each for _, each in parts)
        return f'<a class="{kind}" href="#{parts[0][0] or "convert"}">{said}</a>' if parts else ""


def _is_recent(job: Job) -> bool:
    return time.time() - (job.ended or 0.0) < TOLD_SECONDS
