"""SST-2: the split by sentences, and the recipe."""

import numpy as np
import pytest

from keras_kd.data.example import Example
from keras_kd.data.sources import read_examples
from recipes import sst2
from tests import tiny
from tests.recipes.files import SMALL
from tests.recipes.files import stored
from tests.recipes.files import write_table


class TestSst2:
    @pytest.fixture
    def data(self, tmp_path):
        """GLUE's form: sentences, and phrases of them."""
        rows = []
        for text, label in tiny.make_rows(40, seed=1):
            sentence = f"{text} ."
            number = tiny.LABELS.index(label)
            rows.append((sentence, number))
            # A phrase is labelled if it has the word that counts.
            words = sentence.split()
            for phrase in (words[:3], words[2:5], words[1:]):
                bad, good = (
                    set(phrase) & set(one) for one in (tiny.BAD, tiny.GOOD)
                )
                if bad or good:
                    rows.append((" ".join(phrase), int(bool(good))))
        test = [
            (text, tiny.LABELS.index(label))
            for text, label in tiny.make_rows(30, seed=2)
        ]
        header = ("sentence", "label")
        write_table(tmp_path / "sst2" / "train.tsv", header, rows)
        write_table(tmp_path / "sst2" / "dev.tsv", header, test)
        return tmp_path / "sst2"

    @pytest.fixture
    def corpus(self):
        """Random phrases over few words, so that many are parts of others."""
        generator = np.random.default_rng(3)
        texts = [
            " ".join(generator.choice(list("abcd"), generator.integers(1, 8)))
            for _ in range(150)
        ]
        return [
            Example(f"train.tsv:{number}", (text,), str(number % 2))
            for number, text in enumerate(texts)
        ]

    def test_no_phrase_of_a_validation_sentence_is_trained_on(self, corpus):
        def is_part(phrase, text):
            phrase, words = phrase.split(), text.split()
            return any(
                words[start : start + len(phrase)] == phrase
                for start in range(len(words) - len(phrase) + 1)
            )

        texts = {example.fields[0] for example in corpus}
        sentences = {
            text
            for text in texts
            if not any(is_part(text, other) for other in texts - {text})
        }
        assert 20 < len(sentences) < len(texts) - 20
        training, validation = sst2.split_by_sentence(corpus, 10)
        chosen = {example.fields[0] for example in validation}
        assert len(chosen) == 10
        assert chosen <= sentences
        kept = {
            example
            for example in corpus
            if not any(is_part(example.fields[0], text) for text in chosen)
        }
        assert set(training) == kept
        assert 0 < len(training) < len(corpus) - 10
        assert [e for e in corpus if e.fields[0] in chosen] == validation

    def test_split_depends_on_the_texts_alone(self, corpus):
        first = sst2.split_by_sentence(corpus, 10)
        shuffled = list(corpus)
        np.random.default_rng(0).shuffle(shuffled)
        second = sst2.split_by_sentence(shuffled, 10)
        assert [set(part) for part in first] == [set(part) for part in second]
        # More sentences hold those of fewer.
        larger = sst2.split_by_sentence(corpus, 15)
        assert set(first[1]) < set(larger[1])

    def test_rows_without_words_are_no_sentences(self):
        rows = [Example("1", ("",), "0"), Example("2", ("a b",), "1")]
        training, validation = sst2.split_by_sentence(rows, 5)
        assert (training, validation) == (rows[:1], rows[1:])

    def test_runs_on_the_files_of_glue(self, run_recipe, data, tmp_path, quick):
        run = tmp_path / "run"
        arguments = [
            "--data", data, "--run", run, *SMALL, "--validation-rows", "12",
            "--teacher", tiny.write_teacher(
                tmp_path / "teacher", labels=["negative", "positive"]
            ),
        ]  # fmt: skip
        status, out, err = run_recipe("sst2", *arguments)
        assert status == 0, err
        assert f"12 sentences of {data / 'train.tsv'} are kept" in out
        result = stored(run)
        assert list(result["arms"]) == ["teacher", "alone", "distilled"]
        assert result["labels"] == ["negative", "positive"]
        assert result["data"]["validation"] == 12
        assert result["data"]["test"] == 30
        beside = tmp_path / "run-data"
        written = {
            part: list(read_examples(beside / f"{part}.jsonl"))
            for part in ("train", "validation", "test")
        }
        given = list(read_examples(data / "train.tsv", text="sentence"))
        training, validation = sst2.split_by_sentence(given, 12)
        for part, examples in (("train", training), ("validation", validation)):
            assert [(e.fields, e.label) for e in written[part]] == [
                (e.fields, sst2.NAMES[e.label]) for e in examples
            ]
        assert len(written["test"]) == 30
        assert {e.label for e in written["test"]} == set(sst2.NAMES.values())
        # The same command goes on, and finds all done.
        status, out, err = run_recipe("sst2", *arguments)
        assert status == 0, err
        assert "Student, distilled, seed 0: done before." in out

    def test_validation_file_of_ones_own(self, run_recipe, data, resolved):
        status, out, err = run_recipe(
            "sst2", "--data", data, "--run", "run", "--validation", "mine.tsv"
        )
        assert status == 0, err
        (configuration,) = resolved
        assert configuration.train == str(data / "train.tsv")
        assert configuration.validation == "mine.tsv"
        assert configuration.text == "sentence"

    def test_too_many_validation_sentences(
        self, run_recipe, data, tmp_path, resolved
    ):
        status, _, err = run_recipe(
            "sst2", "--data", data, "--run", tmp_path / "run"
        )
        assert status == 1
        assert err.endswith(
            "are part of the 1000 validation sentences. Give a smaller "
            "--validation-rows.\n"
        )
        assert not (tmp_path / "run-data").exists()
        assert not resolved

    def test_part_of_train_is_no_test(self, run_recipe, data, resolved):
        status, _, err = run_recipe(
            "sst2", "--train", data / "train.tsv", "--run", "run"
        )
        assert status == 1
        assert "Give one with --test." in err
        assert not resolved

    def test_phrases_of_tfds(self, run_recipe, tmp_path, quick):
        tfds = pytest.importorskip("tensorflow_datasets")
        run = tmp_path / "run"
        teacher = tiny.write_teacher(
            tmp_path / "teacher", labels=["negative", "positive"]
        )
        with tfds.testing.mock_data(num_examples=60):
            status, _, err = run_recipe(
                "sst2", "--teacher", teacher, "--run", run, "--mode",
                "student", *SMALL, "--max-length", "32",
            )  # fmt: skip
        assert status == 0, err
        result = stored(run)
        assert result["labels"] == ["negative", "positive"]
        assert result["data"]["validation"] == 20
        assert result["data"]["test"] == 60
        first = next(read_examples(tmp_path / "run-data" / "train.jsonl"))
        assert first.label in ("negative", "positive")
