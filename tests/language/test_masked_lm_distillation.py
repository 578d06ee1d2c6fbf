"""Language models that are distilled, in miniature, from text to a folder."""

import dataclasses
import functools
import json
import math
import shutil

import keras
import numpy as np
import pytest

from keras_kd import batch
from keras_kd.configuration import ConfigurationError
from keras_kd.data.language_batches import evaluation_language_batches
from keras_kd.data.masking import TokenMasking
from keras_kd.data.tokenization import Tokenizer
from keras_kd.language import masked_lm_distillation as module
from keras_kd.language.masked_lm_distillation import MaskedLMDistillation
from keras_kd.language.masked_lm_settings import MaskedLMSettings
from keras_kd.models.huggingface_export import config_of
from keras_kd.models.pretrained import load_pretrained
from tests import tiny
from tests import tiny_language_models as tiny_lm


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language_models")
    tiny_lm.write_texts(folder / "text.txt")
    tiny_lm.write_masked_lm(folder / "bert")
    return folder


@pytest.fixture
def settings(files):
    return MaskedLMSettings(
        data=str(files / "text.txt"),
        teacher=str(files / "bert"),
        **tiny_lm.SETTINGS,
        batch_size=16,
        steps=4,
        evaluate_every=2,
        mask_smoothing=0.0,
        learning_rate=0.01,
    )


def execute(settings, folder):
    said = []
    results = MaskedLMDistillation(settings, folder, said.append).execute()
    return results, "\n".join(said)


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    """A run whose student learns something. Don't change it."""
    folder = tmp_path_factory.mktemp("run")
    settings = MaskedLMSettings(
        data=str(files / "text.txt"),
        teacher=str(files / "bert"),
        **tiny_lm.SETTINGS,
        batch_size=32,
        steps=60,
        evaluate_every=30,
        alpha_ce=0.1,
        alpha_mlm=5.0,
        alpha_cos=0.1,
        learning_rate=0.03,
    )
    return folder, settings, *execute(settings, folder)


class TestRun:
    def test_table(self, run):
        folder, _, results, said = run
        models = results["models"]
        assert list(models) == [
            "teacher", "student at step 0", "student alone",
            "student distilled",
        ]  # fmt: skip
        assert "student distilled" in said
        assert "student distilled" in (folder / "report.md").read_text()
        start = models["student at step 0"]["perplexity"]
        assert models["student alone"]["perplexity"] < 0.8 * start
        assert models["student distilled"]["perplexity"] < 0.8 * start
        alone, distilled = (
            models[f"student {arm}"] for arm in ("alone", "distilled")
        )
        for name in ("steps", "tokens", "parameters"):
            assert alone[name] == distilled[name]
        assert models["teacher"]["parameters"] > alone["parameters"]

    @pytest.mark.parametrize(
        ("arm", "name"), [("distilled", "model"), ("alone", "model_alone")]
    )
    def test_folder_is_a_teacher_of_the_same_scores(self, run, arm, name):
        folder, settings, results, _ = run
        model = load_pretrained(folder / name, "masked_lm")
        tokenizer = Tokenizer.from_folder(folder / name)
        assert tokenizer.mask_id is not None
        other = MaskedLMDistillation(settings, folder, print)
        other.prepare()
        assert other.scores(model) == pytest.approx(
            {
                name: results["models"][f"student {arm}"][name]
                for name in ("perplexity", "accuracy", "parameters")
            },
            rel=1e-4,
        )
        card = (folder / name / "README.md").read_text()
        assert ("distilled" in card) == (arm == "distilled")

    def test_a_second_start_trains_nothing(self, run):
        folder, settings, results, _ = run
        again, said = execute(settings, folder)
        assert "step 30" not in said
        for name, scores in results["models"].items():
            assert again["models"][name] == pytest.approx(scores)

    def test_other_settings_are_refused(self, run):
        folder, settings, _, _ = run
        other = dataclasses.replace(settings, alpha_cos=2.0)
        with pytest.raises(
            ConfigurationError, match="alpha_cos.*0.1, and is 2.0"
        ):
            MaskedLMDistillation(other, folder)

    def test_tensorboard_and_settings(self, run):
        folder, _, _, _ = run
        for arm in ("alone", "distilled"):
            assert list(folder.glob(f"units/{arm}/tensorboard/**/events*"))
        stored = json.loads((folder / "settings.json").read_text())
        assert stored["student_layers"] == [0, 2]

    def test_perplexity_by_hand(self, run):
        folder, settings, results, _ = run
        other = MaskedLMDistillation(settings, folder, print)
        other.prepare()
        asked = other.models.asked(other.models.teacher)
        # Of all tokens alike, and not of rare ones more.
        masking = TokenMasking(other.models.tokenizer)
        make = other.models.batches_of(other.rows["test"], asked, masking)
        values, right = [], []
        for x, y in evaluation_language_batches(
            other.rows["test"], make
        ).as_numpy_iterator():
            logits = keras.ops.convert_to_numpy(asked(x)).astype("float64")
            used = y["labels"] != batch.NO_TOKEN
            log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            told = np.take_along_axis(log_p, y["labels"][..., None], -1)
            values += list(told[..., 0][used])
            right += list((logits.argmax(-1) == y["labels"])[used])
        expected = results["models"]["teacher"]
        assert math.exp(-np.mean(values)) == pytest.approx(
            expected["perplexity"], rel=1e-4
        )
        assert np.mean(right) == pytest.approx(expected["accuracy"])


class TestResuming:
    @pytest.mark.slow
    def test_after_a_kill_as_if_there_was_none(
        self, settings, tmp_path, monkeypatch
    ):
        settings = dataclasses.replace(settings, cache_top_k=0)
        # Saves after every step.
        train_unit = functools.partial(module.train_unit, state_seconds=0.0)
        monkeypatch.setattr(module, "train_unit", train_unit)
        whole, _ = execute(settings, tmp_path / "whole")
        seen = 0

        class Kill(keras.callbacks.Callback):
            def on_train_batch_end(self, step, logs=None):
                nonlocal seen
                seen += 1
                if seen == 7:  # The third step of the second arm.
                    raise KeyboardInterrupt

        with monkeypatch.context() as context:
            context.setattr(keras.callbacks, "TensorBoard", lambda _: Kill())
            with pytest.raises(KeyboardInterrupt):
                execute(settings, tmp_path / "killed")
        resumed, _ = execute(settings, tmp_path / "killed")
        for name, scores in whole["models"].items():
            assert resumed["models"][name]["perplexity"] == pytest.approx(
                scores["perplexity"], rel=1e-6
            )


class TestLosses:
    def train(self, settings, folder):
        """The first losses by name, and the run."""
        results, said = execute(settings, folder)
        path = folder / "units" / "distilled" / "result.json"
        history = json.loads(path.read_text())["history"]
        return history, said

    @pytest.mark.slow
    def test_weights_of_each(self, settings, tmp_path):
        settings = dataclasses.replace(
            settings, alpha_ce=2.0, alpha_mlm=3.0, alpha_cos=5.0
        )
        history, _ = self.train(settings, tmp_path)
        for entry in history:
            expected = (
                2.0 * entry["masked_soft_targets_loss"]
                + 3.0 * entry["hard_labels_loss"]
                + 5.0 * entry["hidden_state_cosine_loss"]
            )
            assert entry["loss"] == pytest.approx(expected, rel=1e-4)

    @pytest.mark.slow
    def test_hidden_states_alone_need_no_logits(self, settings, tmp_path):
        settings = dataclasses.replace(settings, alpha_ce=0.0, alpha_mlm=0.0)
        history, _ = self.train(settings, tmp_path)
        assert "masked_soft_targets_loss" not in history[0]
        assert history[-1]["loss"] < history[0]["loss"]

    @pytest.mark.slow
    def test_targets_on_disk(self, settings, tmp_path):
        settings = dataclasses.replace(
            settings, alpha_cos=0.0, cache_top_k=3, cache_masks=2
        )
        history, said = self.train(settings, tmp_path)
        assert "masked windows ..." in said
        assert history[0]["top_k_soft_targets_loss"] > 0
        _, again = self.train(settings, tmp_path)
        assert "labels" not in again

    def test_all_words_on_disk_are_the_live_teacher(
        self, settings, files, tmp_path
    ):
        """The divergence of the kept words from those of a live teacher."""
        words = Tokenizer.from_folder(files / "bert").vocabulary_size
        settings = dataclasses.replace(
            settings, alpha_cos=0.0, cache_top_k=words - 1, cache_masks=1
        )
        run = MaskedLMDistillation(settings, tmp_path, print)
        run.prepare()
        student = run.models.make_student(run.rows["train"])
        asked = run.models.asked(student)
        teacher = run.models.asked(run.models.teacher)
        make = module.kept_batches(run._kept, asked, run.rows["train"])
        x, y = make(np.arange(5), None, 0)
        outputs = {"logits": asked(x)}
        kept, live = (
            loss(2.0)(outputs, given, labels=y["labels"])
            for loss, given in (
                (module.TopKSoftTargets, y["teacher"]),
                (module.MaskedSoftTargets, {"logits": teacher(x)}),
            )
        )
        np.testing.assert_allclose(kept, live, rtol=2e-2)

    @pytest.mark.slow
    def test_a_cache_that_is_too_large(self, settings, tmp_path):
        settings = dataclasses.replace(
            settings, alpha_cos=0.0, cache_top_k=3, cache_limit=1e-6
        )
        history, said = self.train(settings, tmp_path)
        assert "above --cache-limit 1e-06" in said
        assert "masked_soft_targets_loss" in history[0]
        assert not (tmp_path / "cache").exists()

    @pytest.mark.slow
    def test_micro_batches_are_the_batch(self, settings, tmp_path):
        losses = [
            self.train(
                dataclasses.replace(settings, accumulation_steps=pieces),
                tmp_path / str(pieces),
            )[0][-1]["loss"]
            for pieces in (1, 4)
        ]
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)


class TestStudents:
    @pytest.mark.slow
    @pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "distilbert"])
    def test_families(self, settings, files, tmp_path, family):
        """From text, by its own tokenizer, to a folder of the family."""
        teacher = tiny_lm.write_masked_lm(tmp_path / "teacher", family)
        settings = dataclasses.replace(settings, teacher=teacher)
        execute(settings, tmp_path / "run")
        folder = tmp_path / "run" / "model"
        config = json.loads((folder / "config.json").read_text())
        assert config["model_type"] == family
        kinds = {"roberta": "bpe", "xlm-roberta": "unigram"}
        tokenizer = Tokenizer.from_folder(folder)
        assert tokenizer.kind == kinds.get(family, "wordpiece")
        torch = pytest.importorskip("torch", reason="compares with PyTorch")
        from transformers import AutoModelForMaskedLM
        from transformers import AutoTokenizer

        theirs = AutoTokenizer.from_pretrained(folder)
        texts = ["fine film was dull", "superb"]
        encoded = theirs(texts, padding=True, return_tensors="pt")
        own = tokenizer.encode(texts, 16)
        for row, (ids, _) in enumerate(own):
            assert encoded["input_ids"][row, : len(ids)].tolist() == ids
        encoded.pop("token_type_ids", None)
        model = AutoModelForMaskedLM.from_pretrained(folder).eval()
        with torch.no_grad():
            logits = model(**encoded).logits.numpy()
        mask = encoded["attention_mask"].numpy()
        ours = load_pretrained(folder, "masked_lm")
        inputs = {
            "token_ids": encoded["input_ids"].numpy() * mask,
            "padding_mask": mask,
        }
        ours = keras.ops.convert_to_numpy(
            ours({name: inputs[name].astype("int32") for name in ours.input})
        )
        np.testing.assert_allclose(
            ours[mask == 1], logits[mask == 1], atol=1e-4
        )

    @pytest.mark.slow
    def test_a_narrower_one(self, settings, tmp_path):
        settings = dataclasses.replace(
            settings, width=8, heads=2, intermediate=10
        )
        results, _ = execute(settings, tmp_path)
        config = json.loads((tmp_path / "model" / "config.json").read_text())
        assert config["hidden_size"] == 8
        assert config["num_attention_heads"] == 2
        assert config["intermediate_size"] == 10
        load_pretrained(tmp_path / "model", "masked_lm")

    @pytest.mark.slow
    def test_of_another_folder(self, settings, files, tmp_path):
        own = tiny_lm.write_masked_lm(
            tmp_path / "own", seed=1, num_hidden_layers=1
        )
        settings = dataclasses.replace(
            settings, student=own, student_layers=None
        )
        results, _ = execute(settings, tmp_path / "run")
        assert load_pretrained(tmp_path / "run/model", "masked_lm")

    @pytest.mark.parametrize(
        ("teacher", "student"), [("bert", "distilbert"), ("distilbert", "bert")]
    )
    def test_of_another_family(self, settings, tmp_path, teacher, student):
        """One of the two reads segments, and both the same masked tokens."""
        folders = {
            name: tiny_lm.write_masked_lm(tmp_path / name, name)
            for name in (teacher, student)
        }
        settings = dataclasses.replace(
            settings,
            teacher=folders[teacher],
            student=folders[student],
            student_layers=None,
        )
        run = MaskedLMDistillation(settings, tmp_path / "run", print)
        run.prepare()
        models, rows = run.models, run.rows["train"]
        student = models.make_student(rows)
        make = models.beside_teacher(
            models.batches_of(rows, models.asked(student), run.masking),
            rows,
            tmp_path / "rows",
        )
        x, y = make(np.arange(4), np.random.default_rng(0), 0)
        inputs = batch.select_inputs(
            models.asked(models.teacher), y.get("teacher_inputs", x)
        )
        for name in set(inputs) & set(x):
            np.testing.assert_array_equal(inputs[name], x[name])
        assert not inputs.get("segment_ids", np.zeros(1)).any()
        assert run.train("distilled", student)["steps"] == 4

    @pytest.mark.slow
    def test_of_another_vocabulary(self, settings, tmp_path):
        own = tiny_lm.write_masked_lm(tmp_path / "own", "roberta")
        settings = dataclasses.replace(
            settings, student=own, student_layers=None
        )
        with pytest.raises(ConfigurationError, match="--alpha-ce 0: the mean"):
            execute(settings, tmp_path / "refused")
        settings = dataclasses.replace(
            settings, alpha_ce=0.0, alpha_mlm=0.0, alpha_cos=1.0, steps=8
        )
        results, said = execute(settings, tmp_path / "run")
        assert "it is left out" in said
        assert "teacher" not in results["models"]
        path = tmp_path / "run/units/distilled/result.json"
        history = json.loads(path.read_text())["history"]
        losses = [entry["mean_state_cosine_loss"] for entry in history]
        assert losses[-1] < losses[0]

    @pytest.mark.slow
    def test_a_table_that_is_filled_up(self, settings, tmp_path):
        own = tiny_lm.write_masked_lm(tmp_path / "own", vocab_size=40)
        settings = dataclasses.replace(
            settings, student=own, student_layers=None
        )
        with pytest.raises(ConfigurationError, match="--alpha-ce 0"):
            execute(settings, tmp_path / "refused")
        settings = dataclasses.replace(settings, alpha_ce=0.0)
        results, _ = execute(settings, tmp_path / "run")
        assert results["models"]["student distilled"]["steps"] == 4


class TestCausal:
    @pytest.fixture
    def causal(self, settings, tmp_path):
        teacher = tiny_lm.write_gpt2(tmp_path / "gpt2")
        return dataclasses.replace(settings, teacher=teacher, alpha_clm=2.0)

    @pytest.mark.slow
    def test_from_text_to_a_student(self, causal, tmp_path):
        results, _ = execute(causal, tmp_path / "run")
        models = results["models"]
        start = models["student at step 0"]["perplexity"]
        assert models["student distilled"]["perplexity"] < start
        student = keras.saving.load_model(
            tmp_path / "run" / "model" / "student.keras", compile=False
        )
        assert student.count_params() == models["student alone"]["parameters"]

    def test_weights_of_the_other_kind(self, causal, settings, tmp_path):
        masked = dataclasses.replace(causal, alpha_mlm=1.0)
        with pytest.raises(ConfigurationError, match="--alpha-mlm must be"):
            execute(masked, tmp_path / "run")
        causal = dataclasses.replace(settings, alpha_clm=1.0)
        with pytest.raises(ConfigurationError, match="--alpha-clm must be"):
            execute(causal, tmp_path / "other")


class TestSettings:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"student_layers": None}, "--student-layers must be given"),
            ({"alpha_ce": -1.0}, "--alpha-ce must be 0 or more"),
            ({"temperature": 0.0}, "--temperature must be above 0"),
            ({"warmup": 1.0}, "--warmup must be 0 or more and below 1"),
            ({"seed": 2**32}, "--seed must be 0 or more, and below"),
            ({"width": 0}, "--width must be above 0"),
            ({"heads": -1}, "--heads must be above 0"),
            ({"cache_top_k": 8}, "--cache-top-k must be 0 where --alpha-cos"),
            ({"student": "bert"}, "--student-layers must be given"),
        ],
    )
    def test_refused(self, settings, changes, message):
        with pytest.raises(ConfigurationError, match=message):
            dataclasses.replace(settings, **changes)


class TestRefusedBeforeTheText:
    """What can't be trained is refused before anything is tokenised."""

    @pytest.mark.parametrize(
        "changes, said",
        [
            ({"max_length": 500}, "must be at most"),
            ({"student_layers": [0, 9]}, "numbers from 0 to"),
            ({"student_layers": [2, 0]}, "each above the one before"),
            ({"width": 7}, "`num_heads` of 3 at the most"),
            ({"cache_top_k": 5000, "alpha_cos": 0.0}, "--cache-top-k must be"),
            (
                {"alpha_ce": 0.0, "alpha_cos": 0.0, "alpha_mlm": 0.0},
                "One of --alpha-ce, --alpha-cos and --alpha-mlm",
            ),
        ],
    )
    def test_models(self, settings, tmp_path, changes, said):
        settings = dataclasses.replace(settings, **changes)
        with pytest.raises(ValueError, match=said):
            execute(settings, tmp_path / "run")
        assert not (tmp_path / "run" / "tokens").exists()

    @pytest.mark.parametrize(
        "changes, said",
        [
            ({"mask_share": 1.5}, "--mask-share must be from 0 to 1"),
            ({"mask_share": 0.0}, "--mask-share must be above 0"),
            ({"mask_masked": 1.2, "mask_random": -0.3}, "--mask-masked must"),
            ({"mask_masked": 0.95}, "--mask-random must be at most"),
        ],
    )
    def test_shares(self, settings, changes, said):
        with pytest.raises(ConfigurationError, match=said):
            dataclasses.replace(settings, **changes)


@pytest.mark.parametrize("changed", ["bert", "counts.json"])
def test_what_a_run_was_trained_with_may_not_change(
    settings, files, tmp_path, changed
):
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        source = files / "bert" / name
        if source.exists():
            (tmp_path / "bert").mkdir(exist_ok=True)
            shutil.copy(source, tmp_path / "bert")
    for source in (files / "bert").glob("tokenizer*"):
        shutil.copy(source, tmp_path / "bert")
    settings = dataclasses.replace(
        settings,
        teacher=str(tmp_path / "bert"),
        token_counts=str(tmp_path / "counts.json"),
        mask_smoothing=0.5,
    )
    execute(settings, tmp_path / "run")
    before = (tmp_path / "run" / "results.json").read_bytes()
    if changed == "bert":
        tiny.change_weights(tmp_path / "bert")
    else:
        counts = json.loads((tmp_path / changed).read_text())
        counts["counts"][5] += 1
        (tmp_path / changed).write_text(json.dumps(counts))
    with pytest.raises(ConfigurationError, match="has changed since"):
        execute(settings, tmp_path / "run")
    assert (tmp_path / "run" / "results.json").read_bytes() == before


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_dropout_of_a_later_head_is_left_to_it(tmp_path, family):
    """A masked language model has none, which is no rate of 0."""
    folder = tiny_lm.write_masked_lm(tmp_path / family, family)
    model = load_pretrained(folder, "masked_lm")
    config = config_of(model, "masked_lm")
    assert not {"classifier_dropout", "seq_classif_dropout"} & set(config)
