"""Is this machine and this copy of the program in order? Checks, and a bundle to ask for help with.

Every answer is the name of a text in tools/web/i18n/*/doctor.json and its values. What needs torch
runs in a process of its own.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import config
from config import replacing
from errors import LANGUAGE, UserError, as_user_error, os_reason, translate_value
from tools.machine.assets import assets
from tools.machine.environment import LOOPBACK, page_environment, unusable_proxies
from tools.machine.hardware import list_gpus, torch_build
from tools.options import WebOptions
from tools.voices.library import Library, check_index
from train.experiment import Experiment

OLDEST_PYTHON = (3, 10)
LITTLE_MEMORY, LEAST_MEMORY = 6.0, 3.0  # GiB in all
LITTLE_DISK, LEAST_DISK = 10.0, 2.0  # GiB free
LONG_PATH = 150  # letters of the program's folder, where Windows allows 260 in all
TORCH_SECONDS = 180.0
LITE_FILES = (
    "whisper-base-4.safetensors",
    "whisper-base-4-noise.safetensors",
    "base_G.pth",
    "base_D.pth",
    "demo.pth",
)
LOGS_KEPT, LOG_BYTES = 8, 64 * 1024  # of a support bundle
GIB = 2**30
TORCH_CODE = """
import json, torch
cuda = torch.cuda.is_available()
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else []
device = names[0] if names else "mps" if torch.backends.mps.is_available() else "cpu"
ones = torch.ones(8, 8, device="cuda" if cuda else "cpu")
assert (ones @ ones).sum().item() == 512
print(json.dumps({"version": torch.__version__, "device": device}))
"""


@dataclass(frozen=True)
class Check:
    """One answer. level: ok, warning or problem; text: what is so and what to do.

    values: what stands in the text's places; a reason is a UserError.
    """

    level: str
    text: str
    values: dict[str, Any] = field(default_factory=dict)

    def say(self, texts: Mapping[str, str]) -> str:
        """The answer in English, by the English texts."""
        values = {name: translate_value(value, LANGUAGE) for name, value in self.values.items()}
        return texts[self.text].format(**values)


def run_checks() -> list[Check]:
    """Every check, in the order in which things go wrong."""
    return [each for check in CHECKS for each in check()]


def check_python() -> Iterator[Check]:
    """Its version and, on Windows, its path length."""
    version = platform.python_version()
    is_new = sys.version_info >= OLDEST_PYTHON
    yield Check(
        "ok" if is_new else "problem",
        "doctor_python" if is_new else "doctor_python_old",
        {"version": version, "system": f"{platform.system()} {platform.release()}"},
    )


def check_packages() -> Iterator[Check]:
    """What requirements.txt asks for against what is installed."""
    from packaging.requirements import Requirement

    wrong, count = [], 0
    lines = (config.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        text = line.partition("#")[0].strip()
        if not text:
            continue
        wanted, count = Requirement(text), count + 1
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(UserError("package_missing", name=wanted.name))
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            needed = str(wanted.specifier)
            wrong.append(UserError("package_old", name=wanted.name, found=version, needed=needed))
    if wrong:
        yield Check("problem", "doctor_packages_wrong", {"packages": wrong})
    else:
        yield Check("ok", "doctor_packages", {"count": str(count)})


def check_torch() -> Iterator[Check]:
    """Whether torch imports and computes, and on what."""
    try:
        ran = subprocess.run(
            [sys.executable, "-c", TORCH_CODE], capture_output=True, text=True,
            timeout=TORCH_SECONDS, cwd=config.ROOT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Check(
            "problem",
            "doctor_torch_broken",
            {"reason": UserError("no_answer", seconds=TORCH_SECONDS)},
        )
        return
    if ran.returncode:
        lines = ran.stderr.strip().splitlines()  # of a process that crashed there are none
        reason = lines[-1][:300] if lines else UserError("exit_code", code=ran.returncode)
        yield Check("problem", "doctor_torch_broken", {"reason": reason})
        return
    said = json.loads(ran.stdout.splitlines()[-1])
    yield Check("ok", "doctor_torch", {"version": said["version"], "device": said["device"]})
    gpus = list_gpus()
    if gpus and torch_build() == "cpu":
        yield Check("warning", "doctor_gpu_unused", {"name": gpus[0].name})
    elif gpus and gpus[0].memory < config.SMALL_GPU:
        values = {"name": gpus[0].name, "memory": f"{gpus[0].memory:.1f}"}
        yield Check("warning", "doctor_gpu_small", values)


def check_memory() -> Iterator[Check]:
    """Memory in all."""
    total = total_memory()
    if total is None:
        return
    gib = total / GIB
    values = {"memory": f"{gib:.1f}"}
    if gib < LEAST_MEMORY:
        yield Check("problem", "doctor_memory_least", values)
    elif gib < LITTLE_MEMORY:
        yield Check("warning", "doctor_memory_little", values)
    else:
        yield Check("ok", "doctor_memory", values)


def check_disk() -> Iterator[Check]:
    """Space where the program lies."""
    gib = shutil.disk_usage(config.DATA).free / GIB
    values = {"free": f"{gib:.1f}"}
    if gib < LEAST_DISK:
        yield Check("problem", "doctor_disk_least", values)
    elif gib < LITTLE_DISK:
        yield Check("warning", "doctor_disk_little", values)
    else:
        yield Check("ok", "doctor_disk", values)


def check_assets() -> Iterator[Check]:
    """Files that come with the program, and those that v1 and v2 need."""
    missing = [name for name in LITE_FILES if not (config.LITE / name).is_file()]
    if missing:
        yield Check("problem", "doctor_assets_missing", {"files": ", ".join(missing)})
    else:
        yield Check("ok", "doctor_assets")
    absent = [asset.name for asset in assets("base") if not asset.path.is_file()]
    if absent:
        yield Check("warning", "doctor_downloads_missing", {"files": ", ".join(absent)})
    else:
        yield Check("ok", "doctor_downloads")


def check_proxies() -> Iterator[Check]:
    """Proxies that this machine names, and that the page goes round them for itself."""
    named = {
        kind: _without_login(address)
        for kind, address in urllib.request.getproxies().items()
        if kind != "no"
    }
    excluded = page_environment(os.environ)["no_proxy"].split(",")
    if unusable := unusable_proxies(os.environ):
        shown = ", ".join(f"{name} ({value.partition(':')[0]})" for name, value in unusable.items())
        yield Check("warning", "doctor_proxy_unusable", {"proxies": shown})
    if not named:
        yield Check("ok", "doctor_proxy_none")
    elif all(host in excluded for host in LOOPBACK):
        shown = ", ".join(f"{kind}: {address}" for kind, address in sorted(named.items()))
        yield Check("ok", "doctor_proxy", {"proxies": shown})


def check_port() -> Iterator[Check]:
    """Whether somebody listens where the page would."""
    port = WebOptions().port
    with socket.socket() as probe:
        probe.settimeout(1.0)
        is_taken = probe.connect_ex(("127.0.0.1", port)) == 0
    yield Check("ok", "doctor_port_taken" if is_taken else "doctor_port", {"port": str(port)})


def check_folders() -> Iterator[Check]:
    """Whether the folders of the user can be made and written to."""
    blocked = []
    for folder in (config.LOGS, config.WEIGHTS, config.DATA):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            blocked.append(UserError("opened", file=f"{folder.name}/", reason=os_reason(error)))
    if blocked:
        yield Check("problem", "doctor_folders_blocked", {"folders": blocked})
    else:
        yield Check("ok", "doctor_folders")
    if platform.system() == "Windows" and len(str(config.ROOT)) > LONG_PATH and not _long_paths():
        yield Check("warning", "doctor_long_paths", {"length": str(len(str(config.ROOT)))})


def check_voices() -> Iterator[Check]:
    """Voices and indexes that cannot be used."""
    library = Library(config.WEIGHTS, config.LOGS, config.LITE)
    voices = library.voices()
    bad = [voice.problem for voice in voices if voice.problem]
    for path in sorted({*config.WEIGHTS.glob("*.index"), *config.LOGS.glob("*/added_*.index")}):
        try:
            check_index(path)
        except (UserError, OSError) as error:
            bad.append(as_user_error(error))
    if bad:
        yield Check("warning", "doctor_voices_bad", {"files": bad})
    else:
        yield Check("ok", "doctor_voices", {"count": str(len(voices))})


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    check_python,
    check_packages,
    check_torch,
    check_memory,
    check_disk,
    check_folders,
    check_assets,
    check_voices,
    check_proxies,
    check_port,
)


def total_memory() -> int | None:
    """Bytes of memory in this machine; None where the system does not tell."""
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if platform.system() != "Windows":
        return None
    status = (ctypes.c_ulonglong * 8)()  # MEMORYSTATUSEX: its size first, then the total
    ctypes.cast(status, ctypes.POINTER(ctypes.c_ulong))[0] = ctypes.sizeof(status)
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status[1])


def _long_paths() -> bool:
    """Whether Windows allows paths of more than 260 letters."""
    import winreg

    key = r"SYSTEM\CurrentControlSet\Control\FileSystem"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return bool(winreg.QueryValueEx(opened, "LongPathsEnabled")[0])
    except OSError:
        return False


def _without_login(address: str) -> str:
    """A proxy's address without the name and password that may stand in it."""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        return f"{parts.hostname or '?'}:{parts.port or ''}".rstrip(":")
    except ValueError:  # no address at all
        return "?"


# the bundle


def write_bundle(path: Path, checks: list[Check], texts: dict[str, str]) -> Path:
    """Write a zip for whoever helps: checks, versions and the newest logs, nothing private.

    texts: of one language. Recordings, voices, names of experiments, paths and logins stay out.
    """
    lines = [f"{check.level}: {check.say(texts)}" for check in checks]
    versions = sorted(
        f"{found.metadata['Name']} {found.version}" for found in importlib.metadata.distributions()
    )
    secrets = _private_words()
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("doctor.txt", redact("\n".join(lines) + "\n", secrets))
        out.writestr("packages.txt", "\n".join(versions) + "\n")
        for number, log in enumerate(_newest_logs()):
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - LOG_BYTES))
                text = file.read(LOG_BYTES).decode("utf-8", "replace")
            out.writestr(f"logs/{number}-{log.name}", redact(text, secrets))
    return path


def redact(text: str, private: dict[str, str]) -> str:
    """Replace recordings, every other absolute path, logins, and then private words."""
    words = sorted(private, key=len, reverse=True)
    for word in words:
        text = text.replace(word, private[word]) if Path(word).is_absolute() else text
    text = re.sub(r"--dataset(?:=| +)('[^']*'|\"[^\"]*\"|\S+)", "--dataset <dataset>", text)
    text = re.sub(r"(://)[^/@\s]+@", r"\1<login>@", text)
    text = re.sub(r"(--auth[= ])\S+", r"\1<login>", text)
    text = re.sub(r"\b(hf_|sk-|ghp_)\w+", "<token>", text)
    # absolute paths, also with spaces, up to a mark that ends them or the end of the line
    for start in (r"(?<!\w)[A-Za-z]:[\\/](?!/)", r"\\\\\w", r"(?<![\w.>:/])/(?=\w)"):
        text = re.sub(start + r"[^\n\"':;|<>*?]*", "<path>", text)
    for word in words:
        text = text.replace(word, private[word])
    return text


def _newest_logs() -> list[Path]:
    found = [path for path in config.LOGS.glob("*/*.log") if path.is_file()]
    return sorted(found, key=lambda path: -path.stat().st_mtime)[:LOGS_KEPT]


def _private_words() -> dict[str, str]:
    """Recordings, experiments, voices, folders and the user, each with what is said instead."""
    private: dict[str, str] = {}
    for number, folder in enumerate(sorted(config.LOGS.glob("*/"))):
        experiment = Experiment(folder)
        for each, source in enumerate(experiment.read_sources().values()):
            private[source.path] = f"<recording {each}>"
            private[Path(source.path).name] = f"<recording {each}>"
            private[str(Path(source.path).parent)] = "<dataset>"
            private[Path(source.path).parent.name] = "<dataset>"
        if len(folder.name) > 1:
            private[folder.name] = f"experiment-{number}"
    for number, voice in enumerate(sorted(Library().files())):
        private.setdefault(voice.stem, f"voice-{number}")
    user = Path.home().name
    if len(user) > 2 and user != "root":
        private[user] = "<user>"
    return {word: said for word, said in private.items() if len(word) > 1}
