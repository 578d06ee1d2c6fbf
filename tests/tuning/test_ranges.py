"""What can be searched, read from text."""

import keras_tuner
import pytest

from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.tuning.ranges import RANGES
from keras_kd.tuning.ranges import Range
from keras_kd.tuning.ranges import apply_values
from keras_kd.tuning.ranges import read_ranges

TWO_LOSSES = Configuration(layer_losses=["hidden_state_mse", "contrastive"])


class TestReading:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("temperature", Range("temperature", (1.0, 8.0), True, True)),
            ("alpha=0.5:1", Range("alpha", (0.5, 1.0), True)),
            ("layers=1:4", Range("layers", (1, 4), True)),
            ("width=16,32", Range("width", (16, 32))),
            ("student=bag,bert", Range("student", ("bag", "bert"))),
        ],
    )
    def test_forms(self, text, expected):
        assert read_ranges([text], Configuration()) == [expected]

    def test_every_usual_range_can_be_read(self):
        names = [name for name in RANGES if name != "layer_weight"]
        ranges = read_ranges(names, Configuration())
        assert [one.name for one in ranges] == names

    def test_each_loss_between_layers_has_its_weight(self):
        ranges = read_ranges(["layer_weight=1:2", "alpha"], TWO_LOSSES)
        assert [one.name for one in ranges] == [
            "layer_weight.hidden_state_mse",
            "layer_weight.contrastive",
            "alpha",
        ]

    @pytest.mark.parametrize(
        ("texts", "message"),
        [
            (["steps"], "`tune` must be some of .* Received: 'steps'"),
            ([], "one or more, all different"),
            (["alpha", "alpha=0:1"], "all different"),
            (["alpha=1:0"], "A range of `alpha` must be LOW:HIGH"),
            (["temperature=0:2:log"], "above 0 with log"),
            (["width=16,16"], "A range of `width`"),
            (["layers=1.5:2"], "A range of `layers`"),
            (["student=bag:bert"], "A range of `student`"),
            (["alpha=0:2"], "`alpha` must be from 0 to 1. Received: 2.0"),
            (["student=lstm"], "`student` must be one of"),
            (["layer_weight"], "there are no `layer_losses`"),
        ],
    )
    def test_what_is_refused(self, texts, message):
        with pytest.raises(ConfigurationError, match=message):
            read_ranges(texts, Configuration())


def test_values_go_into_the_configuration():
    values = {
        "temperature": 3.0,
        "layer_weight.contrastive": 2.0,
        "layer_weight.hidden_state_mse": 0.5,
    }
    changed = apply_values(TWO_LOSSES, values)
    assert changed.temperature == 3.0
    assert changed.layer_weight == [0.5, 2.0]
    assert TWO_LOSSES.temperature == 2.0


def test_space_of_keras_tuner():
    space = keras_tuner.HyperParameters()
    for one in read_ranges(
        ["temperature", "layers=1:3", "student=bag,bert"], Configuration()
    ):
        one.add_to(space)
    temperature, layers, student = space.space
    assert temperature.get_config()["sampling"] == "log"
    assert (layers.min_value, layers.max_value) == (1, 3)
    assert isinstance(layers.random_sample(0), int)
    assert student.values == ["bag", "bert"]
