"""What every test shares: a quiet TensorFlow, fixed seeds, strict warnings."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import keras
import pytest

# Whole files go to one process: the longest first, or it ends alone.
LONGEST_FIRST = (
    "test_docs.py", "test_distribution.py", "test_litert.py",
    "test_distillation.py", "test_token_runs.py", "test_cli.py",
    "test_saved_model.py", "test_student_matrix.py", "test_compare.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """Puts the tests of the longest files first."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(autouse=True)
def fixed_seed():
    """Fixes the seeds, and drops the graphs of the test before."""
    keras.utils.set_random_seed(0)
    yield
    # Collecting garbage after each test takes longer than most of the tests.
    keras.backend.clear_session(free_memory=False)


@pytest.fixture(scope="session", autouse=True)
def children_in_this_process():
    """Has conversions and checks run here: most of a process is TensorFlow.

    Tests of the process itself ask for `children_of_their_own`.
    """
    from keras_kd.export import conversion_worker
    from keras_kd.export import litert
    from keras_kd.export import saved_model
    from keras_kd.export import saved_model_check
    from keras_kd.export.errors import ExportError

    def run_here(arguments, what):
        arguments = [str(argument) for argument in arguments]
        if arguments[:2] != ["-m", conversion_worker.__name__]:
            script, *arguments = arguments
            assert script == str(saved_model.CHECK_SCRIPT)
            saved_model_check.main(*arguments)
        elif conversion_worker.main(*arguments[2:]):
            raise ExportError(f"{what} failed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litert, "run_child", run_here)
        patch.setattr(saved_model, "run_child", run_here)
        yield


@pytest.fixture
def children_of_their_own(monkeypatch):
    """Has conversions and checks run as users have them."""
    from keras_kd.export import child_process
    from keras_kd.export import litert
    from keras_kd.export import saved_model

    for module in (litert, saved_model):
        monkeypatch.setattr(module, "run_child", child_process.run_child)


@pytest.fixture
def word_tokenizer():
    """A tokenizer of whole words: [PAD] [UNK] [CLS] [SEP], then w4, w5, ..."""
    import tokenizers

    from keras_kd.data.tokenization import Tokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words += [f"w{number}" for number in range(4, 30)]
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(
            {word: index for index, word in enumerate(words)},
            unk_token="[UNK]",
        )
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return Tokenizer(backend)


@pytest.fixture
def small_rows(tmp_path):
    """Makes rows of given token ids, with ids `row-0`, `row-1`, ..."""
    from keras_kd.data.rows import target_key
    from keras_kd.data.rows import write_rows

    def make(token_ids, labels=None, weights=None, name="rows", **columns):
        return write_rows(
            tmp_path / name,
            (
                {
                    "example_id": f"row-{index}",
                    "target_key": target_key(ids),
                    "token_ids": ids,
                    "label": 0 if labels is None else labels[index],
                    "label_weight": 1.0 if weights is None else weights[index],
                    **{key: column[index] for key, column in columns.items()},
                }
                for index, ids in enumerate(token_ids)
            ),
            {"of": "a test"},
        )

    return make


@pytest.fixture
def bag_classifier():
    """Makes a classifier that adds up the embeddings of the real tokens."""
    from keras import layers
    from keras import ops

    def make(outputs=3, inputs=("token_ids", "padding_mask"), name="bag"):
        tensors = {
            key: keras.Input((None,), dtype="int32", name=key) for key in inputs
        }
        x = layers.Embedding(30, 4, "normal", name="token_embedding")(
            tensors["token_ids"]
        )
        mask = ops.cast(tensors["padding_mask"], "float32")
        x = ops.sum(x * ops.expand_dims(mask, -1), axis=1)
        logits = layers.Dense(outputs, name="logits")(x)
        return keras.Model(tensors, logits, name=name)

    return make


@pytest.fixture
def miniature_copy(miniature, tmp_path, monkeypatch):
    """A copy of the run, to be changed. Its reports have no plots."""
    import shutil

    from keras_kd.evaluation import report
    from keras_kd.runs.run_folder import RunFolder

    monkeypatch.setattr(report, "write_plots", lambda folder, result: [])
    return RunFolder(shutil.copytree(miniature.folder, tmp_path / "run"))


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """A finished run in miniature, from files to a report. Don't change it."""
    import types

    from keras_kd.configuration import Configuration
    from keras_kd.runs.distillation import distill
    from keras_kd.runs.run_folder import RunFolder
    from tests import tiny

    folder = tmp_path_factory.mktemp("miniature")
    configuration = Configuration(
        **tiny.write_data(folder / "data", train=12, test=80),
        teacher=tiny.write_teacher(folder / "teacher"),
        max_length=tiny.LENGTH,
        width=4,
        embedding_dim=4,
        intermediate=8,  # Has no effect.
        dropout=0.0,
        batch_size=16,
        learning_rate=0.03,
        steps=50,
        evaluate_every=20,
        export=["float32"],
    )
    said = []
    keras.utils.set_random_seed(0)
    result = distill(
        configuration, folder / "run", "the command", say=said.append
    )
    return types.SimpleNamespace(
        folder=folder / "run",
        run=RunFolder.open(folder / "run"),
        configuration=configuration,
        result=result,
        said=said,
    )
