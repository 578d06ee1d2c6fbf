"""Tagging: rows, windows, scores, answers, and tokens of a student's own."""

import collections
import json

import numpy as np
import pytest

from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.retokenization import retokenize
from keras_kd.data.rows import write_rows
from keras_kd.data.token_outputs import TokenOutputs
from keras_kd.data.tokenization import Tokenizer
from keras_kd.data.vocabularies import build_tokenizer
from keras_kd.data.words import encode_words
from keras_kd.data.words import split_words
from keras_kd.losses.chain_soft_targets import ChainSoftTargets
from keras_kd.losses.linear_chain import chain_cross_entropy
from keras_kd.tasks.named_tasks import build_task
from keras_kd.tasks.tag_labels import labels_of_tags
from keras_kd.tasks.token_tagging import TokenTagging
from tests import tiny
from tests import tiny_tokens

SENTENCES = tiny_tokens.make_sentences(40)


@pytest.fixture
def tokenizer(tmp_path):
    """Pieces of words: `sweetfun` is `sweet` and `##fun`."""
    tiny.write_tokenizer(tmp_path / "tokenizer")
    vocabulary = tmp_path / "tokenizer" / "vocab.txt"
    pieces = [f"##{word}\n" for word in tiny.GOOD]
    vocabulary.write_text(vocabulary.read_text() + "".join(pieces))
    return Tokenizer.from_folder(tmp_path / "tokenizer")


@pytest.fixture
def make_rows(tmp_path, tokenizer):
    def make(sentences, task=None, max_length=64, counts=None):
        task = task or TokenTagging(tiny_tokens.TAGS)
        examples = [
            Example(f"row-{number}", tuple(words), tags and tuple(tags))
            for number, (words, tags) in enumerate(sentences)
        ]
        made = task.featurize(examples, tokenizer, max_length, counts)
        number = len(list(tmp_path.iterdir()))
        return write_rows(tmp_path / f"rows-{number}", made, {})

    return make


def logits_of(rows, tags=5):
    """What a model would give that is right: high at the label."""
    found = []
    for row in range(len(rows)):
        label = rows.row("label", row)
        values = np.zeros((len(label), tags), "float32")
        values[np.arange(len(label)), np.maximum(label, 0)] = 5.0
        found.append(values)
    return TokenOutputs.join(found)


class TestRows:
    def test_the_first_piece_of_a_word_has_its_tag(self, make_rows):
        rows = make_rows([(["the", "sweetfun", "was"], ["O", "B-PER", "O"])])
        (tokens,) = [rows.row("token_ids", 0).tolist()]
        words = [
            ([*tiny.WORDS, *(f"##{w}" for w in tiny.GOOD)])[t] for t in tokens
        ]
        assert words == ["[CLS]", "the", "sweet", "##fun", "was", "[SEP]"]
        assert rows.row("label", 0).tolist() == [-1, 0, 3, -1, 0, -1]
        assert rows.row("word_ids", 0).tolist() == [-1, 0, 1, -1, 2, -1]
        assert rows.row("token_mask", 0).tolist() == [0, 1, 1, 0, 1, 0]
        assert rows.column("label_weight").tolist() == [1.0]

    @pytest.mark.parametrize("max_length", [64, 8, 4])
    def test_no_word_is_lost_in_windows(self, make_rows, max_length):
        counts = collections.Counter()
        rows = make_rows(SENTENCES, max_length=max_length, counts=counts)
        task = TokenTagging(tiny_tokens.TAGS)
        references = task.references(rows)
        assert references.lengths.tolist() == [len(w) for w, _ in SENTENCES]
        assert references.sentences(references.tags, task.labels) == [
            tags for _, tags in SENTENCES
        ]
        assert rows.lengths("token_ids").max() <= max_length
        cut = sum(len(words) > max_length - 2 for words, _ in SENTENCES)
        assert counts["sentences_cut_into_windows"] == cut
        assert (len(rows) > len(SENTENCES)) is (cut > 0)
        logits = task.select_outputs(logits_of(rows), rows)
        assert task.scores(logits, references)["entity_f1"] == 1.0

    def test_windows_of_a_sentence_stay_together(self, make_rows):
        from keras_kd.data.splits import split_rows

        rows = make_rows(SENTENCES, max_length=6)
        parts = split_rows(rows, {"test": 20, "validation": 20, "train": 9999})
        owners = [
            {parts[part].text("example_id", i) for i in range(len(parts[part]))}
            for part in ("test", "validation", "train")
        ]
        assert all(owners)
        assert sum(map(len, owners)) == len(set().union(*owners)) == 40

    def test_words_of_nothing_and_of_too_much(self, make_rows):
        words = ["\u200b", "sweet" + "fun" * 90, "the"]
        rows = make_rows([(words, ["O", "B-PER", "O"])], max_length=12)
        references = TokenTagging(tiny_tokens.TAGS).references(rows)
        assert references.tags.tolist() == [0, 3, 0]
        # What nothing is left of is an unknown token.
        assert rows.row("token_ids", 0)[1] == tiny.WORDS.index("[UNK]")

    def test_rows_without_tags(self, make_rows):
        rows = make_rows([(["the", "film"], None)])
        assert rows.column("label_weight").tolist() == [0.0]
        assert rows.row("token_mask", 0).tolist() == [0, 1, 1, 0]

    def test_repairs_are_counted(self, make_rows):
        counts = collections.Counter()
        rows = make_rows([(["fine", "fun"], ["I-PER", "I-PER"])], counts=counts)
        assert rows.row("label", 0).tolist() == [-1, 3, 4, -1]
        assert counts == {"tags_that_broke_the_scheme": 1}

    def test_rows_of_a_file(self, tokenizer, tmp_path):
        path = tmp_path / "train.txt"
        path.write_text("the O\nfine B-PER\n\nfilm O\n")
        task = TokenTagging(["O", "B-PER", "I-PER"])
        rows = task.make_rows(path, tokenizer, tmp_path / "rows_of_file", 8)
        assert task.references(rows).tags.tolist() == [0, 1, 0]

    def test_empty_words_are_counted(self, make_rows):
        counts = collections.Counter()
        make_rows([(["fine", " "], ["O", "O"])], counts=counts)
        assert counts == {"empty_words_read_as_unknown": 1}

    def test_unknown_tags_are_refused(self, make_rows):
        with pytest.raises(DataError, match="row-0: unknown tag 'B-ORG'"):
            make_rows([(["fine"], ["B-ORG"])])
        with pytest.raises(DataError, match="row-0: the tag 'PER' is none"):
            make_rows([(["fine"], ["PER"])])


def test_byte_level_tokens_know_the_space_before_a_word():
    import tokenizers

    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {"<s>": 0, "</s>": 1, "a": 2, "Ġ": 3, "Ġa": 4, "b": 5, "<unk>": 6},
            [("Ġ", "a")],
            unk_token="<unk>",
        )
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False
    )
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 1)],
    )  # fmt: skip
    tokenizer = Tokenizer(backend)
    # As in the text " a b".
    assert encode_words(tokenizer, [["a", "b"]], 9) == [[[4], [3, 5]]]


class TestTask:
    def test_labels_and_scheme_of_data(self):
        labels, scheme = labels_of_tags(
            [["O", "I-PER"], None, ["I-LOC", "B-LOC"]]
        )
        assert labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
        assert scheme == "iob1"
        with pytest.raises(DataError, match="No row has tags"):
            labels_of_tags([None])
        with pytest.raises(DataError, match="The training rows: the tag 'X'"):
            labels_of_tags([["X"]])

    @pytest.mark.parametrize(
        "labels, message",
        [
            (["B-PER"], "'O' is missing"),
            (["O", "I-PER"], r"not so: \['I-PER'\]"),
            (["O", "B-PER", "B-PER"], r"not so: \['B-PER'\]"),
            (["O", "S-PER"], r"not so: \['S-PER'\]"),
            (["O", "name"], r"not so: \['name'\]"),
        ],
    )
    def test_labels_that_are_none(self, labels, message):
        with pytest.raises(DataError, match=message):
            TokenTagging(labels)

    def test_it_is_built_again_from_what_it_says(self):
        task = TokenTagging(["O", "B-A"], scheme="bioes", chain=True, stride=3)
        again = build_task(**json.loads(json.dumps(task.to_dict())))
        assert again.to_dict() == task.to_dict()
        assert (again.num_outputs, again.student_outputs) == (2, 6)
        teacher = again.for_teacher()
        assert (teacher.student_outputs, teacher.scheme) == (2, "bioes")

    def test_losses(self):
        chain = TokenTagging(["O", "B-A"], chain=True)
        assert chain.hard_label_loss() is chain_cross_entropy
        assert isinstance(
            chain.teacher_loss("soft_targets", 2.0, 0.5), ChainSoftTargets
        )
        with pytest.raises(ValueError, match="must be soft_targets"):
            chain.teacher_loss("logits_mse", 2.0, 0.5)
        assert (chain.activation, chain.metrics()) == (None, [])

    def test_parts_without_entities_are_refused(self, make_rows):
        task = TokenTagging(tiny_tokens.TAGS)
        rows = make_rows([(["the", "film"], ["O", "O"])])
        with pytest.raises(DataError, match="None of the 2 words of the test"):
            task.check_labels(task.references(rows), "test")


class TestAnswers:
    def test_what_is_answered_is_valid(self, make_rows):
        """The best tags one by one would begin with I-PER."""
        task = TokenTagging(tiny_tokens.TAGS)
        rows = make_rows([(["fine", "fun"], ["B-PER", "I-PER"])])
        logits = np.log([[0.1, 0.1, 0.1, 0.3, 0.4], [0.1, 0.1, 0.1, 0.1, 0.6]])
        answers = task.answers(logits, rows)
        assert answers[0][0] == [
            {"text": "fine fun", "type": "PER", "words": [0, 2]}
        ]
        assert answers[0][1] == pytest.approx(0.3)
        assert task.show(answers[0][0]) == "fine fun [PER]"
        assert task.show([]) == "-"

    def test_of_a_chain(self, make_rows):
        """Two tags that fit one another win over the best first one."""
        task = TokenTagging(["O", "B-PER", "I-PER"], chain=True)
        rows = make_rows([(["fine", "fun"], ["B-PER", "I-PER"])], task)
        potentials = np.zeros((2, 4, 3))
        potentials[0, 0] = [1.0, 0.5, 9.0]  # I-PER may not begin.
        potentials[1, 2, 2] = 3.0  # Behind B-PER comes I-PER.
        logits = potentials.reshape(2, 12)
        ((entities, probability),) = task.answers(logits, rows)
        assert entities[0]["words"] == [0, 2] and probability is None
        references = task.references(rows)
        assert task.scores(logits, references)["entity_f1"] == 1.0
        # It is compared with a teacher that tags each word by itself.
        teacher = np.array([[0.0, 5.0, 0.0], [5.0, 0.0, 0.0]])
        assert task.agreement(teacher, logits, references) == 0.5

    def test_texts_are_cut_into_words(self):
        task = TokenTagging(["O", "B-A"])
        example = task.example_of("Dr. O'Neil-Smith lives in 北京!", "1")
        assert example.fields == (
            "Dr", ".", "O'Neil-Smith", "lives", "in", "北", "京", "!",
        )  # fmt: skip
        assert task.example_of(["New York"], "2").fields == ("New York",)
        assert task.example_of("", "3").fields == (" ",)

    @pytest.mark.parametrize(
        "text, words",
        [
            ("It’s AT&T's 3.5%.", "It|’s|AT&T|'s|3.5|%|."),
            ("the U.S. won 2-0, 1,000.5 at 10:30", "the|U.S.|won|2-0|,|1,000.5"
             "|at|10:30"),
            ("don't 'quote' Franco-German", "don't|'|quote|'|Franco-German"),
            ("हिन्दी cafe\u0301 北京", "हिन्दी|cafe\u0301|北|京"),
            ("a.b (c)\u2028d", "a.b|(|c|)|d"),
        ],
    )  # fmt: skip
    def test_words(self, text, words):
        task = TokenTagging(["O", "B-A"])
        assert list(task.example_of(text, "1").fields) == words.split("|")
        found = [{"words": [2, 4], "type": "A", "text": ""}]
        (one,) = task.place(found, text)
        assert text[one["start"] : one["end"]] == one["text"]
        assert split_words(one["text"]) == words.split("|")[2:4]

    def test_decisions_for_files(self, make_rows):
        task = TokenTagging(tiny_tokens.TAGS)
        rows = make_rows(SENTENCES[:5])
        every = np.arange(5)
        width = rows.lengths("token_ids").max()
        masks = rows.padded("token_mask", every, width)
        labels = task.decisions_of(rows.padded("label", every, width, -1))
        logits = logits_of(rows).padded(every, width)
        found = task.decisions(logits, masks)
        np.testing.assert_array_equal(found, labels)
        assert (found == -1).any() and (found > 0).any()


class TestOwnTokens:
    @pytest.mark.parametrize("kind", ["word", "character", "wordpiece"])
    def test_the_teacher_is_found_by_the_word(self, make_rows, tmp_path, kind):
        rows = make_rows(SENTENCES, max_length=12)
        task = TokenTagging(tiny_tokens.TAGS)
        texts = [" ".join(words) for words, _ in SENTENCES]
        own = build_tokenizer(kind, texts, 60)
        student = retokenize(rows, own, tmp_path / "own", max_length=24)
        assert student.lengths("token_ids").max() <= 24
        np.testing.assert_array_equal(student.keys(), rows.keys())
        references = task.references(rows)
        theirs = task.references(student)
        assert theirs.tags.tolist() == references.tags.tolist()
        assert theirs.lengths.tolist() == references.lengths.tolist()
        # Each of the student's words learns what the teacher says of it.
        teacher = logits_of(rows)
        for row in range(len(rows)):
            places = student.row("teacher_positions", row)
            words = student.row("word_ids", row)
            assert ((places >= 0) == (words >= 0)).all()
            own_words = places >= 0
            assert (
                rows.row("word_ids", row)[places[own_words]] == words[own_words]
            ).all()
            values = teacher[row][places[own_words]]
            tags = student.row("label", row)[own_words]
            assert (values.argmax(-1) == tags).all()

    def test_long_words_lose_their_ends_and_none_is_lost(
        self, make_rows, tmp_path
    ):
        rows = make_rows(
            [(["superb", "sweet", "the"], ["B-PER", "I-PER", "O"])]
        )
        own = build_tokenizer("character", ["superb sweet the"] * 3, 40)
        student = retokenize(rows, own, tmp_path / "own", max_length=8)
        assert student.row("word_ids", 0).tolist() == [
            -1,
            0,
            -1,
            1,
            -1,
            2,
            -1,
            -1,
        ]
        with pytest.raises(DataError, match="3 words in a row of 2 tokens"):
            retokenize(rows, own, tmp_path / "own", max_length=4)
