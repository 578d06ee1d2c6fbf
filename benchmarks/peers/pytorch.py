"""PyTorch with transformers: labelling, and a student's training step."""

import json
import time
from pathlib import Path

import numpy as np

from benchmarks.worker import MissingPeer
from keras_kd.data.batches import BatchPlan
from keras_kd.data.batches import by_length
from keras_kd.data.batches import gather_inputs
from keras_kd.data.rows import Rows

NAMES = ("token_ids", "padding_mask", "segment_ids")
# How transformers may compute it.
ATTENTION = ("sdpa", "eager")


def labelling(setting):
    """Jobs that run the teacher over the first rows: `job(rows)`.

    `sorted` has keras_kd's own batches, of like length; `padded` has batches
    of one length, in the order of the rows; `int8` is `sorted` with the linear
    layers in dynamic int8. `products` computes the linear layers of the encoder
    for the batches of `sorted`, and nothing else: no float32 labelling on these
    batches can take less.
    """
    torch = import_torch(setting)
    teacher = open_teacher(setting)
    int8 = _quantized(teacher)

    def run(model, count, groups, length=None):
        rows = first_rows(setting, count)
        logits = None
        start = time.perf_counter()
        with torch.inference_mode():
            for chosen in groups(rows):
                x = gather_inputs(rows, chosen, NAMES, length)
                ids, mask, segments = (torch.from_numpy(x[n]) for n in NAMES)
                values = model(ids, mask, token_type_ids=segments).logits
                if logits is None:
                    logits = np.empty((len(rows), values.shape[1]), "float32")
                logits[chosen] = values.numpy()
        return {"seconds": time.perf_counter() - start, "logits": logits}

    def in_order(rows):
        size = setting["batch_size"]
        numbers = np.arange(len(rows))
        return np.split(numbers, range(size, len(rows), size))

    def like_length(rows):
        return by_length(rows.lengths("token_ids"))

    def products(count):
        linear = [
            layer
            for layer in teacher.base_model.encoder.modules()
            if isinstance(layer, torch.nn.Linear)
        ]
        rows = first_rows(setting, count)
        lengths = rows.lengths("token_ids")
        seconds = 0.0
        with torch.inference_mode():
            for chosen in like_length(rows):
                tokens = len(chosen) * lengths[chosen].max()
                inputs = {
                    width: torch.rand(tokens, width)
                    for width in {layer.in_features for layer in linear}
                }
                start = time.perf_counter()
                for layer in linear:
                    layer(inputs[layer.in_features])
                seconds += time.perf_counter() - start
        return {"seconds": seconds}

    jobs = {
        "products": products,
        "sorted": lambda count: run(teacher, count, like_length),
        "padded": lambda count: run(
            teacher, count, in_order, setting["length"]
        ),
        "int8": lambda count: run(int8, count, like_length),
    }
    return jobs if int8 is not None else {**jobs, "int8": lambda count: None}


def steps(setting):
    """Jobs that train a student.

    `train(steps, kind, tight, fused, attention)`, and `parameters(kind)`.

    All batches are in memory before the time starts. `tight` computes no
    padding of a batch: a recurrent layer runs over packed sequences, and
    batches for BERT are as long as their longest row. `fused` has the fused
    AdamW; `attention` is one of `ATTENTION`, for BERT.
    """
    torch = import_torch(setting)
    rows = first_rows(setting, None)
    plan = BatchPlan(rows.lengths("token_ids"), setting["batch_size"])
    teacher_logits = np.load(Path(setting["folder"]) / "targets.npy")
    trainings = {}

    def tensors(step, length):
        chosen = plan.rows_at(step)
        x = gather_inputs(rows, chosen, NAMES[:2], length)
        arrays = [*x.values(), teacher_logits[chosen]]
        return [torch.from_numpy(array) for array in arrays]

    def run(count, kind, tight, fused, attention=ATTENTION[0]):
        key = (kind, tight, fused, attention)
        if key not in trainings:
            student = make_student(setting, kind, tight, attention)
            optimizer = torch.optim.AdamW(
                student.parameters(), setting["learning_rate"], fused=fused
            )
            trainings[key] = student, optimizer
        student, optimizer = trainings[key]
        length = None if kind == "bert" and tight else setting["length"]
        batches = [tensors(step, length) for step in range(count)]
        total = torch.zeros(())
        start = time.perf_counter()
        for ids, mask, targets in batches:
            optimizer.zero_grad()
            loss = soft_cross_entropy(
                torch, student(ids, mask), targets, setting["temperature"]
            )
            loss.backward()
            optimizer.step()
            total += loss.detach()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "loss": total.item() / count}

    def parameters(kind):
        student = make_student(setting, kind)
        return sum(parameter.numel() for parameter in student.parameters())

    return {"train": run, "parameters": parameters}


def import_torch(setting):
    """PyTorch, with as many threads as the setting says.

    Raises:
        MissingPeer: PyTorch or transformers is not installed.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingPeer(f"pip install torch ({error})") from None
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(setting["threads"])
    torch.manual_seed(0)
    return torch


def torch_student(
    vocabulary_size,
    outputs,
    cell="gru",
    units=128,
    embedding_dim=128,
    dropout=0.2,
    packed=True,
):
    """`keras_kd.recurrent_student` with one layer, in PyTorch.

    Args:
        vocabulary_size: Rows of the embedding table.
        outputs: Number of logits.
        cell: `"gru"` or `"lstm"`.
        units: Width of each direction.
        embedding_dim: Width of the embeddings.
        dropout: Rate after the embeddings and in the head.
        packed: Whether the recurrent layer runs over packed sequences. If not,
            its backward direction begins with the padding, which is another
            model for rows that are shorter than their batch.

    Returns:
        `torch.nn.Module`: `(token_ids, padding_mask)` to logits.
    """
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence
    from torch.nn.utils.rnn import pad_packed_sequence

    class Student(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(vocabulary_size, embedding_dim)
            self.recurrent = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](
                embedding_dim, units, batch_first=True, bidirectional=True
            )
            self.dropout = torch.nn.Dropout(dropout)
            self.logits = torch.nn.Linear(2 * units, outputs)

        def forward(self, token_ids, padding_mask):
            x = self.dropout(self.embedding(token_ids))
            if packed:
                x = pack_padded_sequence(
                    x, padding_mask.sum(1), True, enforce_sorted=False
                )
            x, _ = self.recurrent(x)
            if packed:
                length = token_ids.shape[1]
                x, _ = pad_packed_sequence(x, True, total_length=length)
            mask = padding_mask.unsqueeze(-1).to(x.dtype)
            pooled = (x * mask - (1.0 - mask) * 1e4).amax(1)
            return self.logits(self.dropout(pooled))

    return Student()


def soft_cross_entropy(torch, student_logits, teacher_logits, temperature):
    """TextBrewer's `kd_ce_loss`: keras_kd's divergence but for a constant."""
    teacher = torch.softmax(teacher_logits / temperature, dim=-1)
    student = torch.log_softmax(student_logits / temperature, dim=-1)
    return -(teacher * student).sum(dim=-1).mean()


def torch_bert(vocabulary_size, outputs, sizes, attention):
    """`keras_kd.bert_student`, in transformers.

    Args:
        vocabulary_size: Rows of the embedding table.
        outputs: Number of logits.
        sizes: Dictionary of the student's arguments.
        attention: One of `ATTENTION`.

    Returns:
        `torch.nn.Module`: `(token_ids, padding_mask)` to logits.
    """
    import torch
    from transformers import BertConfig
    from transformers import BertForSequenceClassification

    class Student(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = BertForSequenceClassification(
                BertConfig(
                    vocab_size=vocabulary_size,
                    num_labels=outputs,
                    num_hidden_layers=sizes["num_layers"],
                    hidden_size=sizes["hidden_dim"],
                    num_attention_heads=sizes["num_heads"],
                    intermediate_size=sizes["intermediate_dim"],
                    attn_implementation=attention,
                )
            )

        def forward(self, token_ids, padding_mask):
            return self.model(token_ids, padding_mask).logits

    return Student()


def make_student(setting, kind, packed=True, attention=ATTENTION[0]):
    """A student of the prepared sizes, in PyTorch.

    Args:
        setting: The setting of the benchmark.
        kind: `"gru"`, `"lstm"` or `"bert"`.
        packed: Of the first two, whether they run over packed sequences.
        attention: Of BERT, one of `ATTENTION`.
    """
    path = Path(setting["folder"]) / "description.json"
    description = json.loads(path.read_text())
    sizes = [description[name] for name in ("vocabulary_size", "outputs")]
    if kind == "bert":
        return torch_bert(*sizes, setting["bert"], attention)
    return torch_student(
        *sizes,
        kind,
        setting["units"],
        setting["embedding_dim"],
        packed=packed,
    )


def open_teacher(setting):
    """The prepared teacher, in PyTorch."""
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(
        Path(setting["folder"]) / "teacher"
    ).eval()


def _quantized(model):
    """The model in PyTorch's dynamic int8; `None` where it has none."""
    import torch

    try:
        return torch.ao.quantization.quantize_dynamic(
            model, {torch.nn.Linear}, dtype=torch.qint8
        )
    except (AttributeError, RuntimeError):
        return None


def first_rows(setting, count):
    """The first rows that were prepared; `None` for all of them."""
    rows = Rows.open(Path(setting["folder"]) / "rows")
    return rows.select(np.arange(min(count or len(rows), len(rows))))
