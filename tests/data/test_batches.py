"""Which rows make a batch: a pure function of seed, epoch and step."""

import numpy as np
import pytest

from keras_kd.data.batches import WINDOW
from keras_kd.data.batches import BatchPlan
from keras_kd.data.batches import by_length
from keras_kd.data.batches import gather_batch
from keras_kd.data.batches import gather_inputs

TOKENS = [[2, 7, 3], [2, 3], [2, 9, 9, 9, 3], [2, 5, 6, 3]]


def lengths_of(count, seed=0):
    return np.random.default_rng(seed).integers(2, 100, count)


def steps(plan, count):
    return [plan.rows_at(step).tolist() for step in range(count)]


class TestBatchPlan:
    @pytest.mark.parametrize("batch_size", [1, 4, 7, 23, 100])
    def test_each_row_once_an_epoch(self, batch_size):
        plan = BatchPlan(lengths_of(23), batch_size, seed=3)
        assert plan.steps_per_epoch == -(-23 // batch_size)
        for epoch in range(3):
            first = epoch * plan.steps_per_epoch
            batches = [
                plan.rows_at(first + step).tolist()
                for step in range(plan.steps_per_epoch)
            ]
            assert sorted(sum(batches, [])) == list(range(23))
            short = [b for b in batches if len(b) != batch_size]
            assert len(short) == (1 if 23 % batch_size else 0)

    def test_each_row_once_over_several_windows(self):
        count = 2 * WINDOW * 2 + 5
        plan = BatchPlan(lengths_of(count), 2)
        rows = np.concatenate(
            [plan.rows_at(step) for step in range(plan.steps_per_epoch)]
        )
        assert sorted(rows.tolist()) == list(range(count))

    def test_a_batch_depends_on_seed_and_step_alone(self):
        lengths = lengths_of(50)
        expected = steps(BatchPlan(lengths, 4, seed=1), 60)
        # Asked in another order, over epochs back and forth, by another plan.
        plan = BatchPlan(lengths.tolist(), 4, seed=1)
        for step in np.random.default_rng(0).permutation(60):
            assert plan.rows_at(step).tolist() == expected[step]

    def test_epochs_and_seeds_differ(self):
        lengths = lengths_of(50)
        plan = BatchPlan(lengths, 5, seed=1)
        first, second = steps(plan, 20)[:10], steps(plan, 20)[10:]
        assert first != second
        assert first != steps(BatchPlan(lengths, 5, seed=2), 10)

    def test_batches_of_an_epoch_are_not_sorted_by_length(self):
        lengths = lengths_of(400)
        plan = BatchPlan(lengths, 4)
        longest = [
            lengths[rows].max() for rows in map(plan.rows_at, range(100))
        ]
        # Neither along the epoch nor against it.
        assert abs(np.corrcoef(longest, range(100))[0, 1]) < 0.5

    def test_rows_of_like_length_share_a_batch(self):
        lengths = lengths_of(400)
        plan = BatchPlan(lengths, 4)

        def padded(batches):
            return sum(lengths[rows].max() * len(rows) for rows in batches)

        planned = padded(plan.rows_at(step) for step in range(100))
        shuffled = np.random.default_rng(0).permutation(400).reshape(100, 4)
        assert planned < 1.1 * lengths.sum()
        assert padded(shuffled) > 1.4 * lengths.sum()

    @pytest.mark.parametrize(("rows", "batch_size"), [(0, 4), (5, 0), (5, -1)])
    def test_nothing_to_plan(self, rows, batch_size):
        with pytest.raises(ValueError) as error:
            BatchPlan([3] * rows, batch_size)
        assert f"{rows} rows, batch_size={batch_size}" in str(error.value)


class TestByLength:
    def test_longest_first_and_within_the_tokens(self):
        lengths = np.array([3, 10, 4, 4, 2, 3])
        groups = [group.tolist() for group in by_length(lengths, 8)]
        # 10 alone though it is more than 8, then 2 x 4, then 2 x 3, then 2.
        assert groups == [[1], [2, 3], [0, 5], [4]]

    def test_few_rows_of_all_lengths(self):
        groups = [g.tolist() for g in by_length([1, 8, 4, 7, 6, 3, 5])]
        assert groups == [[1, 3, 4], [6, 2], [5], [0]]

    def test_each_row_once(self):
        lengths = lengths_of(300)
        groups = list(by_length(lengths, 500))
        assert sorted(np.concatenate(groups).tolist()) == list(range(300))
        assert all(lengths[g].max() * len(g) <= 500 for g in groups)

    def test_no_rows_and_rows_without_tokens(self):
        assert list(by_length([])) == []
        assert [g.tolist() for g in by_length([0, 0])] == [[0, 1]]


class TestGather:
    def test_tokens_and_mask_by_hand(self, small_rows):
        inputs = gather_inputs(small_rows(TOKENS), [3, 1])
        assert list(inputs) == ["token_ids", "padding_mask"]
        np.testing.assert_array_equal(
            inputs["token_ids"], [[2, 5, 6, 3], [2, 3, 0, 0]]
        )
        np.testing.assert_array_equal(
            inputs["padding_mask"], [[1, 1, 1, 1], [1, 1, 0, 0]]
        )
        assert {array.dtype.name for array in inputs.values()} == {"int32"}

    def test_a_token_with_the_id_of_padding_is_no_padding(self, small_rows):
        inputs = gather_inputs(small_rows([[2, 0, 0], [2]]))
        np.testing.assert_array_equal(
            inputs["padding_mask"], [[1, 1, 1], [1, 0, 0]]
        )

    def test_all_rows_at_a_given_length(self, small_rows):
        inputs = gather_inputs(small_rows(TOKENS), length=4)
        np.testing.assert_array_equal(
            inputs["token_ids"],
            [[2, 7, 3, 0], [2, 3, 0, 0], [2, 9, 9, 9], [2, 5, 6, 3]],
        )
        assert inputs["padding_mask"].sum(axis=1).tolist() == [3, 2, 4, 4]

    def test_segment_ids_from_the_rows_or_zeros(self, small_rows):
        names = ("segment_ids", "token_ids")
        segments = [[0, 1, 1], [0, 1], [0, 0, 0, 1, 1], [0, 0, 1, 1]]
        with_segments = small_rows(TOKENS, name="pairs", segment_ids=segments)
        np.testing.assert_array_equal(
            gather_inputs(with_segments, [0, 3], names)["segment_ids"],
            [[0, 1, 1, 0], [0, 0, 1, 1]],
        )
        np.testing.assert_array_equal(
            gather_inputs(small_rows(TOKENS), [0, 3], names)["segment_ids"],
            np.zeros((2, 4)),
        )

    def test_an_input_that_the_rows_lack_is_named(self, small_rows):
        with pytest.raises(KeyError, match="reads 'images'. The rows have: "):
            gather_inputs(small_rows(TOKENS), [0], ("token_ids", "images"))

    def test_a_batch_with_labels_weights_and_targets(self, small_rows):
        rows = small_rows(TOKENS, labels=[1, 0, 2, 1], weights=[1.0, 0, 1, 0])

        class FirstToken:
            def lookup(self, keys):
                order = {key: i for i, key in enumerate(rows.keys())}
                numbers = [order[key] for key in keys]
                return {"logits": np.array(numbers, "float32")[:, None]}

        x, y = gather_batch(rows, [2, 0], ["token_ids"], FirstToken())
        assert list(x) == ["token_ids"]
        np.testing.assert_array_equal(y["labels"], [2, 1])
        np.testing.assert_array_equal(y["label_weight"], [1, 1])
        np.testing.assert_array_equal(y["teacher"]["logits"], [[2], [0]])
        assert set(gather_batch(rows, [2, 0], ["token_ids"])[1]) == {
            "labels",
            "label_weight",
        }
