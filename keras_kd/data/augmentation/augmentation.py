"""What all ways of augmenting have in common."""

import itertools
import random

from keras_kd.data.augmentation.word_splitter import WordSplitter
from keras_kd.data.augmentation.word_splitter import is_word
from keras_kd.data.example import Example

EXAMPLES_AT_ONCE = 64
# Of pairs: which text a copy leaves as it is, by the copy's number modulo 3.
LEFT_ALONE = {1: 1, 2: 0}


class Augmentation:
    """Makes other texts of the texts of examples; they have no labels.

    What was made of an example carries its id with a number behind it
    (`train.tsv:12#augmented:3`), and leaves its label behind: the teacher
    labels it. What is drawn depends on the seed, the id and that number alone,
    not on the order of the examples. Of a pair, the first copy changes the
    first text, the second one the second, the third both, and so on; what is
    drawn for one text does not depend on the other.

    A subclass gives `plan` and `vary`.

    Args:
        copies: Texts that are made of each example. Those that repeat another
            one, or the example itself, are left out.
        seed: Seed of what is drawn.
        max_words: A longer text is cut after so many words; what lies beyond
            what is read would only be made to be thrown away.
        splitter: `WordSplitter`.
    """

    def __init__(self, copies=20, seed=0, max_words=None, splitter=None):
        self.copies = copies
        self.seed = seed
        self.max_words = max_words
        self.splitter = splitter or WordSplitter()

    def augment(self, examples):
        """Yields the augmented examples, a few texts in memory at a time.

        Args:
            examples: Iterable of `keras_kd.data.example.Example`.
        """
        examples = iter(examples)
        while group := list(itertools.islice(examples, EXAMPLES_AT_ONCE)):
            texts = [self.cut(t) for e in group for t in e.fields]
            plans = iter(self.plan(texts))
            texts = iter(texts)
            for example in group:
                number = len(example.fields)
                yield from self._copies(
                    example.example_id,
                    list(itertools.islice(texts, number)),
                    list(itertools.islice(plans, number)),
                )

    def plan(self, texts):
        """What is worked out once for all copies of each text.

        Args:
            texts: List of strings.

        Returns:
            List or iterator of whatever `vary` takes.
        """
        raise NotImplementedError

    def vary(self, text, plan, draw):
        """One other text.

        Args:
            text: String.
            plan: What `plan` gave for the text.
            draw: Function that gives numbers from 0 to 1.

        Returns:
            As in `Example.fields`.
        """
        raise NotImplementedError

    def unchanged(self, text):
        """A text in the form that `vary` gives."""
        return text

    def words(self, text):
        """The spans of a text that are words."""
        return [
            (start, end)
            for start, end in self.splitter.spans(text)
            if is_word(text[start:end])
        ]

    def cut(self, text):
        """A text up to its last word that counts."""
        most = self.max_words
        # A text has fewer words than characters.
        if most is None or len(text) <= most:
            return text
        words = self.words(text)
        return text if len(words) <= most else text[: words[most - 1][1]]

    def _copies(self, example_id, texts, plans):
        seen = {tuple(map(self.unchanged, texts))}
        for copy in range(1, self.copies + 1):
            fields = []
            for number, (text, plan) in enumerate(zip(texts, plans)):
                if len(texts) > 1 and number == LEFT_ALONE.get(copy % 3):
                    fields.append(self.unchanged(text))
                    continue
                # Seeded by a hash of the string.
                place = f"{self.seed}:{example_id}:{copy}:{number}"
                draw = random.Random(place).random
                fields.append(self.vary(text, plan, draw))
            if tuple(fields) not in seen:
                seen.add(tuple(fields))
                yield Example(f"{example_id}#augmented:{copy}", tuple(fields))


def rewrite(text, changes, start=0, end=None):
    """A part of a text with some of its words changed.

    Args:
        text: String.
        changes: List of `((start, end), word)` in order; `None` in place of
            a word masks the one that stands there.
        start: Where the part begins.
        end: Where it ends.

    Returns:
        Tuple of what stands before, between and after the masks.

    Example:

    >>> rewrite("a fine film", [((0, 1), "no"), ((2, 6), None)])
    ('no ', ' film')
    """
    end = len(text) if end is None else end
    pieces = [""]
    for (first, last), word in changes:
        if start <= first and last <= end:
            pieces[-1] += text[start:first] + (word or "")
            start = last
            if word is None:
                pieces.append("")
    pieces[-1] += text[start:end]
    return tuple(pieces)


def check_share(name, value):
    """Refuses what is no probability."""
    if not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be from 0 to 1. Received: {value!r}.")
