"""A language model, distilled on raw text, and the same one trained alone."""

import functools
import hashlib
import math
from pathlib import Path

import keras

from keras_kd import batch
from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.data.batches import WINDOW
from keras_kd.data.batches import BatchPlan
from keras_kd.data.language_batches import training_language_batches
from keras_kd.data.masking import TokenMasking
from keras_kd.data.token_counts import masking_weights
from keras_kd.data.token_counts import open_or_count_tokens
from keras_kd.distiller import Distiller
from keras_kd.evaluation.tables import text_table
from keras_kd.language.language_models import LanguageModels
from keras_kd.language.masked_targets import kept_batches
from keras_kd.language.masked_targets import kept_targets
from keras_kd.language.raw_text import read_windows
from keras_kd.language.report import card_of
from keras_kd.language.report import columns_of
from keras_kd.language.scoring import LanguageScorer
from keras_kd.language.text_parts import text_parts
from keras_kd.losses.hidden_state_cosine import HiddenStateCosine
from keras_kd.losses.masked_soft_targets import MaskedSoftTargets
from keras_kd.losses.mean_state_cosine import MeanStateCosine
from keras_kd.losses.token_cross_entropy import token_cross_entropy
from keras_kd.losses.top_k_soft_targets import TopKSoftTargets
from keras_kd.models.huggingface_export import config_of
from keras_kd.models.huggingface_export import write_folder
from keras_kd.models.layer_outputs import block_count
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.training import adamw
from keras_kd.runs.training import train_unit

# The arms, and where the model of each is written.
ARMS = {"alone": "model_alone", "distilled": "model"}
RESULTS_FILE = "results.json"


class MaskedLMDistillation:
    """Distils a language model on raw text, once, and resumably.

    | file of the run | holds |
    |---|---|
    | `settings.json` | the settings |
    | `inputs.json` | hashes of the text and of the tokenizer |
    | `tokens/<part>/` | the windows of tokens, in shards |
    | `token_counts.json` | how often each token stands in them |
    | `cache/` | masks and the teacher's best words, where they are kept |
    | `units/<arm>/` | the trainings, with TensorBoard's files |
    | `model/` | the distilled student, as a Hugging Face folder |
    | `model_alone/` | the student trained alone, as another |
    | `results.json`, `report.md` | the table |

    The student trained alone begins as the same copy of the teacher's layers,
    and sees the same batches with the same masks, as often.

    Args:
        settings: `keras_kd.language.masked_lm_settings.MaskedLMSettings`.
        folder: The folder of the run.
        say: Function that is told what happens.

    Raises:
        ConfigurationError: A run with other settings stands in the folder.

    Example:

    ```python
    settings = MaskedLMSettings(
        data="text.txt", teacher="bert/", student_layers=[0, 2, 5]
    )
    MaskedLMDistillation(settings, "runs/masked_lm").execute()
    ```

    Source: Sanh et al. 2019, "DistilBERT, a distilled version of BERT".
    """

    def __init__(self, settings, folder, say=print):
        self.settings = settings
        self.folder = Path(folder)
        self.say = say
        self._scorer = None
        self.run = RunFolder(self.folder)
        stored = settings.to_dict()
        stored.pop("overwrite")
        if settings.tokenized_data is not None:
            # Who exports the run may stand in another folder.
            stored["tokenized_data"] = str(
                Path(settings.tokenized_data).resolve()
            )
        self.run.hold_to_settings(stored)

    def execute(self):
        """Runs what is not done yet; returns the results."""
        self.prepare()
        results = {"tokens": self.notes, "models": {}}
        if self.models.same_tokens:
            results["models"]["teacher"] = self.scores(self.models.teacher)
        else:
            self.say(
                "The teacher has other tokens than the student, so that its "
                "perplexity would be one of other things: it is left out."
            )
        for arm in ARMS:
            self.say(f"Training the student, {arm} ...")
            student = self.models.make_student(self.rows["train"])
            if "student at step 0" not in results["models"]:
                results["models"]["student at step 0"] = self.scores(student)
            trained = self.train(arm, student)
            results["models"][f"student {arm}"] = {
                **self.scores(student),
                **trained,
            }
            self.write_model(arm, student)
        write_json(self.folder / RESULTS_FILE, results)
        table = "\n".join(text_table(columns_of(results["models"])))
        with write_aside(self.folder / "report.md") as temporary:
            temporary.write_text(f"```\n{table}\n```\n", encoding="utf-8")
        self.say(table)
        return results

    # === Preparation ===

    def prepare(self):
        """Opens the models, and the text as tokens.

        Raises:
            ConfigurationError: A unit was trained on other text, or with
                another teacher.
        """
        settings = self.settings
        self.models = LanguageModels(settings)
        tokenizer = self.models.tokenizer
        for name, fingerprint in self.models.fingerprints.items():
            self.run.hold_to(name, fingerprint)
        self.rows, self.notes = read_windows(
            self.run,
            settings.data,
            text_parts(
                settings.texts, settings.validation_texts, settings.test_texts
            ),
            tokenizer,
            settings.max_length,
            settings.tokenized_data,
            settings.overwrite,
        )
        for part, notes in self.notes.items():
            self.say(
                f"{part}: {notes['texts']} texts, {notes['windows']} windows, "
                f"{notes['tokens']} tokens "
                f"({notes['tokens'] / max(notes['seconds'], 1e-9):,.0f} a "
                "second)"
            )
        self.masking = self.held_out_masking = None
        if not self.models.causal:
            self._open_masking(tokenizer)
        plan = self._plan()
        self.steps = settings.steps or math.ceil(
            settings.epochs * plan.steps_per_epoch
        )
        self.evaluate_every = settings.evaluate_every or plan.steps_per_epoch

    def _open_masking(self, tokenizer):
        settings = self.settings
        path = Path(settings.token_counts or self.folder / "token_counts.json")
        counts = open_or_count_tokens(
            path, self.rows["train"], tokenizer, settings.overwrite
        )
        digest = hashlib.blake2b(counts.tobytes(), digest_size=16).hexdigest()
        self._counts = {"counts": digest}
        self.run.hold_to("token counts", self._counts)
        masking = functools.partial(
            TokenMasking,
            tokenizer,
            settings.mask_share,
            settings.mask_masked,
            settings.mask_random,
        )
        self.masking = masking(masking_weights(counts, settings.mask_smoothing))
        # A perplexity of rare words is one that no other system reports, and
        # a teacher may tell them worse than its student.
        self.held_out_masking = masking()

    @property
    def _window(self):
        return WINDOW if self.settings.group_by_length else 1

    def _plan(self):
        return BatchPlan(
            self.rows["train"].lengths(batch.TOKEN_IDS),
            self.settings.batch_size,
            self.settings.seed,
            self._window,
        )

    # === Training ===

    def train(self, arm, student):
        """Trains a student; it then has the weights that scored best.

        Args:
            arm: `"alone"` or `"distilled"`.
            student: A model of `LanguageModels.make_student`.

        Returns:
            Dictionary: `steps`, `best_step`, `seconds`, `tokens_per_second`.
        """
        settings, models = self.settings, self.models
        scorer = self._scorer_of(student)
        asked = scorer.asked
        teacher, losses, weight = None, [], 1.0
        make = models.batches_of(self.rows["train"], asked, self.masking)
        # The masks that are kept are those of both arms.
        kept = self._kept
        if kept is not None:
            make = kept_batches(kept, asked, self.rows["train"])
        if arm == "distilled":
            weight = models.alpha_labels
            teacher, losses = self._teacher_and_losses(student)
        if teacher is not None:
            make = models.beside_teacher(
                make, self.rows["train"], self.folder / "cache" / "teacher_rows"
            )
        distiller = Distiller(asked, teacher, losses, weight)
        distiller.compile(
            adamw(settings.learning_rate, self.steps, settings.warmup),
            loss=token_cross_entropy,
            accumulation_steps=settings.accumulation_steps,
        )
        folder = self.run.unit(arm)
        result = train_unit(
            folder,
            distiller,
            lambda step: training_language_batches(
                self.rows["train"],
                make if arm == "distilled" else _without_teacher(make),
                settings.batch_size,
                settings.seed,
                step,
                self._window,
            ),
            lambda: scorer.accuracy_and_loss(self.rows["validation"]),
            self.steps,
            self.evaluate_every,
            arm,
            self.say,
            [keras.callbacks.TensorBoard(folder / "tensorboard")],
        )
        tokens = self._tokens_seen()
        return {
            "steps": result["steps"],
            "best_step": result["best_step"],
            "seconds": result["seconds"],
            "tokens": tokens,
            "tokens_per_second": tokens / max(result["seconds"], 1e-9),
        }

    def _tokens_seen(self):
        plan = self._plan()
        return int(
            sum(
                plan.lengths[plan.rows_at(step)].sum()
                for step in range(self.steps)
            )
        )

    @functools.cached_property
    def _kept(self):
        """Masks and targets on disk; `None` where the teacher runs live."""
        if not (self.settings.cache_top_k and self.settings.alpha_ce):
            return None
        made_of = {
            "tokenizer": self.models.tokenizer.fingerprint,
            "windows": self.notes["train"],
            "token_counts": self._counts,
            "masking": {
                name: value
                for name, value in self.settings.to_dict().items()
                if name.startswith("mask_")
            },
        }
        return kept_targets(
            self.folder / "cache",
            self.models.asked(self.models.teacher),
            self.rows["train"],
            self.masking,
            self.settings,
            made_of,
            self.say,
        )

    def _teacher_and_losses(self, student):
        """The live teacher, or `None`, and the losses on what it gives."""
        settings, losses = self.settings, []
        if settings.alpha_ce:
            loss = MaskedSoftTargets if self._kept is None else TopKSoftTargets
            losses.append(loss(settings.temperature, settings.alpha_ce))
        layers = block_count(student), block_count(self.models.teacher)
        if settings.alpha_cos and self.models.same_tokens:
            losses.append(
                HiddenStateCosine([layers], weight=settings.alpha_cos)
            )
        elif settings.alpha_cos:
            losses.append(MeanStateCosine(layers[0], weight=settings.alpha_cos))
        if not losses or self._kept is not None:
            return None, losses
        last = f"hidden_states/{layers[1]}"
        return self.models.live_teacher(last), losses

    # === Results ===

    def scores(self, model):
        """What the teacher, or a student, scores on the test text.

        Returns:
            Dictionary: see `LanguageScorer.scores`.
        """
        return self._scorer_of(model).scores(self.rows["test"])

    def _scorer_of(self, model):
        if self._scorer is None or self._scorer.model is not model:
            self._scorer = LanguageScorer(
                model, self.models, self.held_out_masking
            )
        return self._scorer

    def write_model(self, arm, student):
        """Writes the student: a Hugging Face folder, or of GPT-2 a `.keras`.

        Args:
            arm: As in `train`.
            student: What `train` has trained.
        """
        folder = self.folder / ARMS[arm]
        if self.models.causal:
            with write_aside(folder / "student.keras") as temporary:
                student.save(temporary)
            self.models.tokenizer.save(folder)
        else:
            tokenizer = self.models.tokenizer
            config = config_of(student, "masked_lm", tokenizer.pad_id)
            write_folder(
                folder,
                student,
                config,
                "masked_lm",
                tokenizer,
                card_of(arm, self.settings.teacher),
            )
        self.say(f"Model: {folder}")


def _without_teacher(make):
    """The same batches, without what the teacher said of them."""

    def batches(positions, generator, epoch):
        x, y = make(positions, generator, epoch)
        return x, {batch.LABELS: y[batch.LABELS]}

    return batches
