"""One of two processes that ``torchrun`` starts; it stores its observations: ``two_ranks.py FOLDER``."""

import sys
from pathlib import Path

import torch
from torch import nn


def main(folder):
    """Take part in the training, and store the result."""
    from medvlsam2.training.running.ranks import joined

    torch.set_num_threads(1)
    kernel = nn.Parameter(torch.zeros(2, 3, 3, 3).to(memory_format=torch.channels_last))
    parameters = [nn.Parameter(torch.zeros(4)), kernel, nn.Parameter(torch.zeros(1))]
    with joined() as ranks:
        with ranks.first_alone():
            seen = sorted(path.name for path in folder.iterdir())
            (folder / f"prepared-{ranks.number}").touch()
        parameters[0].grad = torch.full((4,), 1.0 + 2 * ranks.number)
        if ranks.is_first:
            kernel.grad = torch.arange(54.0).view(2, 3, 3, 3).to(memory_format=torch.channels_last)
        ranks.mean_gradients(parameters)
        found = {
            "gradients": [parameter.grad for parameter in parameters],
            "is_channels_last": kernel.grad.is_contiguous(memory_format=torch.channels_last),
            "first": ranks.first(7.0 + ranks.number),
            "seen": seen,
        }
    torch.save(found, folder / f"found-{ranks.number}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
