"""MNLI: pairs, and two dev sets."""

import pytest

from keras_kd.data.rows import Rows
from keras_kd.runs import distillation
from recipes import recipe
from tests import tiny
from tests.recipes.files import SMALL
from tests.recipes.files import halves
from tests.recipes.files import stored
from tests.recipes.files import write_table


class TestMnli:
    LABELS = ["contradiction", "entailment", "neutral"]

    @pytest.fixture
    def teacher(self, tmp_path):
        # The third is never its answer, and stands in no row.
        return tiny.write_teacher(
            tmp_path / "teacher", outputs=3, labels=self.LABELS
        )

    @pytest.fixture
    def data(self, tmp_path):
        """GLUE's form: other columns too, and two dev sets."""
        folder = tmp_path / "MNLI"
        rows = tiny.make_rows(180)
        self.write(folder / "train.tsv", rows[:100])
        self.write(folder / "dev_matched.tsv", rows[100:140])
        self.write(folder / "dev_mismatched.tsv", rows[140:])
        return folder

    def write(self, path, rows):
        header = ("index", "genre", "sentence1", "sentence2", "gold_label")
        names = dict(zip(tiny.LABELS, self.LABELS))
        write_table(
            path,
            header,
            [
                (number, "telephone", *halves(text), names[label])
                for number, (text, label) in enumerate(rows)
            ],
        )

    def run(self, run_recipe, *arguments):
        return run_recipe("mnli", *SMALL, "--max-length", "16", *arguments)

    def test_pairs_and_both_dev_sets(
        self, run_recipe, data, teacher, tmp_path, quick
    ):
        run = tmp_path / "run"
        status, out, err = self.run(
            run_recipe, "--data", data, "--teacher", teacher, "--run", run
        )
        assert status == 0, err
        result = stored(run)
        assert result["labels"] == self.LABELS
        assert result["data"]["test"] == 40
        (seed,) = result["arms"]["teacher"]["seeds"]
        assert seed["scores"]["accuracy"] == 1.0
        scores = stored(run, "scores_mismatched.json")
        assert scores["rows"] == 40
        # It comes after the run's own last words.
        assert out.splitlines()[-1] == (
            "The student, mismatched: accuracy "
            f"{scores['accuracy']:.4f} on 40 rows "
            f"({run / 'scores_mismatched.json'})"
        )
        rows = Rows.open(run / distillation.TEST_ROWS)
        first, second = rows.text("text", 0), rows.text("text_pair", 0)
        assert (
            (data / "dev_matched.tsv")
            .read_text()
            .count(f"telephone\t{first}\t{second}\t")
        )

    def test_mismatched_may_be_missing(self, run_recipe, data, resolved):
        (data / "dev_mismatched.tsv").unlink()
        # Nothing was run here, so that there is no student to be scored.
        status, _, err = run_recipe("mnli", "--data", data, "--run", "no run")
        assert status == 0, err
        assert len(resolved) == 1

    def test_mismatched_scores_a_student_alone(
        self, run_recipe, data, resolved, monkeypatch
    ):
        scored = []
        monkeypatch.setattr(
            recipe, "score_further", lambda *given: scored.append(given)
        )
        for mode in ("teacher", "student"):
            status, _, err = run_recipe(
                "mnli", "--data", data, "--run", "run", "--mode", mode
            )
            assert status == 0, err
        assert len(resolved) == 2
        assert [list(further) for _, further in scored] == [["mismatched"]]

    def test_other_pairs_by_typed_columns(
        self, run_recipe, teacher, tmp_path, quick
    ):
        """SNLI as it is passed on: columns c0, c1 and c2."""
        names = dict(zip(tiny.LABELS, self.LABELS))
        rows = [
            (*halves(text), names[label]) for text, label in tiny.make_rows(120)
        ]
        header = ("c0", "c1", "c2")
        run = tmp_path / "run"
        status, out, err = self.run(
            run_recipe,
            "--train", write_table(tmp_path / "train.tsv", header, rows[:80]),
            "--test", write_table(tmp_path / "test.tsv", header, rows[80:]),
            "--text", "c0", "--text-pair", "c1", "--label", "c2",
            "--teacher", teacher, "--run", run,
        )  # fmt: skip
        assert status == 0, err
        assert stored(run)["data"]["test"] == 40
        # The mismatched set belongs to the recipe's own files.
        assert "The student, " not in out
        assert not (run / "scores_mismatched.json").exists()

    def test_columns_are_those_of_where_the_rows_come_from(
        self, run_recipe, data, resolved, tmp_path
    ):
        file = tmp_path / "settings.json"
        file.write_text('{"train": "mine.tsv", "label": "answer"}')
        for arguments in (
            ["--data", data],
            ["--train", "mine.tsv"],
            [],
            ["--config", file],
            ["--data", data, "--label", "c2"],
        ):
            status, _, err = run_recipe("mnli", "--mode", "teacher", *arguments)
            assert status == 0, err
        columns = [(c.text, c.text_pair, c.label) for c in resolved]
        glue = ("sentence1", "sentence2", "gold_label")
        assert columns == [
            glue,
            glue,
            ("premise", "hypothesis", "label"),
            (*glue[:2], "answer"),
            (*glue[:2], "c2"),
        ]
        # A part of other rows is the test set, not that of TFDS.
        assert [c.test for c in resolved] == [
            str(data / "dev_matched.tsv"),
            None,
            "tfds:glue/mnli",
            None,
            str(data / "dev_matched.tsv"),
        ]

    def test_pairs_of_tfds(self, run_recipe, tmp_path, quick):
        tfds = pytest.importorskip("tensorflow_datasets")
        run = tmp_path / "run"
        labels = ["entailment", "neutral", "contradiction"]
        teacher = tiny.write_teacher(
            tmp_path / "teacher", outputs=3, labels=labels
        )
        with tfds.testing.mock_data(num_examples=90):
            status, out, err = self.run(
                run_recipe, "--teacher", teacher, "--run", run,
                "--teacher-floor", "0", "--max-length", "32",
            )  # fmt: skip
        assert status == 0, err
        result = stored(run)
        assert result["labels"] == labels
        assert result["data"]["test"] == 90
        assert stored(run, "config.json")["test_split"] == "validation_matched"
        assert "The student, mismatched: accuracy " in out
        assert stored(run, "scores_mismatched.json")["rows"] == 90
