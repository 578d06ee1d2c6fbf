"""What every task has in common, and what most have: whole texts."""

import os

from keras_kd.data.example import Example
from keras_kd.data.masked_text import text_columns
from keras_kd.data.rows import target_key
from keras_kd.data.rows import write_rows
from keras_kd.data.sources import read_examples

EXAMPLES_AT_ONCE = 2048


class Task:
    """Says what a label is, how it is learned, and how it is scored.

    A task is an object that the engine asks; the engine itself knows of no
    class, number or label. A subclass gives what is listed here.

    | member | says |
    |---|---|
    | `name` | the name of the task in a configuration |
    | `labels`, `num_outputs` | names and number of the logits |
    | `student_outputs` | the same of the student, where it has more |
    | `task_head` | the head of a Hugging Face checkpoint that does it |
    | `for_teacher()` | the task without what only the student has |
    | `per_token` | whether there are logits for each token |
    | `metrics_of_choice` | metrics that may be primary; the first is default |
    | `encode_label(label, where)` | a label as a number or a list |
    | `activation` | what makes probabilities of logits; `None` if nothing |
    | `no_label` | what stands where a row has no label |
    | `hard_label_loss()`, `metrics()` | for `Distiller.compile` |
    | `teacher_loss(name, temperature, weight, squared, shifted)` | on its \
logits |
    | `select_outputs(logits, rows)` | those that scores are read from |
    | `references(rows)` | what logits are scored by: the rows' labels |
    | `scores(logits, references)` | a dictionary with the primary metric |
    | `loss_of_scores` | the score that is a loss, to break ties by |
    | `comparable(logits, references)` | what `bootstrap_metric` reads |
    | `bootstrap_metric` | the metric of `paired_bootstrap` |
    | `trivial_score(references)` | what answers that ignore the text score |
    | `check_logits(logits)` | refuses outputs that are no logits |
    | `check_labels(references, part)` | refuses labels that teach nothing |
    | `agreement(a, b, references)`, `divergence(a, b, references)` | how \
alike two models answer |
    | `read_source(source)` | the examples of a file or a TFDS name |
    | `example_of(text, example_id)` | an `Example` of what a user gives |
    | `answers(logits, rows)` | `(answer, probability)` of each example |
    | `place(answer, text)` | it with its places in the text |
    | `further(answer)` | the next best answers |
    | `show(answer)` | an answer as a line |
    | `decisions(logits, token_mask)` | of tokens: what files must agree on |

    Args:
        metric: The primary metric, by which checkpoints are chosen and the
            comparison is judged; higher is better.

    Raises:
        ValueError: Another metric than the task has.
    """

    name = None
    labels = None
    metrics_of_choice = ()
    loss_of_scores = "nll"
    activation = None
    per_token = False
    task_head = "sequence"
    agreement_title = "agrees with teacher"
    read_source = staticmethod(read_examples)

    def __init__(self, metric=None):
        metric = metric or self.metrics_of_choice[0]
        if metric not in self.metrics_of_choice:
            raise ValueError(
                f"`metric` of the task '{self.name}' must be one of "
                f"{list(self.metrics_of_choice)}. Received: {metric!r}."
            )
        self.primary_metric = metric

    def to_dict(self):
        """What `keras_kd.tasks.named_tasks.build_task` makes it from."""
        return {
            "name": self.name,
            "labels": self.labels,
            "metric": self.primary_metric,
        }

    @property
    def student_outputs(self):
        """Number of the student's logits."""
        return self.num_outputs

    def for_teacher(self):
        """The task as the teacher learns it."""
        return self

    def select_outputs(self, logits, rows):
        """The logits that scores are read from, as an array."""
        return logits

    def references(self, rows):
        """What the logits of rows are scored by."""
        return rows.column("label")

    def example_of(self, text, example_id):
        """A text, or a pair of texts, as an example."""
        fields = (text,) if isinstance(text, str) else tuple(text)
        return Example(example_id, fields)

    def place(self, answer, text):
        """An answer with where it stands in the text that was given."""
        return answer

    def further(self, answer):
        """The next best answers, `(answer, probability)`, of a task of them."""
        return []

    def show(self, answer):
        """An answer as a line."""
        return answer

    def score(self, logits, references):
        """The primary metric."""
        return self.scores(logits, references)[self.primary_metric]

    def featurize(self, examples, tokenizer, max_length, counts=None):
        """Turns examples into rows, streaming.

        Args:
            examples: Iterable of `keras_kd.data.sources.Example`.
            tokenizer: `Tokenizer` of the teacher.
            max_length: The most tokens of a row, special tokens included.
            counts: A `collections.Counter` of what had to be repaired.

        Yields:
            Dictionaries for `keras_kd.data.rows.write_rows`.
        """
        for group in groups(examples, EXAMPLES_AT_ONCE):
            texts, *others = zip(
                *[example.fields for example in group], strict=True
            )
            encoded = tokenizer.encode(list(texts), max_length, *others)
            for example, (token_ids, segment_ids) in zip(group, encoded):
                has_label = example.label is not None
                row = {
                    "example_id": example.example_id,
                    "target_key": target_key(token_ids, segment_ids),
                    "token_ids": token_ids,
                    **text_columns("text", example.fields[0]),
                    "label": self.encode_label(
                        example.label, example.example_id
                    )
                    if has_label
                    else self.no_label,
                    "label_weight": float(has_label),
                }
                if others:
                    row["segment_ids"] = segment_ids
                    row |= text_columns("text_pair", example.fields[1])
                yield row

    def make_rows(self, source, tokenizer, folder, max_length=128, **columns):
        """Reads a source, tokenises it once, and opens the rows.

        Args:
            source: A file, or `tfds:NAME`, as `read_source` reads it. Or an
                iterable of `Example`, such as an augmentation gives.
            tokenizer: `Tokenizer` of the teacher.
            folder: Folder of the rows. One that is there is replaced.
            max_length: The most tokens of a row.
            **columns: Further arguments of `read_source`.

        Returns:
            `keras_kd.data.rows.Rows`.
        """
        name = "examples"
        if isinstance(source, (str, os.PathLike)):
            name = str(source)
            source = self.read_source(source, **columns)
        rows = self.featurize(source, tokenizer, max_length)
        return write_rows(folder, rows, {"source": name})


def groups(items, size):
    """Lists of up to `size` items."""
    group = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
