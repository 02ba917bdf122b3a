"""How much of a conversion is done, by the time that each of its passes has taken until now."""

from __future__ import annotations

from infer.stages import Stages

# over a recording: what is heard in it, content and f0 at the same time, and what is made of that
CONTENT, RENDER = PASSES = ("content", "synthesizer")


class Share:
    """The share that is done. Passes that have not begun are taken to be as quick as the others.

    What is rendered has been through the other passes, too.
    """

    def __init__(self, stages: Stages, seconds: float) -> None:
        """seconds: of the recording."""
        self._stages, self._seconds = stages, seconds
        self._done = dict.fromkeys(PASSES, 0.0)
        self._share = 0.0

    def count(self, name: str, seconds: float) -> None:
        """Count seconds of the recording that a pass is done with."""
        self._done[name] += seconds

    def now(self) -> float:
        """Return the share, 0..1; it never becomes smaller."""
        spent = self._stages.seconds()
        by_pass = {name: spent.pop(name, 0.0) for name in PASSES}
        by_pass[CONTENT] += spent.pop("f0", 0.0)
        by_pass[RENDER] += sum(spent.values())
        paces = {  # seconds spent on a second
            name: by_pass[name] / done
            for name in PASSES
            if (done := max(self._done[name], self._done[RENDER])) > 0
        }
        if paces:
            pace = sum(paces.values()) * len(PASSES) / len(paces)
            share = sum(by_pass.values()) / (pace * self._seconds)
            self._share = max(self._share, min(1.0, share))
        return self._share
