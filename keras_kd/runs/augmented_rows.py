"""Rows that are made of a run's labelled ones, for the teacher to label."""

import functools
import hashlib
import shutil
from pathlib import Path

import numpy as np

from keras_kd.data.augmentation.kept_copies import augment_resumably
from keras_kd.data.augmentation.masked_words import MaskedWords
from keras_kd.data.augmentation.nearest_words import nearest_words
from keras_kd.data.augmentation.same_tag_words import SameTagWords
from keras_kd.data.augmentation.spacy_tagger import SpacyTagger
from keras_kd.data.augmentation.spacy_tagger import spacy_versions
from keras_kd.data.augmentation.tang import TangAugmentation
from keras_kd.data.augmentation.tinybert import TinyBertAugmentation
from keras_kd.data.augmentation.word_splitter import HAN
from keras_kd.data.augmentation.word_splitter import WordSplitter
from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.retokenization import texts_of
from keras_kd.data.rows import open_or_write_rows
from keras_kd.data.rows import shared_folder
from keras_kd.data.segmentation import make_segmenter
from keras_kd.data.tokenization import Tokenizer
from keras_kd.inference import keras_runtime
from keras_kd.models.huggingface_folder import resolve_folder
from keras_kd.models.masked_lm import at_positions
from keras_kd.models.pretrained import find_heads
from keras_kd.models.pretrained import load_pretrained
from keras_kd.models.word_vectors import read_vectors
from keras_kd.progress import progress_bar
from keras_kd.teachers.target_shards import file_hash

# To be counted up when other texts are made of the same ones.
AUGMENTED_FORMAT = 2
# Whatever the seeds of the trainings: all of them see the same texts.
SEED = 0
WINDOW = 128


def check_augmentation(configuration, say=lambda text: None):
    """Refuses what can't be augmented with, before anything long is done.

    Args:
        configuration: `Configuration`.
        say: Function that is told what will not be done.

    Raises:
        ImportError: The tagger is not installed.
        FileNotFoundError: There is no such model.
        DataError: It has no masked-LM head, or there are no such vectors.
    """
    if configuration.augment == "tang":
        if configuration.augment_tagger is None:
            say(
                "Augmenting without a tagger: words are masked, and not "
                "replaced by others of the same part of speech."
            )
        else:
            spacy_versions(configuration.augment_tagger)
    if configuration.augment == "tinybert":
        folder = _masked_lm_folder(configuration)
        heads = find_heads(folder, configuration.allow_pickle)
        if "masked_lm" not in heads:
            raise DataError(
                f"'{folder}' has no masked-LM head (its heads: "
                f"{', '.join(sorted(heads)) or 'none'}), which proposes the "
                "words. Give a checkpoint that has one with "
                "`augment_masked_lm`, such as google-bert/bert-base-uncased."
            )
        vectors = configuration.augment_word_vectors
        if vectors is None:
            say(
                "Augmenting without word vectors: words of several tokens "
                "stay as they are."
            )
        elif not Path(vectors).is_file():
            raise DataError(
                f"There is no file '{vectors}'. Expected word vectors with "
                "`augment_word_vectors`: GloVe's or word2vec's."
            )


def make_augmented_rows(
    configuration, task, tokenizer, labelled, folder, say=lambda text: None
):
    """Augments the labelled rows of a run, once.

    Args:
        configuration: `Configuration`.
        task: The task; turns examples into rows.
        tokenizer: `Tokenizer` of the teacher.
        labelled: `Rows` to train on: nothing of validation or test.
        folder: Where the rows are kept.
        say: Function that is told what happens.

    Returns:
        `Rows` without labels. Some may read alike, or like other rows of the
        run: see `leave_out`.

    Raises:
        DataError: Nothing could be made of the texts.
    """
    # Cut by jieba where the teacher or the student cuts by it.
    segmenter = "jieba" if configuration.tokens == "jieba" else None
    segmenter = tokenizer.segmenter or segmenter
    splitter = WordSplitter(segmenter)
    some = texts_of(labelled.select(np.arange(min(100, len(labelled)))))
    if any(HAN.search(text) for text in some):
        words = "the words that jieba finds" if segmenter else "its characters"
        say(f"The words of Chinese text are {words}.")
    fingerprint = {
        "format": AUGMENTED_FORMAT,
        "of": [part.fingerprint for part in labelled.parts],
        "rows": hashlib.blake2b(
            labelled.numbers.astype("int64").tobytes(), digest_size=16
        ).hexdigest(),
        "copies": configuration.augment_copies,
        "seed": SEED,
        "segmenter": segmenter and make_segmenter(segmenter).description,
        "method": configuration.augment,
        **_made_with(configuration),
    }

    path = shared_folder(folder, "augmented", fingerprint)
    copies = path.with_name(f"{path.name}.copies")

    def make():
        say(f"Augmenting {len(labelled)} rows ...")
        augmentation = _augmentation(configuration, splitter, labelled)
        with progress_bar("augmenting", len(labelled)) as advance:
            examples = augment_resumably(
                augmentation, _examples(labelled), copies, advance
            )
            rows = task.featurize(examples, tokenizer, configuration.max_length)
            row = None
            for row in rows:
                yield row
        if row is None:
            raise DataError(
                f"Nothing could be made of the {len(labelled)} labelled texts "
                f"with augment={configuration.augment}: no copy differs from "
                "its text. Give texts of words, or leave it out."
            )

    rows = open_or_write_rows(path, make, fingerprint)
    shutil.rmtree(copies, ignore_errors=True)
    return rows


def leave_out(augmented, held_out, trained_on):
    """The augmented rows that are like no other, and none that is held out.

    Args:
        augmented: `Rows`.
        held_out: Keys of the rows of validation and test.
        trained_on: Keys of all other rows of the run.

    Returns:
        `(rows, counts)`: those left, and how many are left and are not.
    """
    keys = augmented.keys()
    seen = np.isin(keys, held_out)
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    new = first & ~np.isin(keys, trained_on)
    counts = {
        "augmented": int((new & ~seen).sum()),
        "augmented_rows_left_out_because_held_out": int(seen.sum()),
        "augmented_rows_left_out_because_repeated": int((~new & ~seen).sum()),
    }
    return augmented.select(new & ~seen), counts


def _augmentation(configuration, splitter, labelled):
    settings = {
        "copies": configuration.augment_copies,
        "seed": SEED,
        # Hardly a tokenizer makes less than a token of each word.
        "max_words": configuration.max_length,
    }
    if configuration.augment == "tang":
        same = None
        if configuration.augment_tagger is not None:
            tagger = SpacyTagger(configuration.augment_tagger)
            same = SameTagWords(tagger, texts_of(labelled), splitter)
        return TangAugmentation(
            same_tag_words=same, splitter=splitter, **settings
        )
    folder = _masked_lm_folder(configuration)
    model = load_pretrained(
        folder, task_head="masked_lm", allow_pickle=configuration.allow_pickle
    )
    positions = model.get_layer("position_embedding").sequence_length
    masked_words = MaskedWords(
        keras_runtime(at_positions(model)),
        Tokenizer.from_folder(folder),
        splitter,
        window=min(WINDOW, positions),
    )
    nearest = {}
    if configuration.augment_word_vectors is not None:
        nearest = nearest_words(
            functools.partial(read_vectors, configuration.augment_word_vectors),
            masked_words.words_of_several_tokens(texts_of(labelled)),
            splitter=splitter,
        )
    return TinyBertAugmentation(masked_words, nearest, **settings)


def _masked_lm_folder(configuration):
    return resolve_folder(
        configuration.augment_masked_lm, configuration.allow_pickle
    )


def _made_with(configuration):
    """What the texts are made with, for the fingerprint."""
    if configuration.augment == "tang":
        name = configuration.augment_tagger
        return {"tagger": name and spacy_versions(name)}
    folder = _masked_lm_folder(configuration)
    vectors = configuration.augment_word_vectors
    return {
        "masked_lm": {
            file.name: file_hash(file)
            for file in sorted(folder.iterdir())
            if file.is_file()
        },
        "word_vectors": vectors and file_hash(vectors),
    }


def _examples(rows):
    """The texts of rows, without their labels."""
    names = [name for name in ("text", "text_pair") if name in rows.columns]
    for position in range(len(rows)):
        yield Example(
            rows.text("example_id", position),
            tuple(rows.text(name, position) for name in names),
        )
