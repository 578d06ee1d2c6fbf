"""Tagging of words, such as named entities: a tag for each word of a text."""

import functools
import json

import numpy as np

from keras_kd.batch import NO_TOKEN
from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.tagged_files import read_tagged_sentences
from keras_kd.data.tagged_rows import TaggedWords
from keras_kd.data.tagged_rows import sentence_rows
from keras_kd.data.tagged_rows import words_of_rows
from keras_kd.data.words import split_words
from keras_kd.evaluation.entity_scores import entity_counts
from keras_kd.evaluation.entity_scores import entity_scores
from keras_kd.evaluation.scores import log_softmax
from keras_kd.evaluation.scores import mean_kl
from keras_kd.evaluation.tag_decoding import best_sequences
from keras_kd.losses.chain_soft_targets import ChainSoftTargets
from keras_kd.losses.linear_chain import chain_cross_entropy
from keras_kd.losses.logits_mse import LogitsMSE
from keras_kd.losses.soft_cross_entropy import SoftCrossEntropy
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.losses.token_accuracy import TokenAccuracy
from keras_kd.losses.token_cross_entropy import token_cross_entropy
from keras_kd.tag_schemes import OUTSIDE
from keras_kd.tag_schemes import SCHEMES
from keras_kd.tag_schemes import allowed_transitions
from keras_kd.tag_schemes import entities
from keras_kd.tag_schemes import to_iob2
from keras_kd.tasks.entity_answers import join_words
from keras_kd.tasks.entity_answers import place_entities
from keras_kd.tasks.entity_answers import show_entities
from keras_kd.tasks.tag_labels import check_tags
from keras_kd.tasks.task import EXAMPLES_AT_ONCE
from keras_kd.tasks.task import Task
from keras_kd.tasks.task import groups


class TokenTagging(Task):
    """A tag for each word, such as the entity that it is a part of.

    Tags are IOB2 inside: B- begins an entity, I- continues it, O is none. A
    word's first piece has its tag and is where a model is asked; the others
    have none. A sentence longer than a model reads is cut between words into
    windows that overlap, and each word is tagged where it has most context.
    What is answered is the best sequence of tags that is a valid one.

    Args:
        labels: The tags in the order of the logits: `O`, and B- and I- of each
            type.
        metric: `"entity_f1"`.
        scheme: How the data is tagged: `"iob1"`, `"iob2"` or `"bioes"`.
        chain: Whether the student's head is a conditional random field, which
            scores each tag after each one before it.
        stride: Tokens that two windows of a long sentence share; by default a
            quarter of `max_length`.

    Raises:
        DataError: Tags that are none, or a type without its B-.

    Example:

    >>> task = TokenTagging(["O", "B-PER", "I-PER"], chain=True)
    >>> task.num_outputs, task.student_outputs
    (3, 12)
    """

    name = "token_tagging"
    metrics_of_choice = ("entity_f1",)
    per_token = True
    task_head = "token"
    bootstrap_metric = "entity_f1"
    loss_of_scores = "word_error"
    read_source = staticmethod(read_tagged_sentences)

    def __init__(
        self, labels, metric=None, scheme="iob2", chain=False, stride=None
    ):
        super().__init__(metric)
        if scheme not in SCHEMES:
            raise ValueError(
                f"`scheme` must be one of {list(SCHEMES)}. Received: {scheme!r}"
            )
        self.labels = check_tags(labels)
        self.scheme = scheme
        self.chain = chain
        self.stride = stride
        self._numbers = {label: i for i, label in enumerate(self.labels)}

    def to_dict(self):
        return {
            **super().to_dict(),
            "scheme": self.scheme,
            "chain": self.chain,
            "stride": self.stride,
        }

    @property
    def activation(self):
        """What makes probabilities of the student's logits."""
        return None if self.chain else "softmax"

    @property
    def num_outputs(self):
        """Number of tags."""
        return len(self.labels)

    @property
    def student_outputs(self):
        """Number of the student's logits for a token."""
        tags = self.num_outputs
        return (1 + tags) * tags if self.chain else tags

    def for_teacher(self):
        """The same tags, each word by itself."""
        return TokenTagging(
            self.labels, self.primary_metric, self.scheme, stride=self.stride
        )

    @functools.cached_property
    def _allowed(self):
        return allowed_transitions(self.labels)

    # === Rows ===

    def encode_label(self, label, where, counts=None):
        """The numbers of a sentence's tags.

        Args:
            label: List of tags, in the data's scheme.
            where: The row, for errors.
            counts: A `collections.Counter`.

        Raises:
            DataError: A tag that is not one of the task's.
        """
        try:
            tags, repairs = to_iob2(label, self.scheme)
        except ValueError as error:
            raise DataError(f"{where}: {error}.") from None
        if repairs and counts is not None:
            counts["tags_that_broke_the_scheme"] += repairs
        unknown = [tag for tag in tags if tag not in self._numbers]
        if unknown:
            raise DataError(
                f"{where}: unknown tag '{unknown[0]}'. The tags are "
                f"{self.labels}. Correct the row, or train with `labels` that "
                "have it (by default those of the training file)."
            )
        return [self._numbers[tag] for tag in tags]

    def featurize(self, examples, tokenizer, max_length, counts=None):
        """As `Task.featurize`; the fields of an example are its words."""
        stride = max_length // 4 if self.stride is None else self.stride
        for group in groups(examples, EXAMPLES_AT_ONCE):
            empty = sum(
                not word.strip() for one in group for word in one.fields
            )
            if counts is not None and empty:
                counts["empty_words_read_as_unknown"] += empty
            labels = [
                None
                if example.label is None
                else self.encode_label(
                    example.label, example.example_id, counts
                )
                for example in group
            ]
            for rows in sentence_rows(
                group, labels, tokenizer, max_length, stride
            ):
                if counts is not None and len(rows) > 1:
                    counts["sentences_cut_into_windows"] += 1
                yield from rows

    def example_of(self, text, example_id):
        """A text as an example: its words, which a list gives already."""
        words = split_words(text) if isinstance(text, str) else list(text)
        return Example(example_id, tuple(words or [" "]))

    # === Learning ===

    def hard_label_loss(self):
        """The loss on tags, for `Distiller.compile`."""
        return chain_cross_entropy if self.chain else token_cross_entropy

    def metrics(self):
        """The metrics that `fit` logs."""
        return [] if self.chain else [TokenAccuracy(name="accuracy")]

    def teacher_loss(
        self, name, temperature, weight, squared=True, shifted=False
    ):
        """The loss on the teacher's logits of each word's first piece."""
        if self.chain:
            if name != "soft_targets":
                raise ValueError(
                    "A student with a chain of tags learns from probabilities: "
                    f"`loss` must be soft_targets. Received: {name!r}."
                )
            return ChainSoftTargets(temperature, weight, squared)
        if name == "logits_mse":
            return LogitsMSE(weight=weight)
        loss = SoftCrossEntropy if name == "soft_cross_entropy" else SoftTargets
        return loss(temperature, weight, squared, shifted)

    # === Scores ===

    def select_outputs(self, logits, rows):
        """The logits of the words, `[words, outputs]`, sentence by sentence."""
        return logits.values[words_of_rows(rows)[0]]

    def references(self, rows):
        """The true tags: `TaggedWords`."""
        return TaggedWords(*words_of_rows(rows)[1:])

    def decode(self, logits, lengths):
        """The best valid tags of words: `[words]` numbers."""
        logits = np.asarray(logits)
        if self._is_chain(logits):
            tags = self.num_outputs
            logits = logits.reshape(-1, 1 + tags, tags)
        else:
            logits = log_softmax(logits)
        return best_sequences(logits, lengths, self._allowed)

    def _is_chain(self, logits):
        return logits.shape[-1] != self.num_outputs

    def _named(self, logits, references):
        tags = self.decode(logits, references.lengths)
        return references.sentences(tags, self.labels)

    def scores(self, logits, references):
        """See `keras_kd.evaluation.entity_scores`."""
        gold = references.sentences(references.tags, self.labels)
        return entity_scores(gold, self._named(logits, references))

    def comparable(self, logits, references):
        """`[sentences, 3]`: see `entity_counts`."""
        gold = references.sentences(references.tags, self.labels)
        return entity_counts(gold, self._named(logits, references))

    def decisions(self, logits, token_masks):
        """The tags of rows, `[rows, length]`, `NO_TOKEN` where there is none.

        Args:
            logits: `[rows, length, outputs]`.
            token_masks: `[rows, length]`.
        """
        own = np.asarray(token_masks) == 1
        tags = np.full(own.shape, NO_TOKEN)
        tags[own] = self.decode(logits[own], own.sum(axis=1))
        return tags

    def decisions_of(self, labels):
        """The same of labels."""
        return labels

    def trivial_score(self, references):
        """Where nothing is tagged, no entity is found."""
        return 0.0

    def check_logits(self, logits):
        """Refuses probabilities.

        Raises:
            ValueError: All words' are positive and sum to 1.
        """
        if (logits >= 0).all() and np.allclose(logits.sum(-1), 1, atol=1e-3):
            raise ValueError(
                "outputs that are all from 0 to 1 and sum to 1: they are "
                "probabilities, where raw logits are needed. Take the softmax "
                "out of the last layer."
            )

    def check_labels(self, references, part):
        """Refuses rows of which nothing can be learned.

        Raises:
            DataError: No word of them is a part of an entity.
        """
        if (references.tags == self._numbers[OUTSIDE]).all():
            raise DataError(
                f"None of the {len(references.tags)} words of the {part} part "
                "is tagged as part of an entity. Check the column of the tags."
            )

    def agreement(self, a, b, references):
        """Share of words that two models give the same tag."""
        same = self.decode(a, references.lengths) == self.decode(
            b, references.lengths
        )
        return float(same.mean())

    def divergence(self, teacher, student, references=None):
        """Mean KL of the words' distributions."""
        return mean_kl(teacher, student)

    def answers(self, logits, rows):
        """`(entities, probability)` of each sentence.

        An entity is a dictionary: `text`, `type`, and its `words`, from the
        first to one after the last. The probability is that of the least
        certain word, `None` of a chain.
        """
        references = self.references(rows)
        tags = self.decode(logits, references.lengths)
        certain = [None] * len(tags)
        if not self._is_chain(np.asarray(logits)):
            certain = np.exp(log_softmax(logits)[np.arange(len(tags)), tags])
        firsts = np.flatnonzero(rows.column("window") == 0)
        ends = np.cumsum(references.lengths)
        named = references.sentences(tags, self.labels)
        answers = []
        for row, end, sentence in zip(firsts, ends, named):
            words = json.loads(rows.text("words", row))
            own = certain[end - len(sentence) : end]
            found = [
                {"text": join_words(words[i:j]), "type": kind, "words": [i, j]}
                for kind, i, j in entities(sentence)
            ]
            probability = None if own[0] is None else float(min(own))
            answers.append((found, probability))
        return answers

    place = staticmethod(place_entities)
    show = staticmethod(show_entities)
