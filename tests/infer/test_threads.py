"""One thread where others have the cores, all where they are free; the result is the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from infer import threads
from infer.converter import VoiceConverter
from infer.options import ConvertOptions

CPU = torch.device("cpu")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[threads._Threads]:
    """Torch has two threads; what it had comes back."""
    before, known = torch.get_num_threads(), threads._Threads(2)
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "_threads", lambda: known)
    yield known
    torch.set_num_threads(before)


def take(monkeypatch: pytest.MonkeyPatch, alone: float, together: float) -> None:
    """Let the products take so long by one thread and by two."""

    def time_products(count: int) -> float:
        torch.set_num_threads(count)
        return alone if count == 1 else together

    monkeypatch.setattr(threads, "_time_products", time_products)


def test_a_thread_is_given_up_while_others_have_the_cores(
    two: threads._Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(monkeypatch, alone=0.01, together=0.05)
    threads.fit_threads(CPU)
    assert torch.get_num_threads() == 1
    take(monkeypatch, alone=0.01, together=0.006)
    threads.fit_threads(CPU)
    assert torch.get_num_threads() == 1  # it was looked at just now
    two.looked_at -= threads.WATCH_SECONDS
    threads.fit_threads(CPU)
    assert torch.get_num_threads() == 2


def test_who_has_one_thread_and_who_has_a_gpu_are_left_alone(
    two: threads._Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(monkeypatch, alone=0.01, together=0.05)
    threads.fit_threads(torch.device("cuda"))
    assert torch.get_num_threads() == 2
    two.most = 1
    torch.set_num_threads(1)
    threads.fit_threads(CPU)
    assert torch.get_num_threads() == 1


def test_the_file_is_the_same_with_any_number_of_threads(
    two: threads._Threads,
    untrained_voice: Path,
    english: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("config.is_bfloat16_faster", lambda: False)  # in which last bits differ
    two.looked_at = float("inf")  # nothing is timed
    converter, made = VoiceConverter(untrained_voice, "cpu"), []
    for count in (1, 2):
        torch.set_num_threads(count)
        two.most = count  # with one, f0 is not found beside the content either
        options = ConvertOptions(
            voice=untrained_voice, input=english, output=tmp_path / f"{count}.wav", index_rate=0.0
        )
        converter.convert_file(replace(options, semitones=2.0))
        made.append(options.output.read_bytes())
    assert made[0] == made[1]
