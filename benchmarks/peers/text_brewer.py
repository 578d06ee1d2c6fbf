"""TextBrewer: a distillation in its own training loop."""

import time
from pathlib import Path

import numpy as np

from benchmarks.divergence import divergence
from benchmarks.peers.pytorch import NAMES
from benchmarks.peers.pytorch import first_rows
from benchmarks.peers.pytorch import import_torch
from benchmarks.peers.pytorch import make_student
from benchmarks.peers.pytorch import open_teacher
from benchmarks.peers.pytorch import steps
from benchmarks.worker import MissingPeer
from keras_kd.data.batches import gather_inputs

TEXTBREWER = "textbrewer==0.2.1.post1"


def epochs(setting):
    """Jobs of a distillation with TextBrewer, its own training loop.

    | job | times |
    |---|---|
    | `live` | `steps` steps of `GeneralDistiller`, as in its examples |
    | `cache` | the teacher's logits of `steps` batches (`BasicDistiller`) |
    | `cached` | `steps` steps of `BasicDistiller` on such logits |
    | `whole` | a whole `train`, `"live"` or `"cached"`, for so many epochs |
    | `divergence` | nothing: how far a trained student is from its teacher |
    """
    torch = import_torch(setting)
    try:
        import textbrewer as library
    except ImportError as error:
        raise MissingPeer(
            f"pip install --no-deps {TEXTBREWER} ({error})"
        ) from error
    teacher = open_teacher(setting)
    packed = _faster_packed(setting)
    made = {}

    def make(name):
        student = make_student(setting, setting["students"][0], packed)
        kinds = {
            "live": library.GeneralDistiller,
            "cached": library.BasicDistiller,
        }
        distiller = kinds[name](
            library.TrainingConfig(
                device="cpu",
                output_dir=str(Path(setting["folder"]) / "textbrewer"),
                # A student is saved once: after the last epoch.
                ckpt_epoch_frequency=10**6,
            ),
            library.DistillationConfig(
                temperature=setting["temperature"],
                hard_label_weight=0,
                is_caching_logits=name == "cached",
            ),
            teacher,
            student,
            lambda batch, outputs: {"logits": outputs.logits},
            lambda batch, outputs: {"logits": outputs},
        )
        optimizer = torch.optim.AdamW(
            student.parameters(), setting["learning_rate"]
        )
        return distiller, student, optimizer

    def loader(batches):
        rows = first_rows(setting, batches and batches * setting["batch_size"])
        x = gather_inputs(rows, None, NAMES[:2], setting["length"])
        data = torch.utils.data.TensorDataset(
            *(torch.from_numpy(array) for array in x.values())
        )
        return torch.utils.data.DataLoader(
            data, batch_size=setting["batch_size"], shuffle=True
        )

    def train(distiller, optimizer, batches, epochs):
        start = time.perf_counter()
        with distiller:
            distiller.train(optimizer, batches, num_epochs=epochs)
        return {"seconds": time.perf_counter() - start}

    def sampled(name):
        if name not in made:
            made[name] = make(name)
            # A sample of steps is not the end of a training.
            made[name][0].save_and_callback = lambda *arguments: None
        return made[name]

    def live(count):
        distiller, _, optimizer = sampled("live")
        return train(distiller, optimizer, loader(count), 1)

    def cache(count):
        distiller, _, _ = sampled("cached")
        distiller.logits_cache = []
        batches = loader(count)
        start = time.perf_counter()
        with distiller:
            for batch in batches:
                type(distiller).cache_logits(distiller, batch, {}, None)
        return {"seconds": time.perf_counter() - start}

    def cached(count):
        distiller, _, optimizer = sampled("cached")
        if len(distiller.logits_cache) != count:
            cache(count)
        # `train` would ask the teacher once more.
        distiller.cache_logits = lambda *arguments: None
        return train(distiller, optimizer, [None] * count, 1)

    def whole(name, epochs):
        distiller, _, optimizer = make(name)
        return train(distiller, optimizer, loader(None), epochs)

    def divergence_of(name, count=64):
        student = sampled(name)[1].eval()
        rows = first_rows(setting, count)
        x = gather_inputs(rows, None, NAMES[:2])
        with torch.inference_mode():
            logits = student(*(torch.from_numpy(a) for a in x.values()))
        targets = np.load(Path(setting["folder"]) / "targets.npy")
        return divergence(logits.numpy(), targets[: len(rows)])

    return {
        "live": live,
        "cache": cache,
        "cached": cached,
        "whole": whole,
        "divergence": divergence_of,
        "packed": lambda: packed,
    }


def _faster_packed(setting, count=4):
    """Whether packed sequences are the faster way for this student."""
    cell = setting["students"][0]
    run = steps(setting)["train"]
    seconds = {}
    for packed in (True, False):
        run(2, cell, packed, False)
        seconds[packed] = run(count, cell, packed, False)["seconds"]
    return seconds[True] <= seconds[False]
