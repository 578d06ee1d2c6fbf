"""Few labels, much unlabelled text: what distillation is for, in minutes.

A small real BERT is fine-tuned on 600 labelled sentences and labels 1,400
others. A BiGRU is trained alone on the 600, and distilled on all 2,000 in the
same number of steps. What comes out is compared, exported and used.

    python -m recipes.quickstart
"""

import argparse
import sys
from pathlib import Path

from keras_kd.commands.guard import guarded
from keras_kd.commands.parsers import add_run
from keras_kd.commands.training import run_distill
from keras_kd.configuration.setting_flags import add_settings
from keras_kd.runs.judgement import kept_arm
from recipes.teacher import find_teacher

PROGRAM = "python -m recipes.quickstart"
FOLDER = "saved_models/quickstart"
DATA = Path(__file__).parent / "data" / "sentiment_sentences.csv"
SENTENCES = (
    "An absolute joy from start to finish.",
    "The battery died after two days.",
    "The waiter was rude and the soup was cold.",
    "I would buy this phone again without hesitation.",
)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--run DIR] [settings]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run(parser, folder=FOLDER)
    add_settings(
        parser,
        train=str(DATA),
        teacher=find_teacher(),
        labelled_rows=600,
        validation_rows=300,
        test_rows=700,
        max_length=64,
        teacher_epochs=4.0,
        student="bigru",
        width=64,
        embedding_dim=64,
        steps=400,
        evaluate_every=50,
        alpha=0.9,
        seeds=[0, 1, 2],
        export=["float32", "dynamic"],
    )
    options = parser.parse_args(arguments)

    return guarded(run, options)


def run(options):
    finished = run_distill(options, lambda settings: FOLDER)
    if finished is None:
        return
    settings, folder = finished
    if kept_arm(settings.arms) is None:
        print(
            "\nNo student was trained, so that there is none to try. Add "
            "'distilled' to --arms; what is done is not done twice."
        )
        return
    from keras_kd.runs.deployment import TrainedStudent
    from keras_kd.runs.run_folder import RunFolder

    student = TrainedStudent(RunFolder.open(folder))
    print("\nThe student, on sentences that nobody labelled:")
    for sentence in SENTENCES:
        ((label, probability),) = student.predict([sentence])
        word = "positive" if label == "1" else "negative"
        print(f"  {word} ({probability:.2f})  {sentence}")


if __name__ == "__main__":
    sys.exit(main())
