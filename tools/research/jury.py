"""All judges that are installed, with a memory: what they said of a file is asked once."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from config import replacing
from infer.audio.reader import load
from tools.research import judges

EMBEDDINGS = ("speaker", "timbre")
QUESTIONS = {
    "words": "transcribe",
    "strict": "transcribe",
    "distillmos": "score",
    "dnsmos": "score",
}
QUESTIONS |= dict.fromkeys(EMBEDDINGS, "embed")
JUDGES = ("words", "distillmos", "dnsmos", *EMBEDDINGS)  # those of tools.research.evaluate


class Recording:
    """A recording as the judges hear it: (N,) float32 at 16 kHz."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.audio = load(path, judges.SAMPLE_RATE)[0]
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()


class Jury:
    """Asks the judges; a judge whose package is missing is named on stderr and left out."""

    def __init__(self, memory: Path | None = None, names: Iterable[str] = JUDGES) -> None:
        """memory: JSON file of what was said before; ValueError if it is something else."""
        self._judges = {name: judge for name in names if (judge := _load(name)) is not None}
        self._memory = memory
        # what another version of the judges said does not count
        self._version = hashlib.sha256(Path(judges.__file__).read_bytes()).hexdigest()
        self._said = _read(memory, self._version) if memory and memory.exists() else {}

    def __contains__(self, name: str) -> bool:
        return name in self._judges

    def ask(self, name: str, recording: Recording) -> Any:
        """Words (str), an embedding of length one (256,), or a score, by the judge of that name."""
        said = self._said.setdefault(recording.digest, {})
        if name not in said:
            said[name] = _plain(getattr(self._judges[name], QUESTIONS[name])(recording.audio))
        return np.array(said[name]) if name in EMBEDDINGS else said[name]

    def ask_all(self, name: str, recordings: list[Recording]) -> list[Any]:
        """What that judge says of each."""
        return [self.ask(name, recording) for recording in recordings]

    def forget(self, recording: Recording) -> None:
        """Keep nothing of a recording that will not be heard again."""
        self._said.pop(recording.digest, None)

    def save(self) -> None:
        """Write the memory."""
        if self._memory:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            content = {"version": self._version, "said": self._said}
            with replacing(self._memory) as temporary:
                temporary.write_text(json.dumps(content), encoding="utf-8")


def _load(name: str) -> Any:
    try:
        return judges.load_judge(name)
    except (ImportError, OSError) as error:
        print(f"without the judge {name}: {error}; {judges.INSTALL}", file=sys.stderr)
        return None


def _read(memory: Path, version: str) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
        return content["said"] if content["version"] == version else {}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{memory} is no memory of the judges; delete it") from error


def _plain(answer: Any) -> Any:
    """An answer as JSON knows it; embeddings to six digits."""
    if isinstance(answer, np.ndarray):
        return [round(float(value), 6) for value in answer]
    return answer
