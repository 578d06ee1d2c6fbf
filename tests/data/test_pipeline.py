"""tf.data streams: the planned batches, from any step on."""

import gc
import itertools
import time
import weakref

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.data.batches import BatchPlan
from keras_kd.data.pipeline import evaluation_batches
from keras_kd.data.pipeline import training_batches
from keras_kd.distiller import Distiller
from keras_kd.losses.soft_targets import SoftTargets

COUNT, CLASSES = 23, 3


class Targets:
    """Logits that tell the row, and a list of the keys that were asked for."""

    def __init__(self, rows):
        generator = np.random.default_rng(5)
        self.logits = {
            key: generator.normal(size=CLASSES) for key in rows.keys()
        }
        self.asked = []

    def lookup(self, keys):
        self.asked.append(list(keys))
        logits = [self.logits[key] for key in keys]
        return {"logits": np.array(logits, "float32")}


@pytest.fixture
def rows(small_rows):
    generator = np.random.default_rng(1)
    # The second token tells one row from the others.
    tokens = [
        [2, 5 + number, *generator.integers(4, 30, generator.integers(0, 6)), 3]
        for number in range(COUNT)
    ]
    return small_rows(
        tokens,
        labels=generator.integers(0, CLASSES, COUNT),
        weights=[float(number % 4 > 0) for number in range(COUNT)],
    )


def numbers_in(dataset, batches):
    return [
        (x["token_ids"][:, 1].numpy() - 5).tolist()
        for x, _ in itertools.islice(iter(dataset), batches)
    ]


def planned(rows, batch_size, steps, seed=0):
    plan = BatchPlan(rows.lengths("token_ids"), batch_size, seed)
    return [plan.rows_at(step).tolist() for step in steps]


class TestTrainingBatches:
    def test_batches_are_the_planned_ones(self, rows, bag_classifier):
        dataset = training_batches(rows, bag_classifier(), 4, seed=7)
        expected = planned(rows, 4, range(15), seed=7)
        assert numbers_in(dataset, 15) == expected
        # A second look at the data set sees the same.
        assert numbers_in(dataset, 3) == expected[:3]

    def test_what_was_read_is_freed_with_the_data_set(
        self, rows, bag_classifier
    ):
        targets = Targets(rows)
        freed = weakref.ref(targets)
        batches = iter(
            training_batches(rows, bag_classifier(), 4, targets=targets)
        )
        del targets
        gc.collect()
        next(batches)  # An iterator is enough to read on.
        assert freed() is not None
        del batches
        gc.collect()
        assert freed() is None

    def test_what_a_batch_holds(self, rows, bag_classifier):
        targets = Targets(rows)
        dataset = training_batches(rows, bag_classifier(), 4, targets=targets)
        ((x, y),) = itertools.islice(iter(dataset), 1)
        (positions,) = planned(rows, 4, [0])
        assert set(x) == {"token_ids", "padding_mask"}
        for index, position in enumerate(positions):
            tokens = rows.row("token_ids", position)
            padded = np.zeros(x["token_ids"].shape[1], "int32")
            padded[: len(tokens)] = tokens
            np.testing.assert_array_equal(x["token_ids"][index], padded)
            assert x["padding_mask"][index].numpy().sum() == len(tokens)
        np.testing.assert_array_equal(
            y["labels"], rows.column("label", positions)
        )
        np.testing.assert_array_equal(
            y["label_weight"], rows.column("label_weight", positions)
        )
        np.testing.assert_allclose(
            y["teacher"]["logits"],
            [targets.logits[key] for key in rows.keys(positions)],
            rtol=1e-6,
        )

    def test_the_inputs_of_the_model_and_no_others(self, rows, bag_classifier):
        model = bag_classifier(
            inputs=("token_ids", "segment_ids", "padding_mask")
        )
        x, y = next(iter(training_batches(rows, model, 4)))
        assert set(x) == {"token_ids", "segment_ids", "padding_mask"}
        assert not x["segment_ids"].numpy().any()
        assert set(y) == {"labels", "label_weight"}

    @pytest.mark.parametrize("start", [1, 6, 13])
    def test_from_a_step_it_is_the_rest_of_the_stream(
        self, rows, bag_classifier, start
    ):
        model = bag_classifier()
        whole = numbers_in(training_batches(rows, model, 4), 20)
        rest = training_batches(rows, model, 4, start_step=start)
        assert numbers_in(rest, 20 - start) == whole[start:]

    def test_a_callable_is_asked_when_the_iteration_starts(
        self, rows, bag_classifier
    ):
        step = [0]
        dataset = training_batches(
            rows, bag_classifier(), 4, start_step=lambda: step[0]
        )
        whole = numbers_in(dataset, 10)
        step[0] = 6
        assert numbers_in(dataset, 4) == whole[6:]

    def test_a_number_of_steps(self, rows, bag_classifier):
        dataset = training_batches(
            rows, bag_classifier(), 4, start_step=3, steps=5
        )
        assert int(dataset.cardinality()) == 5
        assert numbers_in(dataset, 99) == planned(rows, 4, range(3, 8))

    def test_a_row_without_a_target_is_an_error(self, rows, bag_classifier):
        class Empty:
            def lookup(self, keys):
                raise KeyError("3 of 4 rows have no teacher target")

        with pytest.raises(KeyError, match="no teacher target"):
            training_batches(rows, bag_classifier(), 4, targets=Empty())


class TestEvaluationBatches:
    def test_every_row_once(self, rows, bag_classifier):
        dataset = evaluation_batches(
            rows, bag_classifier(), tokens_per_batch=20
        )
        batches = numbers_in(dataset, 99)
        assert sorted(sum(batches, [])) == list(range(COUNT))
        assert int(dataset.cardinality()) == len(batches) > 3

    def test_scores_do_not_depend_on_the_batches(self, rows, bag_classifier):
        model = bag_classifier()
        distiller = Distiller(model, losses=[SoftTargets()])
        distiller.compile(
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )
        logs = [
            distiller.evaluate(
                evaluation_batches(rows, model, Targets(rows), tokens),
                verbose=0,
                return_dict=True,
            )
            for tokens in (20, 10_000)
        ]
        assert set(logs[0]) == {
            "loss", "accuracy", "hard_labels_loss", "soft_targets_loss",
        }  # fmt: skip
        for name in ("accuracy", "hard_labels_loss", "soft_targets_loss"):
            assert logs[0][name] == pytest.approx(logs[1][name], rel=1e-5)


class TestResume:
    """Killed and gone on with `BackupAndRestore`: the very next batch."""

    class Killed(Exception):
        pass

    def train(self, rows, folder, save_freq, kill_at=None):
        """Trains 3 x 4 steps; returns weights and the targets asked for."""
        keras.utils.set_random_seed(3)
        tokens = keras.Input((None,), dtype="int32", name="token_ids")
        x = layers.Dropout(0.3)(layers.Embedding(30, 3)(tokens))
        x = layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x))
        student = keras.Model({"token_ids": tokens}, x)
        distiller = Distiller(
            student, losses=[SoftTargets()], hard_label_weight=0.5
        )
        distiller.compile(
            keras.optimizers.Adam(0.01),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        targets = Targets(rows)
        batches = training_batches(
            rows,
            student,
            4,
            seed=2,
            targets=targets,
            start_step=lambda: distiller.steps_made,
        )
        targets.asked.clear()  # One look was at the types.

        class Kill(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if int(self.model.optimizer.iterations) == kill_at:
                    raise TestResume.Killed

        distiller.fit(
            batches,
            steps_per_epoch=4,
            epochs=3,
            verbose=0,
            shuffle=False,
            callbacks=[
                keras.callbacks.BackupAndRestore(folder, save_freq), Kill(),
            ],
        )  # fmt: skip
        return student.get_weights(), targets.asked

    def test_at_the_end_of_an_epoch(self, rows, tmp_path):
        whole, batches = self.train(rows, tmp_path / "whole", "epoch")
        with pytest.raises(self.Killed):
            self.train(rows, tmp_path / "killed", "epoch", kill_at=6)
        resumed, later = self.train(rows, tmp_path / "killed", "epoch")
        # Steps 5 and 6 were lost, and are done again.
        assert later[:8] == batches[4:12]
        for one, other in zip(whole, resumed):
            np.testing.assert_allclose(one, other, atol=1e-7)

    def test_in_the_middle_of_an_epoch(self, rows, tmp_path):
        _, batches = self.train(rows, tmp_path / "whole", "epoch")
        with pytest.raises(self.Killed):
            self.train(rows, tmp_path / "killed", 3, kill_at=7)
        _, later = self.train(rows, tmp_path / "killed", 3)
        # The last backup was after step 6.
        assert later[:5] == batches[6:11]


def test_no_thread_tunes_what_has_nothing_to_tune(small_rows, bag_classifier):
    # TensorFlow waits for that thread at the end of each `fit`.
    rows = small_rows([[2, 4, 3], [2, 5, 3]], labels=[0, 1])
    batches = training_batches(rows, bag_classifier(), 2)
    assert batches.options().autotune.enabled is False


def test_a_step_is_counted_when_its_batch_is_there(rows, bag_classifier):
    student = bag_classifier()
    distiller = Distiller(student, losses=[])
    distiller.compile(
        keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    distiller.optimizer.build(distiller.trainable_variables)
    counts = []

    def start_step():
        time.sleep(0.1)
        counts.append(distiller.steps_made)
        return counts[-1]

    batches = training_batches(rows, student, 4, start_step=start_step)
    for _ in range(3):
        distiller.fit(batches, steps_per_epoch=2, verbose=0)
    assert counts == [0, 2, 4]
