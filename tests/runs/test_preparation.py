"""From files to the parts of a run: nothing is in two, nothing is lost."""

import shutil

import numpy as np
import pytest

from keras_kd.configuration import Configuration
from keras_kd.data.errors import DataError
from keras_kd.data.tokenization import Tokenizer
from keras_kd.runs import run_sources
from keras_kd.runs import student_rows
from keras_kd.runs.preparation import prepare_rows
from keras_kd.runs.run_sources import find_task
from keras_kd.tasks.text_classification import TextClassification
from tests import tiny


@pytest.fixture
def tokenizer(tmp_path):
    tiny.write_tokenizer(tmp_path / "tokenizer")
    return Tokenizer.from_folder(tmp_path / "tokenizer")


@pytest.fixture
def prepare(tmp_path, tokenizer):
    def prepare(labels=tiny.LABELS, **settings):
        configuration = Configuration(max_length=tiny.LENGTH, **settings)
        return prepare_rows(
            configuration,
            TextClassification(labels),
            tokenizer,
            tmp_path / "rows",
        )

    return prepare


def texts(rows):
    return {rows.text("text", position) for position in range(len(rows))}


def parts(prepared):
    return {
        name: getattr(prepared, name)
        for name in ("labelled", "unlabelled", "validation", "test")
    }


def test_one_file_is_split_into_parts_without_a_common_text(tmp_path, prepare):
    rows = tiny.make_rows(100)
    # Case makes no other text for this teacher: a duplicate must follow.
    rows += [(text.upper(), label) for text, label in rows[:30]]
    train = tiny.write_csv(tmp_path / "train.csv", rows)
    prepared = prepare(
        train=train, validation_rows=20, test_rows=30, labelled_rows=40
    )
    assert sum(len(part) for part in parts(prepared).values()) == 130
    keys = [set(part.keys()) for part in parts(prepared).values()]
    for index, some in enumerate(keys):
        for others in keys[index + 1 :]:
            assert not some & others
    counts = prepared.counts
    # A part may have the duplicate of its last row beyond its size.
    assert counts["validation"] in (20, 21)
    assert counts["test"] in (30, 31)
    assert counts["train"] in (40, 41)
    assert counts["unlabelled"] == len(prepared.unlabelled)
    assert counts["overlaps"] == {
        "train and validation": 0,
        "train and test": 0,
    }


def test_split_depends_on_the_texts_alone(tmp_path, prepare):
    rows = tiny.make_rows(60)
    settings = {"validation_rows": 10, "test_rows": 10, "labelled_rows": 20}
    first = prepare(
        train=tiny.write_csv(tmp_path / "a" / "train.csv", rows), **settings
    )
    second = prepare(
        train=tiny.write_csv(tmp_path / "b" / "train.csv", rows[::-1]),
        **settings,
    )
    for one, other in zip(parts(first).values(), parts(second).values()):
        assert texts(one) == texts(other)


def test_a_tenth_is_held_out_by_default(tmp_path, prepare):
    train = tiny.write_csv(tmp_path / "train.csv", tiny.make_rows(100))
    counts = prepare(train=train).counts
    assert counts["validation"] == counts["test"] == 10
    assert counts["train"] == 80
    assert counts["unlabelled"] == 0


def test_labels_are_those_of_the_file(tmp_path, prepare):
    rows = tiny.make_rows(40)
    train = tiny.write_csv(tmp_path / "train.csv", rows)
    labels = dict(rows)
    for part in parts(prepare(train=train)).values():
        for position, number in enumerate(part.column("label")):
            text = part.text("text", position)
            assert tiny.LABELS[number] == labels[text]


def test_rows_with_an_empty_label_are_unlabelled(tmp_path, prepare):
    rows = tiny.make_rows(50)
    without = [(text, "") for text, _ in rows[:20]]
    train = tiny.write_csv(tmp_path / "train.csv", without + rows[20:])
    prepared = prepare(train=train, validation_rows=5, test_rows=5)
    assert texts(prepared.unlabelled) == {text for text, _ in without}
    assert prepared.unlabelled.column("label_weight").sum() == 0
    assert prepared.labelled.column("label_weight").all()
    assert len(prepared.labelled) == 20


def test_labels_of_unlabelled_files_are_not_read(tmp_path, prepare):
    settings = tiny.write_data(tmp_path, unlabelled=10)
    unlabelled = tiny.write_csv(
        tmp_path / "more.csv", [("a great film", "unheard of")]
    )
    prepared = prepare(**{**settings, "unlabelled": unlabelled})
    assert texts(prepared.unlabelled) == {"a great film"}
    assert prepared.unlabelled.column("label_weight").sum() == 0


def test_held_out_texts_are_not_learned_without_their_label(tmp_path, prepare):
    settings = tiny.write_data(tmp_path, train=20, test=10, unlabelled=12)
    (secret, _), *_ = tiny.make_rows(20 + 24 + 10)[-10:]
    with open(settings["unlabelled"], "a", encoding="utf-8") as file:
        file.write(f"{secret.upper()}\n")
    prepared = prepare(**settings)
    assert len(prepared.unlabelled) == 12
    assert prepared.counts["unlabelled_rows_left_out_because_held_out"] == 1
    assert not set(prepared.unlabelled.keys()) & set(prepared.test.keys())


def test_overlaps_of_given_files_are_counted(tmp_path, prepare):
    settings = tiny.write_data(tmp_path, train=20, validation=10)
    rows = tiny.make_rows(20)
    test = tiny.write_csv(
        tmp_path / "test.csv", rows[:3] + tiny.make_rows(40, seed=9)[-6:]
    )
    prepared = prepare(**{**settings, "test": test})
    assert prepared.counts["overlaps"]["train and test"] == 3
    assert prepared.counts["overlaps"]["train and validation"] == 0


def test_empty_texts_are_counted_and_kept(tmp_path, prepare):
    rows = [("", "good"), ("   ", "bad")] + tiny.make_rows(40)
    train = tiny.write_csv(tmp_path / "train.csv", rows)
    test = tiny.write_csv(
        tmp_path / "test.csv", [("", "bad")] + tiny.make_rows(9, seed=5)
    )
    prepared = prepare(train=train, test=test)
    assert prepared.counts["empty_texts"] == {"train": 2, "test": 1}
    kept = prepared.counts["train"] + prepared.counts["validation"]
    assert kept == 42
    assert prepared.counts["test"] == 10


def test_rows_without_a_label_are_not_scored_as_the_first_class(
    tmp_path, prepare
):
    settings = tiny.write_data(tmp_path, test=0, unlabelled=10)
    rows = tiny.make_rows(12, seed=4)
    hidden = [(text, "") for text, _ in rows[:4]]
    settings["test"] = tiny.write_csv(tmp_path / "test.csv", hidden + rows[4:])
    prepared = prepare(**settings)
    assert texts(prepared.test) == {text for text, _ in rows[4:]}
    assert prepared.counts["test"] == 8
    assert prepared.counts["rows_left_out_because_they_have_no_label"] == {
        "validation": 0,
        "test": 4,
    }


def test_rows_are_tokenised_once(tmp_path, prepare, monkeypatch):
    settings = tiny.write_data(tmp_path, unlabelled=10)
    rows = [("", "good"), *tiny.make_rows(20)]
    settings["train"] = tiny.write_csv(tmp_path / "train.csv", rows)
    first = prepare(**settings)

    def read_examples(*args, **kwargs):
        raise AssertionError("read again")

    monkeypatch.setattr(run_sources, "read_examples", read_examples)
    second = prepare(**settings)
    assert second.counts == first.counts
    for one, other in zip(parts(first).values(), parts(second).values()):
        np.testing.assert_array_equal(one.keys(), other.keys())


@pytest.mark.parametrize("change", ["file", "labels", "length"])
def test_rows_of_other_things_are_made_anew(tmp_path, prepare, change):
    settings = tiny.write_data(tmp_path, unlabelled=10)
    first = prepare(**settings)
    labels = tiny.LABELS
    if change == "file":
        tiny.write_csv(settings["train"], tiny.make_rows(28, seed=3))
    if change == "labels":
        labels = labels[::-1]
    if change == "length":
        settings["text"] = "text"
        configuration = Configuration(**settings, max_length=16)
        second = prepare_rows(
            configuration,
            TextClassification(labels),
            Tokenizer.from_folder(tmp_path / "tokenizer"),
            tmp_path / "rows",
        )
        assert second.labelled.parts[0].folder != (
            first.labelled.parts[0].folder
        )
        return
    second = prepare(labels=labels, **settings)
    if change == "file":
        assert second.counts["train"] == 28
    else:
        np.testing.assert_array_equal(
            second.labelled.column("label"),
            1 - first.labelled.column("label"),
        )


def test_another_delimiter_makes_other_rows(tmp_path, prepare):
    train = tmp_path / "train.csv"
    train.write_text(
        "".join(f"{text};{s},{s}\n" for text, s in tiny.make_rows(40))
    )
    labels = ["bad", "good", "bad,bad", "good,good"]
    settings = {"train": train, "text": 0, "label": 1, "labels": labels}
    by_semicolon = prepare(delimiter=";", **settings)
    by_comma = prepare(delimiter=",", **settings)
    assert not [text for text in texts(by_semicolon.labelled) if ";" in text]
    assert all(";" in text for text in texts(by_comma.labelled))


def test_a_data_set_that_was_prepared_anew(tmp_path, monkeypatch, tokenizer):
    tf = pytest.importorskip("tensorflow")
    tfds = pytest.importorskip("tensorflow_datasets")

    def store(rows):
        tfds.dataset_builders.store_as_tfds_dataset(
            "films",
            version="1.0.0",
            split_datasets={
                "train": tf.data.Dataset.from_tensor_slices(
                    dict(zip(("text", "label"), map(list, zip(*rows))))
                )
            },
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Text(), "label": tfds.features.Text()}
            ),
            data_dir=tmp_path,
            disable_shuffling=True,
        )

    builder = tfds.builder
    monkeypatch.setattr(
        tfds,
        "builder",
        lambda name, **options: builder(name, data_dir=tmp_path, **options),
    )
    rows = tiny.make_rows(60)
    seen = []
    for part in (rows[:50], rows[10:]):
        shutil.rmtree(tmp_path / "films", ignore_errors=True)
        store(part)
        found = prepare_rows(
            Configuration(train="tfds:films"),
            TextClassification(tiny.LABELS),
            tokenizer,
            tmp_path / "rows",
        )
        seen.append(set().union(*map(texts, parts(found).values())))
        assert seen[-1] == {text for text, _ in part}
    assert seen[0] != seen[1]


class TestFindLabels:
    def find(self, tmp_path, column, teacher_labels=None, **settings):
        rows = [(f"text {i}", label) for i, label in enumerate(column)]
        train = tiny.write_csv(tmp_path / "train.csv", rows)
        configuration = Configuration(train=train, **settings)
        return find_task(configuration, teacher_labels).labels

    def test_natural_order_of_what_is_there(self, tmp_path):
        assert self.find(tmp_path, ["10", "", "9", "10"]) == ["9", "10"]

    def test_teachers_order_where_it_knows_the_names(self, tmp_path):
        order = ["good", "so-so", "bad"]
        assert self.find(tmp_path, ["bad", "good"], order) == order

    def test_own_order_where_the_teacher_has_other_names(self, tmp_path):
        known = ["POSITIVE", "NEGATIVE"]
        assert self.find(tmp_path, ["good", "bad"], known) == ["bad", "good"]

    def test_given_order_wins(self, tmp_path):
        found = self.find(
            tmp_path, ["1", "0"], ["0", "1"], labels=["1", "0", "2"]
        )
        assert found == ["1", "0", "2"]

    def test_names_in_cells_of_several(self, tmp_path):
        found = self.find(
            tmp_path,
            ["toxic|rude", "|", "", "calm"],
            task="multi_label",
            label_separator="|",
        )
        assert found == ["calm", "rude", "toxic"]

    def test_regression_has_none(self, tmp_path):
        assert self.find(tmp_path, ["0.5", "2"], task="regression") is None


class TestOtherTasks:
    def test_pairs_of_several_labels(self, tmp_path, tokenizer):
        lines = ["one,two,names"] + [
            f"{text},the plot,{names}"
            for (text, _), names in zip(
                tiny.make_rows(20), ["x|y", "y", "|", "x"] * 5
            )
        ]
        train = tmp_path / "pairs.csv"
        train.write_text("\n".join(lines) + "\n")
        configuration = Configuration(
            train=str(train),
            text="one",
            text_pair="two",
            label="names",
            task="multi_label",
            label_separator="|",
        )
        task = find_task(configuration, None)
        prepared = prepare_rows(
            configuration, task, tokenizer, tmp_path / "rows"
        )
        assert prepared.counts["train"] == 16
        rows = prepared.training
        assert rows.text("text_pair", 0).startswith("the plot")
        labels = {"x|y": [1, 1], "y": [0, 1], "|": [0, 0], "x": [1, 0]}
        given = dict(line.rsplit(",", 1) for line in lines[1:])
        for position in range(len(rows)):
            fields = [
                rows.text(name, position) for name in ("text", "text_pair")
            ]
            expected = labels[given[",".join(fields)]]
            assert rows.column("label")[position].tolist() == expected

    def test_numbers(self, tmp_path, tokenizer):
        rows = [
            (text, str(i / 4)) for i, (text, _) in enumerate(tiny.make_rows(40))
        ]
        train = tiny.write_csv(tmp_path / "train.csv", rows)
        configuration = Configuration(train=train, task="regression")
        prepared = prepare_rows(
            configuration,
            find_task(configuration, None),
            tokenizer,
            tmp_path / "rows",
        )
        assert prepared.labelled.column("label").dtype == "float32"
        assert 0.25 in prepared.labelled.column("label") % 1

    def test_columns_by_number_and_another_encoding(self, tmp_path, tokenizer):
        rows = [
            (label, f"{text} caf\u00e9") for text, label in tiny.make_rows(40)
        ]
        train = tmp_path / "train.tsv"
        train.write_bytes(
            "".join("\t".join(row) + "\n" for row in rows).encode("latin-1")
        )
        configuration = Configuration(
            train=train,
            text=1,
            label=0,
            encoding="latin-1",
            validation_rows=10,
            test_rows=10,
        )
        prepared = prepare_rows(
            configuration,
            find_task(configuration, None),
            tokenizer,
            tmp_path / "rows",
        )
        assert prepared.counts["train"] == 20
        assert prepared.labelled.text("text", 0).endswith("caf\u00e9")


class TestWarnings:
    def test_a_clean_set_has_none(self, tmp_path, prepare):
        assert prepare(**tiny.write_data(tmp_path)).warnings == []

    def test_what_is_odd_is_said(self, tmp_path, prepare):
        rows = tiny.make_rows(60)
        text, label = rows[0]
        other = {"good": "bad", "bad": "good"}[label]
        train = [*rows, (text, other), ("", "good"), ("the film", "Good")]
        settings = {
            "train": tiny.write_csv(tmp_path / "train.csv", train),
            "validation": tiny.write_csv(tmp_path / "val.csv", rows[:9]),
            "test": tiny.write_csv(tmp_path / "test.csv", rows[:7]),
        }
        prepared = prepare(labels=["Good", "bad", "good"], **settings)
        found = " ".join(prepared.warnings)
        assert "7 rows stand in both train and test" in found
        assert "7 rows stand in both validation and test, of 7 test" in found
        assert "1 rows have no text" in found
        assert "1 labelled rows read like another one and have another" in found
        assert "hardly a training row: 'Good' (1). A mistyped label" in found
        assert prepared.counts["repeated_rows"] == 1

    def test_several_labels(self, tmp_path, tokenizer):
        rows = [(text, f"{label} | film") for text, label in tiny.make_rows(60)]
        settings = {
            "train": [*rows[20:], ("the film", "godo")],
            "validation": rows[:10],
            "test": rows[10:20],
        }
        settings = {
            part: tiny.write_csv(tmp_path / f"{part}.csv", own)
            for part, own in settings.items()
        }

        def warnings(separator):
            configuration = Configuration(
                task="multi_label", label_separator=separator, **settings
            )
            task = find_task(configuration, None)
            folder = tmp_path / "rows"
            return prepare_rows(configuration, task, tokenizer, folder).warnings

        wrong, rare = warnings(",")
        assert "No training row has two labels, and labels hold '|'" in wrong
        assert "--label-separator" in wrong
        assert "hardly a training row: 'godo' (1)." in rare
        assert warnings("|") == [rare]


class TestOwnTokens:
    def test_built_from_training_text_alone(self, tmp_path, prepare, tokenizer):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        with open(settings["test"], "a", encoding="utf-8") as file:
            file.write("heldoutword heldoutword,good\n")
        with open(settings["unlabelled"], "a", encoding="utf-8") as file:
            file.write("a film freshword freshword\n")
        prepared = prepare(**settings)
        configuration = Configuration(
            **settings, tokens="word", vocabulary_size=200
        )
        own = student_rows.student_tokenizer(
            configuration, prepared, tokenizer, tmp_path / "own"
        )
        assert "freshword" in own.vocabulary
        assert "heldoutword" not in own.vocabulary
        rows = student_rows.rows_of_student(
            prepared, own, tmp_path / "student_rows", 16
        )
        for name, part in parts(prepared).items():
            student = getattr(rows, name)
            np.testing.assert_array_equal(part.keys(), student.keys())
        ((ids, _),) = own.encode([prepared.test.text("text", 0)], 16)
        assert rows.test.row("token_ids", 0).tolist() == ids
        again = student_rows.student_tokenizer(
            configuration, prepared, tokenizer, tmp_path / "own"
        )
        assert again.fingerprint == own.fingerprint

    def test_the_teachers_are_used_as_they_are(
        self, prepare, tokenizer, tmp_path
    ):
        configuration = Configuration(**tiny.write_data(tmp_path))
        assert (
            student_rows.student_tokenizer(
                configuration, None, tokenizer, tmp_path / "own"
            )
            is tokenizer
        )


class TestRefusals:
    def test_file_sorted_by_label(self, tmp_path, prepare):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        rows = [row for row in tiny.make_rows(20) if row[1] == "good"]
        settings["test"] = tiny.write_csv(tmp_path / "test.csv", rows)
        with pytest.raises(DataError) as error:
            prepare(**settings)
        assert "All 10 rows of the test part have the label 'good'." in str(
            error.value
        )
        assert "shuffle a file that is sorted by label" in str(error.value)

    def test_unknown_label_names_file_line_and_labels(self, tmp_path, prepare):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        rows = [*tiny.make_rows(4), ("the film", "goood")]
        settings["validation"] = tiny.write_csv(tmp_path / "val.csv", rows)
        with pytest.raises(DataError) as error:
            prepare(**settings)
        assert "val.csv:6: unknown label 'goood'" in str(error.value)
        assert "['bad', 'good']" in str(error.value)
        assert not list((tmp_path / "rows").glob("validation-*"))

    def test_more_held_out_than_there_is(self, tmp_path, prepare):
        train = tiny.write_csv(tmp_path / "train.csv", tiny.make_rows(20))
        with pytest.raises(DataError) as error:
            prepare(train=train, validation_rows=10, test_rows=10)
        assert str(error.value).startswith(
            "Can't take 10 test rows and 10 validation rows of 20 labelled rows"
        )
        assert "Give fewer validation and test rows" in str(error.value)

    def test_too_few_rows_for_a_tenth(self, tmp_path, prepare):
        train = tiny.write_csv(tmp_path / "train.csv", tiny.make_rows(8))
        with pytest.raises(DataError, match="part has no rows: 8 labelled"):
            prepare(train=train)

    def test_test_file_without_labels(self, tmp_path, prepare):
        settings = tiny.write_data(tmp_path, unlabelled=10)
        rows = [(text, "") for text, _ in tiny.make_rows(10, seed=4)]
        settings["test"] = tiny.write_csv(tmp_path / "hidden.csv", rows)
        with pytest.raises(DataError) as error:
            prepare(**settings)
        assert "None of the 10 test rows has a label" in str(error.value)
        assert "hidden.csv:2" in str(error.value)
