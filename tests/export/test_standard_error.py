"""What C++ prints is kept back, and shown where something fails."""

import os
import subprocess
import sys

import pytest

from keras_kd.export.standard_error import held_back


def test_nothing_is_shown_where_the_block_succeeds(capfd):
    with held_back():
        os.write(2, b"a driver is missing\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_all_is_shown_where_it_fails(capfd):
    with pytest.raises(KeyboardInterrupt):
        with held_back():
            os.write(2, b"a driver is missing\nno memory")
            raise KeyboardInterrupt
    assert capfd.readouterr().err == "a driver is missing\nno memory"


def test_lines_to_be_kept(capfd):
    with held_back(keep=lambda line: not line.startswith(b"INFO:")):
        os.write(2, b"INFO: made\nERROR: \xff\nINFO: done\n")
    assert capfd.readouterr().err.splitlines() == ["ERROR: \ufffd"]


def test_closed_standard_error():
    script = (
        "import os; os.close(2)\n"
        "from keras_kd.export.standard_error import held_back\n"
        "with held_back(): print('inside')\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert (finished.returncode, finished.stdout) == (0, "inside\n")


@pytest.mark.parametrize("held", [True, False])
def test_running_a_file_prints_no_notes(miniature, held):
    # Without holding it back LiteRT names its delegate: were it no longer so,
    # there would be nothing to hold back.
    script = (
        "import contextlib, sys\n"
        "import keras_kd.export.litert_runner as runner\n"
        "if sys.argv[2] == 'False':\n"
        "    runner.held_back = lambda keep: contextlib.nullcontext()\n"
        "runner.LiteRTModel(sys.argv[1])\n"
    )
    file = miniature.folder / "student_float32.tflite"
    finished = subprocess.run(
        [sys.executable, "-c", script, str(file), str(held)],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert ("XNNPACK" in finished.stderr) != held
    if held:
        assert finished.stderr == ""


def test_reading_a_file_of_text_prints_nothing(miniature, tmp_path):
    package = tmp_path / "tensorflow_text" / "core" / "pybinds"
    package.mkdir(parents=True)
    (package / "tflite_registrar.py").write_text(
        "import os\n"
        "os.write(2, b'a driver is missing')\n"
        "SELECT_TFTEXT_OPS = []\n"
    )
    script = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "import keras_kd.export.text_runner as runner\n"
        "runner.LiteRTTextModel(sys.argv[1])\n"
    )
    file = miniature.folder / "student_float32.tflite"
    finished = subprocess.run(
        [sys.executable, "-c", script, str(file), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
