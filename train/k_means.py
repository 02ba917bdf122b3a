"""k-means by matrix products, for a GPU: a processor leaves it to faiss."""

from __future__ import annotations

import numpy as np
import torch

ROWS = 4096  # vectors compared with all centres at once
APART = 1 / 1024  # share by which a centre differs from the one that it was made of
FREE_MEMORY = 1.0  # GiB that a GPU must have left


def improve(sample: np.ndarray, centres: np.ndarray, device: torch.device) -> np.ndarray:
    """Each centre becomes the mean of the vectors nearest to it: (N, D), (K, D) -> (K, D).

    Where none is, it comes beside one that has many, as in faiss. The same again on the same
    device: index_put_ adds up in the order of the rows on a GPU, and in float64 on a processor.
    """
    old = torch.from_numpy(centres).to(device)
    squares = old.square().sum(1)
    sums = torch.zeros(old.shape, dtype=torch.float64, device=device)
    counts = torch.zeros(len(old), dtype=torch.long, device=device)
    for rows in torch.from_numpy(sample).split(ROWS):
        rows = rows.to(device)
        nearest = (squares - 2 * rows @ old.T).argmin(1)
        sums.index_put_((nearest,), rows.double(), accumulate=True)
        counts += torch.bincount(nearest, minlength=len(old))
    means = (sums / counts.clamp(min=1)[:, None]).float()
    empty = (counts == 0).nonzero()[:, 0]
    crowded = counts.argsort(descending=True, stable=True)[: len(old) - len(empty)]
    beside = crowded.repeat(-(-len(empty) // len(crowded)))[: len(empty)]
    means[empty] = means[beside] * (1 + APART)
    return means.cpu().numpy()
