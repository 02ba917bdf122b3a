import numpy as np
import pytest

from infer.audio.filters import high_pass_causal
from train.slicer import SilenceParams, cut_to_clips, slice_at_silence

# A recording as a table: start (s), end (s), amplitude, Hz, noise; drawn with this seed. The cuts
# are those of the public reference implementation on it: (first sample, length).
TABLE = np.array(
    [
        [0.9, 3.4782, 0.2536, 212.378, 0.009],
        [3.4782, 3.7271, 0.0, 0.0, 0.00168],
        [3.7271, 5.6269, 0.2882, 379.766, 0.0235],
        [5.6269, 6.1779, 0.0, 0.0, 0.00062],
        [6.1779, 6.9717, 0.3877, 291.261, 0.0277],
        [6.9717, 7.4192, 0.0, 0.0, 0.00132],
        [7.4192, 16.7992, 0.4128, 302.727, 0.0105],
        [16.7992, 17.9942, 0.0, 0.0, 0.00059],
        [17.9942, 19.5876, 0.2047, 371.89, 0.0109],
        [19.5876, 19.9948, 0.0, 0.0, 0.00175],
        [19.9948, 21.752, 0.3824, 305.212, 0.0064],
        [21.752, 22.6589, 0.0, 0.0, 0.00069],
    ]
)
SEED = 107
SECONDS = 22.9589
SLICES = {
    32000: [(12480, 174720), (187200, 366240), (570240, 141600)],
    40000: [(15600, 226800), (242400, 447600), (715200, 174000)],
    48000: [(18720, 267840), (286560, 532800), (858960, 203760)],
}
SLICES_2023 = {
    32000: [(23520, 162720), (192480, 348000), (570240, 130080)],
    40000: [(29400, 201000), (242400, 437400), (715200, 159000)],
    48000: [(35280, 242640), (288000, 524160), (858960, 193680)],
}
CLIPS = {
    32000: {
        3.7: [
            (12480, 118400),
            (121280, 65920),
            (187200, 118400),
            (296000, 118400),
            (404800, 118400),
            (513600, 39840),
            (570240, 118400),
            (679040, 32800),
        ],
        3.0: [
            (12480, 96000),
            (98880, 88320),
            (187200, 96000),
            (273600, 96000),
            (360000, 96000),
            (446400, 96000),
            (532800, 20640),
            (570240, 96000),
            (656640, 55200),
        ],
    },
    40000: {
        3.7: [
            (15600, 148000),
            (151600, 90800),
            (242400, 148000),
            (378400, 148000),
            (514400, 148000),
            (650400, 39600),
            (715200, 148000),
            (851200, 38000),
        ],
        3.0: [
            (15600, 120000),
            (123600, 118800),
            (242400, 120000),
            (350400, 120000),
            (458400, 120000),
            (566400, 123600),
            (715200, 120000),
            (823200, 66000),
        ],
    },
    48000: {
        3.7: [
            (18720, 177600),
            (181920, 104640),
            (286560, 177600),
            (449760, 177600),
            (612960, 177600),
            (776160, 43200),
            (858960, 177600),
            (1022160, 40560),
        ],
        3.0: [
            (18720, 144000),
            (148320, 138240),
            (286560, 144000),
            (416160, 144000),
            (545760, 144000),
            (675360, 144000),
            (858960, 144000),
            (988560, 74160),
        ],
    },
}
PARAMS_2023 = SilenceParams(threshold_db=-40, min_length_ms=800, max_kept_ms=150)


def recording(sample_rate):
    random = np.random.RandomState(SEED)
    audio = np.zeros(round(SECONDS * sample_rate))
    for start, end, amplitude, frequency, noise in TABLE:
        first, last = round(start * sample_rate), round(end * sample_rate)
        phase = 2 * np.pi * frequency * np.arange(last - first) / sample_rate
        audio[first:last] += amplitude * np.sin(phase) + noise * random.standard_normal(
            last - first
        )
    audio = audio.astype(np.float32)
    return high_pass_causal(audio.astype(np.float64), sample_rate)


def tones(*parts, sample_rate=16000):
    """Audio from (seconds, amplitude) parts of a 200 Hz tone."""
    time = [np.arange(round(seconds * sample_rate)) / sample_rate for seconds, _ in parts]
    return np.concatenate(
        [
            amplitude * np.sin(2 * np.pi * 200 * t)
            for t, (_, amplitude) in zip(time, parts, strict=True)
        ]
    ).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [32000, 40000, 48000])
def test_cuts_are_those_of_the_reference(sample_rate):
    audio = recording(sample_rate)
    slices = slice_at_silence(audio, sample_rate)
    assert slices == SLICES[sample_rate]
    assert slice_at_silence(audio, sample_rate, PARAMS_2023) == SLICES_2023[sample_rate]
    for seconds, expected in CLIPS[sample_rate].items():
        clips = [
            (start + offset, clip_length)
            for start, length in slices
            for offset, clip_length in cut_to_clips(length, sample_rate, seconds)
        ]
        assert clips == expected


def test_silence_gives_nothing():
    assert slice_at_silence(np.zeros(100_000, np.float32), 16000) == []
    assert slice_at_silence(np.zeros(0, np.float32), 16000) == []


def test_sound_without_a_pause_stays_whole():
    audio = tones((5, 0.5))
    assert slice_at_silence(audio, 16000) == [(0, len(audio))]


def test_half_a_second_of_a_long_silence_stays_on_either_side():
    slices = slice_at_silence(tones((3, 0.5), (10, 0), (3, 0.5)), 16000)
    (first, length), (second, _) = slices
    assert first == 0
    assert 3.0 < length / 16000 < 3.6
    assert 12.4 < second / 16000 < 13.0


def test_a_pause_after_too_short_a_sound_is_kept():
    assert len(slice_at_silence(tones((1, 0.5), (0.5, 0), (3, 0.5)), 16000)) == 1
    assert len(slice_at_silence(tones((2, 0.5), (0.5, 0), (3, 0.5)), 16000)) == 2
    parts = [(2, 0.5), (0.5, 0), (0.4, 0.5), (0.5, 0), (3, 0.5)]  # cuts would be 1.4 s apart
    assert len(slice_at_silence(tones(*parts), 16000)) == 2


def test_stretches_do_not_overlap_and_stay_inside():
    random = np.random.default_rng(0)
    for _ in range(20):
        parts = [(random.uniform(0.1, 2), random.choice([0, 0, 0.003, 0.5])) for _ in range(12)]
        audio = tones(*parts)
        end = 0
        for start, length in slice_at_silence(audio, 16000):
            assert start >= end
            assert length > 0
            end = start + length
        assert end <= len(audio)


@pytest.mark.parametrize("seconds", [0.001, 3.7, 4.0, 4.01, 7.4, 60.0])
def test_clips_cover_everything_with_an_overlap(seconds):
    length = round(seconds * 16000)
    clips = cut_to_clips(length, 16000)
    assert clips[0][0] == 0
    assert sum(clips[-1]) == length
    assert clips[-1][1] <= 4.0 * 16000
    for (start, clip_length), (following, _) in zip(clips, clips[1:], strict=False):
        assert clip_length == int(3.7 * 16000)
        assert following - start == pytest.approx(3.4 * 16000, abs=1)
