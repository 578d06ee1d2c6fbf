"""LiteRT files: converted, checked on rows, whole or not there at all."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_kd.export import child_process
from keras_kd.export import litert
from keras_kd.export.errors import ExportError
from keras_kd.export.export_arguments import check_labels
from keras_kd.export.litert import convert_teacher
from keras_kd.export.litert import export_litert
from keras_kd.export.litert_gates import check_outputs
from keras_kd.export.litert_gates import loss_probability
from keras_kd.export.litert_runner import LiteRTModel

LENGTH = 16
LABELS = ["negative", "neutral", "positive"]
PROJECT = Path(__file__).resolve().parents[2]

WITHOUT_TENSORFLOW = """
import json, sys, zipfile
import numpy as np
from ai_edge_litert.interpreter import Interpreter

path, rows = sys.argv[1:]
with zipfile.ZipFile(path) as archive:
    labels = archive.read("labels.txt").decode().splitlines()
    vocabulary = archive.read("vocab.txt").decode().split("\\n")
    metadata = json.loads(archive.read("metadata.json"))
rows = np.load(rows)
runner = Interpreter(model_path=path).get_signature_runner()
outputs = [
    runner(
        token_ids=rows["token_ids"][row : row + 1],
        padding_mask=rows["padding_mask"][row : row + 1],
    )["logits"].tolist()
    for row in range(5)
]
print(json.dumps([labels, vocabulary, metadata, outputs]))
"""

INTERRUPTED_EXPORT = """
import signal
import sys

# A background job of a shell is started with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
import keras
import numpy as np
from keras_kd.export.litert import export_litert

student = keras.models.load_model(sys.argv[1])
rows = {
    name: np.ones((4, 16), "int32") for name in ("token_ids", "padding_mask")
}
print("start", flush=True)
export_litert(student, sys.argv[2], rows, "float32", 16)
"""


def keras_logits(student, rows):
    return student.predict_on_batch(rows)


def files_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.slow  # tests/export/test_student_matrix.py has the usual ones.
@pytest.mark.parametrize("kind", ["bigru", "transformer"])
def test_students_pass_in_every_quantization(
    kind, make_student, make_rows, tokenizer, run_script, tmp_path
):
    student = make_student(kind)
    rows = make_rows()
    expected = keras_logits(student, rows)
    labels_of_rows = expected.argmax(-1)
    sizes = {}
    for quantization in ("float32", "float16", "dynamic"):
        path = tmp_path / f"{quantization}.tflite"
        done = []
        report = export_litert(
            student,
            path,
            rows,
            quantization,
            LENGTH,
            tokenizer=tokenizer,
            labels=LABELS,
            metadata={"licence": "Apache-2.0"},
            labels_of_rows=labels_of_rows,
            progress=done.append,
        )
        sizes[quantization] = report["bytes"]
        assert report["file"] == path.name
        assert report["bytes"] == path.stat().st_size
        assert report["rows"] == sum(done) == 100
        assert report["accuracy_keras"] == 1.0
        assert report["accuracy_file"] >= 0.97
        assert not any("CUSTOM" in name for name in report["ops"])
        assert ("WHILE" in report["ops"]) == (kind == "bigru")
        received = LiteRTModel(path).predict(rows)
        tolerance = {"float32": 1e-5, "float16": 5e-3, "dynamic": 0.3}
        np.testing.assert_allclose(
            received, expected, rtol=0, atol=tolerance[quantization]
        )
        # A second pass: no state may be kept from row to row.
        np.testing.assert_array_equal(LiteRTModel(path).predict(rows), received)
    assert sizes["dynamic"] < sizes["float32"]
    assert sizes["float16"] < sizes["float32"]
    assert files_in(tmp_path) == [
        "dynamic.tflite", "float16.tflite", "float32.tflite"
    ]  # fmt: skip

    np.savez(tmp_path / "rows.npz", **rows)
    output = run_script(
        WITHOUT_TENSORFLOW,
        tmp_path / "float32.tflite",
        tmp_path / "rows.npz",
        blocked=("tensorflow", "keras", "keras_kd"),
    )
    names, vocabulary, metadata, outputs = json.loads(output)
    assert names == LABELS == metadata["labels"]
    assert vocabulary == [*tokenizer.vocabulary, ""]
    assert metadata["licence"] == "Apache-2.0"
    assert metadata["max_length"] == LENGTH
    assert metadata["tokenizer"]["fingerprint"] == tokenizer.fingerprint
    assert metadata["max_difference"] <= 1e-5
    np.testing.assert_allclose(
        np.concatenate(outputs), expected[:5], rtol=0, atol=1e-5
    )


@pytest.fixture(scope="session")
def exported_once():
    return []


@pytest.fixture
def exported(exported_once, linear_student, make_rows, tmp_path):
    """A float32 file of the linear student, in a folder of its own."""
    path = tmp_path / "exported" / "student.tflite"
    if exported_once:
        path.parent.mkdir()
        path.write_bytes(exported_once[0])
        return path
    export_litert(
        linear_student, path, make_rows(8), "float32", LENGTH, labels=LABELS
    )
    exported_once.append(path.read_bytes())
    return path


def test_a_file_knows_its_inputs_labels_and_length(
    exported, linear_student, make_rows
):
    model = LiteRTModel(exported)
    assert sorted(model.input_names) == ["padding_mask", "token_ids"]
    assert model.output_names == ["logits"]
    assert model.length == LENGTH
    assert model.labels == LABELS
    assert model.metadata["quantization"] == "float32"
    assert model.metadata["inputs"] == ["padding_mask", "token_ids"]
    rows = make_rows(3, length=10)
    np.testing.assert_allclose(
        model.predict({**rows, "segment_ids": None}),
        keras_logits(linear_student, rows),
        atol=1e-5,
    )
    with zipfile.ZipFile(exported) as archive:
        assert {item.compress_type for item in archive.infolist()} == {
            zipfile.ZIP_STORED
        }


def test_rows_that_a_file_cannot_take_are_refused(exported, make_rows):
    model = LiteRTModel(exported)
    with pytest.raises(ValueError, match="takes 16 tokens.*rows of 17"):
        model.predict(make_rows(2, length=17))
    with pytest.raises(KeyError, match="Missing: .'padding_mask'"):
        model.predict({"token_ids": np.ones((1, LENGTH))})


def test_what_is_no_litert_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        LiteRTModel(tmp_path / "missing.tflite")
    (tmp_path / "broken.tflite").write_bytes(b"not a model at all")
    with pytest.raises(ValueError, match="broken.tflite can't be run"):
        LiteRTModel(tmp_path / "broken.tflite")


def test_a_process_of_its_own_writes_the_same_bytes(
    exported, linear_student, make_rows, tmp_path, children_of_their_own
):
    again = tmp_path / "again" / "student.tflite"
    export_litert(
        linear_student, again, make_rows(8), "float32", LENGTH, labels=LABELS
    )
    assert again.read_bytes() == exported.read_bytes()


def test_a_teacher_takes_any_batch_and_any_length(
    make_student, make_rows, tmp_path
):
    teacher = make_student("transformer")
    model = convert_teacher(teacher, tmp_path / "teacher.tflite")
    assert model.length is None
    for count, length in [(5, 9), (3, 16), (1, 2)]:
        rows = make_rows(count, length)
        np.testing.assert_allclose(
            model.predict(rows), keras_logits(teacher, rows), atol=0.3
        )


def test_a_recurrent_teacher_is_refused_with_the_reason(make_student, tmp_path):
    with pytest.raises(ExportError, match="fixed number of rows only"):
        convert_teacher(make_student("bigru"), tmp_path / "teacher.tflite")
    assert files_in(tmp_path) == []


def test_half_precision_students_are_exported_as_float32(make_rows, tmp_path):
    from keras_kd.models.transformer import transformer_student

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        student = transformer_student(
            2000, 3, hidden_dim=16, num_heads=2, max_length=32
        )
        rows = make_rows(8)
        report = export_litert(
            student, tmp_path / "student.tflite", rows, "float32", LENGTH
        )
    finally:
        keras.config.set_dtype_policy("float32")
    assert report["max_difference"] < 1e-5
    received = LiteRTModel(tmp_path / "student.tflite").predict(rows)
    # What bfloat16 itself is off by: 8 bits of mantissa.
    np.testing.assert_allclose(received, keras_logits(student, rows), atol=0.05)


def test_an_operation_without_counterpart_is_named(make_rows, tmp_path):
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    x = keras.layers.Embedding(2000, 4)(inputs["token_ids"])
    x = keras.ops.erfinv(keras.ops.tanh(keras.ops.mean(x, axis=1)))
    student = keras.Model(inputs, keras.layers.Dense(2)(x))
    with pytest.raises(ExportError, match="Erfinv.*layers that convert"):
        export_litert(
            student, tmp_path / "x.tflite", make_rows(4), "float32", LENGTH
        )
    assert files_in(tmp_path) == []


def patch_child(monkeypatch, arguments):
    """Puts another program in the place of the conversion worker."""
    run_child = child_process.run_child
    monkeypatch.setattr(
        litert, "run_child", lambda _, what: run_child(arguments, what)
    )


@pytest.mark.parametrize(
    "code, message",
    [
        ("import os; os.kill(os.getpid(), 11)", r"signal 11 \(SIGSEGV\)"),
        ("import os; os.kill(os.getpid(), 9)", r"SIGKILL.*not enough memory"),
        ("raise SystemExit(139)", r"signal 11 \(SIGSEGV\)"),
        ("raise RuntimeError('of its own')", "failed:(.|\n)*of its own"),
        ("pass", "ended without a file"),
    ],
)
def test_a_converter_that_dies_is_contained(
    code, message, linear_student, make_rows, tmp_path, monkeypatch
):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"an older file")
    patch_child(monkeypatch, ["-c", code])
    with pytest.raises(ExportError, match=message):
        export_litert(linear_student, path, make_rows(4), "float32", LENGTH)
    assert files_in(tmp_path) == ["student.tflite"]
    assert path.read_bytes() == b"an older file"


@pytest.fixture
def converted_as(monkeypatch):
    """Puts given bytes in the place of what the worker converts."""

    def patch(content):
        def write(arguments, what):
            settings = json.loads(Path(arguments[-1]).read_text())
            Path(settings["output"]).write_bytes(content)

        monkeypatch.setattr(litert, "run_child", write)

    return patch


@pytest.mark.parametrize(
    "quantization, message",
    [
        ("float32", "float32 file is off in 'logits'.*row"),
        ("float16", "float16 file is off"),
        ("dynamic", "decides as Keras does on"),
    ],
)
def test_wrong_weights_in_the_file_are_found(
    quantization, message, exported, linear_student, make_rows, converted_as,
    tmp_path,
):  # fmt: skip
    kernel = linear_student.get_layer("logits").get_weights()[0]
    content = exported.read_bytes()
    stored = kernel.T.astype("<f4").tobytes()
    assert stored in content
    converted_as(content.replace(stored, (-kernel.T).astype("<f4").tobytes()))
    folder = tmp_path / "wrong"
    with pytest.raises(ExportError, match=message):
        export_litert(
            linear_student,
            folder / "student.tflite",
            make_rows(50),
            quantization,
            LENGTH,
        )
    assert files_in(folder) == []


def test_a_file_cut_short_is_found(
    exported, linear_student, make_rows, converted_as, tmp_path
):
    converted_as(exported.read_bytes()[:500])
    folder = tmp_path / "short"
    with pytest.raises(ExportError, match="can't be run by ai-edge-litert"):
        export_litert(
            linear_student,
            folder / "student.tflite",
            make_rows(4),
            "float32",
            LENGTH,
        )
    assert files_in(folder) == []


@pytest.mark.parametrize("where", ["predict", "attach"])
def test_an_interruption_leaves_nothing(
    where, exported, linear_student, make_rows, converted_as, monkeypatch,
    tmp_path,
):  # fmt: skip
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    converted_as(exported.read_bytes())
    if where == "predict":
        monkeypatch.setattr(LiteRTModel, "predict", interrupt)
    else:
        monkeypatch.setattr(litert, "attach", interrupt)
    folder = tmp_path / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        export_litert(
            linear_student,
            folder / "student.tflite",
            make_rows(4),
            "float32",
            LENGTH,
        )
    assert files_in(folder) == []


def test_ctrl_c_during_the_conversion_ends_the_worker_too(
    linear_student, tmp_path
):
    linear_student.save(tmp_path / "student.keras")
    folder = tmp_path / "out"
    process = subprocess.Popen(
        [
            sys.executable, "-c", INTERRUPTED_EXPORT,
            tmp_path / "student.keras", folder / "student.tflite",
        ],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == b"start\n"
        deadline = time.time() + 60
        while not list(folder.glob(".*.partial.*/settings.json")):
            assert time.time() < deadline
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
    finally:
        process.kill()
        process.stdout.close()
    assert files_in(folder) == []
    assert workers_for(folder) == []


def workers_for(folder):
    """Command lines of running workers that were given this folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in line and "conversion_worker" in line:
            found.append(line)
    return found


def test_a_full_disk_leaves_nothing_and_says_so(
    exported, linear_student, make_rows, converted_as, monkeypatch, tmp_path
):
    def fill_disk(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = tmp_path / "full"
    converted_as(exported.read_bytes())
    for owner, name in [(litert, "attach"), (keras.Model, "save")]:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fill_disk)
            with pytest.raises(ExportError, match="disk is full.*Free some"):
                export_litert(
                    linear_student,
                    folder / "student.tflite",
                    make_rows(4),
                    "float32",
                    LENGTH,
                )
        assert files_in(folder) == []


def test_a_disk_that_fills_up_in_the_worker_is_explained_too(
    linear_student, make_rows, tmp_path, monkeypatch
):
    message = "ResourceExhaustedError: /x/part; No space left on device"
    patch_child(monkeypatch, ["-c", f"raise SystemExit({message!r})"])
    with pytest.raises(ExportError, match="disk is full"):
        export_litert(
            linear_student,
            tmp_path / "full" / "student.tflite",
            make_rows(4),
            "float32",
            LENGTH,
        )
    assert files_in(tmp_path / "full") == []


def test_arguments_that_cannot_be_right_are_refused(
    linear_student, make_student, make_rows, tokenizer, tmp_path
):
    path = tmp_path / "out" / "student.tflite"
    rows = make_rows(4)

    def refused(message, student=linear_student, rows=rows, **options):
        options = {"quantization": "float32", "max_length": LENGTH, **options}
        with pytest.raises(ValueError, match=message):
            export_litert(student, path, rows, **options)
        assert not path.parent.exists()

    refused("'dynamic', 'float16', 'float32'.*Received: 'q4'",
            quantization="q4")  # fmt: skip
    refused("crashes the converter on recurrent", quantization="int8")
    refused("must be 8 or more.*Received: 7", max_length=7)
    refused("3 wide.*2 labels", labels=["no", "yes"])
    refused("one line each", labels=["a", " ", "c"])
    refused(
        "rows of 32 tokens.*[(]4, 16[)].* or give max_length=16[.]",
        max_length=32,
    )
    refused("Missing: .'padding_mask'", rows={"token_ids": rows["token_ids"]})
    refused("[(]0, 16[)]", rows={name: x[:0] for name, x in rows.items()})
    refused(
        "embeddings for 50 tokens",
        student=make_student("bigru", vocabulary_size=50),
        tokenizer=tokenizer,
    )
    too_large = {**rows, "token_ids": rows["token_ids"] + 10**6}
    refused("token id 100", rows=too_large, tokenizer=tokenizer)
    on_the_left = {name: x[:, ::-1] for name, x in rows.items()}
    refused("padded on the right.*a 1 after a 0", rows=on_the_left)
    refused("4 class ids.*3 of", labels_of_rows=np.zeros(3, int))
    refused("float", labels_of_rows=np.zeros(4))


def test_labels_of_a_chain_of_tags():
    """Its logits are a score for each tag behind each other one."""
    tokens = keras.Input((None, 4), name="tokens")
    for width, fits in ((2, True), (6, True), (5, False)):
        logits = keras.layers.Dense(width, name="logits")(tokens)
        student = keras.Model(tokens, logits)
        if fits:
            check_labels(student, ["O", "B-PER"])
            continue
        with pytest.raises(ValueError, match="5 wide.*2 labels"):
            check_labels(student, ["O", "B-PER"])


def test_a_student_that_gives_nan_is_refused(
    linear_student, make_rows, tmp_path, exported, converted_as
):
    converted_as(exported.read_bytes())
    kernel, bias = linear_student.get_layer("logits").get_weights()
    linear_student.get_layer("logits").set_weights([kernel, bias + np.nan])
    with pytest.raises(ExportError, match="Keras model gives NaN.*row 0"):
        export_litert(
            linear_student,
            tmp_path / "nan" / "x.tflite",
            make_rows(4),
            "float32",
            LENGTH,
        )
    assert files_in(tmp_path / "nan") == []


def test_the_float_gates_are_relative_to_large_logits():
    expected = {"logits": np.array([[0.0, 100.0]])}
    for quantization, tolerance in [("float32", 1e-3), ("float16", 5e-3)]:
        inside = expected["logits"] + np.array([[0.9, 90]]) * tolerance
        report = check_outputs(quantization, expected, {"logits": inside})
        assert report["max_difference"] == pytest.approx(90 * tolerance)
        for outside in ([[1.1, 0]], [[0, 110]]):
            received = expected["logits"] + np.array(outside) * tolerance
            with pytest.raises(ExportError, match="is off in 'logits'"):
                check_outputs(quantization, expected, {"logits": received})


def test_the_dynamic_gate_counts_decisions():
    expected = np.tile([[1.0, 0.0]], (100, 1))
    received = expected.copy()
    received[:3] = received[:3, ::-1]
    outputs = {"logits": expected}, {"logits": received}
    assert check_outputs("dynamic", *outputs)["agreement"] == 0.97
    received[3] = received[3, ::-1]
    with pytest.raises(ExportError, match="on 96.00% of 100 decisions"):
        check_outputs("dynamic", *outputs)


@pytest.mark.parametrize(
    ("count", "others"), [(1, 0), (9, 0), (10, 1), (33, 2), (66, 2), (200, 6)]
)
def test_of_few_decisions_one_or_two_may_be_others(count, others):
    expected = np.tile([[1.0, 0.0]], (count, 1))
    received = expected.copy()
    received[:others] = received[:others, ::-1]
    outputs = {"logits": expected}, {"logits": received}
    report = check_outputs("dynamic", *outputs)
    assert report["agreement"] == pytest.approx(1 - others / count)
    received[others] = received[others, ::-1]
    with pytest.raises(ExportError, match=r"97% \(of few, all but two\) are"):
        check_outputs("dynamic", *outputs)


def test_the_dynamic_gate_refuses_a_significant_loss():
    # 1000 rows; the file changes its mind on 10 that Keras had right.
    expected = np.tile([[1.0, 0.0]], (1000, 1))
    received = expected.copy()
    received[:10] = received[:10, ::-1]
    outputs = {"logits": expected}, {"logits": received}
    all_right = {"logits": np.zeros(1000, int)}
    with pytest.raises(ExportError, match="99.00% of 1000.*McNemar"):
        check_outputs("dynamic", *outputs, labels=all_right)
    # Half of the ten were wrong before: nothing is lost.
    half = {"logits": np.repeat([1, 0], [5, 995])}
    report = check_outputs("dynamic", *outputs, labels=half)
    assert report["accuracy_keras"] == report["accuracy_file"] == 0.995
    # Rows without a label do not count.
    none = {"logits": np.full(1000, -1)}
    assert "accuracy_file" not in check_outputs(
        "dynamic", *outputs, labels=none
    )


def test_outputs_for_each_token_are_compared_on_real_tokens_only():
    mask = np.array([[1, 1, 0, 0]])
    expected = {"logits": np.zeros((1, 4, 2)) + [1.0, 0.0]}
    received = {"logits": expected["logits"].copy()}
    received["logits"][0, 3] = [-5.0, 5.0]
    labels = {"logits": np.array([[0, 1, 1, 1]])}
    report = check_outputs("float32", expected, received, mask, labels)
    assert report["max_difference"] == 0.0
    assert report["accuracy_file"] == 0.5
    received["logits"][0, 1] = [-5.0, 5.0]
    with pytest.raises(ExportError, match="is off"):
        check_outputs("float32", expected, received, mask)


def test_mcnemar_by_hand():
    def probability(lost, won):
        reference = np.repeat([True, False], [lost, won])
        return loss_probability(reference, ~reference)

    assert probability(0, 0) == 1.0
    assert probability(5, 0) == pytest.approx(1 / 32)
    assert probability(3, 1) == pytest.approx(5 / 16)
    assert probability(0, 4) == 1.0
