"""Set up .venv: the torch build for this machine, then the requirements.

Runs on a bare Python before anything is installed, so it imports only the standard library.
What was installed is recorded in .venv, and a second run with the same requirements ends at once.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

from errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TORCH = "torch==2.13.0"
# torch's own package index; the registry has a CUDA build for Linux and a CPU build for Windows
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_INDEX = "https://download.pytorch.org/whl/cu130"
FULL, WEIGHTS, TESTS = "requirements.txt", "requirements-weights.txt", "requirements-test.txt"
DEEPEST = 60  # characters of the folder: torch's files add up to 196, Windows stops at 259
Arguments = list[str]  # of one call of pip


def torch_arguments(system: str, has_gpu: bool, is_on_hand: bool, index: str) -> Arguments:
    """What pip is told to install torch: the index that was asked for, else the machine's build.

    An extra index keeps working without it: pip then takes the registry's build.
    """
    if index:
        return [TORCH, "--index-url", index, "--force-reinstall"]
    if system == "Windows" and has_gpu:
        return [TORCH, "--extra-index-url", CUDA_INDEX]
    if system != "Linux" or has_gpu:
        return [TORCH]
    if is_on_hand:
        return [TORCH, "--no-index", "--no-deps"]
    return [TORCH, "--extra-index-url", CPU_INDEX]


def has_nvidia_gpu() -> bool:
    """Whether the driver's own tool lists a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    listing = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listing.returncode == 0 and "GPU" in listing.stdout


def has_long_paths() -> bool:
    """Whether this Windows lets programs use paths beyond 260 characters."""
    import winreg

    place = r"SYSTEM\CurrentControlSet\Control\FileSystem"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            return winreg.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    except OSError:
        return False


def too_deep(root: Path, system: str, allows_long: bool) -> str:
    """Return a warning where Windows may refuse torch's longest file names, "" elsewhere."""
    if system != "Windows" or allows_long or len(str(root)) <= DEEPEST:
        return ""
    return (
        f"{root} is {len(str(root))} characters long, and Windows may refuse the files of torch "
        f"there. If the installation fails, move the program to a folder of at most {DEEPEST} "
        "characters, such as C:\\rvc, or set LongPathsEnabled (search for it) to 1."
    )


class Environment:
    """The .venv of one copy of the program, and the record of what was installed in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.record_path = self.folder / "installed.json"
        scripts = "Scripts/python.exe" if os.name == "nt" else "bin/python"
        self.python = self.folder / scripts

    def works(self) -> bool:
        """Whether its Python starts (a copied or half-made folder does not) and is new enough."""
        check = (
            "import sys; from importlib.util import find_spec; "
            "sys.exit(sys.version_info < (3, 10) or find_spec('pip') is None)"
        )
        if not self.python.exists():
            return False
        ran = subprocess.run([self.python, "-c", check], capture_output=True, check=False)
        return ran.returncode == 0

    def installed(self) -> dict[str, str]:
        """Return what was recorded, {} when nothing was or the record is not readable."""
        try:
            return json.loads(self.record_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def record(self, installed: dict[str, str]) -> None:
        """Replace the record."""
        written = self.record_path.with_suffix(f".{os.getpid()}.tmp")
        written.write_text(json.dumps(installed, indent=1), encoding="utf-8")
        written.replace(self.record_path)

    def pip(self, *arguments: str, quiet: bool = False) -> int:
        """Run its pip and return the exit code; its output is shown unless quiet."""
        argv = [self.python, "-m", "pip", *arguments, "--disable-pip-version-check"]
        output = subprocess.DEVNULL if quiet else None
        return subprocess.run(argv, check=False, stdout=output, stderr=output).returncode

    def has_torch(self) -> bool:
        """Whether any build of torch is there."""
        return self.pip("show", "torch", quiet=True) == 0


def needed(root: Path, tests: bool, index: str) -> dict[str, str]:
    """Return what the record must say: the text of each requirements file, and the index."""
    names = [FULL, WEIGHTS, *([TESTS] if tests else [])]
    texts = {name: (root / name).read_text(encoding="utf-8") for name in names}
    return {**texts, **({"torch index": index} if index else {})}


def steps(
    environment: Environment, wanted: dict[str, str], index: str
) -> Iterator[tuple[str, Arguments]]:
    """Yield (what is being done, arguments of `pip install`) for everything that is missing."""
    installed = environment.installed()
    has_new_index = bool(index) and installed.get("torch index") != index
    if has_new_index or not environment.has_torch():
        on_hand = ["--dry-run", "--no-index", "--no-deps", TORCH]
        arguments = torch_arguments(
            system=platform.system(),
            has_gpu=has_nvidia_gpu(),
            is_on_hand=environment.pip("install", *on_hand, quiet=True) == 0,
            index=index,
        )
        yield f"{TORCH}, 200 MB for a CPU, up to 3 GB for a GPU", arguments
    for name in (FULL, WEIGHTS, TESTS):
        if name in wanted and installed.get(name) != wanted[name]:
            bare = ["--no-deps"] if name == WEIGHTS else []
            yield f"what {name} lists", [*bare, "-r", str(environment.root / name)]


def install(root: Path, tests: bool, index: str) -> None:
    """Bring .venv up to date; UserError says which step failed and what to do."""
    environment = Environment(root)
    wanted = needed(root, tests, index)
    works = environment.works()
    if works and wanted.items() <= environment.installed().items():
        return
    system = platform.system()
    if warning := too_deep(root, system, system == "Windows" and has_long_paths()):
        print(warning, flush=True)
    if not works:
        if importlib.util.find_spec("ensurepip") is None:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise UserError("no_venv", version=version, package=f"python{version}-venv")
        print(f"Making {environment.folder} with Python {platform.python_version()} ...")
        venv.create(environment.folder, clear=True, with_pip=True)
    for what, arguments in steps(environment, wanted, index):
        print(f"\nInstalling {what} ...", flush=True)
        if environment.pip("install", *arguments) != 0:
            raise UserError("install_failed", what=what)
    environment.record({**environment.installed(), **wanted})
    print("\nEverything is installed.", flush=True)


def main() -> None:
    """Read the command line and install; a failure is one line and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m tools.cmd.install", description=__doc__)
    parser.add_argument("--tests", action="store_true", help="also what the tests need")
    parser.add_argument(
        "--torch-index",
        default=os.environ.get("TORCH_INDEX_URL", ""),
        metavar="URL",
        help="package index to take torch from (default: $TORCH_INDEX_URL, else by itself)",
    )
    options = parser.parse_args()
    try:
        install(ROOT, options.tests, options.torch_index)
    except (UserError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"\n{error}")


if __name__ == "__main__":
    main()
