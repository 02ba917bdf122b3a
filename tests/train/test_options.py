from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from options import command, default_of
from train import options as options_module
from train.options import parse_options

WORKERS = [getattr(options_module, name) for name in options_module.__all__ if name[0].isupper()]


@pytest.mark.parametrize("cls", WORKERS, ids=lambda cls: cls.__name__)
def test_the_options_of_every_worker_survive_their_command(cls):
    required = {
        item.name: Path(f"some {item.name}") for item in fields(cls) if default_of(item) is MISSING
    }
    options = cls(**required)
    assert command(options)[2] == cls.MODULE
    assert parse_options(cls, command(options)[3:]) == options


def test_there_are_six_workers():
    assert len(WORKERS) == 6
