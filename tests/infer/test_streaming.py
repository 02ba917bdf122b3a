from pathlib import Path

import numpy as np
import pytest

from infer.audio.reader import AudioReader
from infer.converter import VoiceConverter
from infer.f0 import SAMPLE_RATE, load_f0_method
from infer.options import STREAM_MODES, ConvertOptions, StreamOptions
from infer.stages import Stages
from infer.streaming import PitchFitter, StreamConverter, best_shift
from tests.infer.standard_voices import install_contentvec, write_voice


@pytest.fixture(scope="module")
def demo(root: Path) -> VoiceConverter:
    """The shipped voice."""
    path = root / "assets/lite/demo.pth"
    if not path.exists():
        pytest.skip("the demo voice is not here")
    return VoiceConverter(path, "cpu")


@pytest.fixture(scope="module")
def speech(english: Path) -> np.ndarray:
    """Three seconds of speech, 16 kHz."""
    return np.concatenate(list(AudioReader(english, SAMPLE_RATE, 0.1).blocks()))[: 3 * SAMPLE_RATE]


def stream(demo: VoiceConverter, audio: np.ndarray, size: int, **settings: object) -> np.ndarray:
    """Convert audio as it would come in blocks of a size; the delay is taken away."""
    converter = StreamConverter(
        demo, StreamOptions(voice=demo.path, **{"semitones": 0, **settings})
    )
    parts = [converter.push(audio[i : i + size]) for i in range(0, len(audio), size)]
    return np.concatenate([*parts, converter.flush()])[converter.delay :]


def melody(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """f0 of audio at any rate."""
    import soxr

    return load_f0_method("swift")(soxr.resample(audio, sample_rate, SAMPLE_RATE))


def whole(demo: VoiceConverter, audio: np.ndarray, **settings: object) -> np.ndarray:
    """The same recording converted offline."""
    options = ConvertOptions(voice=demo.path, input=Path("x"), output=Path("y"), **settings)
    index = demo.find_index(None, options.index_rate)
    stages = Stages()
    chunks = demo.chunks([audio], options, stages)
    source = demo.look_ahead(chunks, demo.melody(options), options, stages)
    return np.concatenate(list(demo.convert(source, options, index, stages)))


@pytest.mark.parametrize("mode", STREAM_MODES)
def test_a_stream_sings_what_the_recording_sings(demo, speech, mode):
    offline = melody(whole(demo, speech), demo.sample_rate)
    live = melody(stream(demo, speech, 1600, mode=mode), demo.sample_rate)
    assert len(live) == len(offline)
    voiced = (live > 0) & (offline > 0)
    assert np.mean((live > 0) == (offline > 0)) > 0.93
    assert np.corrcoef(np.log(live[voiced]), np.log(offline[voiced]))[0, 1] > 0.98


def test_blocks_of_any_size_give_the_same_samples(demo, speech):
    audio = speech[:SAMPLE_RATE]
    one = stream(demo, audio, 2560)
    assert np.array_equal(one, stream(demo, audio, 333))
    assert len(one) == len(audio) * demo.sample_rate // SAMPLE_RATE


def test_a_held_tone_goes_on_where_blocks_meet(demo):
    hz = 207.0  # no whole number of periods in a block
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 12)).astype(np.float32)
    sung = stream(demo, tone * 0.1, 2560)
    period = demo.sample_rate / hz
    step = StreamConverter(demo, StreamOptions(voice=demo.path)).timing.block
    step = step * demo.sample_rate // SAMPLE_RATE

    def repeats(start: int) -> float:
        """How well a piece of the tone goes on as the same piece five periods before."""
        length, back = round(4 * period), round(5 * period)
        piece, before = sung[start : start + length], sung[start - back : start - back + length]
        return float(np.corrcoef(piece, before)[0, 1])

    edges = range(3 * step, len(sung) - step, step)
    at_edges = [repeats(edge) for edge in edges]
    between = [repeats(edge + step // 2) for edge in edges]
    assert min(at_edges) > min(between) - 0.1, (at_edges, between)


def test_what_is_spare_sounds_like_what_follows(demo):
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * 207 * k * time) / k for k in range(1, 12)).astype(np.float32)
    converter = StreamConverter(demo, StreamOptions(voice=demo.path, semitones=0))
    size, fits = converter.timing.block, []
    for start in range(0, len(tone) - size, size):
        before = converter.spare
        block = converter.push(tone[start : start + size] * 0.1)
        if start > SAMPLE_RATE:
            assert len(before) == converter.timing.look_ahead * demo.sample_rate // SAMPLE_RATE
            fits.append(np.corrcoef(before, block[: len(before)])[0, 1])
    assert np.median(fits) > 0.5, fits  # breath differs, the source is in phase


def test_both_renderings_of_a_moment_agree_in_speech_too(demo, speech):
    converter = StreamConverter(demo, StreamOptions(voice=demo.path, semitones=0))
    size, fits = converter.timing.block, []
    for start in range(0, len(speech) - size, size):
        before = converter.spare
        after = converter.push(speech[start : start + size])[: len(before)]
        if len(before) and np.std(after) > 0.03:
            fits.append(np.corrcoef(before[240:], after[240:])[0, 1])  # after the cross-fade
    assert len(fits) > 10
    worst = sorted(fits)[: len(fits) // 4]  # after unvoiced sounds, where the phase is hard to keep
    assert np.mean(worst) > 0.3, np.round(fits, 2)


def test_silence_and_what_lies_below_the_gate_stay_silent(demo, speech):
    assert np.abs(stream(demo, np.zeros(SAMPLE_RATE, np.float32), 1600)).max() == 0
    quiet = stream(demo, speech[:SAMPLE_RATE] * 1e-3, 1600, gate_db=-40.0)
    assert np.abs(quiet).max() == 0


@pytest.mark.parametrize("use_f0", [True, False])
def test_a_public_voice_streams_too(tmp_path, monkeypatch, speech, use_f0):
    install_contentvec(tmp_path / "downloads", 768)
    monkeypatch.setattr("config.DOWNLOADS", tmp_path / "downloads")
    voice = VoiceConverter(write_voice(tmp_path / "v.pth", "v2", use_f0), "cpu")
    live = stream(voice, speech[:SAMPLE_RATE], 1600)
    assert len(live) == voice.sample_rate
    assert np.isfinite(live).all() and np.abs(live).max() > 0


def test_a_rendering_is_moved_to_where_it_goes_on():
    time = np.arange(4000)
    wav = np.sin(2 * np.pi * time / 160).astype(np.float32)
    tail = wav[1030:1270]  # what was heard lies 30 samples later
    assert best_shift(wav, 1000, tail, 60) == 30


def test_the_shift_to_the_voice_is_found_while_somebody_speaks():
    fitter = PitchFitter()
    fitter.push(np.full(50, 110, np.float32), 220)
    assert (fitter.source_hz, fitter.shift) == (0, 0)  # too little was heard
    fitter.push(np.array([0, 0, *[110] * 40], np.float32), 220)
    assert (fitter.source_hz, fitter.shift) == (110, 12)
    fitter.push(np.full(500, 116, np.float32), 220)
    assert fitter.shift == 12  # a semitone is no reason to jump
    fitter.push(np.full(2000, 220, np.float32), 220)
    assert fitter.shift == 0  # another speaker
    fitter.push(np.full(10, 220, np.float32), 0)
    assert fitter.shift == 0  # of a voice that does not say where it speaks
