"""Words beside words, in the tables of models."""

import numpy as np
import pytest

from keras_kd import cli
from keras_kd.atomic_files import write_json
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.data.tokenization import Tokenizer
from keras_kd.runs.neighbours import nearest_words
from keras_kd.runs.neighbours import neighbours_table
from keras_kd.runs.neighbours import word_tables
from keras_kd.runs.run_folder import RunFolder
from tests import tiny
from tests import tiny_language_models as tiny_lm


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.write_tokenizer(folder)
    return Tokenizer.from_folder(folder)


@pytest.fixture
def table(tokenizer):
    generator = np.random.default_rng(0)
    return generator.normal(size=(tokenizer.vocabulary_size, 6))


def test_nearest_by_cosine(tokenizer, table):
    fine, dull, grim = (tiny.WORDS.index(w) for w in ("fine", "dull", "grim"))
    table[dull] = 3.0 * table[fine]
    table[grim] = table[fine] + 0.01
    table[tiny.WORDS.index("[CLS]")] = table[fine]
    (first, one), (second, two) = nearest_words("fine", table, tokenizer, 2)
    assert (first, second) == ("dull", "grim")
    assert one == pytest.approx(1.0)
    a, b = table[fine], table[grim]
    expected = a @ b / np.sqrt((a @ a) * (b @ b))
    assert two == pytest.approx(expected)


def test_words_of_several_pieces_are_their_mean(tmp_path):
    folder = tmp_path / "pieces"
    tiny.write_tokenizer(folder)
    words = [*tiny.WORDS, "low", "##est"]
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    tokenizer = Tokenizer.from_folder(folder)
    table = np.random.default_rng(0).normal(size=(len(words), 6))
    table[tiny.WORDS.index("fine")] = (table[-1] + table[-2]) / 2
    ((word, cosine),) = nearest_words("lowest", table, tokenizer, 1)
    assert word == "fine" and cosine == pytest.approx(1.0)
    every = nearest_words("lowest", table, tokenizer, 100)
    assert {word for word, _ in every} == {*words[5:-1]}


def test_byte_level_words_begin_with_a_space(tmp_path):
    tiny_lm.write_masked_lm(tmp_path, "roberta")
    ((_, table, tokenizer),) = word_tables(tmp_path)
    mark = tokenizer.backend.token_to_id("\u0120fine")
    assert mark is not None
    other = tokenizer.backend.token_to_id("\u0120dull")
    table = np.array(table)
    table[other] = table[mark]
    ((word, _),) = nearest_words("fine", table, tokenizer, 1)
    assert word == "dull"


def test_unknown_words(tokenizer, table):
    assert nearest_words("zzz", table, tokenizer) == []


def test_a_run(miniature, capsys):
    run = str(miniature.folder)
    arguments = ["neighbours", "--word", "fine", "--word", "zzz", run]
    assert cli.main([*arguments, "--count", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [
        ["fine", "student"],
        ["fine", "teacher"],
        ["zzz", "student"],
        ["zzz", "teacher"],
    ]
    # The teacher knows what is good and what is bad, and nothing else.
    near = lines[3].split()[2::2]
    assert set(near) <= set(tiny.GOOD)
    assert lines[4].endswith("(unknown)")


def test_several_models_and_what_is_none(miniature, tmp_path):
    tiny.write_bert(tmp_path / "bert")
    tables = neighbours_table(["fine"], [tmp_path / "bert", miniature.folder])
    parts = [" ".join(line.split()[1:3]) for line in tables[2:]]
    assert parts == ["model of", "student of", "teacher of"]
    with pytest.raises(ConfigurationError, match="no run"):
        list(word_tables(tmp_path))


@pytest.mark.parametrize("units", [False, True])
def test_a_run_that_is_not_finished(tmp_path, capsys, units):
    run = RunFolder.start(tmp_path / "run", Configuration())
    if units:
        run.unit("distilled-0").mkdir(parents=True)
    assert cli.main(["neighbours", "--word", "fine", str(run.folder)]) == 1
    err = capsys.readouterr().err
    assert "has no student.keras. It was not finished: start" in err


def test_a_cell_of_a_study(miniature_copy):
    (miniature_copy.folder / "student.keras").unlink()
    parts = [part for part, _, _ in word_tables(miniature_copy.folder)]
    assert parts == ["teacher"]


def test_base_model_of_a_teacher_that_was_trained(miniature_copy, tmp_path):
    folder = miniature_copy.folder
    tiny.write_teacher(folder / "teacher")
    tiny.write_bert(tmp_path / "bert")
    settings = miniature_copy.configuration.to_dict()
    settings["teacher"] = str(tmp_path / "bert")
    write_json(folder / "config.json", settings)
    parts = [part for part, _, _ in word_tables(folder)]
    assert parts == ["student", "teacher", "base model"]


def write_language_model_run(folder, teacher, **settings):
    """What `word_tables` reads of a run, but for its model."""
    settings = {"teacher": str(teacher), "allow_pickle": False, **settings}
    write_json(folder / "settings.json", settings)
    (folder / "units").mkdir()
    return folder


def test_a_run_of_a_head(tmp_path):
    """`recipes.masked_lm_head` has no setting for pickles."""
    run = tmp_path / "run"
    tiny.write_bert(run / "model")
    teacher = tiny.write_bert(tmp_path / "bert")
    write_json(run / "settings.json", {"teacher": teacher})
    (run / "units").mkdir()
    assert [part for part, _, _ in word_tables(run)] == ["student", "teacher"]


def test_a_causal_language_model(tmp_path):
    from keras_kd.models.causal_lm import causal_student
    from keras_kd.models.causal_lm import load_causal_lm

    teacher = load_causal_lm(tiny_lm.write_gpt2(tmp_path / "gpt2"))
    run = write_language_model_run(tmp_path / "run", tmp_path / "gpt2")
    (run / "model").mkdir()
    causal_student(teacher, [0, 2]).save(run / "model" / "student.keras")
    Tokenizer.from_folder(tmp_path / "gpt2").save(run / "model")
    (part, table, tokenizer), (other, expected, _) = word_tables(run)
    assert (part, other) == ("student", "teacher")
    # Nothing was trained: both have one table.
    np.testing.assert_array_equal(table, expected)
    assert len(tokenizer.vocabulary) == len(table)


@pytest.mark.parametrize("kind", ["language model", "task"])
def test_a_pickle_that_the_run_was_allowed_to_read(tmp_path, kind):
    torch = pytest.importorskip("torch", reason="writes a pickle")
    from safetensors.torch import load_file

    folder = tmp_path / "pickled"
    tiny_lm.write_masked_lm(folder)
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    def tables(allow_pickle):
        settings = {
            "teacher": str(folder),
            "allow_pickle": allow_pickle,
            "arms": ["teacher"],
        }
        run = tmp_path / f"run-{allow_pickle}"
        if kind == "task":
            (run / "units").mkdir(parents=True)
            write_json(run / "config.json", settings)
        else:
            write_language_model_run(run, folder, allow_pickle=allow_pickle)
        return list(word_tables(run))

    ((part, table, _),) = tables(True)
    assert part == "teacher" and len(table) == len(tiny.WORDS)
    with pytest.raises(ValueError, match="a pickle"):
        tables(False)
