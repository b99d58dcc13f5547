"""How much of the machine a training takes while a server runs beside it, so that requests are still answered.

Memory of a GPU is limited in ``medvlsam2.training.finetuning``, which knows the device.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

NICENESS: Final = 10
"""Linux gives a process of niceness 10 a tenth of the time of one of niceness 0 while both want a core, and all of it
while the other waits; at 19 a training would hardly move while annotators click."""
CORES_SHARE: Final = 0.5
"""Part of the cores that a training's threads may fill. A request waits for its slowest thread, so one whose core is
taken holds up all the others: half of the cores stay free of the training."""
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
FIRST_TO_END: Final = 500
"""Added to the score by which Linux chooses what it ends when memory runs out (-1000 to 1000): the training before the
server, since a training goes on from its checkpoint."""


def step_back() -> None:
    """Let the server go first. To be called before PyTorch is imported and any thread is started."""
    cores = len(os.sched_getaffinity(0))
    threads = max(1, int(CORES_SHARE * cores))
    for name in THREAD_VARIABLES:
        given = os.environ.get(name, "")
        os.environ[name] = str(min(threads, int(given)) if given.isdecimal() and int(given) else threads)
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    try:
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_END), encoding="utf-8")
    except OSError as error:  # another system than Linux, or one that forbids it
        logger.info("The system does not let a training be ended before the server (%s)", error.strerror)
