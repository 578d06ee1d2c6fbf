"""Word tables: files of vectors, the teacher's table, and its projection."""

import gzip
import struct
import tracemalloc

import keras
import numpy as np
import pytest
import tokenizers

from keras_kd.data.tokenization import Tokenizer
from keras_kd.models.attention import attention_student
from keras_kd.models.embeddings import TABLE_DEVIATION
from keras_kd.models.embeddings import project
from keras_kd.models.embeddings import read_word_vectors
from keras_kd.models.embeddings import set_embeddings
from keras_kd.models.embeddings import teacher_table
from keras_kd.models.embeddings import whole_words
from keras_kd.models.transformer import transformer_student
from keras_kd.models.word_vectors import read_vectors
from tests import tiny

WORDS = ["the", "film", "caf\u00e9", ". . .", "Fine", "fine", "2010", "the"]
VECTORS = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "the", "##film", "film", "caf\u00e9", "fine",
    "nothing", "2010", "##", "</s>",
]  # fmt: skip


def as_text(header=False, end=b"\n"):
    lines = [
        b" ".join([word.encode(), *(f"{x:.9g}".encode() for x in vector)])
        for word, vector in zip(WORDS, VECTORS, strict=True)
    ]
    if header:
        lines.insert(0, b"8 5")
    return end.join(lines) + end


def as_binary(end=b"\n"):
    # A space ends a word there.
    pairs = zip(WORDS, VECTORS, strict=True)
    return b"8 5\n" + b"".join(
        word.replace(" ", "_").encode() + b" " + struct.pack("<5f", *v) + end
        for word, v in pairs
    )


def write(folder, name, content):
    path = folder / name
    path.write_bytes(
        gzip.compress(content) if name.endswith(".gz") else content
    )
    return path


FILES = {
    "glove.txt": as_text(),
    "glove.txt.gz": as_text(),
    "windows.txt": b"\xef\xbb\xbf" + as_text(end=b"\r\n"),
    "spaces.txt": as_text(end=b" \n"),
    "blank.txt": as_text() + b"\n",
    "word2vec.vec": as_text(header=True),
    "word2vec.vec.gz": as_text(header=True),
    "google.bin": as_binary(),
    "gensim.bin": as_binary(end=b""),
    "google.bin.gz": as_binary(),
}


class TestFiles:
    @pytest.mark.parametrize("name", FILES)
    def test_every_format_gives_the_same(self, name, tmp_path):
        path = write(tmp_path, name, FILES[name])
        table, share = read_word_vectors(path, VOCABULARY, lowercase=False)
        assert table.dtype == "float32" and table.shape == (12, 5)
        # "the" stands there twice; "</s>" and "##film" are no words.
        for token, row in [
            ("the", 0), ("film", 1), ("caf\u00e9", 2), ("fine", 5), ("2010", 6)
        ]:  # fmt: skip
            np.testing.assert_array_equal(
                table[VOCABULARY.index(token)], VECTORS[row]
            )
        # Neither "nothing" nor "##" is in the file: 5 of 7 words.
        assert share == pytest.approx(5 / 7)

    @pytest.mark.parametrize("name", ["a.txt", "a.bin"])
    def test_in_small_letters(self, name, tmp_path):
        content = as_text() if name == "a.txt" else as_binary()
        path = write(tmp_path, name, content)
        vocabulary = ["FILM", "fine", "FINE", "Fine", "THE"]
        table, share = read_word_vectors(path, vocabulary, lowercase=True)
        # As it is written, if the file has that; else the first that fits.
        np.testing.assert_array_equal(table, VECTORS[[1, 5, 4, 4, 0]])
        assert share == 1.0
        _, share = read_word_vectors(path, vocabulary, lowercase=False)
        assert share == pytest.approx(2 / 5)

    def test_what_is_missing_is_distributed_as_what_is_there(self, tmp_path):
        generator = np.random.default_rng(3)
        deviations = np.array([0.1, 0.5, 2.0])
        vectors = generator.normal([1.0, -2.0, 0.0], deviations, (400, 3))
        lines = [f"w{i} {a} {b} {c}" for i, (a, b, c) in enumerate(vectors)]
        path = write(tmp_path, "a.txt", "\n".join(lines).encode())
        vocabulary = [f"w{i}" for i in range(400)]
        vocabulary += [f"##w{i}" for i in range(3000)]
        table, share = read_word_vectors(path, vocabulary, lowercase=False)
        assert share == 1.0
        found, pieces = table[:400], table[400:]
        error = found.std(0) / np.sqrt(3000)
        assert (np.abs(pieces.mean(0) - found.mean(0)) < 4 * error).all()
        np.testing.assert_allclose(pieces.std(0), found.std(0), rtol=0.05)
        again, _ = read_word_vectors(path, vocabulary, lowercase=False)
        np.testing.assert_array_equal(again, table)
        other, _ = read_word_vectors(path, vocabulary, False, seed=1)
        assert np.abs(other[400:] - pieces).max() > 0.1

    def test_memory_stays_flat(self, tmp_path):
        # 8 MB, of which two words are wanted.
        count, dimensions = 20_000, 100
        vector = np.full(dimensions, 0.5, "<f4").tobytes()
        content = b"".join(b"w%d " % i + vector for i in range(count))
        header = f"{count} {dimensions}\n".encode()
        path = write(tmp_path, "large.bin", header + content)
        tracemalloc.start()
        table, share = read_word_vectors(path, ["w0", "w19999"], False)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert share == 1.0
        np.testing.assert_array_equal(table, np.full((2, dimensions), 0.5))
        assert peak < 4e6 < path.stat().st_size / 2

    def test_words_of_other_vocabularies(self):
        # Where a mark says that a word begins, what lacks it is a piece.
        assert whole_words(["<s>", "\u2581film", "s", "\u2581"]) == [
            None, "film", None, None
        ]  # fmt: skip
        assert whole_words(["\u0120film", "ing", "<|x|>"]) == [
            "film", None, None
        ]  # fmt: skip
        assert whole_words(["film", "[MASK]", "[", "<", "##s"]) == [
            "film", None, "[", "<", None
        ]  # fmt: skip


class TestDamagedFiles:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.txt", b"", "is empty"),
            ("a.txt", b"a 1 2\nb 1\n", "line 2: expected a word and 2 numbers"),
            ("a.txt", b"a 1 2\nb 1 2 3\n", "line 2: .* Received 3 after 'b 1"),
            ("a.txt", b"a 1 2\nb 1 x\n", "line 2: expected 2 .*'x'"),
            ("a.txt", b"a 1 2\nb nan 1\n", "line 2: expected finite .* nan"),
            ("a.txt", b"a 1 2\nb 1 inf\n", "line 2: expected finite .* inf"),
            ("a.txt", b"a 1 2\nb 1 1e99\n", "line 2: expected finite"),
            ("a.txt", b"a\n", "line 1: expected a word and its vector"),
            ("a.txt", b"a b c\n", "line 1: .* Received 'a b c'"),
            ("a.txt", b"3 0\na\n", "line 1: .* Received '3 0'"),
            ("a.txt", b"2 3\na 1 2\nb 1 2\n", "line 2: .* 3 numbers"),
            ("a.txt", b"3 2\na 1 2\nb 1 2\n", "says 3 words. Received 2"),
            ("a.txt", b"1 2\na 1 2\nb 1 2\n", "says 1 words. Received 2"),
            ("a.txt", as_binary(), "line 2: expected a word and 5"),
            ("a.txt.gz", None, "no whole gzip file"),
            ("a.bin", b"", "line 1: expected the header"),
            ("a.bin", as_text(), "line 1: .* Text files must not be"),
            ("a.bin", b"0 5\n", "Received 0 words of 5"),
            ("a.bin", as_binary()[:-9], "word 8: expected 8 words of 5"),
            ("a.bin", as_binary() + b"more", "the end after 8 words.*more"),
            ("a.bin", b"2 1\n" + b"x" * 3_000_000, "word 1: .*another kind"),
            (
                "a.bin",
                b"1 1\na " + struct.pack("<f", np.nan),
                "word 1 .'a'.: expected finite numbers. Received nan",
            ),
        ],
    )
    def test_the_place_is_named(self, name, content, message, tmp_path):
        if content is None:
            path = tmp_path / name
            path.write_bytes(gzip.compress(as_text())[:-20])
        else:
            path = write(tmp_path, name, content)
        with pytest.raises(ValueError, match=message):
            read_word_vectors(path, ["a", "b"], lowercase=False)

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nothing.txt"):
            read_word_vectors(tmp_path / "nothing.txt", ["a"], False)

    def test_another_language(self, tmp_path):
        path = write(tmp_path, "a.txt", as_text())
        with pytest.raises(ValueError, match="none of the 2 words.*'eins'"):
            read_word_vectors(path, ["[PAD]", "eins", "zwei"], False)

    def test_numbers_of_other_words_are_not_read(self, tmp_path):
        path = write(tmp_path, "a.txt", b"a 1 2\nb x y\n")
        found = list(read_vectors(path, lambda word: word == "a"))
        assert [word for word, _ in found] == ["a"]


class TestProjection:
    @pytest.mark.parametrize("shape", [(50, 8), (6, 20), (8, 8)])
    @pytest.mark.parametrize("dim", [1, 3, 6])
    def test_against_scikit_learn(self, shape, dim):
        from sklearn.decomposition import PCA

        generator = np.random.default_rng(0)
        # Far from the origin, as the tables of BERT are.
        table = generator.normal(3.0, 1.0, shape)
        if dim == shape[0]:
            # Centred, there is one component less than rows.
            dim -= 1
        expected = PCA(dim, svd_solver="full").fit_transform(table)
        received = project(table, dim)
        assert received.dtype == "float32"
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)

    def test_distances_are_those_of_the_table(self):
        table = np.random.default_rng(0).normal(2.0, 1.0, (10, 4))
        full = project(table, 4)
        for other in range(10):
            np.testing.assert_allclose(
                np.linalg.norm(full - full[other], axis=1),
                np.linalg.norm(table - table[other], axis=1),
                rtol=1e-5,
                atol=1e-6,
            )

    def test_it_is_the_same_for_a_mirrored_basis(self):
        table = np.random.default_rng(0).normal(size=(30, 5))
        np.testing.assert_array_equal(project(table, 3), project(table, 3))
        # Only the sign of the largest loading decides, not the rows' order.
        order = np.random.default_rng(1).permutation(30)
        np.testing.assert_allclose(
            project(table[order], 3), project(table, 3)[order], atol=1e-5
        )

    @pytest.mark.parametrize(
        ("table", "dim", "message"),
        [
            (np.ones((5, 4)), 5, "between 1 and 4.*Received: 5.*not wider"),
            (np.ones((3, 4)), 4, "between 1 and 3"),
            (np.ones((5, 4)), 0, "Received: 0"),
            (np.ones(5), 1, r"a matrix.*\(5,\)"),
            (np.full((5, 4), np.nan), 2, "finite: False"),
        ],
    )
    def test_refusals(self, table, dim, message):
        with pytest.raises(ValueError, match=message):
            project(table, dim)


def make_model(rows, width=6, layer=keras.layers.Embedding):
    table = np.random.default_rng(5).normal(0.2, 0.05, (rows, width))
    inputs = keras.Input((None,), dtype="int32")
    embedding = layer(rows, width, name="token_embedding")
    model = keras.Model(inputs, keras.layers.Dense(2)(embedding(inputs)))
    embedding.set_weights([table])
    return model, table.astype("float32")


def scaled(table, dim, rows=None):
    expected = project(table, dim, rows)
    return expected / expected.std() * TABLE_DEVIATION


class TestTeacherTable:
    @pytest.fixture
    def tokenizer(self, tmp_path):
        tiny.write_tokenizer(tmp_path)
        return Tokenizer.from_folder(tmp_path)

    @pytest.mark.parametrize("stock", [True, False])
    def test_its_own_vocabulary(self, stock):
        from keras_hub.layers import ReversibleEmbedding

        layer = keras.layers.Embedding if stock else ReversibleEmbedding
        model, table = make_model(20, layer=layer)
        received = teacher_table(model, 3)
        assert received.dtype == "float32"
        np.testing.assert_allclose(received, scaled(table, 3), rtol=1e-5)
        assert received.std() == pytest.approx(TABLE_DEVIATION, rel=1e-5)

    def test_of_a_transformer_and_inside_of_another_model(self):
        teacher = transformer_student(20, 2, hidden_dim=8, num_heads=2)
        expected = teacher_table(teacher, 4)
        inputs = teacher.input
        outer = keras.Model(inputs, keras.layers.Dense(2)(teacher(inputs)))
        np.testing.assert_array_equal(teacher_table(outer, 4), expected)

    def test_rows_behind_the_last_token_are_left_out(self, tokenizer):
        model, table = make_model(len(tiny.WORDS) + 9)
        received = teacher_table(model, 3, tokenizer=tokenizer)
        expected = scaled(table[: len(tiny.WORDS)], 3)
        np.testing.assert_allclose(received, expected, rtol=1e-5)

    def test_a_vocabulary_of_the_students_own(self):
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "fine", "film", "##s"]
        pieces += ["##ing", "a", "good"]
        backend = tokenizers.Tokenizer(
            tokenizers.models.WordPiece(
                {piece: index for index, piece in enumerate(pieces)},
                unk_token="[UNK]",
            )
        )
        backend.normalizer = tokenizers.normalizers.BertNormalizer()
        backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        model, table = make_model(len(pieces))
        tokens = ["[PAD]", "[NEW]", "films", "Filming", "good", "a-good",
                  "zzz", "##ing", "fine"]  # fmt: skip
        rows = {
            0: [0],
            2: [5, 6],
            3: [5, 7],
            4: [9],
            5: [8, 9],  # The hyphen is unknown.
            7: [7],
            8: [4],
        }
        means = np.stack([table[ids].mean(0) for ids in rows.values()])
        received = teacher_table(model, 3, tokens, Tokenizer(backend))
        assert received.shape == (9, 3)
        np.testing.assert_allclose(
            received[list(rows)], scaled(table, 3, means), rtol=1e-4, atol=1e-6
        )
        # Nothing is known of two of them: random, and not the same.
        missing = received[[1, 6]]
        assert np.isfinite(missing).all()
        assert np.abs(missing[0] - missing[1]).max() > 1e-3
        assert np.abs(missing).max() < 6 * TABLE_DEVIATION

    def test_fewer_tokens_than_components(self, tokenizer):
        model, _ = make_model(len(tiny.WORDS))
        tokens = ["film", "fine"]
        rows = [tokenizer.vocabulary.index(token) for token in tokens]
        received = teacher_table(model, 5, tokens, tokenizer)
        whole = teacher_table(model, 5)[rows]
        assert np.linalg.matrix_rank(received) == 2
        np.testing.assert_allclose(
            received / received.std(), whole / whole.std(), atol=1e-5
        )

    def test_the_same_vocabulary_gives_the_same_table(self, tokenizer):
        model, _ = make_model(len(tiny.WORDS))
        np.testing.assert_allclose(
            teacher_table(model, 3, tokenizer.vocabulary, tokenizer),
            teacher_table(model, 3),
            atol=1e-6,
        )

    def test_byte_level_pieces_in_the_middle_of_a_text(self):
        vocabulary = ["<pad>", "<unk>", "f", "\u0120", "\u0120f", "<s>", "</s>"]
        backend = tokenizers.Tokenizer(
            tokenizers.models.BPE(
                {token: index for index, token in enumerate(vocabulary)},
                [("\u0120", "f")],
            )
        )
        backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
            add_prefix_space=False
        )
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> $B </s>",
            special_tokens=[("<s>", 5), ("</s>", 6)],
        )
        model, table = make_model(len(vocabulary), width=3)
        tokens = ["f", "ff", "[SEP]", "<pad>"]
        received = teacher_table(model, 2, tokens, Tokenizer(backend))
        expected = [table[4], (table[4] + table[2]) / 2, table[6], table[0]]
        np.testing.assert_allclose(
            received, scaled(table, 2, np.stack(expected)), rtol=1e-4, atol=1e-6
        )

    def test_refusals(self, tokenizer):
        model, _ = make_model(len(tiny.WORDS))
        with pytest.raises(ValueError, match="2 `tokens` without a `token"):
            teacher_table(model, 3, ["a", "b"])
        with pytest.raises(ValueError, match="between 1 and 6.*Received: 7"):
            teacher_table(model, 7)
        small, _ = make_model(10)
        with pytest.raises(ValueError, match="29 tokens.*table 10 rows"):
            teacher_table(small, 3, tokenizer=tokenizer)
        with pytest.raises(ValueError, match="knows none of the 1 tok"):
            teacher_table(model, 3, ["[PAD]", "[UNK]", "zzz"], tokenizer)
        dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        with pytest.raises(ValueError, match="no embedding called 'token_emb"):
            teacher_table(dense, 3)


def test_a_table_becomes_the_students_and_is_saved(tmp_path):
    student = attention_student(20, 2, hidden_dim=4, num_heads=2)
    table = np.random.default_rng(0).normal(size=(20, 4))
    set_embeddings(student, table)
    student.save(tmp_path / "student.keras")
    again = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(
        again.get_layer("token_embedding").get_weights()[0],
        table.astype("float32"),
    )
