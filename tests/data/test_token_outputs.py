"""What a model gives for each token: kept without padding, given with it."""

import numpy as np
import pytest

from keras_kd import batch
from keras_kd.data.pipeline import training_batches
from keras_kd.data.token_outputs import TokenOutputs
from keras_kd.inference import predict_rows
from keras_kd.teachers.cache import TeacherTargets
from keras_kd.teachers.target_shards import label_shard

IDS = [[2, 4, 3], [2, 5, 6, 7, 3], [2, 3], [2, 8, 9, 3]]


def runtime(calls=None):
    """Gives 10 * id for each token, and one number a row; padding is 99."""

    def predict(features):
        ids, mask = features["token_ids"], features["padding_mask"]
        if calls is not None:
            calls.append(len(ids))
        tags = np.stack([10.0 * ids, -1.0 * ids], axis=-1)
        tags = np.where(mask[..., None] > 0, tags, 99.0)
        return {"logits": tags, "pooled": ids.sum(axis=1, keepdims=True)}

    return ["token_ids", "padding_mask"], predict


@pytest.fixture
def rows(small_rows):
    return small_rows(IDS)


class TestTokenOutputs:
    def test_rows_and_padding(self):
        outputs = TokenOutputs(np.arange(6.0), [1, 3, 2])
        assert [outputs[row].tolist() for row in range(3)] == [
            [0.0], [1.0, 2.0, 3.0], [4.0, 5.0]
        ]  # fmt: skip
        np.testing.assert_array_equal(
            outputs.padded([2, 0], length=3), [[4, 5, 0], [0, 0, 0]]
        )
        np.testing.assert_array_equal(outputs.padded([1], length=2), [[1, 2]])
        assert outputs.owners().tolist() == [0, 1, 1, 1, 2, 2]

    def test_join_is_the_inverse(self):
        outputs = TokenOutputs(np.arange(12.0).reshape(6, 2), [1, 3, 2])
        again = TokenOutputs.join([outputs[row] for row in range(3)])
        np.testing.assert_array_equal(again.values, outputs.values)
        np.testing.assert_array_equal(again.lengths, outputs.lengths)

    def test_lengths_that_do_not_add_up(self):
        with pytest.raises(ValueError, match="add up to the 6 tokens"):
            TokenOutputs(np.arange(6.0), [1, 3])


def test_predicted_without_padding(rows):
    outputs = predict_rows(runtime(), rows, per_token=True)
    for row, ids in enumerate(IDS):
        expected = np.stack([10 * np.array(ids), -np.array(ids)], axis=-1)
        np.testing.assert_array_equal(outputs[row], expected)


class TestCache:
    def test_comes_back_as_it_was_given(self, rows, tmp_path):
        calls = []
        targets = TeacherTargets(tmp_path / "t", {"of": "x"}, ["logits"])
        targets.label(runtime(calls), rows, rows_per_shard=3)
        assert sum(calls) == 4
        targets = TeacherTargets(tmp_path / "t", {"of": "x"}, ["logits"])
        assert targets.label(runtime(calls), rows) == 0
        found = targets.lookup(rows.keys([3, 0, 1]))
        for number, row in enumerate([3, 0, 1]):
            ids = np.array(IDS[row])
            expected = np.stack([10 * ids, -ids], axis=-1)
            np.testing.assert_array_equal(found["logits"][number], expected)
        np.testing.assert_array_equal(found["pooled"], [[22.0], [9.0], [23.0]])

    def test_what_has_tokens_is_found_in_the_folder(self, rows, tmp_path):
        targets = TeacherTargets(tmp_path / "t", {"of": "x"}, ["logits"])
        targets.label(runtime(), rows.select([0, 2]))
        targets = TeacherTargets(tmp_path / "t", {"of": "x"})
        # Further ones are kept in the same way.
        assert targets.label(runtime(), rows) == 2
        found = targets.lookup(rows.keys())
        assert set(found) == {"logits", "pooled"}
        for logits, ids in zip(found["logits"], IDS):
            np.testing.assert_array_equal(logits[:, 0], 10 * np.array(ids))

    def test_only_real_tokens_are_kept(self, rows, tmp_path):
        targets = TeacherTargets(tmp_path / "t", {"of": "x"}, ["logits"])
        targets.label(runtime(), rows)
        values = targets.lookup(rows.keys())["logits"].values
        assert len(values) == sum(map(len, IDS)) and values.max() < 99

    def test_a_shard_asks_for_the_lengths_of_its_own_rows(
        self, rows, tmp_path, monkeypatch
    ):
        lengths, asked = type(rows).lengths, []

        def counting(*args):
            asked.append(lengths(*args))
            return asked[-1]

        monkeypatch.setattr(type(rows), "lengths", counting)
        label_shard(tmp_path, {}, runtime(), rows, np.array([2, 0]), ["logits"])
        assert max(map(len, asked)) == 2

    def test_a_token_that_is_nan(self, rows, tmp_path):
        names, predict = runtime()

        def broken(features):
            outputs = predict(features)
            outputs["logits"][features["token_ids"] == 8] = np.nan
            return outputs

        targets = TeacherTargets(tmp_path / "t", {"of": "x"}, ["logits"])
        with pytest.raises(ValueError, match="logits of 1 rows are NaN"):
            targets.label((names, broken), rows)


def test_batches_are_padded_alike(small_rows, bag_classifier, tmp_path):
    labels = [[i % 3 for i in range(len(ids))] for ids in IDS]
    rows = small_rows(IDS, labels=labels)
    targets = TeacherTargets(tmp_path / "t", {"of": "x"}, ["logits"])
    targets.label(runtime(), rows)
    batches = training_batches(rows, bag_classifier(), 2, targets=targets)
    seen = 0
    for x, y in batches.take(2):
        ids, mask = x["token_ids"].numpy(), x["padding_mask"].numpy()
        logits = y[batch.TEACHER]["logits"].numpy()
        np.testing.assert_array_equal(logits[..., 0], 10 * ids)
        given = y[batch.LABELS].numpy()
        assert (given[mask == 0] == batch.NO_TOKEN).all()
        place = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        np.testing.assert_array_equal(given[mask > 0], place[mask > 0] % 3)
        seen += len(ids)
    assert seen == 4
