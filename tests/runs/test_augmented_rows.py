"""Augmented rows of a run: what they are made of, and who is taught them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from keras_kd.cli import main
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.data.augmentation import kept_copies
from keras_kd.data.augmentation import same_tag_words
from keras_kd.data.augmentation.tang import TangAugmentation
from keras_kd.data.errors import DataError
from keras_kd.data.tokenization import Tokenizer
from keras_kd.evaluation import report
from keras_kd.models.bert import bert
from keras_kd.models.huggingface_checkpoint import Checkpoint
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.pretrained import state_dict
from keras_kd.runs import arm_training
from keras_kd.runs import augmented_rows
from keras_kd.runs import distillation
from keras_kd.runs import student_rows
from keras_kd.runs.augmented_rows import check_augmentation
from keras_kd.runs.compare import Comparison
from keras_kd.runs.preparation import prepare_rows
from keras_kd.runs.student_files import StudentFiles
from keras_kd.tasks.text_classification import TextClassification
from tests import tiny

# The first words of the vocabulary, where the word itself may be one of them.
PROPOSED = tiny.WORDS[len(tiny.SPECIAL) :][:16]


@pytest.fixture
def tokenizer(tmp_path):
    tiny.write_tokenizer(tmp_path / "tokenizer")
    return Tokenizer.from_folder(tmp_path / "tokenizer")


@pytest.fixture
def prepare(tmp_path, tokenizer):
    said = []

    def prepare(**settings):
        settings = {"augment": "tang", "augment_copies": 4, **settings}
        return prepare_rows(
            Configuration(max_length=tiny.LENGTH, **settings),
            TextClassification(tiny.LABELS),
            tokenizer,
            tmp_path / "rows",
            said.append,
        )

    prepare.said = said
    return prepare


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory):
    """A BERT that likes each word better than those behind it."""
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("masked_lm")
    tiny.write_tokenizer(folder)
    config = {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM"],
        "vocab_size": len(tiny.WORDS),
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "tie_word_embeddings": True,
    }
    model = bert(read_settings(config), "masked_lm")
    bias = np.zeros((1, len(tiny.WORDS)), "float32")
    bias[0] = -10.0 * np.arange(len(tiny.WORDS))
    model.get_layer("masked_lm_bias").set_weights([bias])
    save_file(
        state_dict(model, config, "masked_lm"),
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def made_of(prepared):
    """`{number of the row: its tokens}` of the augmented rows, by source."""
    rows, found = prepared.unlabelled, {}
    for position in range(len(rows)):
        place, mark, _ = rows.text("example_id", position).partition("#")
        if mark:
            ids = rows.row("token_ids", position)
            shown = " ".join(tiny.WORDS[i] for i in ids[1:-1])
            found.setdefault(place, set()).add(shown)
    return found


def texts_of(rows):
    return {rows.text("text", position) for position in range(len(rows))}


class TestParts:
    def test_only_labelled_rows_are_augmented(self, tmp_path, prepare):
        rows = tiny.make_rows(60)
        train = tiny.write_csv(
            tmp_path / "train.csv",
            [
                (text, label if i < 40 else "")
                for i, (text, label) in enumerate(rows)
            ],
        )
        more = tiny.write_csv(tmp_path / "more.csv", tiny.make_rows(30, seed=8))
        prepared = prepare(
            train=train, unlabelled=more, validation_rows=8, test_rows=8,
            labelled_rows=12,
        )  # fmt: skip
        found = made_of(prepared)
        labelled = prepared.labelled
        places = {labelled.text("example_id", i) for i in range(len(labelled))}
        assert set(found) <= places and len(found) > 8
        originals = dict(
            zip(
                (labelled.text("example_id", i) for i in range(len(labelled))),
                (labelled.text("text", i) for i in range(len(labelled))),
            )
        )
        for place, texts in found.items():
            words = {*originals[place].split(), "[MASK]"}
            for text in texts:
                assert set(text.split()) <= words
        assert any("[MASK]" in text for t in found.values() for text in t)

    def test_they_are_unlabelled_rows_and_are_counted(self, tmp_path, prepare):
        settings = tiny.write_data(tmp_path, unlabelled=20)
        plain = prepare(**settings, augment="none")
        assert not [name for name in plain.counts if "augment" in name]
        assert "augmented" not in plain.fingerprint
        prepared = prepare(**settings)
        counts = prepared.counts
        assert counts["unlabelled"] == plain.counts["unlabelled"] == 20
        assert counts["augmented"] > 60
        assert len(prepared.unlabelled) == 20 + counts["augmented"]
        assert sum(map(len, made_of(prepared).values())) == counts["augmented"]
        assert prepared.unlabelled.column("label_weight").sum() == 0
        for part in ("labelled", "validation", "test"):
            one, other = getattr(plain, part), getattr(prepared, part)
            np.testing.assert_array_equal(one.keys(), other.keys())

    def test_nothing_is_repeated_and_nothing_held_out(self, tmp_path, prepare):
        # Short texts: most of what is made of one is a copy of another.
        words = tiny.GOOD + tiny.BAD
        labels = ["good"] * 10 + ["bad"] * 10
        train = [
            (f"{a} {b}", label)
            for a, b, label in zip(words, words[1:] + words[:1], labels)
        ]
        single = list(zip(words, labels))
        prepared = prepare(
            train=tiny.write_csv(tmp_path / "train.csv", train),
            validation=tiny.write_csv(tmp_path / "val.csv", single[::2]),
            test=tiny.write_csv(tmp_path / "test.csv", single[1::2]),
            augment_copies=30,
        )
        made = [text for texts in made_of(prepared).values() for text in texts]
        counts = prepared.counts
        assert counts["augmented_rows_left_out_because_held_out"] > 20
        assert counts["augmented_rows_left_out_because_repeated"] > 5
        assert len(made) == counts["augmented"] == len(set(made)) > 10
        assert not set(made) & {*words, *(text for text, _ in train)}
        keys = [p.keys() for p in (
            prepared.labelled, prepared.unlabelled, prepared.validation,
            prepared.test,
        )]  # fmt: skip
        assert len(np.unique(np.concatenate(keys))) == sum(map(len, keys))
        # Every masked 1-gram reads alike: one of them is left.
        assert made.count("[MASK]") == 1

    def test_pairs(self, tmp_path, tokenizer):
        lines = ["text,other,label"]
        rows = tiny.make_rows(80)
        lines += [
            f"{text},{rows[-i][0]},{label}"
            for i, (text, label) in enumerate(rows)
        ]
        train = tmp_path / "pairs.csv"
        train.write_text("\n".join(lines) + "\n")
        prepared = prepare_rows(
            Configuration(
                train=str(train),
                text_pair="other",
                augment="tang",
                augment_copies=3,
                max_length=24,
            ),  # fmt: skip
            TextClassification(tiny.LABELS),
            tokenizer,
            tmp_path / "rows",
        )
        rows = prepared.unlabelled
        assert prepared.counts["augmented"] == len(rows) > 30
        assert rows.columns >= {"text_pair", "segment_ids"}
        changed = set()
        for position in range(len(rows)):
            ids = rows.row("token_ids", position).tolist()
            segments = rows.row("segment_ids", position).tolist()
            assert len(ids) == len(segments) and ids.count(3) == 2
            kept = [
                rows.text(name, position) in texts_of_column(train, column)
                for column, name in enumerate(("text", "text_pair"))
            ]
            number = int(rows.text("example_id", position).split(":")[-1])
            changed.add((number, *kept))
        # The first, the second, or both. Of both, one may stay by chance.
        assert {(1, False, True), (2, True, False), (3, False, False)} <= (
            changed
        )
        assert not changed & {(1, False, False), (2, False, False)}

    def test_a_student_with_words_of_its_own(
        self, tmp_path, prepare, tokenizer
    ):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        prepared = prepare(**settings)
        configuration = Configuration(
            **settings, tokens="word", vocabulary_size=200
        )
        own = student_rows.student_tokenizer(
            configuration, prepared, tokenizer, tmp_path / "own"
        )
        assert own.vocabulary.count("[MASK]") == 1
        assert not {"[", "mask", "]"} & set(own.vocabulary)
        rows = student_rows.rows_of_student(
            prepared, own, tmp_path / "student_rows", tiny.LENGTH
        )
        # The teacher's vocabulary is one of whole words as well.
        for position in range(len(prepared.unlabelled)):
            theirs = prepared.unlabelled.row("token_ids", position)
            ours = rows.unlabelled.row("token_ids", position)
            for one, other in zip(theirs, ours, strict=True):
                word = own.vocabulary[other]
                assert word in (tiny.WORDS[one], "[UNK]")
                assert (word == "[MASK]") == (one == tokenizer.mask_id)


def texts_of_column(path, column):
    return {line.split(",")[column] for line in path.read_text().splitlines()}


class TestOnce:
    def test_a_second_run_makes_nothing(self, tmp_path, prepare, monkeypatch):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        first = prepare(**settings)
        assert "Augmenting 32 rows ..." in prepare.said

        def refuse(*args):
            raise AssertionError("made anew")

        with monkeypatch.context() as patch:
            patch.setattr(TangAugmentation, "augment", refuse)
            second = prepare(**settings)
        assert prepare.said.count("Augmenting 32 rows ...") == 1
        assert second.counts == first.counts
        assert second.fingerprint == first.fingerprint
        np.testing.assert_array_equal(
            first.unlabelled.keys(), second.unlabelled.keys()
        )

    @pytest.mark.parametrize(
        "change",
        [{"augment_copies": 5}, {"labelled_rows": 20}, {"validation": None}],
    )
    def test_other_things_make_other_rows(self, tmp_path, prepare, change):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        first = prepare(**settings)
        second = prepare(**{**settings, **change})
        assert second.fingerprint["augmented"] != first.fingerprint["augmented"]
        again = prepare(**settings)
        assert again.fingerprint == first.fingerprint

    def test_seeds_of_the_trainings_change_nothing(self, tmp_path, prepare):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        first = prepare(**settings, seeds=[0])
        second = prepare(**settings, seeds=[3, 4])
        assert second.fingerprint == first.fingerprint

    def test_a_killed_run_goes_on(self, tmp_path, prepare, monkeypatch):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        whole = prepare(**settings, augment_copies=3)
        shutil.rmtree(tmp_path / "rows")
        real, asked = TangAugmentation.augment, []

        def killed(self, examples):
            examples = list(examples)
            for number, copy in enumerate(real(self, examples)):
                if len(asked) == 3 and number == 2:
                    raise KeyboardInterrupt
                yield copy
            asked.extend(example.example_id for example in examples)

        monkeypatch.setattr(kept_copies, "EXAMPLES_IN_A_FILE", 3)
        with monkeypatch.context() as patch:
            patch.setattr(TangAugmentation, "augment", killed)
            with pytest.raises(KeyboardInterrupt):
                prepare(**settings, augment_copies=3)
        assert len(asked) == 3
        asked.append("killed")
        (left,) = (tmp_path / "rows").glob("augmented-*")
        assert [file.name for file in left.iterdir()] == ["0-3.json"]
        with monkeypatch.context() as patch:
            patch.setattr(TangAugmentation, "augment", killed)
            again = prepare(**settings, augment_copies=3)
        # Each of the 32 was augmented once, and nothing else is left.
        assert len(asked) == len(set(asked)) == 32 + 1
        assert again.fingerprint == whole.fingerprint
        np.testing.assert_array_equal(
            again.unlabelled.keys(), whole.unlabelled.keys()
        )
        assert not left.exists()

    def test_texts_of_which_nothing_can_be_made(self, tmp_path, prepare):
        signs = [
            (f"{a}{b}", "good" if a in "?!" else "bad")
            for a in "?!.;"
            for b in "?!.;:-+*"
        ]
        settings = {
            part: tiny.write_csv(tmp_path / f"{part}.csv", rows)
            for part, rows in (
                ("train", signs), ("validation", tiny.make_rows(6)),
                ("test", tiny.make_rows(6, seed=3)),
            )
        }  # fmt: skip
        with pytest.raises(DataError) as error:
            prepare(**settings)
        assert "Nothing could be made of the 32 labelled texts" in str(
            error.value
        )
        assert "augment=tang" in str(error.value)


class TestTagger:
    @pytest.fixture
    def installed(self, monkeypatch):
        monkeypatch.setattr(
            augmented_rows,
            "spacy_versions",
            lambda name: {"spacy": "3", name: "1"},
        )
        monkeypatch.setattr(
            augmented_rows,
            "SpacyTagger",
            lambda name: (
                lambda words: [
                    {True: "G"}.get(
                        w in tiny.GOOD, "B" if w in tiny.BAD else ""
                    )
                    for w in words
                ]
            ),
        )

    def test_words_are_replaced_by_others_of_their_kind(
        self, tmp_path, prepare, installed
    ):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        found = made_of(prepare(**settings, augment_tagger="tiny_model"))
        originals = dict(
            (f"train.csv:{n}", text)
            for n, (text, _) in enumerate(tiny.make_rows(32), 2)
        )
        replaced = 0
        for place, texts in found.items():
            (word,) = {*originals[place].split()} & {*tiny.GOOD, *tiny.BAD}
            kind = tiny.GOOD if word in tiny.GOOD else tiny.BAD
            for text in texts:
                new = {*text.split()} & {*tiny.GOOD, *tiny.BAD}
                assert new <= set(kind)
                replaced += bool(new) and word not in new
        assert replaced > 3
        # Without it no word is another one.
        for place, texts in made_of(prepare(**settings)).items():
            for text in texts:
                words = {*originals[place].split(), "[MASK]"}
                assert {*text.split()} <= words

    def test_words_are_counted_in_the_training_rows_alone(
        self, tmp_path, prepare, installed, monkeypatch
    ):
        counted = []
        real = same_tag_words.SameTagWords

        def keep(tagger, texts, splitter):
            counted.extend(texts)
            return real(tagger, counted, splitter)

        monkeypatch.setattr(augmented_rows, "SameTagWords", keep)
        settings = tiny.write_data(tmp_path, unlabelled=10)
        prepared = prepare(**settings, augment_tagger="tiny_model")
        assert set(counted) == texts_of(prepared.labelled)

    def test_another_model_makes_other_rows(self, tmp_path, prepare, installed):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        folders = {
            prepare(**settings, augment_tagger=name).fingerprint["augmented"]
            for name in (None, "tiny_model", "other_model")
        }
        assert len(folders) == 3


class TestMaskedLanguageModel:
    def test_proposes_the_words(self, tmp_path, prepare, masked_lm):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        prepared = prepare(
            **settings,
            augment="tinybert",
            augment_masked_lm=masked_lm,
            augment_copies=8,
        )
        train = [text.split() for text, _ in tiny.make_rows(32)]
        changed = 0
        for place, texts in made_of(prepared).items():
            words = train[int(place.partition(":")[2]) - 2][: tiny.LENGTH - 2]
            for text in texts:
                assert len(text.split()) == len(words)
                for old, new in zip(words, text.split()):
                    changed += old != new
                    assert new == old or new in PROPOSED
        assert changed > 100

    def test_word_vectors_propose_for_words_of_several_tokens(
        self, tmp_path, prepare, masked_lm
    ):
        # The teacher knows none of these words, nor does the model.
        settings = tiny.write_data(tmp_path, unlabelled=10)
        rows = [("filmy", "good"), ("grimly", "bad")] * 2
        settings["train"] = str(tiny.write_csv(tmp_path / "train.csv", rows))
        vectors = tmp_path / "vectors.txt"
        vectors.write_text(
            "the 0 0 1\nfilmy 1 0 0\nfilm 1 .1 0\ngrimly 0 1 0\ndull .1 1 0\n"
        )
        options = {
            "augment": "tinybert",
            "augment_masked_lm": masked_lm,
            "augment_copies": 40,
        }
        with pytest.raises(DataError, match="Nothing could be made of the 4"):
            prepare(**settings, **options)
        prepared = prepare(
            **settings, **options, augment_word_vectors=str(vectors)
        )
        # No other vector is nearer: of three, each word finds them all.
        found = set.union(*made_of(prepared).values())
        assert found == {"the", "film", "dull"}

    def test_another_model_makes_other_rows(self, tmp_path, prepare, masked_lm):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        settings["augment"] = "tinybert"
        other = shutil.copytree(masked_lm, tmp_path / "other")
        first = prepare(**settings, augment_masked_lm=masked_lm)
        second = prepare(**settings, augment_masked_lm=str(other))
        assert second.fingerprint == first.fingerprint
        config = other / "config.json"
        config.write_text(config.read_text().replace("gelu", "relu"))
        third = prepare(**settings, augment_masked_lm=str(other))
        assert third.fingerprint["augmented"] != first.fingerprint["augmented"]

    def test_a_pickle_is_read_where_that_is_allowed(
        self, tmp_path, prepare, masked_lm, monkeypatch
    ):
        from safetensors.numpy import load_file

        folder = shutil.copytree(masked_lm, tmp_path / "pickled")
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        # Whoever is allowed to read it; without torch, which a pickle needs.
        monkeypatch.setattr(
            Checkpoint,
            "_load_pickles",
            lambda checkpoint, files: checkpoint._pickled.update(weights),
        )
        settings = {
            **tiny.write_data(tmp_path, unlabelled=10),
            "augment": "tinybert",
            "augment_masked_lm": str(folder),
        }
        with pytest.raises(ValueError, match="a pickle"):
            check_augmentation(Configuration(**settings))
        settings["allow_pickle"] = True
        check_augmentation(Configuration(**settings))
        assert made_of(prepare(**settings))


class TestCheck:
    def check(self, **settings):
        said = []
        check_augmentation(Configuration(**settings), said.append)
        return said

    def test_nothing_to_check(self):
        assert self.check() == []

    def test_no_tagger(self):
        (line,) = self.check(augment="tang")
        assert line.startswith("Augmenting without a tagger: words are masked")

    def test_tagger_that_is_not_installed(self):
        with pytest.raises(ImportError, match="'no_such_model_sm'"):
            self.check(augment="tang", augment_tagger="no_such_model_sm")

    def test_no_vectors(self, masked_lm):
        (line,) = self.check(augment="tinybert", augment_masked_lm=masked_lm)
        assert line == (
            "Augmenting without word vectors: words of several tokens stay as "
            "they are."
        )

    def test_vectors_that_are_not_there(self, masked_lm, tmp_path):
        with pytest.raises(DataError, match="no file '.*glove.txt'. Expected"):
            self.check(
                augment="tinybert",
                augment_masked_lm=masked_lm,
                augment_word_vectors=tmp_path / "glove.txt",
            )

    def test_model_that_is_not_there(self, tmp_path):
        folder = str(tmp_path / "no_model")
        with pytest.raises(FileNotFoundError, match="no_model"):
            self.check(augment="tinybert", augment_masked_lm=folder)

    def test_model_without_such_a_head(self, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert")
        with pytest.raises(DataError) as error:
            self.check(augment="tinybert", augment_masked_lm=folder)
        message = str(error.value)
        assert "has no masked-LM head (its heads: pooler, sequence)" in message
        assert "`augment_masked_lm`, such as google-bert" in message

    def test_tinybert_without_a_model(self):
        with pytest.raises(ConfigurationError) as error:
            Configuration(augment="tinybert")
        message = str(error.value)
        assert message.startswith("`augment_masked_lm` must be the folder of")
        assert "masked-LM head" in message

    @pytest.mark.parametrize(
        ("name", "method"),
        [
            ("augment_tagger", "tang"),
            ("augment_masked_lm", "tinybert"),
            ("augment_word_vectors", "tinybert"),
        ],
    )
    def test_setting_that_would_do_nothing(self, name, method):
        with pytest.raises(ConfigurationError) as error:
            Configuration(**{name: "x"})
        assert str(error.value) == (
            f"`{name}` must be left out unless `augment` is {method}. "
            "Received: 'x'."
        )

    def test_it_comes_before_any_work(self, tmp_path):
        run = type("Run", (), {"folder": tmp_path})
        comparison = Comparison(
            Configuration(augment="tang", augment_tagger="no_such_sm"), run
        )
        with pytest.raises(ImportError, match="no_such_sm"):
            comparison.prepare()

    def test_chinese_text_is_told_how_it_is_read(self, tmp_path, prepare):
        rows = [(f"{text} 中国", label) for text, label in tiny.make_rows(60)]
        prepare(train=tiny.write_csv(tmp_path / "train.csv", rows))
        said = "The words of Chinese text are its characters."
        assert said in prepare.said


class TestWholeRun:
    """On the command line: who labels the rows, and who is taught them."""

    def test_augmented_rows_are_labelled_by_the_teacher(
        self, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.setattr(
            StudentFiles,
            "saved_model",
            lambda self: {"file": "saved_model", "format": "none"},
        )
        monkeypatch.setattr(report, "write_plots", lambda folder, result: [])
        monkeypatch.setattr(distillation, "run_times", lambda models: [])
        seen = []
        real = arm_training.training_batches

        def keep(rows, *args, targets=None, **kwargs):
            seen.append((rows, targets))
            return real(rows, *args, targets=targets, **kwargs)

        monkeypatch.setattr(arm_training, "training_batches", keep)
        configuration = Configuration(
            **tiny.write_data(tmp_path, train=24, test=40, unlabelled=20),
            teacher=tiny.write_teacher(tmp_path / "teacher"),
            max_length=tiny.LENGTH, student="bag", embedding_dim=4, width=4,
            steps=20, evaluate_every=20, learning_rate=0.03, export=[],
            arms=["teacher", "alone", "distilled", "distilled_labelled"],
            augment="tang", augment_copies=5,
        )  # fmt: skip
        flags = tiny.flags_of(configuration)
        folder = tmp_path / "run"
        command = ["distill", *flags, "--run", str(folder)]
        assert main(command) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        result = json.loads((folder / "metrics.json").read_text())
        data = result["data"]
        assert data["augmented"] > 40
        assert (
            f"24 labelled, 20 unlabelled, {data['augmented']} augmented, "
            "24 validation and 40 test rows"
        ) in out
        assert "Augmenting without a tagger" in out
        written = (folder / "report.md").read_text()
        assert f"| augmented | {data['augmented']} |" in " ".join(
            written.split(" ")
        ).replace("  ", " ")
        # Every row has a key of its own, and the teacher was asked once each.
        parts = ("train", "unlabelled", "augmented", "validation", "test")
        assert result["teacher_calls"] == sum(data[part] for part in parts)
        (alone, none), (distilled, targets), (labelled, _) = seen
        assert (len(alone), none, len(labelled)) == (24, None, 24)
        assert len(distilled) == 44 + data["augmented"]
        names = [distilled.text("example_id", i) for i in range(len(distilled))]
        assert sum("#augmented:" in n for n in names) == data["augmented"]
        assert not any(
            "#augmented" in alone.text("example_id", i) for i in range(24)
        )
        # The targets are what the teacher says of just these tokens.
        logits = targets.lookup(distilled.keys())["logits"]
        for position, name in enumerate(names):
            ids = distilled.row("token_ids", position)
            mean = tiny.polarity()[ids].mean()
            expected = [-12 * mean, 12 * mean]
            np.testing.assert_allclose(logits[position], expected, atol=1e-4)
            if "#augmented" in name:
                assert distilled.column("label_weight")[position] == 0

        # What is done is not done again.
        def refuse(*args):
            raise AssertionError("made anew")

        monkeypatch.setattr(TangAugmentation, "augment", refuse)
        assert main(command) == 0, capsys.readouterr().err
        again = json.loads((folder / "metrics.json").read_text())
        assert again["teacher_calls"] == 0
        assert again["data"] == data
        assert len(seen) == 3

    def test_mistakes_name_the_flag(self, tmp_path, capsys):
        configuration = Configuration(
            **tiny.write_data(tmp_path), teacher="teacher"
        )
        flags = tiny.flags_of(
            dataclasses.replace(configuration, max_length=tiny.LENGTH)
        )
        run = ["--run", str(tmp_path / "run")]
        assert main(["distill", *flags, *run, "--augment", "tinybert"]) == 1
        assert "keras-kd: --augment-masked-lm must be" in (
            capsys.readouterr().err
        )
        options = ["--augment", "none", "--augment-tagger", "x"]
        assert main(["distill", *flags, *run, *options]) == 1
        assert (
            "--augment-tagger must be left out unless --augment is tang"
            in capsys.readouterr().err
        )
