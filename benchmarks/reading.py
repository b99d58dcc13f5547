"""Does the language model read what masks measure? Imagined scans, told in words, without an image.

    python benchmarks/reading.py --model model/medvlsam2-nano --scans 48

Every answer stands in the prompt, so a model that reads the prompt can give every answer. A model that does not read
the prompt can only guess what is likely.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from medvlsam2.data.language import chat
from medvlsam2.data.language.asking.questions import questions
from medvlsam2.data.language.clinical import parse_findings, stated_findings
from medvlsam2.data.language.corpus import random_facts
from medvlsam2.data.language.measurements import as_measured, corrupted, measured_text
from medvlsam2.evaluation.measures.questions import same_answer
from medvlsam2.evaluation.measures.reports import f1_parts
from medvlsam2.model import checkpoint
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.language.prefix_cache import PrefixCache
from medvlsam2.transforms.text import encode, prefix_ids, turn_ids

SEED = 77
QUESTIONS_PER_SCAN = 10
REPORT_TOKENS = 200
ANSWER_TOKENS = 20


def looked_at(loaded: LoadedModel, rng: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """What is measured on one imagined scan: name, part right and its weight."""
    facts = random_facts(rng)
    seen = corrupted(facts, rng)
    prefix = loaded.model.language.prefill(prefix_ids(loaded.tokenizer, 0, measured_text(seen)), None)
    if facts.lesions_known:
        told = _generate(loaded, prefix, chat.report_question(), REPORT_TOKENS)
        for finding, (right, whole) in f1_parts(parse_findings(told), stated_findings(facts)).items():
            yield f"finding {finding}", right, whole
    for asked in questions(as_measured(facts, seen), rng)[:QUESTIONS_PER_SCAN]:
        question = chat.answer_question(asked.question, asked.choices, asked.kind)
        if asked.kind == "short":
            yield "short", same_answer(_generate(loaded, prefix, question, ANSWER_TOKENS), asked.answer), 1
        elif asked.kind == "multiple_choice":
            answers = [chat.choice_answer(asked.choices, n) for n in range(len(asked.choices))]
            ids = [encode(loaded.tokenizer, answer) for answer in answers]
            scores = loaded.model.language.score_choices(prefix, turn_ids(loaded.tokenizer, question), ids)
            yield "multiple choice", answers[int(scores.argmax())] == asked.answer, 1


def _generate(loaded: LoadedModel, prefix: PrefixCache, question: str, max_new_tokens: int) -> str:
    ids = loaded.model.language.generate(prefix, turn_ids(loaded.tokenizer, question), max_new_tokens)
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=True)).strip()


@torch.no_grad()
def main() -> None:
    """Ask about the scans and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    parser.add_argument("--scans", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loaded = checkpoint.load(options.model)
    loaded.model.eval()
    rng = np.random.default_rng(SEED)
    right: defaultdict[str, float] = defaultdict(float)
    whole: defaultdict[str, float] = defaultdict(float)
    for _ in range(options.scans):
        for name, part, weight in looked_at(loaded, rng):
            right[name] += part
            whole[name] += weight
    findings = [name for name in whole if name.startswith("finding")]
    print("| what | n | right |\n|---|--:|---|")
    for name in ("short", "multiple choice"):
        print(f"| {name} | {whole[name]:g} | {right[name] / whole[name]:.3f} |")
    micro = sum(right[name] for name in findings) / sum(whole[name] for name in findings)
    macro = np.mean([right[name] / whole[name] for name in findings])
    print(f"| report, clinical F1 micro | {options.scans} scans | {micro:.3f} |")
    print(f"| report, clinical F1 macro | {len(findings)} findings | {macro:.3f} |")


if __name__ == "__main__":
    main()
