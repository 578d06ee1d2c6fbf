"""What the README and the guide say is run: code, commands, flags, links."""

import csv
import importlib
import json
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_kd import cli
from keras_kd.commands import guard
from keras_kd.commands import training
from keras_kd.configuration import Configuration
from keras_kd.configuration.setting_flags import resolve_settings
from keras_kd.data.tokenization import Tokenizer
from keras_kd.models.bert import bert
from keras_kd.models.heads import masked_pool
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.pretrained import state_dict
from keras_kd.runs.student_files import StudentFiles
from keras_kd.tasks.text_classification import TextClassification
from keras_kd.teachers.teacher import Teacher
from recipes import recipe as recipe_module

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
LINKED = [*PAGES, PROJECT / "recipes" / "data" / "README.md"]
RECIPES = (
    "quickstart", "imdb", "sst2", "mnli", "yelp5", "tnews", "chnsenticorp",
    "own_data", "tinybert_glue", "conll2003", "squad", "cmrc2018",
)  # fmt: skip
# Those that have flags of their own instead of the settings of a run.
OTHER_RECIPES = ("masked_lm_head", "masked_lm")
# They make a teacher where none is given.
WITHOUT_TEACHER = ("tnews", "chnsenticorp", "cmrc2018")

GOOD = "fine great lovely superb warm bright".split()
BAD = "dull poor awful weak cold grim".split()
OTHER = "a the film plot story cast ending was it".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *OTHER, *GOOD, *BAD]
LABELS = ["negative", "positive"]
# 1 for a good word, -1 for a bad one.
POLARITY = np.array(
    [float(word in GOOD) - float(word in BAD) for word in VOCABULARY], "float32"
)


# === Reading the pages ===


def code_blocks(page, language):
    """`(number of the first line, code)` of the fenced blocks of a language."""
    blocks, code, number = [], None, 0
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if code is None and line.startswith("```"):
            code, first, kind = [], number + 1, line[3:].strip()
        elif code is not None and line.startswith("```"):
            if kind == language:
                blocks.append((first, "\n".join(code) + "\n"))
            code = None
        elif code is not None:
            code.append(line)
    assert code is None, f"{page.name}: a code block is not closed"
    return blocks


def prose(page):
    """A page without its code blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def commands(page):
    """The command lines of a page's bash blocks, each a list of words."""
    found = []
    for _, code in code_blocks(page, "bash"):
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while "&&" in words:
                end = words.index("&&")
                found.append(words[:end])
                words = words[end + 1 :]
            if words:
                found.append(words)
    return found


def commands_of(program):
    """`(page, words after the program)` of all pages; `program` is a list."""
    found = []
    for page in PAGES:
        for words in commands(page):
            words = [Path(words[0]).name, *words[1:]]
            if words[: len(program)] == program:
                found.append((page.name, words[len(program) :]))
    return found


def as_parameters(several):
    return [pytest.param(w, id=f"{p}: {' '.join(w)}") for p, w in several]


# === Files that the pages name ===


def write_texts(folder):
    generator = np.random.default_rng(0)

    def texts(count):
        for number in range(count):
            words = [generator.choice((BAD, GOOD)[number % 2])]
            words += list(generator.choice(OTHER, generator.integers(2, 7)))
            yield " ".join(generator.permutation(words)), LABELS[number % 2]

    for name, count in (("train", 120), ("validation", 40), ("test", 40)):
        with open(folder / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *texts(count)])
    more = "".join(f"{text}\n" for text, _ in texts(80))
    (folder / "more.txt").write_text(more)


def write_tokenizer(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{w}\n" for w in VOCABULARY))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    return Tokenizer.from_folder(folder)


def write_saved_teacher(folder, tokenizer):
    """A teacher that adds up good and bad words, and needs no training."""
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    embedding = keras.layers.Embedding(len(VOCABULARY), 1)
    x = embedding(inputs["token_ids"])
    x = masked_pool(x, inputs["padding_mask"], "mean")
    logits = keras.layers.Dense(2)
    model = keras.Model(inputs, logits(x))
    embedding.set_weights([POLARITY[:, None]])
    logits.set_weights([np.array([[-9.0, 9.0]]), np.zeros(2)])
    Teacher(model, tokenizer, LABELS).save(folder)


def write_huggingface_folder(folder, head):
    """A BERT of one layer: its first position sees the mean of all words.

    With a head for masked words it has learned nothing.
    """
    from safetensors.numpy import save_file

    config = {
        "model_type": "bert",
        "vocab_size": len(VOCABULARY),
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "architectures": ["BertModel"],
    }
    if head is not None:
        config["architectures"] = ["BertForSequenceClassification"]
        config["id2label"] = dict(enumerate(LABELS))
    model = bert(
        read_settings(config),
        "masked_lm" if head == "masked_lm" else "sequence",
        None if head == "masked_lm" else 2,
    )
    table = np.outer(POLARITY, [1, -1, 0, 0]) + [0, 0, 0.5, -0.5]
    attention = "transformer_layer_0/self_attention_layer"
    values = {
        "token_embedding/embeddings": table,
        f"{attention}/query/kernel": np.zeros((4, 2, 2)),
        f"{attention}/value/kernel": np.eye(4).reshape(4, 2, 2),
        f"{attention}/attention_output/kernel": np.eye(4).reshape(2, 2, 4),
        "pooled_dense/kernel": np.eye(4),
        "logits/kernel": 4.0 * np.array([[-1, 1], [1, -1], [0, 0], [0, 0]]),
    }
    if head != "masked_lm":
        for variable in model.variables:
            if variable.path in values:
                variable.assign(values.pop(variable.path))
        assert not values
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        state_dict(model, config, head or "pooler"),
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


@pytest.fixture(scope="module")
def named_files(tmp_path_factory):
    """A folder with all that the pages' Python blocks read."""
    folder = tmp_path_factory.mktemp("docs")
    write_texts(folder)
    tokenizer = write_tokenizer(folder / "tokenizer")
    write_saved_teacher(folder / "teacher", tokenizer)
    write_huggingface_folder(folder / "bert_with_head", "sequence")
    write_huggingface_folder(folder / "bert_without_head", None)
    write_huggingface_folder(folder / "masked_lm", "masked_lm")
    return folder


@pytest.fixture
def recipe_options(monkeypatch):
    """Gives the parsed options of a recipe's command line; runs nothing."""

    def parse(recipe, arguments):
        parsed = []

        def keep(action, options):
            options.shown_command = training.shown_command()
            parsed.append(options)

        monkeypatch.setattr(guard, "guarded", keep)
        monkeypatch.setattr(recipe_module, "guarded", keep)
        monkeypatch.setattr(sys, "argv", [recipe, *arguments])
        # It runs as a script: not the module that another one imported.
        monkeypatch.delitem(sys.modules, f"recipes.{recipe}", raising=False)
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(
                f"recipes.{recipe}", run_name="__main__", alter_sys=True
            )
        assert not ended.value.code, f"recipes.{recipe} refuses {arguments}"
        return parsed[0] if parsed else None

    return parse


# === Tests ===


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if code_blocks(page, "python")],
    ids=lambda page: page.name,
)
def test_python_blocks_run_in_order(page, named_files, tmp_path, monkeypatch):
    # A whole run's files are converted and verified in processes of their own:
    # most of its time, and tests/export is about nothing else. What the README
    # calls by itself is run.
    monkeypatch.setattr(
        StudentFiles,
        "write",
        lambda self, name: {"file": name, "format": "none"},
    )
    shutil.copytree(named_files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for first, code in code_blocks(page, "python"):
        # Blank lines in front: a traceback then names the line of the page.
        code = compile("\n" * (first - 1) + code, str(page), "exec")
        exec(code, names)
    if page.name == "README.md":
        assert Path("student.keras").stat().st_size
        assert Path("student.tflite").stat().st_size


@pytest.mark.parametrize("words", as_parameters(commands_of(["keras-kd"])))
def test_commands_parse(words):
    options = cli.make_parser().parse_args(words)
    if words[0] in ("distill", "compare", "tune", "study", "label"):
        if options.config:
            return  # A file that a run has written.
        configuration = resolve_settings(options)
        complete = configuration.train and configuration.teacher and options.run
        assert complete or options.print_config


@pytest.mark.parametrize("words", as_parameters(commands_of(["python", "-m"])))
def test_recipe_commands_parse(words, recipe_options):
    package, recipe = words[0].split(".")
    if package == "benchmarks":
        module = importlib.import_module(words[0])
        parser = getattr(module, "make_parser", None)
        assert parser().parse_args(words[1:]) if parser else module.main
        return
    assert package == "recipes" and recipe in (*RECIPES, *OTHER_RECIPES)
    options = recipe_options(recipe, words[1:])
    if recipe in OTHER_RECIPES:
        assert options.run
    elif "--help" not in words:
        given = resolve_settings(options).teacher is not None
        assert given or recipe in WITHOUT_TEACHER
        # The report gives the command so that it can be typed again.
        assert options.shown_command == shlex.join(["python", "-m", *words])


@pytest.mark.parametrize("words", as_parameters(commands_of(["make"])))
def test_make_targets_exist(words):
    makefile = (PROJECT / "Makefile").read_text()
    (target,) = words
    assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)


def test_what_needs_pytorch_is_run_with_it():
    makefile = (PROJECT / "Makefile").read_text().replace("\\\n", " ")
    (paths,) = re.findall("^WITH_TORCH = (.+)$", makefile, re.MULTILINE)
    run = {
        file
        for path in paths.split()
        for found in PROJECT.glob(path)
        for file in ([found] if found.is_file() else found.rglob("test_*.py"))
    }
    asks = (
        r'importorskip\(\s*"torch"|find_spec\("torch"\)|\[[^\]]*"torch"[^\]]*\]'
    )
    needing = {
        file
        for file in (PROJECT / "tests").rglob("test_*.py")
        if re.search(asks, file.read_text(encoding="utf-8"))
    }
    assert len(needing) > 9 and needing <= run


def test_pages_have_commands_of_every_kind():
    """The tests above are empty where no command is found."""
    assert len(commands_of(["keras-kd"])) > 10
    assert len(commands_of(["python", "-m"])) > 3
    assert ("README.md", ["quickstart"]) in commands_of(["make"])


def test_flags_named_in_prose_exist(capsys, recipe_options):
    for command in (
        "distill", "compare", "tune", "study", "label", "evaluate", "predict",
        "export", "neighbours", "benchmark",
    ):  # fmt: skip
        with pytest.raises(SystemExit):
            cli.make_parser().parse_args([command, "--help"])
    for recipe in (*RECIPES, *OTHER_RECIPES):
        recipe_options(recipe, ["--help"])
    flag = r"--[a-z][a-z0-9-]*"
    known = set(re.findall(flag, capsys.readouterr().out))
    named = {
        (page.name, name)
        for page in PAGES
        for code in re.findall(r"`(--[^`]*)`", prose(page))
        for name in re.findall(flag, code)
    }
    assert ("report.md", "--teacher-runtime") in named
    assert sorted(entry for entry in named if entry[1] not in known) == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_defaults_are_those_of_the_page(recipe, recipe_options):
    arguments = ["--run", "x"]
    settings = dict(recipe_options(recipe, arguments).default_settings)
    usual = Configuration().to_dict()
    for name in ("train", "test", "teacher", "arms"):
        settings.pop(name, None)
    own = {name: v for name, v in settings.items() if v != usual[name]}
    text = prose(PROJECT / "docs" / "recipes.md")
    (section,) = [
        part
        for part in re.split(r"^## ", text, flags=re.MULTILINE)
        if part.startswith(f"recipes.{recipe}\n")
    ]
    described = {}
    for name, value in re.findall(r"`--([a-z-]+) ([^`]+)`", section):
        described.setdefault(name.replace("-", "_"), value)
    expected = {
        name: " ".join(map(str, v)) if isinstance(v, list) else str(v)
        for name, v in own.items()
    }
    assert bool(expected) is (recipe != "own_data")
    assert {n: described.get(n) for n in expected} == expected


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_internal_links_resolve(page):
    # GitHub's anchors: letters, digits, hyphens, underscores; spaces are "-".
    def anchors(target):
        headings = re.findall(r"^#+ (.+)$", prose(target), re.MULTILINE)
        return {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in headings
        }

    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert target.is_relative_to(PROJECT)
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}"


class Subclassed(keras.Model):
    def build(self, shapes):
        self.embedding = keras.layers.Embedding(len(VOCABULARY), 2)
        self.embedding.build(shapes["token_ids"])

    def call(self, inputs):
        return keras.ops.mean(self.embedding(inputs["token_ids"]), axis=1)


def test_subclassed_teacher_is_wrapped_as_the_guide_says(named_files, tmp_path):
    tokenizer = Tokenizer.from_folder(named_files / "tokenizer")
    task = TextClassification(LABELS)
    rows = task.make_rows(
        named_files / "test.csv", tokenizer, tmp_path / "rows"
    )
    model = Subclassed()
    teacher = Teacher(model, tokenizer, LABELS)
    with pytest.raises(ValueError, match="Expected a functional model"):
        teacher.label(rows, tmp_path / "targets")
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    teacher = Teacher(keras.Model(inputs, model(inputs)), tokenizer, LABELS)
    assert len(teacher.label(rows, tmp_path / "targets")) == len(
        np.unique(rows.keys())
    )


def test_every_page_is_linked_from_the_readme():
    readme = prose(PROJECT / "README.md")
    for page in PAGES[1:]:
        assert f"](docs/{page.name})" in readme
