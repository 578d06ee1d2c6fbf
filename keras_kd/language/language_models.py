"""A teacher and a student that are language models, masked or causal."""

import functools
import hashlib

import keras
import numpy as np

from keras_kd import batch
from keras_kd.configuration import ConfigurationError
from keras_kd.data.batches import gather_inputs
from keras_kd.data.language_batches import causal_batches_of
from keras_kd.data.masked_batches import masked_batches_of
from keras_kd.data.rows import open_or_write_rows
from keras_kd.data.text_windows import read_by_another
from keras_kd.data.tokenization import Tokenizer
from keras_kd.losses.mean_state_cosine import MEAN_STATE
from keras_kd.losses.mean_state_cosine import mean_state
from keras_kd.models.causal_lm import causal_student
from keras_kd.models.causal_lm import check_causal_layers
from keras_kd.models.causal_lm import is_causal
from keras_kd.models.causal_lm import load_causal_lm
from keras_kd.models.huggingface_folder import resolve_folder
from keras_kd.models.initialization import check_layers
from keras_kd.models.layer_outputs import layer_outputs
from keras_kd.models.masked_lm import at_positions
from keras_kd.models.masked_student import masked_student
from keras_kd.models.narrowing import narrow_sizes
from keras_kd.models.pretrained import load_pretrained
from keras_kd.runs.student_start import SAMPLE_ROWS
from keras_kd.runs.teacher_checks import check_length
from keras_kd.teachers.teacher import weights_hash


class LanguageModels:
    """The teacher, and what makes its student, of one kind of language model.

    Masked ones tell hidden tokens, and are asked at these alone; causal ones
    tell the next token, at every place. All else is the same: labels
    `[batch, places]`, logits `[batch, places, vocabulary]`.

    Args:
        settings: `keras_kd.language.masked_lm_settings.MaskedLMSettings`.

    Attributes:
        causal: Whether they are causal.
        tokenizer: The student's `Tokenizer`.
        teacher_tokenizer: The teacher's.
        same_tokens: Whether these have one vocabulary.
        teacher: The teacher, whole.

    Raises:
        ConfigurationError: A weight of a loss that this kind has not, or
            a student that its teacher can't teach by that loss.
        ValueError: Layers or sizes that no student of it can have, or windows
            that are longer than it reads.
    """

    def __init__(self, settings):
        self.settings = settings
        self.folder = resolve_folder(settings.teacher, settings.allow_pickle)
        self.causal = is_causal(self.folder)
        self._check_weights()
        self.teacher_tokenizer = Tokenizer.from_folder(self.folder)
        self.tokenizer = self.teacher_tokenizer
        if settings.student is not None:
            self._read_student()
        self.same_tokens = (
            self.tokenizer.vocabulary == self.teacher_tokenizer.vocabulary
        )
        if not self.same_tokens and settings.alpha_ce:
            refuse_soft_targets(self.tokenizer, self.teacher_tokenizer)
        self.teacher = self._load(self.folder)
        self._check_sizes()

    @functools.cached_property
    def fingerprints(self):
        """What the teacher, and a student that is given, are made of."""
        given = {"teacher": (self.teacher, self.teacher_tokenizer)}
        if self.settings.student is not None:
            student = self._load(self.settings.student)
            given["student"] = (student, self.tokenizer)
        return {
            name: {
                "weights": weights_hash(model),
                "tokenizer": tokenizer.fingerprint,
            }
            for name, (model, tokenizer) in given.items()
        }

    @property
    def alpha_labels(self):
        """The weight of the tokens themselves: `alpha_mlm` or `alpha_clm`."""
        name = "alpha_clm" if self.causal else "alpha_mlm"
        value = getattr(self.settings, name)
        return 2.0 if value is None else value

    def _check_weights(self):
        kind, other = "masked", "alpha_clm"
        if self.causal:
            kind, other = "causal", "alpha_mlm"
        if getattr(self.settings, other):
            raise ConfigurationError(
                f"--{other.replace('_', '-')} must be left out: the teacher "
                f"'{self.settings.teacher}' is a {kind} language model. "
                f"Received: {getattr(self.settings, other)}."
            )
        if not (
            self.settings.alpha_ce
            or self.settings.alpha_cos
            or self.alpha_labels
        ):
            raise ConfigurationError(
                "One of --alpha-ce, --alpha-cos and "
                f"--alpha-{'clm' if self.causal else 'mlm'} must be above 0. "
                "Received: 0 for all, which teaches nothing."
            )
        if self.causal and self.settings.cache_top_k:
            raise ConfigurationError(
                "--cache-top-k must be 0 for a causal teacher, which is asked "
                f"at every token. Received: {self.settings.cache_top_k}."
            )

    def _check_sizes(self):
        """Refuses what would fail later, when the text is tokenised."""
        settings = self.settings
        check_length(self.teacher, settings.max_length)
        words = self.teacher.output.shape[-1]
        if settings.cache_top_k >= words:
            raise ConfigurationError(
                f"--cache-top-k must be below {words}, the number of the "
                f"teacher's words. Received: {settings.cache_top_k}."
            )
        if settings.student is not None:
            return
        sizes = (settings.width, settings.heads, settings.intermediate)
        if not self.causal:
            check_layers(self.teacher, settings.student_layers)
            narrow_sizes(self.teacher, *sizes)
        elif any(sizes):
            raise ConfigurationError(
                "--width, --heads and --intermediate must be left out for a "
                "causal student, which is as wide as its teacher. Received: "
                f"{sizes}."
            )
        else:
            check_causal_layers(self.teacher, settings.student_layers)

    def _read_student(self):
        settings = self.settings
        if is_causal(settings.student) != self.causal:
            raise ConfigurationError(
                f"Student and teacher must both be masked or both causal "
                f"language models. Received: '{settings.student}' and "
                f"'{settings.teacher}'."
            )
        folder = resolve_folder(settings.student, settings.allow_pickle)
        self.tokenizer = Tokenizer.from_folder(folder)

    def _load(self, folder):
        if self.causal:
            return load_causal_lm(folder)
        allow_pickle = self.settings.allow_pickle
        return load_pretrained(folder, "masked_lm", allow_pickle=allow_pickle)

    def make_student(self, rows):
        """A student as it begins.

        Args:
            rows: `Rows` that a narrower one is fitted on.
        """
        settings = self.settings
        keras.utils.set_random_seed(settings.seed)
        if settings.student is not None:
            student = self._load(settings.student)
            check_sizes(student, self.teacher, settings)
            return student
        if self.causal:
            return causal_student(self.teacher, settings.student_layers)
        positions = np.arange(min(len(rows), SAMPLE_ROWS))
        names = batch.input_names(self.teacher)
        return masked_student(
            self.folder,
            self.teacher,
            settings.student_layers,
            settings.width,
            settings.heads,
            settings.intermediate,
            gather_inputs(rows, positions, names),
            settings.allow_pickle,
        )

    def asked(self, model):
        """A model that gives logits at the places that it is asked about."""
        return model if self.causal else at_positions(model)

    def batches_of(self, rows, model, masking):
        """What makes batches, for `keras_kd.data.language_batches`."""
        if self.causal:
            return causal_batches_of(rows, model)
        return masked_batches_of(rows, model, masking)

    def live_teacher(self, last):
        """The teacher as a Distiller runs it: what the losses read, no more.

        Args:
            last: Name of its last hidden states.
        """
        if self.settings.alpha_ce:
            return self.asked(self.teacher)
        model = layer_outputs(self.teacher, [last])
        states = model.output[last]
        if self.same_tokens:
            return keras.Model(model.input, {last: states})
        mean = mean_state(states, model.input[batch.PADDING_MASK])
        return keras.Model(model.input, {MEAN_STATE: mean})

    def beside_teacher(self, make, rows, folder):
        """Batches with what the teacher reads, where it is something else.

        Tokens of its own where its vocabulary is another one; of the same
        tokens, with the same masks, the inputs that the student has not.

        Args:
            make: What `batches_of` gives.
            rows: The rows that it is of.
            folder: Folder of the same rows as the teacher reads them.
        """
        names = batch.input_names(self.teacher)
        if self.same_tokens:
            return _with_inputs(make, names)
        other, length = self.teacher_tokenizer, self.settings.max_length
        read = open_or_write_rows(
            folder,
            lambda: read_by_another(rows, self.tokenizer, other, length),
            {
                # What the rows hold, and not how many there are.
                "rows": _digest(rows),
                "tokenizer": self.tokenizer.fingerprint,
                "other": other.fingerprint,
                "max_length": length,
            },
        )

        def with_teacher_inputs(positions, generator, epoch):
            x, y = make(positions, generator, epoch)
            inputs = gather_inputs(read, positions, names)
            return x, {**y, batch.TEACHER_INPUTS: inputs}

        return with_teacher_inputs


def _digest(rows):
    """A hash of what rows hold."""
    keys = rows.keys().tobytes()
    return hashlib.blake2b(keys, digest_size=16).hexdigest()


def _with_inputs(make, names):
    """Batches whose teacher has inputs among `names` that its student lacks.

    Segments it is: a BERT has them, a DistilBERT has not, and a text is one.
    """

    def with_teacher_inputs(positions, generator, epoch):
        x, y = make(positions, generator, epoch)
        missing = [name for name in names if name not in x]
        if not missing:
            return x, y
        zeros = np.zeros_like(x[batch.TOKEN_IDS])
        inputs = {**x, **dict.fromkeys(missing, zeros)}
        return x, {**y, batch.TEACHER_INPUTS: inputs}

    return with_teacher_inputs


def refuse_soft_targets(student, teacher):
    """Says why there are no soft targets between different vocabularies.

    Args:
        student, teacher: `Tokenizer`.

    Raises:
        ConfigurationError: Always.
    """
    sizes = f"{student.vocabulary_size} and {teacher.vocabulary_size} tokens"
    pairs = zip(student.vocabulary, teacher.vocabulary)
    example = next(
        (f"; token {i} is {pair}" for i, pair in enumerate(pairs)
         if pair[0] != pair[1]),
        "",
    )  # fmt: skip
    raise ConfigurationError(
        "Soft targets compare the logits of one token at one place, and the "
        "student's tokens are others than the teacher's. Received (student, "
        f"teacher): {sizes}{example}. Give --alpha-ce 0: the mean hidden state "
        "of a text can still be learned (--alpha-cos). Or give a student with "
        "the teacher's tokenizer."
    )


def check_sizes(student, teacher, settings):
    """Refuses soft targets between logits of different numbers.

    Tables are often filled up to a round number of rows, which no token has.

    Args:
        student, teacher: Models that give logits.
        settings: `MaskedLMSettings`.

    Raises:
        ConfigurationError: They have different numbers of logits.
    """
    sizes = student.output.shape[-1], teacher.output.shape[-1]
    if sizes[0] != sizes[1] and settings.alpha_ce:
        raise ConfigurationError(
            "Soft targets need one logit for each word from both models. "
            f"Received: {sizes[0]} of the student and {sizes[1]} of the "
            "teacher. Give --alpha-ce 0: hidden states can still be learned."
        )
