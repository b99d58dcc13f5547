"""One of two processes that ``torchrun`` starts; stores what it saw: ``two_ranks.py FOLDER``."""

import sys
from pathlib import Path

import torch
from torch import nn


def main(folder):
    """Take part, and write down what came of it."""
    from medvlsam2.training.ranks import joined

    torch.set_num_threads(1)
    parameters = [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(1))]
    with joined() as ranks:
        with ranks.first_alone():
            seen = sorted(path.name for path in folder.iterdir())
            (folder / f"prepared-{ranks.number}").touch()
        parameters[0].grad = torch.full((2, 3), 1.0 + 2 * ranks.number)
        if ranks.is_first:
            parameters[1].grad = torch.arange(4.0)
        ranks.mean_gradients(parameters)
        found = {
            "gradients": [parameter.grad for parameter in parameters],
            "first": ranks.first(7.0 + ranks.number),
            "seen": seen,
        }
    torch.save(found, folder / f"found-{ranks.number}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
