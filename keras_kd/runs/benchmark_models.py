"""What `keras-kd benchmark` times: models, their rows, and what they are."""

from keras_kd.data.retokenization import retokenize
from keras_kd.evaluation.benchmark_report import KERAS
from keras_kd.evaluation.result import primary_metric
from keras_kd.export.errors import ExportError
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.runs.deployment import TrainedStudent
from keras_kd.runs.distillation import TEST_ROWS
from keras_kd.runs.judgement import kept_arm
from keras_kd.runs.taught_run import short_hash
from keras_kd.runs.teaching import open_teacher

REFERENCE, TEACHER, STUDENT = "BERT-base", "teacher", "student"
BYTES_OF_FLOAT32 = 4
# Of features: what a tokenizer costs is not what is compared.
TIMED = ("litert", "mediapipe")


def models_of_runs(runs, results, threads, output, temporary, say):
    """The teachers, students and files of finished runs.

    Args:
        runs: Their `RunFolder`s.
        results: Their results, which score by one metric.
        threads: Threads of the files.
        output: Folder that keeps converted teachers, in `benchmark/`.
        temporary: Folder for rows.
        say: Function that is told what happens.

    Returns:
        List of dictionaries, teachers first: `name`, `of`, `model`, `rows` (as
        it reads them), `runtime`, `quantization`, `bytes` and `score`; the
        first of a teacher also has its `vocabulary_size`.
    """
    teachers, students = {}, []
    metric = primary_metric(results[0])
    for run, result in zip(runs, results):
        student = TrainedStudent(run)
        test = student.kept_rows(TEST_ROWS)
        prefix = f"{run.folder.resolve().name}/" if len(runs) > 1 else ""
        students += _student_models(
            student, test, result, metric, threads, prefix
        )
        teacher, _ = open_teacher(
            run.configuration, student.task, run.teacher_folder
        )
        key = short_hash(teacher.fingerprint)
        if key in teachers:
            continue
        if teacher.tokenizer.fingerprint != student.tokenizer.fingerprint:
            test = retokenize(
                test,
                teacher.tokenizer,
                temporary / f"teacher-{len(teachers)}",
                student.max_length,
            )
        score = _test_score(result, TEACHER, metric)
        name = f"{prefix if teachers else ''}{TEACHER}"
        teachers[key] = {
            **_keras_model(name, TEACHER, teacher.model, test, score),
            "vocabulary_size": teacher.tokenizer.vocabulary_size,
        }
    models = []
    for key, teacher in teachers.items():
        kept = output / "benchmark" / f"teacher-{key}"
        models += [
            teacher,
            *_converted(teacher, students, kept, threads, say),
        ]
    return models + students


def _student_models(student, test, result, metric, threads, prefix):
    """A student in Keras, and its files."""
    score = _test_score(result, kept_arm(result["arms"]), metric)
    models = [
        _keras_model(f"{prefix}{STUDENT}", STUDENT, student.model, test, score)
    ]
    for export in result["exports"]:
        path = student.folder / export["file"]
        if export["format"] in TIMED and path.exists():
            models.append(
                _file(
                    path,
                    f"{prefix}{path.name}",
                    STUDENT,
                    test,
                    export["quantization"],
                    threads,
                    export.get("scores", {}).get(metric),
                )
            )
    return models


def bert_base_beside(models, threads, temporary, say):
    """A model of BERT-base's shape, in each runtime that the models have.

    It has the first teacher's vocabulary, and reads its rows.
    """
    from transformers import BertConfig

    from keras_kd.models.bert import bert
    from keras_kd.models.huggingface_config import read_settings

    teacher = models[0]
    # BERT-base is what `BertConfig` describes by itself.
    config = BertConfig(vocab_size=teacher["vocabulary_size"]).to_dict()
    model = bert(read_settings(config), "sequence", 2)
    reference = _keras_model(REFERENCE, REFERENCE, model, teacher["rows"])
    return [
        reference,
        *_converted(reference, models, temporary / "bert-base", threads, say),
    ]


def _keras_model(name, of, model, rows, score=None):
    return {
        "name": name,
        "of": of,
        "model": model,
        "rows": rows,
        "runtime": KERAS,
        "quantization": "float32",
        "bytes": model.count_params() * BYTES_OF_FLOAT32,
        "score": score,
    }


def _file(path, name, of, rows, quantization, threads, score=None):
    return {
        "name": name,
        "of": of,
        "model": LiteRTModel(path, num_threads=threads),
        "rows": rows,
        "runtime": "LiteRT",
        "quantization": quantization,
        "bytes": path.stat().st_size,
        "score": score,
    }


def _test_score(result, arm, metric):
    """The test score of an arm's seed that was kept; `None` without one."""
    seeds = result["arms"].get(arm, {}).get("seeds")
    if not seeds:
        return None
    best = max(seeds, key=lambda seed: seed.get("best_score") or 0.0)
    return best["scores"].get(metric)


def quantization_of_teacher(quantization):
    """The quantisation of a teacher to be put beside such a file."""
    return "dynamic" if "embedding" in quantization else quantization


def _converted(teacher, models, path, threads, say):
    """The teacher as LiteRT files, one for each quantisation of the models."""
    from keras_kd.export.litert import convert_teacher

    path.parent.mkdir(exist_ok=True)
    files = []
    for quantization in sorted(
        {
            quantization_of_teacher(one["quantization"])
            for one in models
            if one["runtime"] != KERAS
        }
    ):
        file = path.with_name(f"{path.name}-{quantization}.tflite")
        if not file.exists():
            say(f"Converting {teacher['name']}, {quantization} ...")
            try:
                convert_teacher(teacher["model"], file, quantization)
            except ExportError as error:
                say(f"{teacher['name']} is timed in Keras alone: {error}")
                break
        files.append(
            _file(
                file,
                teacher["name"],
                teacher["of"],
                teacher["rows"],
                quantization,
                threads,
            )
        )
    return files
