"""Students that begin as layers of their teacher: equal, and reloadable."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_kd.models.bert import bert
from keras_kd.models.bert_student import bert_student
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.initialization import encoder_layers
from keras_kd.models.initialization import init_from_teacher
from keras_kd.models.recurrent import recurrent_student
from keras_kd.models.transformer import transformer_student

VOCABULARY, OUTPUTS, LAYERS = 30, 3, 2
CONFIG = {
    "vocab_size": VOCABULARY,
    "hidden_size": 8,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
    "model_type": "bert",
}


def folder_model(task_head, pooling="cls"):
    """What `load_pretrained` builds."""
    settings = read_settings(CONFIG)
    return bert(settings, task_head, OUTPUTS, pooling)


def keras_hub_model(name):
    backbone = getattr(keras_hub.models, f"{name}Backbone")(
        vocabulary_size=VOCABULARY,
        num_layers=LAYERS,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=12,
        max_sequence_length=16,
    )
    classifier = getattr(keras_hub.models, f"{name}TextClassifier")
    return classifier(backbone=backbone, num_classes=OUTPUTS)


def keras_hub_electra():
    """Its embeddings are narrower than its layers. It has no classifier."""
    return keras_hub.models.ElectraBackbone(
        VOCABULARY, LAYERS, 2, 8, 4, 12, max_sequence_length=16
    )


TEACHERS = {
    "bert": lambda: bert_student(VOCABULARY, OUTPUTS, LAYERS, 8, 2),
    "transformer": lambda: transformer_student(
        VOCABULARY, OUTPUTS, LAYERS, 8, 2
    ),
    "token": lambda: folder_model("token"),
    "span": lambda: folder_model("span"),
    "masked_lm": lambda: folder_model("masked_lm"),
    "pooler": lambda: folder_model("pooler"),
    "keras_hub_bert": lambda: keras_hub_model("Bert"),
    "keras_hub_roberta": lambda: keras_hub_model("Roberta"),
    "keras_hub_xlm_roberta": lambda: keras_hub_model("XLMRoberta"),
    "keras_hub_distil_bert": lambda: keras_hub_model("DistilBert"),
    "keras_hub_electra": lambda: keras_hub_electra(),
}
WITHOUT_REPLACEABLE_HEAD = ("masked_lm", "pooler")


def make_teacher(name="bert"):
    """A teacher of which every weight matters."""
    model = TEACHERS[name]()
    generator = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(
            variable + generator.normal(scale=0.4, size=variable.shape)
        )
    return model


def features(model, seed=0):
    generator = np.random.default_rng(seed)
    mask = (np.arange(7) < np.array([7, 4, 2])[:, None]).astype("int32")
    tokens = generator.integers(1, VOCABULARY, (3, 7)).astype("int32") * mask
    segments = generator.integers(0, 2, (3, 7)).astype("int32") * mask
    inputs = {
        "token_ids": tokens,
        "segment_ids": segments,
        "padding_mask": mask,
    }
    return {tensor.name: inputs[tensor.name] for tensor in model.inputs}


def run(model, inputs=None):
    """All outputs of a model, one after the other."""
    outputs = model(inputs or features(model), training=False)
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs)]


def weights_of(layer):
    return np.concatenate([weight.ravel() for weight in layer.get_weights()])


@pytest.mark.parametrize("name", TEACHERS)
def test_with_all_layers_the_outputs_are_the_teachers(name):
    teacher = make_teacher(name)
    student = init_from_teacher(teacher, range(LAYERS))
    assert student.count_params() == teacher.count_params()
    for own, expected in zip(run(student), run(teacher), strict=True):
        np.testing.assert_array_equal(own, expected)
    # Keras' own layers, side by side.
    assert type(student).__module__.split(".")[0] == "keras"
    assert not [x for x in student.layers if isinstance(x, keras.Model)]
    assert {
        type(layer).__module__.split(".")[0]
        for layer in student._flatten_layers(include_self=False)
    } <= {"keras", "keras_hub"}


@pytest.mark.parametrize("name", ["bert", "keras_hub_roberta", "pooler"])
def test_some_layers_are_those_of_the_teacher(name):
    teacher = make_teacher(name)
    student = init_from_teacher(teacher, [1])
    (own,), (_, given) = encoder_layers(student), encoder_layers(teacher)
    assert own.name == "transformer_layer_0"
    np.testing.assert_array_equal(weights_of(own), weights_of(given))
    reference = without_first_layer(teacher)
    received = run(student)
    for one, expected in zip(received, run(reference), strict=True):
        np.testing.assert_array_equal(one, expected)
    assert np.abs(received[0] - run(teacher)[0]).max() > 1e-3


def without_first_layer(teacher):
    """The teacher with its first layer taken out, by Keras' own cloning."""
    dropped, _ = encoder_layers(teacher)

    def call(layer, *args, **kwargs):
        if layer.name == dropped.name:
            return args[0]
        return layer(*args, **kwargs)

    clone = keras.models.clone_model(
        teacher, call_function=call, recursive=True
    )
    kept = [
        weight
        for weight in teacher.weights
        if not any(weight is other for other in dropped.weights)
    ]
    assert len(clone.weights) == len(kept)
    for own, weight in zip(clone.weights, kept):
        assert own.shape == weight.shape
        own.assign(weight)
    return clone


class TestItsOwnWeights:
    def test_training_the_student_never_touches_the_teacher(self):
        teacher = bert_student(VOCABULARY, OUTPUTS, 1, 8, 2)
        teacher.trainable = False
        before = [np.array(weight) for weight in teacher.get_weights()]
        logits = run(teacher)[0]
        student = init_from_teacher(teacher, [0])
        assert len(student.trainable_variables) == len(before)
        student.compile(
            keras.optimizers.Adam(0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            run_eagerly=True,
        )
        student.fit(features(student), np.array([0, 1, 2]), verbose=0)
        for now, then in zip(teacher.get_weights(), before, strict=True):
            np.testing.assert_array_equal(now, then)
        np.testing.assert_array_equal(run(teacher)[0], logits)
        assert not teacher.trainable
        for now, then in zip(student.get_weights(), before, strict=True):
            assert np.abs(now - then).max() > 0


def test_it_reloads(tmp_path):
    # In a process without keras_kd: tests/models/test_students.py.
    student = init_from_teacher(make_teacher("keras_hub_bert"), [1], 5)
    student.save(tmp_path / "student.keras")
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(run(loaded)[0], run(student)[0])


class TestHead:
    @pytest.mark.parametrize("name", ["bert", "token", "keras_hub_bert"])
    def test_another_number_of_outputs_begins_at_random(self, name):
        teacher = make_teacher(name)
        same, other = (
            init_from_teacher(teacher, [0], outputs) for outputs in (OUTPUTS, 5)
        )
        head = teacher.get_layer("logits")
        np.testing.assert_array_equal(
            weights_of(same.get_layer("logits")), weights_of(head)
        )
        assert other.output.shape[-1] == 5
        fresh, bias = other.get_layer("logits").get_weights()
        assert not bias.any() and 0 < fresh.std() < 1

    def test_a_seed_decides_how_it_begins(self):
        teacher = TEACHERS["transformer"]()
        kernels = []
        for seed in (7, 7, 8):
            keras.utils.set_random_seed(seed)
            student = init_from_teacher(teacher, [0], 5)
            kernels.append(student.get_layer("logits").get_weights()[0])
        np.testing.assert_array_equal(kernels[0], kernels[1])
        assert np.abs(kernels[0] - kernels[2]).max() > 1e-3

    @pytest.mark.parametrize("name", WITHOUT_REPLACEABLE_HEAD)
    def test_no_head_that_could_be_replaced(self, name):
        with pytest.raises(ValueError, match="`num_outputs` must be left out"):
            init_from_teacher(TEACHERS[name](), [0], 2)


def test_dropout_of_its_own():
    teacher = make_teacher("token")

    def rates(model):
        return {
            layer.rate
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.Dropout)
        }

    assert rates(init_from_teacher(teacher, [0])) == rates(teacher) == {0.1}
    assert rates(init_from_teacher(teacher, [0], dropout=0.3)) == {0.3}
    assert rates(init_from_teacher(teacher, [0], dropout=0.0)) == {0.0}


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_that_of_the_moment(policy):
    teacher = make_teacher("keras_hub_bert")
    keras.config.set_dtype_policy(policy)
    try:
        student = init_from_teacher(teacher, [0, 1])
    finally:
        keras.config.set_dtype_policy("float32")
    assert encoder_layers(student)[0].compute_dtype == policy[6:]
    assert student.output.dtype == "float32"
    # Half precision has 3 (float16) or 2 digits.
    np.testing.assert_allclose(run(student)[0], run(teacher)[0], atol=0.1)


class TestRefusals:
    @pytest.mark.parametrize(
        "layers", [[], [2], [-1], [0, 2], [1, 0], [0, 0]], ids=str
    )
    def test_layers(self, layers):
        with pytest.raises(ValueError) as error:
            init_from_teacher(TEACHERS["bert"](), layers)
        message = str(error.value)
        assert "from 0 to 1, each above the one before" in message
        assert f"has 2 encoder layers. Received: {layers}." in message

    def test_teacher_of_another_kind(self):
        teacher = recurrent_student(VOCABULARY, OUTPUTS, units=2)
        with pytest.raises(ValueError, match="'bigru_1', which has none.*'rec"):
            init_from_teacher(teacher, [0])

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (
                lambda: keras_hub.models.AlbertBackbone(
                    9, 2, 2, 4, 4, 4, max_sequence_length=8
                ),
                "more than once",
            ),
            (
                lambda: keras_hub.models.DebertaV3Backbone(
                    9, 1, 2, 4, 4, max_sequence_length=8
                ),
                "which has none",
            ),
        ],
        ids=["albert", "deberta"],
    )
    def test_architectures_of_other_layers(self, make, message):
        with pytest.raises(ValueError, match=message):
            init_from_teacher(make(), [0])

    def test_layers_that_are_used_twice(self):
        layer = keras_hub.layers.TransformerEncoder(4, 2)
        inputs = keras.Input((None, 8), name="states")
        model = keras.Model(inputs, layer(layer(inputs)))
        with pytest.raises(ValueError, match="more than once"):
            init_from_teacher(model, [0])

    def test_two_chains(self):
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "segment_ids", "padding_mask")
        }
        both = [
            keras.Model(one.inputs, one.output, name=f"teacher_{number}")
            for number, one in enumerate(
                [TEACHERS["bert"](), TEACHERS["bert"]()]
            )
        ]
        logits = keras.layers.Add()([one(inputs) for one in both])
        with pytest.raises(ValueError, match="more than one chain of them"):
            init_from_teacher(keras.Model(inputs, logits), [0, 2])
