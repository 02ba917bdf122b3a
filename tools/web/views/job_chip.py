"""What works, waits or has just ended, each a link to its tab that stands on every tab."""

from __future__ import annotations

import time

from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from tools.convert.client import Session
from tools.jobs import results
from tools.jobs.jobs import Jobs
from tools.web.i18n import translate

TOLD_SECONDS = 90.0  # that the end of a job is told; a page that is hidden looks once a minute
LONG_SECONDS = 20.0  # of a conversion whose end is told like that of a job


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
        """Return links to all that works and waits, else to what ended just now, "" for neither."""
        running, waiting, ended = [], [], []
        for tab, jobs in self._places.items():
            names = []
            for name, job in jobs.all().items():
                if job.state == "running":
                    running.append(_link(tab, translate(f"chip_{tab}", name=name)))
                elif job.state == "waiting":
                    names.append(name)
                elif job.state in ("done", "failed") and job.heavy and _is_recent(job.ended or 0.0):
                    ended.append((job.ended, tab, f"chip_{tab}_{job.state}", name, job.state))
            if names:
                values = {"names": ", ".join(names), "count": len(names)}
                said = translate(f"chip_{tab}_waiting", **values)
                waiting.append(_link(tab, said, "chip chip-waiting"))
        if self._session.is_converting:
            running.append(_link("convert", translate("chip_convert")))
        if running or waiting:
            return " ".join(dict.fromkeys(running + waiting))  # a batch is a conversion, too
        end = self._session.end
        if end and end.seconds >= LONG_SECONDS and _is_recent(end.at):
            ended.append((end.at, "convert", f"chip_one_{end.state}", "", end.state))
        if not ended:
            return ""
        _, tab, text, name, state = max(ended)
        return _link(tab, translate(text, name=name), f"chip chip-ended chip-{state}")


def _link(tab: str, said: str, kind: str = "chip") -> str:
    return f'<a class="{kind}" href="#{tab}">{said}</a>'


def _is_recent(ended: float) -> bool:
    return time.time() - ended < TOLD_SECONDS
