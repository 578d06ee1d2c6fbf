"""The benchmarks: both sides compute the same, and a missing one is said."""

import contextlib
import os
import sys

import numpy as np
import pytest

from benchmarks import export_speed
from benchmarks import memory
from benchmarks import training_speed
from benchmarks.divergence import divergence
from benchmarks.measured import goal_line
from benchmarks.measured import ratio_table
from benchmarks.worker import MissingPeer
from benchmarks.worker import Worker
from benchmarks.worker import take_turns
from tests import tiny

SETUPS = """
import os
from benchmarks.worker import MissingPeer

def missing(setting):
    raise MissingPeer("pip install something")

def broken(setting):
    raise ValueError("This setup is broken.")

def good(setting):
    def die():
        print("The last words.", flush=True)
        os._exit(3)

    return {"add": lambda a, b: (a + b, os.getpid()), "die": die}
"""


@pytest.fixture
def make_worker(tmp_path, monkeypatch):
    (tmp_path / "setups_of_a_test.py").write_text(SETUPS)
    monkeypatch.syspath_prepend(tmp_path)
    with contextlib.ExitStack() as stack:

        def make(name):
            setting = {"folder": str(tmp_path), "threads": 1}
            worker = Worker(f"setups_of_a_test:{name}", setting)
            return stack.enter_context(worker)

        yield make


def test_a_worker_runs_jobs_in_a_process_of_its_own(make_worker):
    worker = make_worker("good")
    total, process = worker.run("add", 2, 3)
    assert worker.missing is None
    assert total == 5 and process != os.getpid()


def test_a_missing_peer_is_no_error(make_worker):
    assert make_worker("missing").missing == "pip install something"


def test_a_broken_setup_and_a_dead_process_are_errors(make_worker):
    with pytest.raises(RuntimeError, match="This setup is broken"):
        make_worker("broken")
    with pytest.raises(RuntimeError, match="status 3(.|\n)*The last words"):
        make_worker("good").run("die")


def test_turns_go_back_and_forth():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    take_turns(calls, 3)
    assert "".join(order) == "abc" + "cba" + "abc"


def test_ratios_and_goals():
    seconds = {"ours": 2.0, "theirs": 5.0}
    lines = ratio_table(
        "Work", "seconds", seconds, "theirs", [("other", "pip install x")], 10
    )
    assert lines[2].split() == ["ours", "2", "5.0", "2.50"]
    assert "not measured: pip install x" in lines[-1]
    (line,) = goal_line("work", seconds, "ours", "theirs", 2.6)
    assert "2.50, NOT met" in line
    (line,) = goal_line("work", seconds, "ours", "theirs", 2.5)
    assert "2.50, met" in line
    assert goal_line("work", {"ours": 2.0}, "ours", "theirs", 2.5) == []


def test_the_divergence_is_that_of_the_definition():
    student, teacher = np.array([[0.0, 0.0]]), np.log([[0.9, 0.1]])
    expected = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    assert divergence(student, teacher) == pytest.approx(expected, rel=1e-12)
    assert divergence(teacher + 1e3, teacher) == pytest.approx(0.0, abs=1e-12)


def keras_weights_in_torch(student, other, cell):
    """Copies the weights of a Keras student into one of PyTorch."""
    import torch

    def copy(parameter, values):
        parameter.data.copy_(torch.tensor(np.ascontiguousarray(values)))

    def reordered(values):
        if cell == "lstm":
            return values
        # Keras: update, reset, new; PyTorch: reset, update, new.
        update, reset, new = np.split(values, 3, axis=-1)
        return np.concatenate([reset, update, new], axis=-1)

    weights = [w.numpy() for w in student.weights if "seed" not in w.path]
    table, *recurrent, kernel, bias = weights
    copy(other.embedding.weight, table)
    copy(other.logits.weight, kernel.T)
    copy(other.logits.bias, bias)
    for suffix, parts in {"": recurrent[:3], "_reverse": recurrent[3:]}.items():
        inner, outer, biases = (reordered(values) for values in parts)
        copy(getattr(other.recurrent, f"weight_ih_l0{suffix}"), inner.T)
        copy(getattr(other.recurrent, f"weight_hh_l0{suffix}"), outer.T)
        if cell == "lstm":
            biases = np.stack([biases, np.zeros_like(biases)])
        copy(getattr(other.recurrent, f"bias_ih_l0{suffix}"), biases[0])
        copy(getattr(other.recurrent, f"bias_hh_l0{suffix}"), biases[1])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_student_of_pytorch_is_ours(cell):
    torch = pytest.importorskip("torch", reason="pip install torch")
    from benchmarks.peers.pytorch import torch_student
    from keras_kd.models.recurrent import recurrent_student

    generator = np.random.default_rng(0)
    student = recurrent_student(30, 3, cell, units=5, embedding_dim=4)
    for weight in student.trainable_weights:
        weight.assign(generator.normal(size=weight.shape))
    ids = generator.integers(1, 30, (4, 7)).astype("int32")
    mask = (np.arange(7) < np.array([[7], [3], [1], [5]])).astype("int32")
    ours = student({"token_ids": ids * mask, "padding_mask": mask}).numpy()
    for packed in (True, False):
        other = torch_student(30, 3, cell, 5, 4, packed=packed).eval()
        keras_weights_in_torch(student, other, cell)
        with torch.no_grad():
            theirs = other(torch.tensor(ids * mask), torch.tensor(mask))
        difference = np.abs(ours - theirs.numpy()).max(axis=-1)
        # Unpacked it reads the padding of all but the longest row.
        assert difference[0] < 1e-5
        assert (difference[1:] < 1e-5).all() == packed


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_bert_of_pytorch_is_ours(attention, tmp_path):
    torch = pytest.importorskip("torch", reason="pip install torch")
    from safetensors.torch import load_file

    from benchmarks.peers.pytorch import torch_bert
    from keras_kd.data.tokenization import Tokenizer
    from keras_kd.models.bert_student import bert_student
    from keras_kd.models.huggingface_export import config_of
    from keras_kd.models.huggingface_export import write_folder

    tiny.write_tokenizer(tmp_path)
    tokenizer = Tokenizer.from_folder(tmp_path)
    sizes = {
        "num_layers": 2,
        "hidden_dim": 8,
        "num_heads": 2,
        "intermediate_dim": 12,
    }
    generator = np.random.default_rng(0)
    student = bert_student(tokenizer.vocabulary_size, 3, **sizes)
    for weight in student.trainable_weights:
        weight.assign(generator.normal(size=weight.shape))
    config = config_of(student, "sequence")
    folder = tmp_path / "student"
    write_folder(folder, student, config, "sequence", tokenizer)
    other = torch_bert(tokenizer.vocabulary_size, 3, sizes, attention).eval()
    other.model.load_state_dict(load_file(folder / "model.safetensors"))
    ids = generator.integers(1, tokenizer.vocabulary_size, (4, 7))
    mask = (np.arange(7) < np.array([[7], [3], [1], [5]])).astype("int32")
    x = {"token_ids": ids, "padding_mask": mask, "segment_ids": 0 * mask}
    with torch.no_grad():
        theirs = other(torch.tensor(ids), torch.tensor(mask)).numpy()
    np.testing.assert_allclose(theirs, student(x), atol=1e-4)
    counts = [parameter.numel() for parameter in other.parameters()]
    assert sum(counts) == student.count_params()


def test_rows_of_one_length_are_the_same_rows(small_rows):
    from benchmarks.ours import RowsOfOneLength
    from keras_kd.data.batches import gather_inputs

    rows = small_rows([[5, 6], [7, 8, 9]])
    inputs = gather_inputs(RowsOfOneLength(rows, 5))
    assert inputs["token_ids"].tolist() == [[5, 6, 0, 0, 0], [7, 8, 9, 0, 0]]
    assert inputs["padding_mask"].sum(axis=1).tolist() == [2, 3]


def test_peers_say_what_to_install(monkeypatch):
    from benchmarks.peers import pytorch

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPeer, match="pip install torch"):
        pytorch.import_torch({"threads": 1})


def test_memory_is_that_of_the_system():
    now = memory.memory()
    assert now["peak"] >= now["at the end"] > 1e6
    assert now["own, at the end"] + now["mapped files"] <= now["at the end"]


@pytest.mark.slow
def test_memory_runs(capsys):
    assert memory.main(["--rows", "200"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("write rows") == 2
    for work in ("label", "train"):
        assert f"{work}, peak: " in shown


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True])
def test_training_speed_runs(tmp_path, capsys, full):
    data = tiny.write_csv(tmp_path / "data" / "train.csv", tiny.make_rows(64))
    arguments = ["--data", str(data.parent), "--quick", "--threads", "1"]
    arguments += ["--teacher", tiny.write_bert(tmp_path / "teacher")]
    arguments += ["--length", str(tiny.LENGTH), "--epochs", "2"]
    if full:
        arguments += ["--full", "--parts", "distillation"]
    status = training_speed.main(arguments)
    shown = capsys.readouterr().out
    assert "keras_kd, cached, buckets, int8 labelling" in shown
    assert "TextBrewer GeneralDistiller" in shown
    assert status == 0 and "NO." not in shown


@pytest.mark.slow
def test_layer_losses_in_small(tmp_path, capsys):
    from benchmarks import layer_losses

    tiny.write_bert(tmp_path / "bert", head=False)
    flags = {
        "teacher": tmp_path / "bert", "layers": 1, "width": 2, "heads": 2,
        "intermediate": 4, "batch-size": 2, "length": 8, "steps": 1,
        "repeats": 1,
    }  # fmt: skip
    kinds = dict(layer_losses.KINDS)
    kinds.pop("and relations")  # Its 12 heads are too many for so small ones.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_losses, "KINDS", kinds)
        layer_losses.main([f"--{key}={value}" for key, value in flags.items()])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[3:9]] == [
        "logits, from the cache", *kinds
    ]  # fmt: skip
    assert "Goal: hidden states and attention at most 1.6 times" in lines[-1]


@pytest.mark.slow
def test_export_speed_times_every_file(capsys):
    sizes = {
        "width": 4, "embedding-dim": 4, "vocabulary-size": 50,
        "length": 16, "short": 8, "repeats": 2,
    }  # fmt: skip
    flags = [f"--{name}={value}" for name, value in sizes.items()]
    assert export_speed.main(["--students", "bigru", *flags]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in export_speed.FILES)
    assert out.count("Goal, ") == 2
