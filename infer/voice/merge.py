"""Blend two voices of the same kind into a new one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from errors import UserError
from infer.voice.checkpoint import VoiceModel


def merge_voices(first: VoiceModel, second: VoiceModel, share: float, info: str = "") -> VoiceModel:
    """The voice share * first + (1 - share) * second, weight by weight.

    Of speakers, as many are kept as both have. ValueError where the voices are of different kinds.
    """
    if not 0.0 <= share <= 1.0:
        raise UserError("share", share=share)
    for name in ("version", "sample_rate", "use_f0"):
        mine, other = getattr(first, name), getattr(second, name)
        if mine != other:
            raise _unlike("merge_field", name=name, one=mine, other=other)
    limits = {  # the blend has the lower ones
        name: min(model.params[name] for model in (first, second))
        for name in ("num_speakers", "f0_known")
        if name in first.params
    }
    params, others = ({**model.params, **limits} for model in (first, second))
    differing = [name for name in {**params, **others} if params.get(name) != others.get(name)]
    if differing:
        raise _unlike("merge_differ", names=differing)
    odd = sorted(first.weights.keys() ^ second.weights.keys())
    if odd:
        raise _unlike("merge_only", name=odd[0])
    weights = {}
    for name, value in first.weights.items():
        other = second.weights[name]
        if name == "emb_g.weight":
            value, other = value[: limits["num_speakers"]], other[: limits["num_speakers"]]
        if value.shape != other.shape:
            shapes = {"one": str(tuple(value.shape)), "other": str(tuple(other.shape))}
            raise _unlike("merge_shape", name=name, **shapes)
        weights[name] = share * value + (1 - share) * other
    pitch: dict[str, Any] = {  # in octaves the blend lies where its share says
        "f0_median": {
            speaker: hertz**share * second.f0_median[speaker] ** (1 - share)
            for speaker, hertz in first.f0_median.items()
            if hertz > 0 and second.f0_median.get(speaker, 0) > 0
        },
        "f0_range": {
            speaker: tuple(
                mine**share * other ** (1 - share)
                for mine, other in zip(pair, second.f0_range[speaker], strict=True)
            )
            for speaker, pair in first.f0_range.items()
            if speaker in second.f0_range
        },
    }
    extra = _merge_notes(first.extra, second.extra)
    return replace(first, weights=weights, params=params, info=info, extra=extra, **pitch)


def _merge_notes(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What other programs noted alike in both, both names, and the lower number of speakers."""
    notes = {name: value for name, value in first.items() if second.get(name) == value}
    counts = [n for each in (first, second) if type(n := each.get("speakers_id")) is int]
    if len(counts) == 2:
        notes["speakers_id"] = min(counts)
    for name in ("author", "model_name", "model_hash"):
        both = [str(each[name]) for each in (first, second) if each.get(name)]
        if both and name not in notes:
            notes[name] = " + ".join(both)
    return notes


def _unlike(name: str, /, **values: Any) -> UserError:
    return UserError("merge", why=UserError(name, **values))
