"""One of the processes that ``torchrun`` starts: it fits a tiny model and stores the result.

``two_fits.py FOLDER MODEL CASE``
"""

import os
import signal
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import torch


def main(folder, model_dir, case_dir):
    """A whole run, and one that is stopped by the first process alone and goes on."""
    from medvlsam2.model import builders, checkpoint
    from medvlsam2.training import loop
    from medvlsam2.training.config import TrainConfig
    from medvlsam2.training.data.cases import load_case
    from medvlsam2.training.interrupt import Stopped
    from medvlsam2.training.running.ranks import joined

    torch.set_num_threads(1)
    loop.LOG_EVERY_STEPS = 1
    loaded = checkpoint.load(model_dir)
    tokens = checkpoint.special_tokens(loaded.tokenizer)
    config = TrainConfig(
        preset="tiny_random",
        stages=(3, 2),
        minutes=(3.5 / 60, 2.5 / 60),
        volumes_per_step=1,
        conversations_per_volume=2,
        cases_per_step=1,
        slices_per_case=2,
        objects_per_case=2,
        slices_per_dense=2,
        clip_slices=2,
        warmup_steps=2,
    )
    config = replace(config, channels_last=True)

    def fit(run, ranks, *, stop_at=None):
        model = builders.build(loaded.config, tokens, seed=4)
        now = [100.0]
        # Only the first one's clock is right.
        late = count(step=1000)
        steps = []

        def report(line):
            now[0] += 1.0
            steps.append(line.step)
            if line.step == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)

        def clock():
            return now[0] if ranks.is_first else float(next(late))

        try:
            told = loop.fit(
                model, loaded.tokenizer, [load_case(case_dir)], config, run=run, report=report, clock=clock, ranks=ranks
            ).steps
        except Stopped as stopped:
            told = str(stopped)
        return {"told": told, "lines": steps, "weights": model.state_dict()}

    with joined() as ranks:
        found = {
            "whole": fit(folder / "whole", ranks),
            "stopped": fit(folder / "parts", ranks, stop_at=2),
            "rest": fit(folder / "parts", ranks),
        }
    torch.save(found, folder / f"fit-{ranks.number}.pt")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
