"""CTC encoders: already classifiers of 20 ms frames, over the tokens of their vocabulary."""

from typing import Any

from streamclf.model.labels import check_count
from streamclf.train.families.family import Family, Plan, Wishes
from streamclf.train.families.speech import SEQUENCE_KIN, encoder_plan
from streamclf.train.pretrained import Checkpoint, CheckpointError

NOTE = "its classes are tokens; the blank and other special tokens are hidden"
_SPECIAL = ("pad_token", "unk_token", "bos_token", "eos_token", "word_delimiter_token")


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    """A row every 20 ms of a window of 1 s, unless another is asked for; exactly one token holds at a time."""
    names, hidden = vocabulary(checkpoint)
    return encoder_plan(
        checkpoint,
        wishes,
        framewise=True,
        activation=wishes.activation or "softmax",
        names=names,
        hidden=hidden,
        notes=(NOTE,) if hidden else (),
    )


def vocabulary(checkpoint: Checkpoint) -> tuple[tuple[str, ...], frozenset[int]]:
    """The tokens in the order of the output and which of them are special. Raises `CheckpointError`."""
    size = int(checkpoint.config.vocab_size)
    table = _tokens(checkpoint)
    if table is None:
        if len(checkpoint.config.id2label or {}) == size:
            return checkpoint.names(), frozenset()
        raise CheckpointError(
            f"{checkpoint.source} has neither vocab.json nor tokenizer.json, so its {size} tokens have no names; "
            "save the tokenizer beside the weights"
        )
    names = [token for token, _ in sorted(table.items(), key=lambda item: item[1])]
    check_count(names, size, f"the vocabulary of {checkpoint.source}")
    if sorted(table.values()) != list(range(size)):
        raise CheckpointError(
            f"the vocabulary of {checkpoint.source} does not number its {size} tokens 0 to {size - 1}; save it again"
        )
    return tuple(names), _special(checkpoint, table)


def _tokens(checkpoint: Checkpoint) -> dict[str, int] | None:
    table = checkpoint.file("vocab.json")
    if table is None:
        whole = checkpoint.file("tokenizer.json")
        if whole is None:
            return None
        stated = (whole.get("model") or {}).get("vocab") or {}
        # a table of token to number, or the tokens in their order, each with its share of the language
        table = {piece: at for at, (piece, _) in enumerate(stated)} if isinstance(stated, list) else dict(stated)
        table |= {entry["content"]: entry["id"] for entry in whole.get("added_tokens") or ()}
    elif table and all(isinstance(value, dict) for value in table.values()):
        # one vocabulary a language, as multilingual checkpoints store it
        language = (checkpoint.file("tokenizer_config.json") or {}).get("target_lang")
        if language not in table:
            raise CheckpointError(
                f"vocab.json of {checkpoint.source} holds {len(table)} languages and tokenizer_config.json chooses "
                "none of them; set its `target_lang`"
            )
        table = table[language]
    return _numbered(checkpoint, table)


def _numbered(checkpoint: Checkpoint, table: dict[str, Any]) -> dict[str, int]:
    if any(not isinstance(value, int) or isinstance(value, bool) for value in table.values()):
        raise CheckpointError(f"the vocabulary of {checkpoint.source} holds no table of token to number; save it again")
    added = checkpoint.file("added_tokens.json") or {}
    return dict(table) | {token: int(number) for token, number in added.items()}


def _special(checkpoint: Checkpoint, table: dict[str, int]) -> frozenset[int]:
    settings = {
        **(checkpoint.file("special_tokens_map.json") or {}),
        **(checkpoint.file("tokenizer_config.json") or {}),
    }
    found = set()
    for key in _SPECIAL:
        value = settings.get(key)
        token = value.get("content") if isinstance(value, dict) else value
        if isinstance(token, str) and token in table:
            found.add(table[token])
    for key in ("pad_token_id", "blank_token_id"):
        number = getattr(checkpoint.config, key, None)
        if isinstance(number, int) and 0 <= number < len(table):
            found.add(number)
    return frozenset(found)


FAMILY = Family(
    title="CTC encoder",
    output="a row every 20 ms over its tokens",
    classes=tuple(f"{name}ForCTC" for name in SEQUENCE_KIN),
    plan=plan,
)
