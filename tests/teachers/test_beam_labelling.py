"""Apache Beam: the files that one process writes, whoever dies."""

import sys

import numpy as np
import pytest

from keras_kd.inference import keras_runtime
from keras_kd.teachers.beam_labelling import label_with_beam
from keras_kd.teachers.cache import TeacherTargets
from keras_kd.teachers.target_shards import read_tensors
from tests import tiny
from tests.teachers import beam_runtimes

LOCAL = ["--runner=DirectRunner", "--direct_num_workers=2"]


def needs_beam():
    pytest.importorskip(
        "apache_beam", reason='Apache Beam is missing: pip install ".[beam]"'
    )


@pytest.fixture
def teacher(tmp_path):
    return tiny.make_teacher(tmp_path / "teacher-tokenizer")


@pytest.fixture
def folder(teacher, tmp_path):
    teacher.save(tmp_path / "teacher")
    return tmp_path / "teacher"


@pytest.fixture
def rows(small_rows):
    from keras_kd.data.rows import Rows

    words = np.random.default_rng(0)
    parts = [
        small_rows(
            [[2, *words.integers(5, 29, 1 + n % 6), 3] for n in range(20)],
            name=name,
        )
        for name in ("labelled", "unlabelled")
    ]
    return Rows.join(parts).select(np.arange(3, 38))


def alone(teacher, rows, folder):
    targets = TeacherTargets(folder, teacher.fingerprint)
    targets.label(keras_runtime(teacher.model), rows, rows_per_shard=4)
    return folder


def assert_same_files(one, other):
    """The same names, and the same values in them."""
    files = [
        {file.name for file in folder.iterdir()} for folder in (one, other)
    ]
    assert files[0] == files[1]
    for name in files[0]:
        if name.endswith(".safetensors"):
            expected = read_tensors(one / name)
            received = read_tensors(other / name)
            assert expected.keys() == received.keys()
            for key, values in expected.items():
                np.testing.assert_allclose(received[key], values, atol=1e-6)


@pytest.mark.parametrize("options", [[], LOCAL], ids=["default", "threads"])
def test_same_files_as_of_one_process(teacher, folder, rows, tmp_path, options):
    needs_beam()
    said = []
    targets = label_with_beam(
        folder, rows, tmp_path / "beam", options, 4, say=said.append
    )
    assert_same_files(
        alone(teacher, rows, tmp_path / "alone"), tmp_path / "beam"
    )
    assert len(targets.missing(rows)) == 0 and targets.rebuilt == []
    assert len(said) == 1
    # Once more: there is nothing to do.
    label_with_beam(
        folder, rows, tmp_path / "beam", options, 4, say=said.append
    )
    assert len(said) == 1


@pytest.mark.parametrize(
    ("runner", "pipelines"),
    [
        # It tries a shard again by itself.
        ("BundleBasedDirectRunner", 1),
        # It fails, and is started again with what is missing.
        ("DirectRunner", 2),
    ],
)
def test_a_worker_that_is_killed(
    teacher, folder, rows, tmp_path, runner, pipelines
):
    needs_beam()
    said = []
    label_with_beam(
        folder,
        rows,
        tmp_path / "beam",
        [f"--runner={runner}"],
        4,
        make_runtime=beam_runtimes.dies_once,
        say=said.append,
    )
    assert (tmp_path / "died").exists()
    assert len(said) == pipelines
    assert_same_files(
        alone(teacher, rows, tmp_path / "alone"), tmp_path / "beam"
    )


def test_what_fails_always_is_an_error(folder, rows, tmp_path):
    needs_beam()
    with pytest.raises(RuntimeError, match="no target after 3 tries(.|\n)*NaN"):
        label_with_beam(
            folder,
            rows,
            tmp_path / "beam",
            make_runtime=beam_runtimes.fails_always,
            say=lambda text: None,
        )


def test_without_beam_it_says_what_to_install(
    folder, rows, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ImportError, match=r'pip install "keras_kd\[beam\]"'):
        label_with_beam(folder, rows, tmp_path / "beam")
