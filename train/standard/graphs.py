"""A training step's kernels, recorded once for each shape of batch and started as one piece.

A step of the standard recipe starts some thousands of kernels, and on a fast GPU starting one takes
longer than running it. A CUDA graph starts them all at once. It always reads and writes the same
addresses, so that a batch is copied to tensors that stay, and gradients come to tensors that stay.
What a graph makes is compared with what the step makes without one before it is used; wherever
anything is amiss, training goes on without graphs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from infer.memory import allocator_message, give_back
from train.standard.dataset import BUCKET_FRAMES, Utterances

Half = Callable[[], dict[str, Tensor]]  # of a step: leaves a network's gradient, returns losses

# By what share a tensor of the gradient, and a loss, may differ. Tensors in float16 differ from
# float32 by up to 0.16, in bfloat16 by up to 0.51 (small networks of random weights, on a
# processor); those of another batch, or of none, by 1 and more. On a GPU float32 is TF32.
GRADIENT_NOISE = {torch.float32: 0.2, torch.float16: 0.2, torch.bfloat16: 0.6}
LOSS_NOISE = 0.05
FAINT = 1e-3  # of all of them together: what a smaller one's difference is measured by

logger = logging.getLogger(__name__)


class OtherResult(RuntimeError):
    """A recording makes something else than what was recorded."""


class Recorder(Protocol):
    """Records work that a device is given."""

    def beside(self) -> AbstractContextManager[None]:
        """The block's work goes where recording is possible; what comes after waits for it."""

    def record(self, compute: Half) -> tuple[dict[str, Tensor], Callable[[], None]]:
        """Return the tensors that compute's work writes, and what does that work."""


class CudaRecorder:
    """Records CUDA graphs; they share their memory, so one runs after the other."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def beside(self) -> Iterator[None]:
        """See Recorder. torch itself does not leave the stream where recording fails."""
        outside = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outside)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            outside.wait_stream(self._stream)

    def record(self, compute: Half) -> tuple[dict[str, Tensor], Callable[[], None]]:
        """See Recorder. thread_local: the threads that read batches go on pinning memory."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            losses = compute()
        return losses, graph.replay


class Graphs:
    """Recordings of the halves of a step, each named after the network whose gradient it leaves."""

    def __init__(
        self,
        recorder: Recorder,
        networks: Mapping[str, nn.Module],
        halves: Callable[[Utterances], dict[str, Half]],
        dtype: torch.dtype,
    ) -> None:
        """halves: makes them, in their order, for a batch that they read whenever they run."""
        self._recorder: Recorder | None = recorder
        self._networks, self._halves, self._noise = networks, halves, GRADIENT_NOISE[dtype]
        self._recorded: dict[tuple[int, int], tuple[Utterances, dict[str, Half]]] = {}
        self._gradients: dict[str, dict[nn.Parameter, Tensor]] = {}  # that stay, for all shapes

    def halves(self, batch: Utterances) -> dict[str, Half] | None:
        """Return the halves of a step on a batch; None where they are not recorded."""
        if self._recorder is None:
            return None
        batch = batch.padded(-(-batch.frames // BUCKET_FRAMES) * BUCKET_FRAMES)
        shape = len(batch), batch.frames
        if shape not in self._recorded:
            failure = ""
            try:
                self._record(self._recorder, batch.copied())
            except RuntimeError as error:
                failure = allocator_message(error)
            if failure:  # not earlier: the error holds what the attempt had made
                self._end(failure, batch.lengths.device)
        if shape not in self._recorded:
            return None
        kept, recorded = self._recorded[shape]
        kept.fill(batch)
        return recorded

    def _end(self, failure: str, device: torch.device) -> None:
        """Go on without graphs, and give back what they hold."""
        logger.warning("training goes on without CUDA graphs: %s", failure)
        self._recorder, self._recorded, self._gradients = None, {}, {}
        give_back(device)

    def _record(self, recorder: Recorder, batch: Utterances) -> None:
        """Record the halves on a batch; OtherResult where they then make something else.

        No network changes in between. Where a gradient is not finite another batch will do: a
        scaler begins too high.
        """
        give_back(batch.lengths.device)  # with what autograd may remember of another stream
        halves = self._halves(batch)
        with recorder.beside():
            wanted = {name: self._made(name, self._leave(name, halves[name])) for name in halves}
            if not all(x.isfinite().all() for made in wanted.values() for x in sum(made, [])):
                return
            recorded = {name: self._recording(recorder, name, halves[name]) for name in halves}
        for gradients in self._gradients.values():
            torch._foreach_mul_(list(gradients.values()), torch.nan)  # a graph is to write them all
        found = {name: self._made(name, half()) for name, half in recorded.items()}
        apart = {
            name: [
                largest_difference(*pair) for pair in zip(found[name], wanted[name], strict=True)
            ]
            for name in halves
        }
        told = ", ".join(f"{name} {loss:.1e} {rest:.1e}" for name, (loss, rest) in apart.items())
        if not all(loss <= LOSS_NOISE and rest <= self._noise for loss, rest in apart.values()):
            raise OtherResult(f"they make something else (losses, gradient: {told})")
        self._recorded[len(batch), batch.frames] = batch, recorded
        logger.info(
            "steps of %d clips of %.2f s are CUDA graphs now; differences (losses, gradient): %s",
            len(batch), batch.frames / 100, told,
        )  # fmt: skip

    def _leave(self, name: str, half: Half) -> dict[str, Tensor]:
        """Compute a half, and move its gradient to where it stays."""
        losses = half()
        parameters = [p for p in self._networks[name].parameters() if p.grad is not None]
        gradient = [p.grad for p in parameters]
        if name not in self._gradients:
            self._gradients[name] = {p: torch.empty_like(p) for p in parameters}
        torch._foreach_copy_(list(self._gradients[name].values()), gradient)
        self._point_to(name)
        return losses

    def _recording(self, recorder: Recorder, name: str, half: Half) -> Half:
        """Record a half; returns what does the same."""
        losses, start = recorder.record(lambda: self._leave(name, half))

        def replay() -> dict[str, Tensor]:
            start()
            self._point_to(name)  # in a step without graphs it lies elsewhere
            return {each: loss.clone() for each, loss in losses.items()}

        return replay

    def _point_to(self, name: str) -> None:
        """Let the optimiser find the gradient."""
        for parameter, gradient in self._gradients[name].items():
            parameter.grad = gradient

    def _made(self, name: str, losses: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Losses and gradient, copied to where they take no GPU memory."""
        return (
            [loss.to("cpu", copy=True) for loss in losses.values()],
            [gradient.to("cpu", copy=True) for gradient in self._gradients[name].values()],
        )


def largest_difference(found: list[Tensor], wanted: list[Tensor]) -> float:
    """By what share of itself a tensor differs at most; a faint one by a share of FAINT of all."""
    sizes = torch.stack([x.norm() for x in wanted])
    apart = torch.stack([(x - y).norm() for x, y in zip(found, wanted, strict=True)])
    return float((apart / sizes.clamp(min=float(FAINT * sizes.norm()))).max())
