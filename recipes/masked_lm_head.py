"""A masked-LM head for a BERT that was published without one.

    python -m recipes.masked_lm_head --data "$DATA/imdb/unsup.txt.gz" \\
        --run runs/masked_lm

Sentence encoders such as all-MiniLM-L6-v2 have lost the head that tells masked
words. This trains a new one on raw text, one text a line: a dense layer, its
normalisation and a bias over the encoder's own word table, and the encoder
with them. What comes out is a Hugging Face folder, `RUN/model`, which
`--augment-masked-lm` takes, and a masked-LM teacher. It is not trained on the
texts that recipes.masked_lm judges by, where both are given one file.
"""

import argparse
import sys

from keras_kd.commands.guard import guarded
from keras_kd.commands.guard import load_keras
from keras_kd.commands.parsers import add_traceback
from keras_kd.language.text_parts import add_text_parts
from keras_kd.language.text_parts import text_parts
from recipes.teacher import find_teacher


def make_parser():
    """The parser of the recipe's flags."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.masked_lm_head",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="texts, one a line"
    )
    parser.add_argument("--run", required=True, metavar="DIR")
    parser.add_argument(
        "--teacher",
        metavar="DIR",
        default=find_teacher(),
        help="the encoder: a Hugging Face folder (default: %(default)s)",
    )
    for name, kind, default, text in (
        ("texts", int, 20000, "how many texts are trained on"),
        ("max-length", int, 128, "tokens of a window"),
        ("batch-size", int, 32, "windows a batch"),
        ("steps", int, 2500, "optimizer steps"),
        ("evaluate-every", int, 250, "steps between two validations"),
        ("learning-rate", float, 5e-4, "peak of the learning rate"),
        ("seed", int, 0, "seed of the masks, the order and the head"),
    ):
        parser.add_argument(
            f"--{name}",
            type=kind,
            default=default,
            metavar="N" if kind is int else "RATE",
            help=f"{text} (default: %(default)s)",
        )
    add_text_parts(parser)
    add_traceback(parser)
    return parser


def run(options):
    """Trains the head as the parsed flags say; resumable."""
    load_keras()
    import keras

    from keras_kd.data.tokenization import Tokenizer
    from keras_kd.language.raw_text import read_windows
    from keras_kd.models.huggingface_export import config_of
    from keras_kd.models.huggingface_export import write_folder
    from keras_kd.models.huggingface_folder import resolve_folder
    from keras_kd.models.pretrained import load_pretrained
    from keras_kd.runs.run_folder import RunFolder
    from keras_kd.runs.teacher_checks import check_length
    from keras_kd.teachers.teacher import weights_hash

    folder = resolve_folder(options.teacher)
    run_folder = RunFolder(options.run)
    run_folder.hold_to_settings(
        {
            name: value
            for name, value in vars(options).items()
            if name not in ("run", "traceback")
        }
    )
    tokenizer = Tokenizer.from_folder(folder)
    keras.utils.set_random_seed(options.seed)
    model = load_pretrained(
        folder,
        "masked_lm",
        num_outputs=tokenizer.vocabulary_size,
    )
    check_length(model, options.max_length)
    # A head that is new has the numbers of its seed.
    run_folder.hold_to("teacher", {"weights": weights_hash(model)})
    parts, _ = read_windows(
        run_folder,
        options.data,
        text_parts(options.texts, options.validation_texts, options.test_texts),
        tokenizer,
        options.max_length,
    )
    print({part: f"{len(rows)} windows" for part, rows in parts.items()})
    result = train(
        model, tokenizer, parts, options, run_folder.unit("masked_lm_head")
    )
    print(
        f"Masked tokens told right: {result['best_score']:.2%} of "
        f"{options.validation_texts} texts that were not trained on (step "
        f"{result['best_step']}, {result['seconds']:.0f} s)."
    )
    config = config_of(model, "masked_lm", tokenizer.pad_id)
    target = run_folder.folder / "model"
    write_folder(target, model, config, "masked_lm", tokenizer)
    print(f"Hugging Face folder: {target}")


def train(model, tokenizer, parts, options, unit):
    """Trains a masked language model; gives the result of `train_unit`."""
    from keras_kd.data.masked_batches import evaluation_masked_batches
    from keras_kd.data.masked_batches import training_masked_batches
    from keras_kd.distiller import Distiller
    from keras_kd.losses.token_accuracy import TokenAccuracy
    from keras_kd.losses.token_cross_entropy import token_cross_entropy
    from keras_kd.models.masked_lm import at_positions
    from keras_kd.runs.training import adamw
    from keras_kd.runs.training import train_unit

    trained = at_positions(model)
    distiller = Distiller(trained)
    distiller.compile(
        adamw(options.learning_rate, options.steps),
        loss=token_cross_entropy,
        metrics=[TokenAccuracy(name="accuracy")],
    )

    def score():
        batches = evaluation_masked_batches(
            parts["validation"], trained, tokenizer
        )
        logs = distiller.evaluate(batches, verbose=0, return_dict=True)
        return logs["accuracy"], logs["loss"]

    return train_unit(
        unit,
        distiller,
        lambda step: training_masked_batches(
            parts["train"],
            trained,
            tokenizer,
            options.batch_size,
            options.seed,
            step,
        ),
        score,
        options.steps,
        options.evaluate_every,
        "masked LM",
    )


if __name__ == "__main__":
    arguments = make_parser().parse_args()
    sys.exit(guarded(run, arguments))
