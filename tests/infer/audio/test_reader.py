import socket
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

import config
from infer.audio.reader import AudioError, AudioReader, load
from infer.audio.resampling import resample
from infer.audio.writer import ENCODERS, AudioWriter

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
INTEGER_TYPES = {"u8": np.uint8, "s16": np.int16, "s32": np.int32}


def glide(seconds: float, sample_rate: int) -> np.ndarray:
    """A tone from 150 to 1150 Hz that fades in and out: (N,) float32, peak 0.5."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    tone = np.sin(2 * np.pi * (150 * time + 500 * time**2 / seconds))
    return (0.5 * np.sin(np.pi * time / seconds) * tone).astype(np.float32)


def encode(
    path: Path,
    audio: np.ndarray,
    sample_rate: int,
    codec: str,
    sample_format: str = "fltp",
    layout: str = "mono",
    with_video: bool = False,
) -> Path:
    """Write (N,) or (C, N) audio in -1..1 with PyAV, in the format that the suffix names."""
    base = sample_format.removesuffix("p")
    if base in INTEGER_TYPES:
        kind = np.iinfo(INTEGER_TYPES[base])
        middle = 128 if base == "u8" else 0
        audio = np.clip(
            np.round(audio.astype(np.float64) * -float(np.iinfo(f"i{kind.bits // 8}").min))
            + middle,
            kind.min,
            kind.max,
        ).astype(kind.dtype)
    else:
        audio = audio.astype(np.float64 if base == "dbl" else np.float32)
    channels = np.atleast_2d(audio)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=sample_rate, layout=layout)
        stream.codec_context.format = sample_format
        stream.bit_rate = 96000
        if with_video:
            picture = container.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 32
            for _ in range(int(channels.shape[1] / sample_rate * 10)):
                container.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
            container.mux(picture.encode(None))
        for start in range(0, channels.shape[1], 4800):
            part = np.ascontiguousarray(channels[:, start : start + 4800])
            if not sample_format.endswith("p"):
                part = np.ascontiguousarray(part.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, format=sample_format, layout=layout)
            frame.sample_rate, frame.pts = sample_rate, start
            frame.time_base = Fraction(1, sample_rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of the common part, without any shift in time."""
    size = min(len(a), len(b))
    return float(np.corrcoef(a[:size], b[:size])[0, 1])


@pytest.mark.parametrize("suffix", ENCODERS)
@pytest.mark.parametrize("sample_rate", [24000, 40000])
def test_every_output_format_comes_back_in_place_and_in_length(
    tmp_path: Path, suffix: str, sample_rate: int
) -> None:
    wav = glide(2.345, sample_rate)
    path = tmp_path / f"out{suffix}"
    with AudioWriter(path, sample_rate) as writer:
        for start in range(0, len(wav), 7777):
            writer.write(wav[start : start + 7777])
    audio, file_rate = load(path)
    higher = {".opus": 48000}
    if sample_rate == 40000:  # which these encoders do not know
        higher |= {".mp3": 44100, ".m4a": 44100}
    assert file_rate == writer.file_rate == higher.get(suffix, sample_rate)
    assert len(audio) == int(len(wav) * file_rate / sample_rate + 0.5)
    assert correlation(audio, resample(wav, sample_rate, file_rate)) > 0.999
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_lossless_formats_keep_sixteen_bits(tmp_path: Path) -> None:
    wav = glide(0.5, 24000)
    for suffix in (".wav", ".flac"):
        with AudioWriter(tmp_path / f"out{suffix}", 24000) as writer:
            writer.write(wav)
        assert np.abs(load(tmp_path / f"out{suffix}")[0] - wav).max() <= 2**-15
        assert soundfile.info(tmp_path / f"out{suffix}").subtype == "PCM_16"


def test_the_writer_can_change_the_sample_rate(tmp_path: Path) -> None:
    wav = glide(1.0, 24000)
    with AudioWriter(tmp_path / "out.wav", 24000, file_rate=48000) as writer:
        for start in range(0, len(wav), 1000):
            writer.write(wav[start : start + 1000])
    audio, sample_rate = load(tmp_path / "out.wav")
    assert (sample_rate, len(audio)) == (48000, 48000)
    assert np.abs(audio - resample(wav, 24000, 48000)).max() < 1e-4


@pytest.mark.parametrize("suffix", ENCODERS)
def test_samples_that_are_too_loud_are_clipped_and_never_wrap_around(
    tmp_path: Path, suffix: str
) -> None:
    wav = 6 * glide(1.0, 24000)
    with AudioWriter(tmp_path / f"out{suffix}", 24000) as writer:
        writer.write(wav)
    audio, _ = load(tmp_path / f"out{suffix}", 24000)
    assert correlation(audio, np.clip(wav, -1, 1)) > 0.99


@pytest.mark.parametrize(
    ("name", "codec", "sample_rate", "with_video"),
    [
        ("song.m4a", "aac", 44100, False),
        ("film.mp4", "aac", 48000, True),
        ("film.mkv", "libopus", 48000, True),
        ("stream.aac", "aac", 32000, False),
        ("voice.opus", "libopus", 48000, False),
        ("voice.ogg", "libopus", 16000, False),
        ("voice.webm", "libopus", 24000, False),
        ("old.mp3", "libmp3lame", 22050, False),
        ("apple.mov", "alac", 44100, False),
    ],
)
def test_compressed_audio_and_videos_are_read(
    tmp_path: Path, name: str, codec: str, sample_rate: int, with_video: bool
) -> None:
    wav = glide(1.5, sample_rate)
    sample_format = {"libopus": "flt", "alac": "s16p"}.get(codec, "fltp")
    path = encode(tmp_path / name, wav, sample_rate, codec, sample_format, with_video=with_video)
    audio, rate = load(path, 16000)
    assert rate == 16000
    delay = 1024 if name == "stream.aac" else 0  # raw AAC does not say how much to skip
    audio = audio[delay * 16000 // sample_rate :]
    padding = 4096 if name.endswith((".aac", ".webm", ".mkv")) else 0
    assert 24000 <= len(audio) <= 24000 + padding * 16000 / sample_rate
    assert correlation(audio, resample(wav, sample_rate, 16000)) > 0.99


@pytest.mark.parametrize(
    ("codec", "sample_format", "tolerance"),
    [
        ("pcm_u8", "u8", 2**-7),
        ("pcm_s16le", "s16", 2**-15),
        ("pcm_s16le_planar", "s16p", 2**-15),
        ("pcm_s32le", "s32", 1e-7),
        ("pcm_f32le", "flt", 0.0),
        ("pcm_f64le", "dbl", 0.0),
        ("alac", "s32p", 2**-22),
        ("flac", "s16", 2**-15),
    ],
)
def test_every_sample_format_is_brought_to_plus_minus_one(
    tmp_path: Path, codec: str, sample_format: str, tolerance: float
) -> None:
    wav = np.stack([glide(0.4, 44100), -0.5 * glide(0.4, 44100)])
    suffix = "nut" if "planar" in codec else "mkv"
    path = encode(tmp_path / f"a.{suffix}", wav, 44100, codec, sample_format, "stereo")
    audio, sample_rate = load(path)
    assert sample_rate == 44100
    assert len(audio) == wav.shape[1]
    assert np.abs(audio - wav.mean(axis=0)).max() <= tolerance + 1e-7


def test_samples_of_64_bits_are_read(tmp_path: Path) -> None:
    wav = glide(0.4, 44100)
    data = (wav.astype(np.float64) * 2**62).astype("<i8").tobytes()
    kind = struct.pack("<HHIIHH", 1, 1, 44100, 8 * 44100, 8, 64)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + kind + b"data" + struct.pack("<I", len(data))
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + len(data)) + chunks + data)
    audio, sample_rate = load(path)
    assert sample_rate == 44100
    assert np.abs(audio - wav / 2).max() < 1e-6


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_eight_channels_at_192_khz_become_their_mean_at_16_khz(
    tmp_path: Path, subtype: str
) -> None:
    wav = glide(0.7, 192000)
    channels = wav[:, None] * np.linspace(0.2, 1.6, 8, dtype=np.float32)
    soundfile.write(tmp_path / "wide.wav", channels, 192000, subtype=subtype)
    audio, _ = load(tmp_path / "wide.wav", 16000)
    assert len(audio) == 11200
    error = np.abs(audio - resample(0.9 * wav, 192000, 16000)).max()
    assert error < {"PCM_U8": 0.02, "ULAW": 0.02}.get(subtype, 1e-4)


def test_the_blocks_of_a_reader_are_the_file_whatever_their_length(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", glide(3.3, 44100), 44100)
    whole, _ = load(tmp_path / "a.flac", 16000)
    assert np.abs(whole - resample(load(tmp_path / "a.flac")[0], 44100, 16000)).max() < 1e-5
    for seconds in (0.013, 1.0, 100.0):
        with AudioReader(tmp_path / "a.flac", 16000) as reader:
            assert reader.seconds == pytest.approx(3.3)
            blocks = list(reader.blocks(seconds))
        assert {len(block) for block in blocks[:-1]} <= {round(seconds * 16000)}
        assert np.array_equal(np.concatenate(blocks), whole)
        assert reader.peak == pytest.approx(0.5, abs=1e-3)


def test_files_that_state_no_length_or_hold_two_parts_are_read_to_their_end(
    tmp_path: Path,
) -> None:
    wav = glide(1.0, 24000)
    for suffix in (".wav", ".mp3", ".ogg"):
        with AudioWriter(tmp_path / f"a{suffix}", 24000) as writer:
            writer.write(wav)
    streamed = bytearray((tmp_path / "a.wav").read_bytes())
    streamed[40:44] = b"\0\0\0\0"
    (tmp_path / "streamed.wav").write_bytes(streamed)
    assert len(load(tmp_path / "streamed.wav")[0]) == 24000
    for suffix in (".mp3", ".ogg"):
        double = (tmp_path / f"a{suffix}").read_bytes() * 2
        (tmp_path / f"double{suffix}").write_bytes(double)
        assert len(load(tmp_path / f"double{suffix}")[0]) >= 48000


COPY_TWO_FILES = """
import resource, sys
import av
from infer.audio.reader import AudioReader
from infer.audio.writer import AudioWriter
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
def copy(source, target):
    with AudioReader(source, 16000) as reader, AudioWriter(target, 16000) as writer:
        for block in reader.blocks():
            writer.write(block)
folder, suffix = sys.argv[1:]
copy(f"{folder}/short{suffix}", f"{folder}/out.wav")
before = peak()
copy(f"{folder}/long{suffix}", f"{folder}/out.wav")
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is POSIX only")
@pytest.mark.parametrize(("suffix", "minutes"), [(".wav", 20), (".m4a", 3)])
def test_memory_does_not_grow_with_the_length_of_a_file(
    tmp_path: Path, suffix: str, minutes: int
) -> None:
    minute = glide(60.0, 16000)
    for name, count in (("short", 1), ("long", minutes)):
        with AudioWriter(tmp_path / f"{name}{suffix}", 16000) as writer:
            for _ in range(count):
                writer.write(minute)
    done = subprocess.run(
        [sys.executable, "-c", COPY_TWO_FILES, str(tmp_path), suffix],
        capture_output=True,
        text=True,
        check=True,
        cwd=config.ROOT,
    )
    assert int(done.stdout) < 5  # MiB; two minutes of float32 are 7


def test_importing_the_module_loads_neither_torch_nor_the_decoders() -> None:
    names = "{'torch', 'librosa', 'av', 'scipy'}"
    code = f"import sys, infer.audio.writer; print({names} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=config.ROOT
    )
    assert done.stdout.strip() == "set()"


def damaged_file(tmp_path: Path, suffix: str) -> Path:
    with AudioWriter(tmp_path / f"good{suffix}", 24000) as writer:
        writer.write(0.9 * np.random.default_rng(0).uniform(-1, 1, 240000))
    content = bytearray((tmp_path / f"good{suffix}").read_bytes())
    half = len(content) // 2
    content[half : half + 9000] = bytes(9000)
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("suffix", "seconds"), [(".flac", 10.0), (".mp3", 8.8), (".ogg", 10.0)])
def test_of_a_file_damaged_in_the_middle_all_that_can_be_decoded_is_read(
    tmp_path: Path, suffix: str, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = damaged_file(tmp_path, suffix)
    wav, rate = load(path)
    assert len(wav) / rate == pytest.approx(seconds, abs=0.1)
    assert np.abs(wav[-rate:]).max() > 0.1  # what is behind the damage, too
    assert str(path) in caplog.text and ("a hole" in caplog.text or "damaged" in caplog.text)


def test_a_file_cut_short_is_read_to_its_end_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with AudioWriter(tmp_path / "good.flac", 24000) as writer:
        writer.write(glide(10.0, 24000))
    content = (tmp_path / "good.flac").read_bytes()
    (tmp_path / "short.flac").write_bytes(content[: len(content) // 2])
    whole, short = (load(tmp_path / name)[0] for name in ("good.flac", "short.flac"))
    assert 4 * 24000 < len(short) < 7 * 24000
    assert np.array_equal(short[: 4 * 24000], whole[: 4 * 24000])
    assert "of about 10.0 s found" in caplog.text


def capture(
    path: Path, starts: list[float], seconds: float = 2.0, audio_only: bool = False
) -> Path:
    """Write a file with a picture from 0 s on, and a tone that begins anew at these seconds."""
    rate = 16000
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le" if path.suffix == ".mkv" else "aac", rate=rate)
        if not audio_only:
            picture = container.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 32
            for _ in range(round((starts[-1] + seconds) * 10)):
                container.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
            container.mux(picture.encode(None))
        tone = 0.5 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * rate)) / rate)
        kind = "s16" if path.suffix == ".mkv" else "fltp"
        for start in starts:
            for place in range(0, len(tone), 1600):
                part = tone[None, place : place + 1600].astype(np.float32)
                if kind == "s16":
                    part = (32767 * part).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(part), format=kind, layout="mono"
                )
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round(start * rate) + place
                container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def sounding(wav: np.ndarray, rate: int) -> list[bool]:
    """Whether there is sound in each quarter of a second."""
    size = rate // 4
    return [
        bool(np.abs(part).max() > 0.1) for part in wav[: len(wav) // size * size].reshape(-1, size)
    ]


def test_sound_is_where_its_time_stamps_put_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wav, rate = load(capture(tmp_path / "hole.mkv", [0.0, 5.0]))
    assert sounding(wav, rate) == 8 * [True] + 12 * [False] + 8 * [True]
    assert "a hole of 3.0 s at 2.0 s" in caplog.text
    with AudioReader(capture(tmp_path / "late.mkv", [4.0])) as reader:
        wav = np.concatenate(list(reader.blocks()))
        assert sounding(wav, reader.sample_rate) == 16 * [False] + 8 * [True]
    with AudioReader(capture(tmp_path / "late.mp4", [4.0])) as reader:
        wav = np.concatenate(list(reader.blocks()))
        assert sounding(wav, reader.sample_rate)[:24] == 16 * [False] + 8 * [True]
        assert reader.seconds == pytest.approx(len(wav) / reader.sample_rate, abs=0.2)


def test_a_clock_that_begins_anew_or_leaps_by_a_day_makes_no_hole(tmp_path: Path) -> None:
    for suffix in (".ts", ".mkv"):
        path = capture(tmp_path / f"part{suffix}", [0.0], audio_only=suffix == ".ts")
    double = tmp_path / "double.ts"  # its clock goes back
    double.write_bytes((tmp_path / "part.ts").read_bytes() * 2)
    wav, rate = load(double)
    assert 4.0 <= len(wav) / rate < 4.3
    content = path.read_bytes()
    (tmp_path / "leap.mkv").write_bytes(content)
    with AudioReader(tmp_path / "leap.mkv") as reader:
        source = reader._source
        true_frames = source._frames

        def leaping():
            for number, frame in enumerate(true_frames()):
                frame.pts += (number > 5) * round(86400 / frame.time_base)
                yield frame

        source._frames = leaping
        assert len(np.concatenate(list(reader.blocks()))) == 2 * 16000


def test_a_file_that_never_gives_a_sound_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = capture(tmp_path / "a.mkv", [0.0])
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr("infer.audio.sources.time.monotonic", lambda: float(next(clock)))
    with AudioReader(path) as reader:

        class Endless:
            def decode(self) -> list[object]:
                return []

        class Container:
            format = reader._source._container.format

            def demux(self, stream: object):
                while True:
                    yield Endless()

            def close(self) -> None: ...

        opened, reader._source._container = reader._source._container, Container()
        monkeypatch.setattr(reader._source, "_origin", lambda: 0.0)
        with pytest.raises(AudioError, match=r"a\.mkv: nothing could be read for 20 s"):
            list(reader.blocks())
        opened.close()


def test_of_channels_that_cancel_each_other_the_louder_one_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wav = glide(12.0, 16000)
    pause = np.zeros(8000, np.float32)
    mono = np.concatenate([pause, wav])
    soundfile.write(tmp_path / "anti.wav", np.stack([0.9 * mono, -0.92 * mono], 1), 16000)
    found, rate = load(tmp_path / "anti.wav")
    assert len(found) == len(mono) and correlation(found, -0.92 * mono) > 0.999
    assert "channel 2, the louder one, is used" in caplog.text
    caplog.clear()
    soundfile.write(tmp_path / "wide.wav", np.stack([mono, -0.5 * mono], 1), 16000, subtype="FLOAT")
    assert np.allclose(load(tmp_path / "wide.wav")[0], 0.25 * mono, atol=1e-6)
    with AudioReader(tmp_path / "anti.wav", channels=2) as reader:
        stereo = np.concatenate(list(reader.blocks()))
    assert correlation(stereo[:, 0], mono) > 0.999
    assert caplog.text == ""


def test_only_containers_of_sound_are_opened(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "private.wav", 24000) as writer:
        writer.write(glide(1.0, 24000))
    private = tmp_path / "private.wav"
    contents = {
        "live.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nprivate.wav\n",
        "live.wav": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nprivate.wav\n",
        "list.mp3": "ffconcat version 1.0\nfile private.wav\n",
        "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 ::\nm=audio 5004 RTP/AVP 0\n",
        "a.mpd": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'>"
        f"<BaseURL>{private}</BaseURL></MPD>",
        "a.ffmeta": ";FFMETADATA1\ntitle=x\n",
        "a.pls": "[playlist]\nFile1=private.wav\nNumberOfEntries=1\n",
        "a.asx": "<asx version='3.0'><entry><ref href='private.wav'/></entry></asx>",
        "a.cue": 'FILE "private.wav" WAVE\n  TRACK 01 AUDIO\n',
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(AudioError, match="not an audio or video file") as caught:
            load(tmp_path / name)
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.wav", None, "no such file"),
        ("empty.wav", b"", "empty"),
        ("text.wav", b"This is a letter, not a recording.\n" * 99, "not an audio or video file"),
        ("text.mp3", b"This is a letter, not a recording.\n" * 99, "not an audio or video file"),
        ("text.flac", b"This is a letter, not a recording.\n" * 99, "no audio stream"),
        ("text.txt", b"This is a letter, not a recording.\n" * 99, "not an audio or video file"),
        ("noise.raw", bytes(range(256)) * 99, "not an audio or video file"),
        ("lines.wav", b"1\n00:00:01,000 --> 00:00:02,000\nhi\n", "not an audio or video file"),
        ("half.wav", b"RIFF\x24\0\0\0WAVEfmt ", "not an audio or video file"),
    ],
)
def test_what_is_not_audio_is_refused_in_one_line_that_names_the_file(
    tmp_path: Path,
    name: str,
    content: bytes | None,
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError, match=message) as caught:
        load(tmp_path / name)
    assert capfd.readouterr().err == ""  # the decoders say nothing of their own
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_folder_and_a_silent_video_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="folder"):
        load(tmp_path)
    with av.open(str(tmp_path / "mute.mp4"), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 32
        container.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(picture.encode(None))
    with pytest.raises(AudioError, match="no audio stream"):
        load(tmp_path / "mute.mp4")


def test_a_playlist_never_reaches_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.mp3"
        (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(AudioError):
            load(tmp_path / "list.m3u8")
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_playlist_that_names_another_file_is_not_followed(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "private.mp3", 24000) as writer:
        writer.write(glide(1.0, 24000))
    (tmp_path / "list.wav").write_text("ffconcat version 1.0\nfile private.mp3\n")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:9,\nprivate.mp3\n#EXT-X-ENDLIST\n")
    for name in ("list.wav", "list.m3u8"):
        with pytest.raises(AudioError):
            load(tmp_path / name)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_not_numbers_are_refused_with_their_place(
    tmp_path: Path, bad: float
) -> None:
    wav = glide(2.0, 24000)
    wav[36000] = bad
    soundfile.write(tmp_path / "a.wav", wav, 24000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"NaN or infinite samples.* at 1\.50 s"):
        load(tmp_path / "a.wav", 16000)


def test_a_file_below_the_minimum_length_or_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", glide(0.01, 48000), 48000)
    assert len(load(tmp_path / "short.wav", 16000)[0]) == 160
    with pytest.raises(AudioError, match=r"only 0\.010 s long, at least 0\.1 s"):
        load(tmp_path / "short.wav", 16000, min_seconds=0.1)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 48000)
    with pytest.raises(AudioError, match="no sound"):
        load(tmp_path / "none.wav")
