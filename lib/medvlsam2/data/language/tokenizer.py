"""Training of a small byte-level BPE tokenizer, and the special tokens for a parent model's tokenizer.

Any Unicode text is encoded without loss, because every byte is in the vocabulary. Each digit is a single token, so that
a number has the same tokens wherever it stands. Special tokens have the lowest ids, in a fixed order.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from medvlsam2.data.language.chat import END_OF_TEXT, SPECIAL_TOKENS, TURN_END
from medvlsam2.errors import InvalidConfig, MissingCheckpoint

MAX_LENGTH = 8192
IGNORED_LABEL = -100
"""Label of tokens that the language loss leaves out; the number is that of PyTorch and transformers."""
_FILE = "tokenizer.json"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer that is trained on texts; the same texts and size give the same tokenizer.

    Args:
        texts: training texts.
        vocab_size: largest number of tokens, including the special tokens and the 256 bytes.

    Raises:
        InvalidConfig: if ``vocab_size`` is too small for the bytes and the special tokens.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    least = len(alphabet) + len(SPECIAL_TOKENS)
    if vocab_size < least:
        raise InvalidConfig(f"vocab_size {vocab_size} is too small; at least {least} is needed. Raise it.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def save(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(str(folder))


def load(folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer that ``save`` wrote; nothing is downloaded.

    Raises:
        MissingCheckpoint: if the folder holds no tokenizer.json.
    """
    if not (folder / _FILE).is_file():
        raise MissingCheckpoint(
            f"{folder.name} holds no {_FILE}; a model folder must have one. Copy it beside the weights."
        )
    return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)


def add_special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Add the special tokens that a parent model's tokenizer lacks.

    Returns:
        The id of every special token. The caller must enlarge the embedding to ``len(tokenizer)`` rows.
    """
    known = tokenizer.get_vocab()
    missing = [token for token in SPECIAL_TOKENS if token not in known]
    if missing:
        tokenizer.add_tokens(missing, special_tokens=True)
    return token_ids(tokenizer)


def token_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Return the id of every special token.

    Raises:
        InvalidConfig: if the tokenizer lacks a special token.
    """
    known = tokenizer.get_vocab()
    for token in SPECIAL_TOKENS:
        if token not in known:
            raise InvalidConfig(f"The tokenizer has no {token} token. Call add_special_tokens first.")
    return {token: known[token] for token in SPECIAL_TOKENS}
