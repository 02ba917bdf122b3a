"""VoiceConverter: the inference pipeline, top to bottom."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

import config
from errors import AudioError, CheckpointError, NoFile, UserError, as_user_error
from infer import memory
from infer.audio.denoise import SAMPLE_RATE as DENOISE_RATE
from infer.audio.denoise import denoise_to
from infer.audio.filters import high_pass
from infer.audio.loudness import LoudnessMatcher, is_noise, limit, no_louder
from infer.audio.reader import MIN_SECONDS, SILENCE, AudioReader
from infer.audio.writer import AudioWriter
from infer.chunking import CUTTERS, Chunk, Joiner
from infer.content import ContentEncoder, load_encoder
from infer.f0 import HOP_LENGTH, SAMPLE_RATE, fitting_semitones, load_f0_method
from infer.f0.contour import f0_range, median_f0, quantize, transpose
from infer.f0.curve import read_curve
from infer.kept import LEAST_CHUNKS, KeptChunks, kept_chunks
from infer.lookahead import LookAhead
from infer.melody import Melody
from infer.memory import FittingChunks, TooLittleMemory
from infer.models.families import family
from infer.models.ops import NoDrawing
from infer.options import ConvertOptions
from infer.progress import CONTENT, RENDER, Share
from infer.retrieval import Retrieval, find_index
from infer.splice import Earlier
from infer.stages import Stages
from infer.threads import fit_threads
from infer.voice.checkpoint import VoiceModel, load_voice_model
from infer.voice.tensors import check_weights, load_weights

LOUDNESS_REACH = 1.5  # seconds; what is further away has no part in how loud a place becomes
FITTED_SECONDS = 60  # beginning of a recording by which its shift is chosen
LOWEST_VOICED = 1.0  # Hz; a frame below is protected


@dataclass
class Conversion:
    """What one conversion did.

    sample_rate: of the file, Hz. audio_seconds: of the output. semitones: shift of the melody.
    seconds: by stage, see Stages.
    """

    output: Path
    sample_rate: int
    audio_seconds: float
    semitones: float
    index: Path | None
    seconds: dict[str, float] = field(default_factory=dict)


logger = logging.getLogger(__name__)
Item = TypeVar("Item")


def load_synthesizer(voice: Path) -> tuple[VoiceModel, Any, torch.nn.Module]:
    """A voice without its weights, its params, and the network that has them. CheckpointError."""
    model = load_voice_model(voice)
    try:
        made_as = family(model.version)
        params = made_as.params(**model.params)
    except (TypeError, ValueError) as error:
        reason = as_user_error(error)
        raise CheckpointError("damaged", file=voice, reason=reason) from error
    weights = made_as.voice_weights(model.weights)
    with torch.device("meta"), NoDrawing():  # nothing is built that the file does not fill
        synthesizer = made_as.build_voice(params)
    unknown = sorted(set(weights) - set(synthesizer.state_dict()))
    if unknown:  # some programs leave more in a voice than it needs
        logger.warning("%s: not used: %s", voice, ", ".join(unknown[:3]))
    needed = {name: value for name, value in weights.items() if name not in unknown}
    check_weights(synthesizer, needed, voice)
    if any(buffer.is_meta for buffer in synthesizer.buffers()):  # constants that no file holds
        synthesizer = made_as.build_voice(params)
    load_weights(synthesizer, needed, voice)
    return replace(model, weights={}), params, synthesizer.eval().requires_grad_(False)


class VoiceConverter:
    """Converts recordings to one voice; loads what it needs once."""

    def __init__(self, voice: Path, device: str = "auto", encoder: str | None = None) -> None:
        """voice: a voice file. encoder: another than its own that gives the same content.

        Raises FileNotFoundError, CheckpointError or ValueError.
        """
        self.path = voice
        self.device = config.pick_device(device)
        self.model, self.params, self.synthesizer = load_synthesizer(voice)
        self.family = family(self.model.version)
        self.synthesizer.to(self.device)
        is_cuda = self.device.type == "cuda"
        self.renders_ahead = is_cuda
        self._stream = torch.cuda.Stream(self.device) if is_cuda else None  # of the synthesizer
        self.sample_rate: int = self.params.sample_rate
        self.encoder_name: str = encoder or self.params.content_encoder
        self.encoder: ContentEncoder = load_encoder(self.encoder_name, self.device)
        self.f0_method = lru_cache(2)(lambda name: load_f0_method(name, str(self.device)))
        self._retrieval = lru_cache(2)(
            lambda path, written: Retrieval(path, self.params.content_dim)
        )

    def convert_file(
        self, options: ConvertOptions, on_progress: Callable[[float], None] | None = None
    ) -> Conversion:
        """Convert options.input to options.output, which appears when it is complete.

        on_progress gets the share that is done, 0..1. Raises AudioError or ValueError.
        """
        for source in (options.input, options.into):
            if source and options.output.exists() and options.output.samefile(source):
                raise UserError("output_is_input", file=options.output)
        try:
            return self._convert_file(options, on_progress)
        except (RuntimeError, MemoryError) as error:  # not in a chunk, which could be shorter
            if not memory.is_out_of_memory(error):
                raise
            what = UserError("memory_whole", file=options.input, device=self.device)
            detail = memory.allocator_message(error)
            raise TooLittleMemory("memory", what=what, detail=detail) from error

    def _convert_file(
        self, options: ConvertOptions, on_progress: Callable[[float], None] | None
    ) -> Conversion:
        stages = Stages()
        rate, file_rate = self.sample_rate, options.resample_rate or self.sample_rate
        with stages("load"):
            earlier = Earlier(options.into, options.part) if options.into and options.part else None
            index = self.find_index(options.index, options.index_rate)
            melody = self.melody(options)
        if melody and options.save_f0:
            melody = self.measure(melody, options, stages)
        if earlier:
            rate = file_rate = earlier.sample_rate
        with open_recording(options, stages) as reader:
            written = 0
            share = Share(stages, reader.seconds) if reader.seconds else None

            def report() -> None:
                if on_progress and share:
                    on_progress(share.now())

            def on_done(name: str, seconds: float) -> None:
                if share:
                    share.count(name, seconds)
                report()

            def blocks() -> Iterator[np.ndarray]:
                """Report while blocks are read, too, so that a stop is noticed."""
                for block in input_blocks(reader, options, stages):
                    report()
                    yield block

            with stages.around(
                lambda: AudioWriter(options.output, rate, file_rate), "write"
            ) as writer:
                chunks = self.chunks(blocks(), options, stages, on_done)
                source = self.look_ahead(chunks, melody, options, stages)
                semitones = options.semitones
                if semitones is None:
                    semitones = self.fitting(melody, options)
                asked = replace(options, semitones=semitones)
                kept = self._kept(reader.seconds or 0.0, asked, index, stages)
                made = self.convert(source, asked, index, stages, kept)
                for audio in earlier.splice(made, self.sample_rate) if earlier else made:
                    with stages("write"):
                        writer.write(audio)
                    written += len(audio)
                if reader.peak < SILENCE:
                    raise AudioError("silent", file=options.input)
                if melody and options.save_f0:
                    melody.save(options.save_f0)
            if kept is not None:
                kept.remove()
        seconds = written / rate
        return Conversion(
            options.output, writer.file_rate, seconds, semitones, index, stages.seconds()
        )

    def convert(
        self,
        source: LookAhead,
        options: ConvertOptions,
        index: Path | None,
        stages: Stages,
        kept: KeptChunks | None = None,
    ) -> Iterator[np.ndarray]:
        """Convert a recording; yields (n,) float32 at self.sample_rate, in -1..1.

        kept: what was rendered before; the rest is added to it.
        """
        self.check_speaker(options.speaker)
        with stages("load"):
            retrieval = self.open_index(index) if index and options.index_rate > 0 else None
        joiner = Joiner(self.sample_rate, SAMPLE_RATE)
        loudness = LoudnessMatcher(SAMPLE_RATE, self.sample_rate, options.rms_mix_rate)

        def render(chunk: Chunk, number: int) -> Callable[[], tuple[Chunk, np.ndarray]]:
            if options.part and not is_near(chunk, options.part):  # what is not asked for
                length = -(-len(chunk.audio) * self.sample_rate // SAMPLE_RATE)
                return lambda: (chunk, np.zeros(length, np.float32))
            if kept is not None:
                with stages("keep"):
                    known = kept.get(chunk, number)
                if known is not None:
                    return lambda: (filtered(chunk, stages), known)
            content, f0 = source.content(chunk), source.f0(chunk)
            if f0 is not None:
                f0 = transpose(f0, options.semitones or 0.0)
            chunk = filtered(chunk, stages)
            with stages("retrieval"):
                frames = len(chunk.audio) // HOP_LENGTH if f0 is None else len(f0)
                content = prepare(
                    content, frames, f0, retrieval, options.index_rate, options.protect
                )
            with stages("memory"):
                memory.trim()
            with stages("synthesizer"):
                fit_threads(self.device)
                rendered = self.render(content, f0, options.speaker, options.seed + number)
            return partial(finish, chunk, number, f0, rendered)

        def finish(
            chunk: Chunk, number: int, f0: np.ndarray | None, rendered: Callable[[], np.ndarray]
        ) -> tuple[Chunk, np.ndarray]:
            with stages("synthesizer"):
                wav = rendered()
            with stages("loudness"):
                if is_noise(chunk.audio, f0):  # to the encoder it is as loud as speech
                    wav = no_louder(wav, chunk.audio)
            if kept is not None:
                with stages("keep"):
                    kept.add(chunk, number, wav)
            return chunk, wav

        started = source.chunks.compute(render, RENDER)
        for _, finished in one_behind(started) if self.renders_ahead else started:
            chunk, wav = finished()
            with stages("loudness"):
                audio = limit(loudness.push(chunk.core, joiner.push(chunk, wav)))
            yield audio
            with stages("memory"):
                memory.trim()
        with stages("loudness"):
            rest = loudness.push(np.zeros(0, np.float32), joiner.flush())
            audio = limit(np.concatenate([rest, loudness.flush()]))
        yield audio

    def chunks(
        self,
        blocks: Iterable[np.ndarray],
        options: ConvertOptions,
        stages: Stages,
        on_done: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> FittingChunks:
        """Return the chunks of 16 kHz blocks. on_done: see FittingChunks."""
        sizes = self._chunk_sizes(options)
        cutter = CUTTERS[self.family.cuts](blocks, SAMPLE_RATE, sizes)
        return FittingChunks(cutter, self.device, stages, on_done)

    def look_ahead(
        self, chunks: FittingChunks, melody: Melody | None, options: ConvertOptions, stages: Stages
    ) -> LookAhead:
        """Hear the beginning of a recording, and all by which its shift is chosen."""
        part, is_fitted = options.part, options.semitones is None
        return LookAhead(
            self.encoder, melody, chunks, stages,
            FITTED_SECONDS if is_fitted and melody else 0.0,
            lambda chunk: is_fitted or not part or is_near(chunk, part),
        )  # fmt: skip

    def fitting(self, melody: Melody | None, options: ConvertOptions) -> float:
        """Return the shift by which a recording's beginning comes to where the voice was trained.

        0 where that is not known.
        """
        voice_hz = self.model.f0_median.get(options.speaker, 0.0)
        if melody is None or not voice_hz:
            return 0.0
        f0 = melody.beginning(FITTED_SECONDS)
        voice_range = self.model.f0_range.get(options.speaker)
        return fitting_semitones(
            median_f0(f0), voice_hz, options.singing, f0_range(f0), voice_range
        )

    def measure(self, melody: Melody, options: ConvertOptions, stages: Stages) -> Melody:
        """Return a melody that is known as a whole: a conversion from its file is the same."""

        def f0(chunk: Chunk, number: int) -> np.ndarray:
            with stages("f0"):
                return melody.f0(chunk)

        with open_recording(options, stages) as reader:
            chunks = self.chunks(input_blocks(reader, options, stages), options, stages)
            for _ in chunks.compute(f0, CONTENT):
                pass
        return melody.known()

    def melody(self, options: ConvertOptions) -> Melody | None:
        """Return what gives the melody, None for a voice that follows none. UserError, OSError."""
        if not self.params.use_f0:
            if options.f0_file or options.save_f0:
                raise UserError("voice_without_f0", file=self.path)
            return None
        if options.f0_file:
            return Melody(read_curve(options.f0_file))
        return Melody(self.f0_method(options.f0_method))

    def _chunk_sizes(self, options: ConvertOptions) -> config.ChunkSizes:
        return replace(config.plan_chunks(self.family.cuts, self.device), **options.chunk_sizes)

    def _kept(
        self, seconds: float, options: ConvertOptions, index: Path | None, stages: Stages
    ) -> KeptChunks | None:
        """Return what an earlier try has rendered; None for what is made anew faster."""
        sizes = self._chunk_sizes(options)
        if seconds < LEAST_CHUNKS * sizes.x_center or options.part or options.save_f0:
            return None
        with stages("keep"):
            return kept_chunks(options, index, self.encoder_name, str(self.device), sizes)

    @torch.inference_mode()
    def render(
        self,
        content: np.ndarray,
        f0: np.ndarray | None,
        speaker: int,
        seed: int,
        phase: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        first: int = 0,
    ) -> Callable[[], np.ndarray]:
        """Render content (T, dim) at 100 frames/s and f0 (T,) Hz: (M,) at self.sample_rate.

        seed: of the noise. phase, noise: see Family, for one whose phase can be advanced.
        first: frames at the beginning that are only looked back at.
        What is returned gives the waveform: a CUDA GPU makes it beside what is started after it,
        in a stream whose tensors no other stream has.
        """
        inputs = [content, f0, None if f0 is None else quantize(f0)]
        with torch.cuda.stream(self._stream):  # None: nothing else than without
            wav = self.family.render(
                self.synthesizer,
                *(None if x is None else torch.from_numpy(x)[None].to(self.device) for x in inputs),
                torch.tensor([speaker], device=self.device),
                torch.Generator().manual_seed(seed % 2**63),
                phase,
                noise,
                first,
            ).float()

        def rendered() -> np.ndarray:
            with torch.cuda.stream(self._stream):
                return wav.cpu().numpy()

        return rendered

    def find_index(self, index: Path | None, index_rate: float) -> Path | None:
        """The index to use: the one given, else the voice's own; None at an index rate of 0."""
        return None if index_rate == 0 else index or self.own_index()

    def own_index(self) -> Path | None:
        """The index that belongs to the voice, None if there is none or it is not certain which."""
        return find_index(self.path, [config.LOGS], self.model.version, self.params.content_dim)

    def open_index(self, path: Path) -> Retrieval:
        """The index, read again when it was built anew. FileNotFoundError, ValueError."""
        if not path.is_file():
            raise NoFile("index_gone", path=path)
        return self._retrieval(path, path.stat().st_mtime_ns)

    def check_speaker(self, speaker: int) -> None:
        """Refuse a speaker that the voice does not have."""
        if speaker >= self.params.num_speakers:
            known = f"0..{self.params.num_speakers - 1}"
            raise UserError("speaker", file=self.path, speaker=speaker, known=known)


def one_behind(items: Iterable[Item]) -> Iterator[Item]:
    """Yield each item when the one after it has come."""
    earlier: list[Item] = []
    for item in items:
        yield from earlier
        earlier = [item]
    yield from earlier


def open_recording(options: ConvertOptions, stages: Stages) -> AbstractContextManager[AudioReader]:
    """Open what is converted. AudioError."""
    rate = DENOISE_RATE if options.denoise else SAMPLE_RATE
    return stages.around(lambda: AudioReader(options.input, rate, MIN_SECONDS), "decode")


def input_blocks(
    reader: AudioReader, options: ConvertOptions, stages: Stages
) -> Iterator[np.ndarray]:
    """Yield a recording's 16 kHz blocks, without their noise where that is asked for."""
    read = stages.over(reader.blocks(), "decode")
    return stages.over(denoise_to(read, SAMPLE_RATE), "denoise") if options.denoise else read


def is_near(chunk: Chunk, part: tuple[float, float]) -> bool:
    """Whether a chunk has to do with how a part (its first and last second) sounds."""
    begin, end = chunk.start / SAMPLE_RATE, (chunk.start + len(chunk.core)) / SAMPLE_RATE
    return begin < part[1] + LOUDNESS_REACH and end > part[0] - LOUDNESS_REACH


def filtered(chunk: Chunk, stages: Stages) -> Chunk:
    """Return a chunk as it is heard and measured: high-passed."""
    with stages("filter"):
        return replace(chunk, audio=high_pass(chunk.audio, SAMPLE_RATE))


def prepare(
    content: np.ndarray,
    frames: int,
    f0: np.ndarray | None,
    retrieval: Retrieval | None,
    index_rate: float,
    protect: float,
) -> np.ndarray:
    """Retrieve, double to 100 frames/s, and protect unvoiced sounds: (frames, dim)."""
    rows = np.minimum(np.arange(frames) // 2, len(content) - 1)
    content = content.astype(np.float32)
    if retrieval is None:
        return content[rows]
    retrieved = retrieval.blend(content, index_rate)[rows]
    if f0 is not None and protect < 0.5:
        unvoiced = f0 < LOWEST_VOICED
        original = content[rows[unvoiced]]
        retrieved[unvoiced] = original + protect * (retrieved[unvoiced] - original)
    return retrieved
