"""Files are whole or not there: errors, Ctrl-C, a full disk."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap

import pytest

from keras_kd import atomic_files
from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import scratch_folder
from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def killed_while_writing(path, kind="write_aside", when="writing"):
    """Has `kill -9` end a process that writes `path`; it can't clean up.

    Args:
        path: The final name.
        kind: Which of the two writes it.
        when: `"writing"`, `"between"` a folder's two renames, or
            `"removing"` the older folder.
    """
    script = """
        import os, shutil, signal, sys
        from pathlib import Path
        from keras_kd import atomic_files
        path, kind, when = sys.argv[1:]
        def kill():
            os.kill(os.getpid(), signal.SIGKILL)
        if when == "between":
            replace = os.replace
            def replace_once(source, target):
                replace(source, target)
                kill()
            os.replace = replace_once
        if when == "removing":
            def remove_one_file(folder, **options):
                for file in Path(folder).glob("*"):
                    file.unlink()
                    kill()
            shutil.rmtree = remove_one_file
        with getattr(atomic_files, kind)(path) as temporary:
            if kind != "write_aside":
                temporary = temporary / "half.txt"
            Path(temporary).write_text("half")
            if when == "writing":
                kill()
    """
    # The module alone: the package would bring in all of Keras.
    package = f"""
        import sys
        sys.modules["keras_kd"] = package = type(sys)("keras_kd")
        package.__path__ = [{os.path.dirname(atomic_files.__file__)!r}]
    """
    code = textwrap.dedent(package) + textwrap.dedent(script)
    finished = subprocess.run(
        [sys.executable, "-c", code, str(path), kind, when]
    )
    assert finished.returncode == -signal.SIGKILL


class TestFile:
    def test_it_appears_under_its_name_at_the_end(self, tmp_path):
        path = tmp_path / "deep" / "labels.txt"
        with write_aside(path) as temporary:
            temporary.write_text("negative\n")
            assert not path.exists()
            assert temporary.parent == path.parent
            assert temporary.suffix == ".txt"
        assert path.read_text() == "negative\n"
        assert names(path.parent) == ["labels.txt"]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_an_error_leaves_nothing(self, tmp_path, error):
        with pytest.raises(error):
            with write_aside(tmp_path / "labels.txt") as temporary:
                temporary.write_text("half")
                raise error
        assert names(tmp_path) == []

    def test_an_error_leaves_the_old_file(self, tmp_path):
        path = tmp_path / "labels.txt"
        path.write_text("old")
        with pytest.raises(ValueError):
            with write_aside(path) as temporary:
                temporary.write_text("half")
                raise ValueError
        assert path.read_text() == "old"
        assert names(tmp_path) == ["labels.txt"]

    def test_a_whole_file_replaces_the_old_one(self, tmp_path):
        path = tmp_path / "labels.txt"
        path.write_text("a longer old text")
        with write_aside(path) as temporary:
            temporary.write_text("new")
        assert path.read_text() == "new"

    def test_a_disk_that_is_full_at_the_flush(self, tmp_path, monkeypatch):
        # With delayed allocation the flush is the first to notice.
        path = tmp_path / "labels.txt"
        path.write_text("old")

        def full(descriptor):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(atomic_files.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            with write_aside(path) as temporary:
                temporary.write_text("new")
        assert path.read_text() == "old"
        assert names(tmp_path) == ["labels.txt"]

    def test_a_block_that_writes_nothing_is_an_error(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            with write_aside(tmp_path / "labels.txt"):
                pass
        assert names(tmp_path) == []

    def test_a_killed_process_leaves_nothing_under_the_name(self, tmp_path):
        path = tmp_path / "labels.txt"
        killed_while_writing(path)
        assert not path.exists()


class TestFolder:
    def test_it_appears_under_its_name_at_the_end(self, tmp_path):
        path = tmp_path / "deep" / "model"
        with folder_aside(path) as temporary:
            (temporary / "inner").mkdir()
            (temporary / "inner" / "a.txt").write_text("a")
            assert not path.exists()
        assert (path / "inner" / "a.txt").read_text() == "a"
        assert names(path.parent) == ["model"]
        # A temporary folder is for its owner alone; a result is not.
        assert stat.S_IMODE(path.stat().st_mode) == 0o755

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_an_error_leaves_the_old_folder(self, tmp_path, error):
        path = tmp_path / "model"
        path.mkdir()
        (path / "old.txt").write_text("old")
        with pytest.raises(error):
            with folder_aside(path) as temporary:
                (temporary / "new.txt").write_text("half")
                raise error
        assert names(path) == ["old.txt"]
        assert names(tmp_path) == ["model"]

    def test_a_whole_folder_replaces_the_old_one(self, tmp_path):
        path = tmp_path / "model"
        for name in ("old.txt", "new.txt"):
            with folder_aside(path) as temporary:
                (temporary / name).write_text(name)
        assert names(path) == ["new.txt"]
        assert names(tmp_path) == ["model"]

    def test_a_file_in_the_way_is_an_error_and_stays(self, tmp_path):
        path = tmp_path / "model"
        path.write_text("a file")
        with pytest.raises(NotADirectoryError, match="model"):
            with folder_aside(path) as temporary:
                (temporary / "new.txt").write_text("new")
        assert path.read_text() == "a file"
        assert names(tmp_path) == ["model"]


class TestLeftovers:
    @pytest.mark.parametrize(
        "kind", ["write_aside", "folder_aside", "scratch_folder"]
    )
    def test_next_writing_in_the_folder_removes_them(self, tmp_path, kind):
        for name in ("model", "other"):
            killed_while_writing(tmp_path / name, kind)
            # The second process has removed what the first one left.
            (left,) = names(tmp_path)
            assert f".partial.{name}" in left
        with write_aside(tmp_path / "model") as temporary:
            temporary.write_text("whole")
        assert names(tmp_path) == ["model"]

    @pytest.mark.parametrize("kind", [write_aside, folder_aside])
    def test_those_of_living_processes_stay(self, tmp_path, kind):
        path = tmp_path / "model"
        mine = atomic_files._prefix(os.getpid())
        parent = atomic_files._prefix(os.getppid())
        # Another machine numbers its processes by itself, and what is not
        # ours at all is nobody's leftover.
        dead = 2**22 + 1
        others = [
            f"{parent}model",
            f"{mine}model.abcd",
            f".0000-{dead}.partial.model",
            f".{dead}.partial.model",
            "notes.partial.model",
        ]
        for name in others:
            (tmp_path / name).write_text("half")
        for name in ("model", "another"):
            (tmp_path / f"{atomic_files._prefix(dead)}{name}").write_text("")
        with kind(path) as temporary:
            if temporary.is_dir():
                temporary = temporary / "file"
            temporary.write_text("whole")
        assert names(tmp_path) == sorted([*others, "model"])

    def test_process_of_another_user_lives(self, monkeypatch):
        def refuse(pid, signal):
            raise PermissionError

        monkeypatch.setattr(atomic_files.os, "kill", refuse)
        assert atomic_files._lives(12345)

    def test_folder_that_was_being_removed_has_been_replaced(self, tmp_path):
        path = tmp_path / "model"
        with folder_aside(path) as temporary:
            (temporary / "old.txt").write_text("old")
            (temporary / "older.txt").write_text("older")
        killed_while_writing(path, "folder_aside", when="removing")
        assert len(names(tmp_path)) == 2
        with scratch_folder(tmp_path / "other"):
            assert names(path) == ["half.txt"]
        assert names(tmp_path) == ["model"]

    def test_folder_that_was_being_replaced_is_put_back(self, tmp_path):
        path = tmp_path / "model"
        with folder_aside(path) as temporary:
            (temporary / "old.txt").write_text("old")
        killed_while_writing(path, "folder_aside", when="between")
        assert not path.exists()
        with pytest.raises(ValueError):
            with folder_aside(path):
                raise ValueError
        assert names(tmp_path) == ["model"]
        assert names(path) == ["old.txt"]


def test_a_folder_that_another_process_has_put_there_is_replaced(tmp_path):
    path = tmp_path / "rows"
    with folder_aside(path) as temporary:
        (temporary / "mine.txt").write_text("mine")
        with folder_aside(path) as other:
            (other / "theirs.txt").write_text("theirs")
    assert names(path) == ["mine.txt"]
    assert names(tmp_path) == ["rows"]


def test_a_scratch_folder_is_removed_also_after_an_error(tmp_path):
    with pytest.raises(ValueError):
        with scratch_folder(tmp_path / "check") as temporary:
            (temporary / "half.txt").write_text("half")
            assert "partial.check" in temporary.name
            raise ValueError
    assert names(tmp_path) == []


def test_a_folder_of_another_kind_is_not_replaced(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "thesis.doc").write_text("years of work")
    with pytest.raises(FileExistsError) as error:
        with folder_aside(path, marker="model.json"):
            raise AssertionError("The work must not begin.")
    assert "'thesis.doc'" in str(error.value)
    assert "'model.json'" in str(error.value)
    assert names(path) == ["thesis.doc"]
    # One of the same kind is, and so is an empty one.
    for name in ("model.json", "thesis.doc"):
        (path / name).unlink(missing_ok=True)
    for content in ("first", "second"):
        with folder_aside(path, marker="model.json") as temporary:
            (temporary / "model.json").write_text(content)
    assert (path / "model.json").read_text() == "second"


def test_json_round_trip_keeps_text_readable(tmp_path):
    value = {"label": "négatif", "seeds": [0, 1], "none": None, "rate": 1e-3}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "négatif" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_json_that_can_not_be_written_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert read_json(tmp_path / "a.json") == {"a": 1}
    assert names(tmp_path) == ["a.json"]
