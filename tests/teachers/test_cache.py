"""Teacher targets on disk: asked for once, whole, and never of two teachers."""

import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from keras_kd.data.rows import Rows
from keras_kd.teachers.cache import TeacherTargets
from keras_kd.teachers.target_shards import file_hash
from keras_kd.teachers.target_shards import read_tensors

FINGERPRINT = {"weights": "abc", "tokenizer": "def"}


class Spy:
    """A teacher whose logits can be worked out by hand; counts its rows."""

    def __init__(self, dtype="float32", stop_after=None, bad=None):
        self.dtype = dtype
        self.stop_after = stop_after
        self.bad = bad
        self.calls = 0
        self.rows = []

    def __call__(self, features):
        if self.stop_after is not None and self.calls >= self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        tokens = features["token_ids"]
        self.rows += [tuple(row[row > 0].tolist()) for row in tokens]
        logits = np.stack([expected(row) for row in tokens])
        if self.bad is not None:
            logits[(tokens == self.bad[0]).any(axis=1), 1] = self.bad[1]
        return {"logits": logits.astype(self.dtype)}

    @property
    def runtime(self):
        return ["token_ids", "padding_mask"], self


def expected(tokens):
    tokens = np.asarray(tokens)
    return np.array([tokens.sum(), tokens.max(), (tokens > 0).sum()], float)


def expected_of(rows):
    return np.stack(
        [expected(rows.row("token_ids", i)) for i in range(len(rows))]
    )


@pytest.fixture
def rows(small_rows):
    # Ten different rows, of which the rows 3 and 7 read alike.
    tokens = [[2, *range(5, 5 + n % 4 + 1), 10 + n, 3] for n in range(10)]
    tokens[7] = tokens[3]
    return small_rows(tokens)


def label(folder, rows, spy, fingerprint=FINGERPRINT, **kwargs):
    targets = TeacherTargets(folder, fingerprint)
    count = targets.label(spy.runtime, rows, **kwargs)
    return targets, count


def shards(folder):
    return sorted(folder.glob("*.safetensors"))


def manifests(folder):
    return sorted(folder.glob("manifest*.json"))


def test_lookup_gives_what_the_teacher_said(rows, tmp_path):
    targets, count = label(tmp_path / "t", rows, Spy(), rows_per_shard=4)
    assert count == len(targets) == 9
    assert len(shards(tmp_path / "t")) == 3
    order = [7, 0, 9, 0, 3]
    logits = targets.lookup(rows.keys(order))["logits"]
    assert logits.dtype == "float32"
    np.testing.assert_array_equal(logits, expected_of(rows)[order])


def test_a_second_run_asks_the_teacher_for_nothing(rows, tmp_path):
    label(tmp_path / "t", rows, Spy())
    spy = Spy()
    targets, count = label(tmp_path / "t", rows, spy)
    assert (count, spy.calls) == (0, 0)
    np.testing.assert_array_equal(
        targets.lookup(rows.keys())["logits"], expected_of(rows)
    )


def test_rows_that_read_alike_share_one_target(rows, tmp_path):
    spy = Spy()
    targets, _ = label(tmp_path / "t", rows, spy)
    assert len(spy.rows) == len(set(spy.rows)) == 9
    first, second = targets.lookup(rows.keys([3, 7]))["logits"]
    np.testing.assert_array_equal(first, second)


def test_rows_that_came_later_are_the_only_ones_asked_for(
    rows, small_rows, tmp_path
):
    label(tmp_path / "t", rows.select([0, 1, 2, 3]), Spy())
    other = small_rows([[2, 29, 3], [2, 28, 3]], name="other")
    everything = Rows.join([rows, other])
    spy = Spy()
    targets, count = label(tmp_path / "t", everything, spy)
    assert count == len(spy.rows) == 7
    np.testing.assert_array_equal(
        targets.lookup(everything.keys())["logits"], expected_of(everything)
    )


def test_labelling_is_longest_first_and_tells_its_progress(rows, tmp_path):
    spy, done = Spy(), []
    label(tmp_path / "t", rows, spy, rows_per_shard=3, progress=done.append)
    lengths = [len(row) for row in spy.rows]
    assert lengths == sorted(lengths, reverse=True)
    assert sum(done) == 9


class TestKilled:
    def test_a_new_process_goes_on(self, rows, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            label(tmp_path / "t", rows, Spy(stop_after=2), rows_per_shard=2)
        assert len(shards(tmp_path / "t")) == 2
        spy = Spy()
        targets, count = label(tmp_path / "t", rows, spy, rows_per_shard=2)
        assert count == len(spy.rows) == 9 - 2 * 2
        np.testing.assert_array_equal(
            targets.lookup(rows.keys())["logits"], expected_of(rows)
        )

    def test_the_same_object_goes_on(self, rows, tmp_path):
        # Ctrl-C in a notebook, and the cell is run again.
        targets = TeacherTargets(tmp_path / "t", FINGERPRINT)
        with pytest.raises(KeyboardInterrupt):
            targets.label(Spy(stop_after=2).runtime, rows, rows_per_shard=2)
        spy = Spy()
        assert targets.label(spy.runtime, rows, rows_per_shard=2) == 5
        assert len(spy.rows) == 5
        np.testing.assert_array_equal(
            targets.lookup(rows.keys())["logits"], expected_of(rows)
        )

    def test_before_the_manifest_was_written(self, rows, tmp_path):
        label(tmp_path / "t", rows, Spy())
        (manifest,) = manifests(tmp_path / "t")
        manifest.unlink()
        (tmp_path / "t" / ".7.partial.x.safetensors").write_bytes(b"half")
        spy = Spy()
        targets, _ = label(tmp_path / "t", rows, spy)
        assert len(spy.rows) == 9
        np.testing.assert_array_equal(
            targets.lookup(rows.keys())["logits"], expected_of(rows)
        )

    def test_by_a_full_disk(self, rows, tmp_path, monkeypatch):
        label(tmp_path / "t", rows.select([0, 1]), Spy())
        kept = sorted((tmp_path / "t").iterdir())

        def full(tensors, path):
            path.write_bytes(b"half a shard")
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(safetensors.numpy, "save_file", full)
            with pytest.raises(OSError, match="No space left"):
                label(tmp_path / "t", rows, Spy())
        assert sorted((tmp_path / "t").iterdir()) == kept
        spy = Spy()
        label(tmp_path / "t", rows, spy)
        assert len(spy.rows) == 7


class TestSeveralProcesses:
    def test_shares_are_all_and_none_twice(self, rows, tmp_path):
        # All open the folder before any writes: none knows of the others.
        targets = [TeacherTargets(tmp_path / "t", FINGERPRINT) for _ in "123"]
        spies = [Spy() for _ in targets]
        for number, (one, spy) in enumerate(zip(targets, spies), 1):
            one.label(spy.runtime, rows, rows_per_shard=2, share=(number, 3))
        asked = [row for spy in spies for row in spy.rows]
        assert len(asked) == len(set(asked)) == 9
        assert sum(bool(spy.rows) for spy in spies) > 1
        merged, count = label(tmp_path / "t", rows, Spy())
        assert (count, merged.rebuilt) == (0, [])
        np.testing.assert_array_equal(
            merged.lookup(rows.keys())["logits"], expected_of(rows)
        )

    def test_a_share_is_the_same_whatever_is_done(self, rows, tmp_path):
        targets = TeacherTargets(tmp_path / "t", FINGERPRINT)
        first = set(targets.missing(rows, (1, 2)))
        second = set(targets.missing(rows, (2, 2)))
        label(tmp_path / "t", rows.select(sorted(first)[:1]), Spy())
        targets = TeacherTargets(tmp_path / "t", FINGERPRINT)
        assert set(targets.missing(rows, (1, 2))) == set(sorted(first)[1:])
        assert set(targets.missing(rows, (2, 2))) == second

    def test_shares_of_many_rows_are_of_like_size(self, small_rows, tmp_path):
        rows = small_rows([[2, *map(int, f"{n:05}"), 3] for n in range(3000)])
        targets = TeacherTargets(tmp_path / "t", FINGERPRINT)
        sizes = [len(targets.missing(rows, (i, 3))) for i in (1, 2, 3)]
        assert sum(sizes) == len(targets.missing(rows))
        assert min(sizes) > 800

    def test_a_killed_share_is_finished_by_the_same_one(self, rows, tmp_path):
        share = {"share": (1, 2), "rows_per_shard": 1}
        count = len(
            TeacherTargets(tmp_path / "t", FINGERPRINT).missing(rows, (1, 2))
        )
        assert count > 1
        with pytest.raises(KeyboardInterrupt):
            label(tmp_path / "t", rows, Spy(stop_after=1), **share)
        label(tmp_path / "t", rows, Spy(), share=(2, 2))
        assert label(tmp_path / "t", rows, Spy(), **share)[1] == count - 1
        assert label(tmp_path / "t", rows, Spy())[1] == 0

    def test_the_same_rows_twice_are_the_same_files(self, rows, tmp_path):
        targets = [TeacherTargets(tmp_path / "t", FINGERPRINT) for _ in "12"]
        for one in targets:
            one.label(Spy().runtime, rows, rows_per_shard=4)
        assert len(shards(tmp_path / "t")) == len(manifests(tmp_path / "t"))
        assert len(TeacherTargets(tmp_path / "t", FINGERPRINT)) == 9
        for one in targets:
            np.testing.assert_array_equal(
                one.lookup(rows.keys())["logits"], expected_of(rows)
            )

    def test_a_folder_with_one_manifest_for_all_is_read(self, rows, tmp_path):
        # As it was written before there were several processes.
        label(tmp_path / "t", rows, Spy(), rows_per_shard=4)
        together = {}
        for file in manifests(tmp_path / "t"):
            together |= json.loads(file.read_text())["shards"]
            file.unlink()
        manifest = {"fingerprint": FINGERPRINT, "shards": together}
        (tmp_path / "t" / "manifest.json").write_text(json.dumps(manifest))
        assert label(tmp_path / "t", rows, Spy())[1] == 0


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda path: path.write_bytes(path.read_bytes()[:-10]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["flipped", "cut", "empty", "gone"],
)
def test_a_damaged_shard_is_made_again(rows, tmp_path, damage):
    label(tmp_path / "t", rows, Spy(), rows_per_shard=3)
    damaged = shards(tmp_path / "t")[1]
    damage(damaged)
    targets = TeacherTargets(tmp_path / "t", FINGERPRINT)
    assert targets.rebuilt == [damaged.name]
    assert len(targets.missing(rows)) == 3
    spy = Spy()
    assert targets.label(spy.runtime, rows, rows_per_shard=3) == 3
    np.testing.assert_array_equal(
        targets.lookup(rows.keys())["logits"], expected_of(rows)
    )
    whole = TeacherTargets(tmp_path / "t", FINGERPRINT)
    assert whole.rebuilt == [] and len(whole) == 9


class TestFingerprint:
    @pytest.mark.parametrize(
        ("other", "difference"),
        [
            ({"weights": "xyz"}, "`weights` was 'abc', and is 'xyz' now"),
            ({"tokenizer": None}, "`tokenizer` was 'def', and is None now"),
            ({"runtime": "int8"}, "`runtime` was None, and is 'int8' now"),
        ],
    )
    def test_targets_of_another_teacher_are_refused(
        self, rows, tmp_path, other, difference
    ):
        label(tmp_path / "t", rows, Spy())
        with pytest.raises(ValueError) as error:
            TeacherTargets(tmp_path / "t", {**FINGERPRINT, **other})
        message = str(error.value)
        assert f"'{tmp_path / 't'}' holds the targets of another" in message
        assert difference in message and "Give another folder" in message
        # Nothing was lost by it.
        assert len(TeacherTargets(tmp_path / "t", FINGERPRINT)) == 9

    def test_stored_targets_that_say_more_are_refused(self, rows, tmp_path):
        # Those of an int8 runtime, opened as if they were Keras' own.
        runtime = {**FINGERPRINT, "runtime": "litert-int8"}
        label(tmp_path / "t", rows, Spy(), runtime)
        with pytest.raises(ValueError, match="was 'litert-int8', and is None"):
            TeacherTargets(tmp_path / "t", FINGERPRINT)

    def test_what_json_does_not_tell_apart_is_the_same(self, rows, tmp_path):
        fingerprint = {"outputs": ("logits",), "length": 8}
        label(tmp_path / "t", rows, Spy(), fingerprint)
        again = TeacherTargets(tmp_path / "t", {**fingerprint})
        assert len(again) == 9


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_targets_that_are_no_numbers_are_refused(rows, tmp_path, value):
    # Token 15 stands in row 5 alone.
    spy = Spy(bad=(15, value))
    with pytest.raises(ValueError) as error:
        label(tmp_path / "t", rows, spy, rows_per_shard=100)
    message = str(error.value)
    assert "logits of 1 rows are NaN or infinite" in message
    assert "'row-5'" in message and "Check the teacher" in message
    assert shards(tmp_path / "t") == []


def test_a_row_that_was_not_labelled_is_an_error(rows, tmp_path):
    targets, _ = label(tmp_path / "t", rows.select([0, 1]), Spy())
    with pytest.raises(KeyError) as error:
        targets.lookup(rows.keys([0, 5, 6]))
    assert "2 of 3 rows have no teacher target" in str(error.value)
    assert "Label these rows first" in str(error.value)
    empty = TeacherTargets(tmp_path / "empty", FINGERPRINT)
    with pytest.raises(KeyError, match="1 of 1 rows"):
        empty.lookup(rows.keys([0]))


class TestAttention:
    """A number for each two tokens: neither one array a row nor a token."""

    @pytest.mark.parametrize(
        "name", ["attention_scores/1", "attention_probabilities/12"]
    )
    def test_it_is_refused_before_the_teacher_runs(self, tmp_path, name):
        with pytest.raises(ValueError, match="Run the teacher live") as error:
            TeacherTargets(
                tmp_path / "t", FINGERPRINT, ("hidden_states/1", name)
            )
        assert f"Received: ['{name}']" in str(error.value)

    def test_it_is_refused_before_anything_is_kept(self, rows, tmp_path):
        calls = []

        def predict(features):
            calls.append(len(features["token_ids"]))
            length = features["token_ids"].shape[1]
            return {"attention_scores/1": np.zeros((calls[-1], 2, length))}

        targets = TeacherTargets(tmp_path / "t", FINGERPRINT)
        with pytest.raises(ValueError, match="Run the teacher live"):
            targets.label((["token_ids"], predict), rows)
        assert len(calls) == 1 and len(targets) == 0
        assert not shards(tmp_path / "t")


class TestTypes:
    def test_half_precision_is_kept_and_read_as_float32(self, rows, tmp_path):
        targets, _ = label(tmp_path / "t", rows, Spy("float16"))
        (file,) = shards(tmp_path / "t")
        assert read_tensors(file)["logits"].dtype == "float16"
        assert targets.lookup(rows.keys())["logits"].dtype == "float32"
        np.testing.assert_array_equal(
            targets.lookup(rows.keys())["logits"], expected_of(rows)
        )

    @pytest.mark.parametrize("dtype", ["float64", "int64", ml_dtypes.bfloat16])
    def test_other_numbers_are_stored_as_float32(self, rows, tmp_path, dtype):
        label(tmp_path / "t", rows, Spy(dtype))
        targets = TeacherTargets(tmp_path / "t", FINGERPRINT)
        np.testing.assert_allclose(
            targets.lookup(rows.keys())["logits"], expected_of(rows), rtol=1e-2
        )

    def test_several_outputs_of_any_shape(self, rows, tmp_path):
        def predict(features):
            logits = Spy()(features)["logits"]
            return {
                "logits": logits,
                "states/3": np.stack([logits, -logits], 1),
            }

        targets = TeacherTargets(tmp_path / "t", FINGERPRINT)
        targets.label((["token_ids"], predict), rows, rows_per_shard=4)
        found = targets.lookup(rows.keys([8, 2]))
        assert found["states/3"].shape == (2, 2, 3)
        np.testing.assert_array_equal(
            found["states/3"][:, 1], -expected_of(rows)[[8, 2]]
        )


def test_shards_are_plain_safetensors_and_are_mapped(rows, tmp_path):
    label(tmp_path / "t", rows, Spy())
    (file,) = shards(tmp_path / "t")
    ours = read_tensors(file)
    theirs = safetensors.numpy.load_file(file)
    assert set(ours) == set(theirs) == {"target_keys", "logits"}
    for name, values in theirs.items():
        assert isinstance(ours[name], np.memmap)
        np.testing.assert_array_equal(ours[name], values)
    (manifest,) = manifests(tmp_path / "t")
    assert json.loads(manifest.read_text()) == {
        "fingerprint": FINGERPRINT,
        "shards": {file.name: file_hash(file)},
    }
