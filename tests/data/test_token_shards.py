"""Raw text as shards of tokens: once, in pieces, and never mixed."""

import pytest

from keras_kd.atomic_files import read_json
from keras_kd.data import token_shards as module
from keras_kd.data.errors import DataError
from keras_kd.data.text_windows import text_windows
from keras_kd.data.token_shards import token_shards
from keras_kd.data.tokenization import Tokenizer
from tests import tiny

TEXTS = [f"{word} film was it the " * 4 for word in tiny.GOOD] + ["fine"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.write_tokenizer(folder)
    return Tokenizer.from_folder(folder)


@pytest.fixture
def make(tmp_path, tokenizer):
    def make(texts=TEXTS, source="one", **options):
        return token_shards(
            tmp_path / "tokens",
            lambda: iter(texts),
            tokenizer,
            12,
            source,
            texts_per_shard=4,
            **options,
        )

    return make


def contents(rows):
    return [
        (rows.text("example_id", i), rows.row("token_ids", i).tolist())
        for i in range(len(rows))
    ]


def test_rows_are_those_of_one_piece(make, tokenizer):
    rows, notes = make()
    expected = [
        (window["example_id"], window["token_ids"])
        for window in text_windows(TEXTS, tokenizer, 12)
    ]
    assert contents(rows) == expected
    assert len(rows.parts) == 3
    assert notes["texts"] == 11 and notes["windows"] == len(expected)
    assert notes["tokens"] == sum(len(ids) for _, ids in expected)


def test_after_a_kill_finished_shards_are_not_tokenised_again(
    make, tokenizer, monkeypatch, tmp_path
):
    written = []
    write = module.write_rows

    def write_two(folder, *arguments):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(folder.name)
        return write(folder, *arguments)

    monkeypatch.setattr(module, "write_rows", write_two)
    with pytest.raises(KeyboardInterrupt):
        make()
    assert written == ["000000", "000001"]
    tokenised = []
    encode = tokenizer.encode_plain
    monkeypatch.setattr(module, "write_rows", write)
    monkeypatch.setattr(
        tokenizer,
        "encode_plain",
        lambda texts, *rest: tokenised.extend(texts) or encode(texts, *rest),
    )
    seconds = read_json(tmp_path / "tokens" / module.MANIFEST)["seconds"]
    rows, notes = make()
    assert tokenised == TEXTS[8:]
    # Those of all processes, as the tokens are.
    assert notes["seconds"] > seconds > 0
    assert len({name for name, _ in contents(rows)}) == len(rows) == 20


def test_a_second_time_nothing_is_read(make):
    rows, notes = make()

    def never():
        raise AssertionError("The texts are read.")
        yield

    again, same = make(never())
    assert contents(again) == contents(rows) and same == notes


def test_other_text_is_refused_or_overwritten(make):
    make()
    with pytest.raises(DataError, match="'one', and is 'two'.*--overwrite"):
        make(TEXTS[:2], "two")
    rows, notes = make(TEXTS[:2], "two", overwrite=True)
    assert notes["texts"] == 2 and len(rows) == 4


def test_a_folder_with_other_things(make, tmp_path):
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "letter.txt").write_text("Dear")
    with pytest.raises(DataError, match="no shards.json"):
        make(overwrite=True)


def test_texts_that_are_too_short(make):
    with pytest.raises(DataError, match="too short"):
        make(["fine", "dull"])
