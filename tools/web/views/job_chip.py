"""What works and what waits, in one line that stands on every tab and leads to it."""

from __future__ import annotations

from tools.convert.client import Session
from tools.jobs import results
from tools.jobs.jobs import Jobs
from tools.web.i18n import translate


class JobChip:
    """Looks at trainings, batches and the conversion process."""

    def __init__(self, session: Session, jobs: Jobs) -> None:
        self._session = session
        self._places = {"train": jobs, "convert": Jobs(results.BATCHES)}

    def html(self) -> str:
        """Return a link to what works, "" where nothing does."""
        parts: list[str] = []
        waiting, place = 0, "convert"
        for tab, jobs in self._places.items():
            for name, job in jobs.all().items():
                waiting += job.state == "waiting"
                if job.state == "running" and not parts:
                    place = tab
                    names = {"name": name}
                    kind = "chip_running" if tab == "train" else "chip_converting"
                    parts.append(translate(kind, **names))
        if not parts and self._session.is_converting:
            parts.append(translate("chip_converting"))
        if waiting:
            parts.append(translate("chip_waiting", count=waiting))
        return f'<a class="chip" href="#{place}">{" · ".join(parts)}</a>' if parts else ""
