"""The architecture: import levels, names, and docstrings that run."""

import ast
import builtins
import doctest
import functools
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_kd

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "keras_kd"

TOP = 5
# The level of a module is that of its longest prefix in this table.
LEVELS = {
    # The command line.
    "keras_kd": TOP,
    # The contract, and what knows nothing of it.
    "keras_kd.atomic_files": 0,
    "keras_kd.batch": 0,
    "keras_kd.configuration": 0,
    "keras_kd.distribution": 0,
    "keras_kd.layer_mapping": 0,
    "keras_kd.memory": 0,
    "keras_kd.progress": 0,
    "keras_kd.schedules": 0,
    "keras_kd.tag_schemes": 0,
    "keras_kd.version": 0,
    # The parts.
    "keras_kd.data": 1,
    "keras_kd.evaluation": 1,
    "keras_kd.inference": 1,
    "keras_kd.loss_scale": 1,
    "keras_kd.losses": 1,
    "keras_kd.model_checks": 1,
    "keras_kd.models": 1,
    "keras_kd.tensorflow_step": 1,
    # What is made of them. These do not import one another.
    "keras_kd.data.pipeline": 2,
    "keras_kd.distiller": 2,
    "keras_kd.export": 2,
    "keras_kd.multi_task_distiller": 2,
    "keras_kd.tasks": 2,
    "keras_kd.teachers": 2,
    # A run brings them together. Searches, studies and language models use it.
    "keras_kd.runs": 3,
    "keras_kd.language": 4,
    "keras_kd.studies": 4,
    "keras_kd.tuning": 4,
    "recipes": TOP,
}
# Within a level a part imports itself alone, but for this.
SIDEWAYS = {
    ("keras_kd.inference", "keras_kd.data"),
    ("keras_kd.inference", "keras_kd.models"),
}

# `import keras_kd` works where TensorFlow is not installed.
TENSORFLOW_MODULES = {
    "keras_kd.data.numbered_batches",
    "keras_kd.data.task_batches",
    "keras_kd.distribution",
    "keras_kd.models.block_gru",
    "keras_kd.models.block_lstm",
    "keras_kd.models.block_recurrent",
    "keras_kd.models.for_training",
    "keras_kd.models.trained_encoder",
    "keras_kd.tensorflow_step",
}
TENSORFLOW_PACKAGES = {"keras_kd.export"}
# Public ones that are made of these.
ON_TENSORFLOW = {"keras_kd.data.pipeline"}
# Heavy or optional: imported where they are used.
IMPORTED_WHERE_USED = {
    "ai_edge_litert",
    "ai_edge_quantizer",
    "apache_beam",
    "flatbuffers",
    "huggingface_hub",
    "jieba",
    "keras_hub",
    "keras_tuner",
    "matplotlib",
    "mediapipe",
    "nltk",
    "pyarrow",
    "regex",
    "safetensors",
    "scipy",
    "sklearn",
    "spacy",
    "tensorboard",
    "tensorflow_datasets",
    "tensorflow_text",
    "tokenizers",
    "torch",
    "tqdm",
    "transformers",
}
# Modules with a table whose rows are two kinds of records.
TABLES = {"keras_kd.models.huggingface_names"}
# Docstring examples that need files, models or a package of their own.
EXAMPLES_WITH_FILES = {
    "keras_kd.data.tokenization.Tokenizer",
    "keras_kd.export.device_tokenizer.DeviceTokenizer",
    "keras_kd.export.litert_runner.LiteRTModel",
    "keras_kd.export.saved_model.export_saved_model",
    "keras_kd.export.text_preprocessing.InGraphTokenizer",
    "keras_kd.export.text_runner.LiteRTTextModel",
}


def module_name(path):
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {
    module_name(path): path
    for folder in ("keras_kd", "recipes")
    for path in sorted((PROJECT / folder).rglob("*.py"))
}
MODULES = [name for name in PATHS if name.startswith("keras_kd")]


@functools.cache
def parsed(name):
    return ast.parse(PATHS[name].read_text(encoding="utf-8"))


def imports_in(nodes):
    """Names of the modules that some statements import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "Imports are absolute."
            for alias in node.names:
                # `from keras_kd import batch` imports a module.
                longer = f"{node.module}.{alias.name}"
                yield longer if longer in PATHS else node.module


def imports(name):
    """All imports of a module, those inside functions included."""
    return set(imports_in(ast.walk(parsed(name))))


def top_level_imports(name):
    """The imports that happen when the module is imported."""
    statements = list(parsed(name).body)
    for node in statements:
        # An import under `if` or `try` happens as well.
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            statements += [
                child
                for child in ast.iter_child_nodes(node)
                if isinstance(child, ast.stmt)
            ]
    return set(imports_in(statements))


def part_of(name):
    """The entry of `LEVELS` that a module belongs to."""
    while name not in LEVELS:
        name = name.rpartition(".")[0]
    return name


def own(names):
    return {name for name in names if name in PATHS}


def level_violations(name):
    """What a module imports from above, or sideways."""
    part = part_of(name)
    for imported in own(imports(name)):
        other = part_of(imported)
        if LEVELS[other] < LEVELS[part] or LEVELS[part] == TOP:
            continue
        if LEVELS[other] > LEVELS[part]:
            yield f"{name} -> {imported}, which is of a higher level"
        elif other != part and (part, other) not in SIDEWAYS and LEVELS[part]:
            yield f"{name} -> {imported}, both of level {LEVELS[part]}"


def test_imports_go_downwards():
    found = [line for name in PATHS for line in level_violations(name)]
    assert not found, "\n".join(found)


def test_every_entry_of_the_table_is_a_module():
    assert set(LEVELS) <= set(PATHS)
    assert TENSORFLOW_MODULES | TENSORFLOW_PACKAGES | TABLES <= set(PATHS)


def test_modules_do_not_import_in_a_circle():
    graph = {
        name: own(top_level_imports(name)) - {name, "keras_kd"}
        for name in MODULES
    }
    while graph:
        leaves = {
            name for name, needs in graph.items() if not needs & set(graph)
        }
        assert leaves, f"A circle among {sorted(graph)}"
        graph = {n: needs for n, needs in graph.items() if n not in leaves}


def test_no_module_for_odds_and_ends():
    names = {name.rpartition(".")[2] for name in PATHS}
    assert not names & {"utils", "util", "misc", "helpers", "helper", "common"}


def is_exception(node):
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return any(
        issubclass(getattr(builtins, base, object), BaseException)
        or base.endswith("Error")
        for base in bases
    )


def test_one_public_class_a_file():
    found = {}
    for name in set(MODULES) - TABLES:
        classes = [
            node.name
            for node in parsed(name).body
            if isinstance(node, ast.ClassDef)
            and not node.name.startswith("_")
            and not is_exception(node)
        ]
        if len(classes) > 1:
            found[name] = classes
    assert not found


def test_no_bare_assert_in_the_library():
    # `python -O` drops them, and they say neither what was received nor what
    # to do.
    found = [
        f"{name}:{node.lineno}"
        for name in MODULES
        for node in ast.walk(parsed(name))
        if isinstance(node, ast.Assert)
    ]
    assert not found


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_are_on_modules_classes_and_public_functions(name):
    tree = parsed(name)
    assert ast.get_docstring(tree), f"{name} has no docstring."
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            if not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{name}.{node.name}"
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if getattr(method, "name", None) == "__init__":
                    assert not ast.get_docstring(method), f"{name}.{node.name}"


def may_import_tensorflow(name):
    return name in TENSORFLOW_MODULES or any(
        name.startswith(f"{package}.") for package in TENSORFLOW_PACKAGES
    )


class TestHeavyImports:
    def test_tensorflow_stands_at_the_top_of_few_modules(self):
        found = {
            name
            for name in MODULES
            if any(
                i.split(".")[0] == "tensorflow" for i in top_level_imports(name)
            )
        }
        assert found <= set(filter(may_import_tensorflow, MODULES))
        assert TENSORFLOW_MODULES <= found

    def test_optional_libraries_are_imported_where_they_are_used(self):
        found = [
            f"{name} -> {imported}"
            for name in MODULES
            for imported in top_level_imports(name)
            if imported.split(".")[0] in IMPORTED_WHERE_USED
        ]
        assert not found

    def test_public_names_reach_tensorflow_only_where_they_must(self):
        for module in set(keras_kd._PUBLIC_NAMES.values()):
            reached, waiting = set(), {module}
            while waiting:
                name = waiting.pop()
                reached.add(name)
                waiting |= own(top_level_imports(name)) - reached
            outside = {
                imported.split(".")[0]
                for name in reached
                for imported in top_level_imports(name)
            }
            allowed = {"keras_kd", "keras", "numpy"} | sys.stdlib_module_names
            if may_import_tensorflow(module) or module in ON_TENSORFLOW:
                allowed |= {"tensorflow"}
            assert outside <= allowed, module

    def test_import_and_distil_where_tensorflow_is_not_installed(self):
        # On the NumPy backend, which needs no other framework, but imports a
        # few functions of JAX that nothing here calls.
        script = """
import sys
from types import ModuleType
for name in ("tensorflow", "tensorflow_text", "keras_hub", "orbax"):
    sys.modules[name] = None
try:
    import jax
except ImportError:
    jax = ModuleType("jax")
    jax.monitoring, jax.lax = ModuleType("monitoring"), ModuleType("jax.lax")
    jax.monitoring.record_scalar = None
    backend = ModuleType("keras.src.backend.jax")
    backend.__path__ = []
    functions = ModuleType("keras.src.backend.jax.math")
    functions.fft = functions.fft2 = None
    for module in (jax, jax.lax, backend, functions):
        sys.modules[module.__name__] = module

import keras
import keras_kd
import numpy as np

assert keras.backend.backend() == "numpy"
student = keras_kd.recurrent_student(9, 2, units=2, embedding_dim=2)
distiller = keras_kd.Distiller(
    student, losses=[keras_kd.SoftTargets(2.0)], hard_label_weight=0.0
)
distiller.compile("sgd")
x = {name: np.ones((1, 3), "int32") for name in ("token_ids", "padding_mask")}
y = {"teacher": {"logits": np.array([[4.0, -4.0]])}}
print(float(distiller.compute_loss(x, y, np.array([[-4.0, 4.0]]))))
try:
    keras_kd.training_batches
except ImportError as error:
    print(type(error).__name__)
"""
        finished = subprocess.run(
            [sys.executable, "-c", script],
            env={
                **os.environ,
                "KERAS_BACKEND": "numpy",
                "PYTHONPATH": str(PROJECT),
            },
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, finished.stderr[-3000:]
        loss, error = finished.stdout.split()
        # T^2 times the divergence of (.982, .018) from its reverse, whose
        # logarithms are 4 apart.
        assert float(loss) == pytest.approx(4 * 4 * 0.9640276, rel=1e-5)
        assert error == "ModuleNotFoundError"


class TestPublicNames:
    names = keras_kd.__all__

    @pytest.mark.parametrize("name", names)
    def test_it_can_be_imported(self, name):
        assert not name.startswith("_") or name == "__version__"
        value = getattr(keras_kd, name)
        if name != "__version__":
            assert value.__name__ == name
            assert value.__doc__

    def test_no_name_twice_and_no_other_name(self):
        assert len(self.names) == len(set(self.names))
        assert set(self.names) <= set(dir(keras_kd))
        with pytest.raises(AttributeError, match="no attribute 'Distillator'"):
            keras_kd.Distillator

    def test_everything_in_the_readme_is_public(self):
        import re

        readme = (PROJECT / "README.md").read_text(encoding="utf-8")
        used = set(re.findall(r"keras_kd\.(\w+)", readme))
        assert used and used <= set(self.names)

    def test_all_modules_can_be_imported(self):
        for name in PATHS:
            if name.rpartition(".")[2] != "__main__":
                importlib.import_module(name)


def test_names_that_are_imported_from_the_package_are_there():
    """An import inside a function may be one that only slow tests reach."""
    missing = set()
    for folder in ("benchmarks", "keras_kd", "recipes", "tests", "tools"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            if "node_modules" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.ImportFrom):
                    continue
                if node.module.partition(".")[0] != "keras_kd":
                    continue
                module = importlib.import_module(node.module)
                missing |= {
                    f"{path}: {node.module}.{alias.name}"
                    for alias in node.names
                    if f"{node.module}.{alias.name}" not in PATHS
                    and not hasattr(module, alias.name)
                }
    assert not missing


def docstring_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in MODULES:
        if ">>>" in PATHS[name].read_text(encoding="utf-8"):
            for example in finder.find(importlib.import_module(name)):
                if example.examples:
                    yield example


EXAMPLES = list(docstring_examples())


@pytest.mark.parametrize(
    "example",
    [e for e in EXAMPLES if e.name not in EXAMPLES_WITH_FILES],
    ids=lambda example: example.name.removeprefix("keras_kd."),
)
def test_docstring_example(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=output.append)
    assert not runner.failures, "".join(output)


def test_examples_that_need_files_are_few_and_are_there():
    assert EXAMPLES_WITH_FILES <= {example.name for example in EXAMPLES}
    assert len(EXAMPLES) > 2 * len(EXAMPLES_WITH_FILES)
