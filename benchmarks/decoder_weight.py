"""What the mask decoder adds to words, and how much similarity is enough: mean Dice on whole training scans.

    python benchmarks/decoder_weight.py --model model/medvlsam2-nano --data DIR --cache cache/nano
    python benchmarks/decoder_weight.py --model model/medvlsam2-nano --data DIR --cache cache/nano --fit OUT

The grid that ``training/calibrate.py`` searches after a training, as a table: rows are weights of the decoder's logits
beside the similarity, columns shifts of the threshold. Real scans of the train split, structures asked for by words
alone, evenly spaced slices of the whole scan, on the mask grid. The second command fits anew all that a training fits
at its end, and writes the model with it: for one whose training ended elsewhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from medvlsam2.model import checkpoint
from medvlsam2.training.calibrate import WEIGHTS, best_score_bias, calibrate, mean_dice, tall, words_on_scan
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.train import prepare_cases

SHIFTS = (-3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5)


@torch.no_grad()
def main() -> None:
    """Look at the scans and print the table, or fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    parser.add_argument("--data", type=Path, required=True, help="real scans: ct/ and split.json")
    parser.add_argument("--cache", type=Path, default=Path("cache/nano"), help="prepared scans, kept between runs")
    parser.add_argument("--scans", type=int, default=44)
    parser.add_argument("--synthetic", type=int, default=0, help="new scans made of the real ones, in all")
    parser.add_argument("--fit", type=Path, metavar="OUT", help="fit the model anew and write it to this folder")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of scans, slices and structures")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loaded = checkpoint.load(options.model)
    similarity = loaded.model.sam2.text_similarity
    assert similarity is not None, "this model does not compare words with pixels"
    config = TrainConfig(phantoms=0, synthetic=options.synthetic)
    cases = prepare_cases(config, loaded.config, options.cache, options.data, 1)
    if options.fit is not None:
        calibrate(loaded.model, loaded.tokenizer, cases, seed=options.seed)
        checkpoint.save(options.fit, loaded.model, loaded.tokenizer, loaded.metadata)
        for name in ("score_bias", "evidence_shift", "decoder_weight", "bias_shift"):
            print(name, [round(value, 3) for value in getattr(similarity, name).tolist()])
        return
    loaded.model.eval()
    similarity.forget_calibration()
    cases = [case for case in cases if case.present_keys]
    rng = np.random.default_rng(options.seed)
    chosen = [cases[int(i)] for i in rng.permutation(len(cases))[: options.scans]]
    words = [one for case in chosen for one in words_on_scan(loaded.model, loaded.tokenizer, case, rng)]
    scores = torch.cat([one.scores for one in words])
    bias = best_score_bias(scores, torch.cat([one.truth.flatten(1).any(dim=1) for one in words]))
    objects = [tall(one, bias) for one in words if one.truth.any()]
    print(f"{len(objects)} structures of {len(chosen)} scans")
    print("| weight |", " | ".join(f"{shift:+g}" for shift in SHIFTS), "|")
    print("|---" * (1 + len(SHIFTS)) + "|")
    for weight in WEIGHTS:
        print(f"| {weight} |", " | ".join(f"{mean_dice(objects, weight, shift):.3f}" for shift in SHIFTS), "|")


if __name__ == "__main__":
    main()
