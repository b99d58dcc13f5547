"""From words to token ids: prompts, answers, labels, padding."""

from __future__ import annotations

from medvlsam2.data.language import chat
from medvlsam2.data.language.tokenizer import IGNORED_LABEL
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.transforms import text

IMAGE_TOKENS = 8


def test_prefix_and_turn_are_the_prompt(tiny_loaded: LoadedModel) -> None:
    tokenizer = tiny_loaded.tokenizer
    question = "Is the liver visible? Answer in a few words."
    parts = [*text.prefix_ids(tokenizer, IMAGE_TOKENS).tolist(), *text.turn_ids(tokenizer, question).tolist()]
    assert parts == text.encode(tokenizer, chat.prompt(question, IMAGE_TOKENS))
    image = tiny_loaded.model.language.token_ids.image_context
    assert parts.count(image) == IMAGE_TOKENS


def test_measurements_end_the_prefix(tiny_loaded: LoadedModel) -> None:
    tokenizer = tiny_loaded.tokenizer
    ids = text.prefix_ids(tokenizer, IMAGE_TOKENS, "Measured: region chest.").tolist()
    turn = text.turn_ids(tokenizer, "Is the liver visible?").tolist()
    whole = chat.prompt("Is the liver visible?", IMAGE_TOKENS, measured="Measured: region chest.")
    assert tokenizer.decode(ids + turn) == whole


def test_a_request_for_a_mask_ends_with_one_seg(tiny_loaded: LoadedModel) -> None:
    seg = tiny_loaded.model.language.token_ids.seg
    for phrase in ("liver", "Left Kidney", "the largest cyst in the liver"):
        ids = text.segmentation_turns(tiny_loaded.tokenizer, [phrase])[0][0].tolist()
        assert ids.count(seg) == 1
        assert tiny_loaded.tokenizer.decode(ids).endswith("assistant\nIt is [SEG].")


def test_serving_asks_as_training_did(tiny_loaded: LoadedModel) -> None:
    tokenizer = tiny_loaded.tokenizer
    asked = text.Conversation(chat.segmentation_question("liver"), chat.SEGMENTATION_ANSWER)
    trained = text.encode_turns(tokenizer, [asked]).input_ids[0].tolist()
    assert trained[:-1] == text.segmentation_turns(tokenizer, ["liver"])[0][0].tolist()
    assert trained[-1] == tiny_loaded.model.language.token_ids.eos


def test_the_loss_sees_answers_alone(tiny_loaded: LoadedModel) -> None:
    tokenizer = tiny_loaded.tokenizer
    talks = [
        text.Conversation("What is shown? Answer in a full sentence.", "The liver, the spleen and 12 ribs are shown."),
        text.Conversation("Is there a cyst?", "No."),
    ]
    batch = text.encode_turns(tokenizer, talks)
    assert batch.input_ids.shape == batch.labels.shape == batch.attention_mask.shape
    for row, talk in enumerate(talks):
        labelled = batch.labels[row] != IGNORED_LABEL
        assert tokenizer.decode(batch.labels[row][labelled]) == talk.answer + chat.TURN_END
        assert (batch.input_ids[row][labelled] == batch.labels[row][labelled]).all()
        length = int(batch.attention_mask[row].sum())
        whole = chat.turn(talk.question) + talk.answer + chat.TURN_END
        assert tokenizer.decode(batch.input_ids[row][:length]) == whole
        assert (batch.attention_mask[row][:length] == 1).all()
        assert (batch.input_ids[row][length:] == tokenizer.pad_token_id).all()
        assert (batch.labels[row][length:] == IGNORED_LABEL).all()
    assert int(batch.attention_mask[1].sum()) < batch.input_ids.shape[1], "the shorter row is padded"
