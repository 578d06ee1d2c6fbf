"""Two processes with a replica each, on loopback, against one: slow.

This file runs itself in each of the processes: TensorFlow joins a cluster
once a process.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
CASES = ("cached", "live", "clipped")
REFUSED = "Keras can't evaluate among several workers"


# === What is trained: in each of the two processes, and in one ===


def train(name, strategy, case):
    import keras

    from keras_kd.distiller import Distiller
    from keras_kd.distribution import distribute_options
    from keras_kd.losses.soft_targets import SoftTargets
    from tests import test_distribution as cases

    cached = case != "live"
    with strategy.scope():
        student = cases.bag()
        distiller = Distiller(
            student,
            teacher=None if cached else cases.bag("teacher", seed=1),
            losses=[SoftTargets(2.0, weight=0.7)],
            hard_label_weight=0.5,
        )
        clip = {"global_clipnorm": 0.2} if case == "clipped" else {}
        distiller.compile(
            keras.optimizers.SGD(0.3, **clip),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    before = student.get_weights()
    data = distribute_options(cases.dataset(cached), strategy)
    history = distiller.fit(data, verbose=0).history
    after = student.get_weights()
    refusals = []
    if name == "multi_worker":
        for function, options in (
            (distiller.evaluate, {}),
            (distiller.fit, {"validation_data": data}),
        ):
            try:
                function(data, verbose=0, **options)
            except ValueError as error:
                refusals.append(str(error))
    return {
        "moved": cases.farthest(before, after),
        "weights": [weight.tolist() for weight in after],
        "logs": {name: values[-1] for name, values in history.items()},
        "refusals": refusals,
    }


def main(name, file):
    from keras_kd.distribution import strategy_by_name

    strategy = strategy_by_name(name)
    found = {case: train(name, strategy, case) for case in CASES}
    found["replicas"] = strategy.num_replicas_in_sync
    Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])


# === Tests ===


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(name, file, **variables):
    return subprocess.Popen(
        [sys.executable, __file__, name, str(file)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": "",
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = {"alone": start("none", folder / "alone.json")}
    for index in range(2):
        place = {"type": "worker", "index": index}
        cluster = json.dumps({"cluster": {"worker": workers}, "task": place})
        name = f"worker{index}"
        processes[name] = start(
            "multi_worker", folder / f"{name}.json", TF_CONFIG=cluster
        )
    try:
        for process in processes.values():
            said, _ = process.communicate(timeout=500)
            assert process.returncode == 0, said[-5000:]
    finally:
        for process in processes.values():
            process.kill()
    return {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in processes
    }


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("worker", ["worker0", "worker1"])
def test_two_workers_train_as_one(found, worker, case):
    assert found[worker]["replicas"] == 2
    one, two = found["alone"][case], found[worker][case]
    assert one["moved"] > 1e-3
    for expected, received in zip(one["weights"], two["weights"], strict=True):
        np.testing.assert_allclose(received, expected, rtol=0, atol=1e-6)
    assert two["logs"] == pytest.approx(one["logs"], rel=2e-6, abs=1e-6)
    assert len(two["refusals"]) == 2
    for message in two["refusals"]:
        assert message.startswith(REFUSED)


def test_without_a_cluster_it_says_what_is_missing(monkeypatch):
    from keras_kd.distribution import strategy_by_name

    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="TF_CONFIG"):
        strategy_by_name("multi_worker")
