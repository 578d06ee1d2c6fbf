"""Text to token ids, exactly as Hugging Face's fast tokenizers do it."""

import copy
import hashlib
import itertools
import json
from pathlib import Path

from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.data.segmentation import make_segmenter
from keras_kd.data.template import Template
from keras_kd.data.tokenizer_folder import USUAL_NAMES
from keras_kd.data.tokenizer_folder import read_folder
from keras_kd.data.tokenizer_folder import read_segmenter
from keras_kd.data.tokenizer_folder import read_tokenizer_json
from keras_kd.data.tokenizer_folder import write_segmenter

KINDS = {
    "WordPiece": "wordpiece",
    "BPE": "bpe",
    "Unigram": "unigram",
    "WordLevel": "word",
}
TEXTS_AT_ONCE = 1024


class Tokenizer:
    """Turns texts into token ids and segment ids.

    It wraps a `tokenizers.Tokenizer`, so that the ids are those that the
    teacher was trained with. Two things differ from calling that directly:

    - A special token written in the user's text, such as a literal `[SEP]`,
      is read as text and never becomes the special token. (In transformers
      that is `split_special_tokens=True`, and off by default.)
    - Truncation is done here, for each call. The wrapped tokenizer has
      neither truncation nor padding switched on, whatever its file says.

    Args:
        backend: A `tokenizers.Tokenizer`. It is copied.
        special_tokens: Dictionary with any of `pad_token`, `cls_token`,
            `sep_token`, `unk_token` and `mask_token`. What is not given is
            taken from the tokenizer itself or found by its usual name.
        segmenter: `"jieba"`: Chinese text is cut into words before the
            wrapped tokenizer sees it. Or `None`.

    Attributes:
        backend: The wrapped `tokenizers.Tokenizer`.
        segmenter: As given.
        kind: `"wordpiece"`, `"bpe"`, `"unigram"`, `"word"`, `"character"`
            (every character that is no space), or `"jieba"`.
        vocabulary: The tokens in order of their ids.
        pad_id, cls_id, sep_id, unk_id, mask_id: Ids, or `None` where the
            tokenizer has no such token.
        lowercase: Whether it makes letters small.
        fingerprint: Hash of everything that decides about the ids.

    Example:

    >>> tokenizer = Tokenizer.from_folder("all-MiniLM-L6-v2")
    >>> tokenizer.encode(["A fine film."], max_length=128)
    [([101, 1037, 2986, 2143, 1012, 102], [0, 0, 0, 0, 0, 0])]
    """

    def __init__(self, backend, special_tokens=None, segmenter=None):
        pad_token = (backend.padding or {}).get("pad_token")
        self.backend = copy.deepcopy(backend)
        self.backend.no_padding()
        self.backend.no_truncation()
        self.backend.encode_special_tokens = True
        self._description = json.loads(self.backend.to_str())
        self.segmenter = segmenter
        self._segmenter = make_segmenter(segmenter)
        self.kind = segmenter or _kind(self._description)
        self.vocabulary = _tokens_by_id(self.backend)
        self.lowercase = _makes_small(self.backend.normalizer)
        self._templates = {
            sequences: Template.of_backend(
                self.backend, self.vocabulary, sequences
            )
            for sequences in (1, 2)
        }
        self._find_special_tokens(pad_token, special_tokens or {})

    @classmethod
    def from_folder(cls, path):
        """Reads the tokenizer of a Hugging Face folder.

        Args:
            path: Folder with `tokenizer.json`; or with `vocab.txt` of a
                BERT-like model and its `tokenizer_config.json`; or with
                anything that transformers makes a fast tokenizer of.

        Raises:
            DataError: There is no such folder or no tokenizer in it, or it
                was made with another segmenter than is installed.
        """
        backend, special_tokens = read_folder(Path(path))
        segmenter = read_segmenter(Path(path))
        return cls(backend, special_tokens, segmenter)

    @classmethod
    def from_file(cls, path):
        """Reads a `tokenizer.json`, and `segmenter.json` if it is beside it.

        Raises:
            DataError: The file is missing or is no such file.
        """
        path = Path(path)
        segmenter = read_segmenter(path.parent)
        return cls(read_tokenizer_json(path), segmenter=segmenter)

    def save(self, folder, max_length=None, num_segments=None):
        """Writes the tokenizer so that `from_folder` and transformers read it.

        Args:
            folder: Gets `tokenizer.json`, `tokenizer_config.json` and, for
                WordPiece, `vocab.txt`. Where words are cut before, it gets
                `segmenter.json`, which transformers does not know: it reads
                text in which the words stand apart already.
            max_length: The most tokens that its model reads: transformers'
                `truncation=True` cuts there, and without it nowhere.
            num_segments: How many kinds of tokens its model tells apart:
                transformers gives `token_type_ids` where there are two.
        """
        folder = Path(folder)
        write_segmenter(folder, self._segmenter)
        with write_aside(folder / "tokenizer.json") as temporary:
            text = self.backend.to_str(pretty=True)
            temporary.write_text(text, encoding="utf-8")
        names = {
            f"{role}_token": self.vocabulary[index]
            for role, index in self._special_ids().items()
            if index is not None
        }
        configuration = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
        if max_length is not None:
            configuration["model_max_length"] = max_length
        if num_segments is not None:
            kinds = ["token_type_ids"] if num_segments > 1 else []
            configuration["model_input_names"] = [
                "input_ids", *kinds, "attention_mask"
            ]  # fmt: skip
        write_json(folder / "tokenizer_config.json", configuration)
        if self.kind == "wordpiece":
            with write_aside(folder / "vocab.txt") as temporary:
                text = "".join(f"{token}\n" for token in self.vocabulary)
                temporary.write_text(text, encoding="utf-8", newline="\n")

    @property
    def vocabulary_size(self):
        """The number of ids: rows that an embedding table needs."""
        return len(self.vocabulary)

    @property
    def fingerprint(self):
        """Hash (hexadecimal) of the tokenizer's canonical JSON."""
        parts = [self._description, self._special_ids()]
        if self._segmenter is not None:
            parts.append(self._segmenter.description)
        text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def special_token_count(self, pairs=False):
        """How many special tokens are put around one text, or a pair."""
        return self.template(pairs).special_count

    def template(self, pairs=False):
        """The `Template` of a single text, or of a pair."""
        return self._templates[2 if pairs else 1]

    def encode(self, texts, max_length, pairs=None):
        """Encodes texts, or pairs of texts, with the special tokens around.

        Args:
            texts: List of strings. A tuple of strings is a text with a mask
                token between any two of them (the unknown token where the
                vocabulary has no mask).
            max_length: The most ids a row may have, special tokens included.
                Longer texts lose their end, never the closing special token;
                of a pair the longer text is cut first.
            pairs: List of the second texts, as long as `texts`, or `None`.

        Returns:
            A list of `(token_ids, segment_ids)`, both lists of int.

        Raises:
            ValueError: `max_length` leaves no room for text, or `pairs` has
                another length than `texts`.
            TypeError: Something among the texts is not a string.
        """
        sequences = [texts] if pairs is None else [texts, pairs]
        for sequence in sequences:
            if isinstance(sequence, str):
                raise TypeError(
                    f"Expected a list of strings. Received: {sequence[:60]!r}."
                    " Put a single text into a list."
                )
        template = self._templates[len(sequences)]
        smallest = template.special_count + len(sequences)
        if max_length < smallest:
            raise ValueError(
                f"max_length={max_length} leaves no room for the text: "
                f"{template.special_count} special tokens are put around it. "
                f"Use at least {smallest}."
            )
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(
                f"Expected as many second texts as first ones. Received: "
                f"{len(texts)} texts and {len(pairs)} pairs."
            )
        room = max_length - template.special_count
        rows = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            stop = start + TEXTS_AT_ONCE
            encoded = [
                self.encode_plain(sequence[start:stop], start)
                for sequence in sequences
            ]
            rows += [template.fill(ids, room) for ids in zip(*encoded)]
        return rows

    def encode_plain(self, texts, start=0):
        """Ids without special tokens, whole: one call of the Rust code for all.

        Args:
            texts: As in `encode`.
            start: The first text's number, for errors.

        Returns:
            List of lists of ids.
        """
        texts = list(texts)
        if any(isinstance(text, tuple) for text in texts):
            return self._encode_masked(texts, start)
        if self._segmenter is not None:
            for number, text in enumerate(texts, start):
                check_text(text, number)
            texts = [self._segmenter.segment(text) for text in texts]
        encodings = self._encode_batch(
            self.backend.encode_batch_fast, texts, start
        )
        return [encoding.ids for encoding in encodings]

    def _encode_batch(self, encode, texts, start=0):
        """Names the text that is none."""
        try:
            return encode(texts, add_special_tokens=False)
        except (TypeError, UnicodeError) as error:
            for number, text in enumerate(texts, start):
                check_text(text, number)
            raise error

    def encode_offsets(self, texts):
        """As `encode_plain`, and where each token stands in its text.

        Args:
            texts: List of strings.

        Returns:
            A list of `(ids, starts, ends)`, in characters.

        Raises:
            ValueError: The text is cut into words before, and places are lost.
        """
        if self._segmenter is not None:
            raise ValueError(
                f"Where tokens stand is not known behind '{self.segmenter}'. "
                "Take a tokenizer without a segmenter."
            )
        result = []
        for encoding in self._encode_batch(
            self.backend.encode_batch, list(texts)
        ):
            starts, ends = zip(*encoding.offsets) if encoding.ids else ((), ())
            result.append((encoding.ids, starts, ends))
        return result

    def _encode_masked(self, texts, start):
        """The same, where some texts are tuples with masks between."""
        mask_id = self.unk_id if self.mask_id is None else self.mask_id
        mask = [] if mask_id is None else [mask_id]
        parts = [[t] if isinstance(t, str) else list(t) for t in texts]
        for pieces in parts:
            # A mask takes the space before it, as that of RoBERTa does.
            pieces[:-1] = [piece.rstrip() for piece in pieces[:-1]]
        encoded = iter(self.encode_plain(itertools.chain(*parts), start))
        rows = []
        for pieces in parts:
            ids = list(next(encoded))
            for _ in pieces[1:]:
                ids += mask + list(next(encoded))
            rows.append(ids)
        return rows

    @property
    def special_ids(self):
        """The ids that stand for no text."""
        around = [*self.template().before, *self.template().after]
        return sorted({*around, *self._special_ids().values()} - {None})

    def _special_ids(self):
        return {
            "pad": self.pad_id,
            "cls": self.cls_id,
            "sep": self.sep_id,
            "unk": self.unk_id,
            "mask": self.mask_id,
        }

    def _find_special_tokens(self, pad_token, given):
        model = self._description["model"]
        unk_token = model.get("unk_token")
        if unk_token is None and model.get("unk_id") is not None:
            unk_token = self.vocabulary[model["unk_id"]]
        own = {"pad_token": pad_token, "unk_token": unk_token}
        ids = {}
        for role, usual in USUAL_NAMES.items():
            candidates = (given.get(role), own.get(role), *usual)
            found = [
                self.backend.token_to_id(name)
                for name in candidates
                if name is not None
            ]
            ids[role] = next((i for i in found if i is not None), None)
        template = self._templates[1]
        self.pad_id = ids["pad_token"]
        self.unk_id = ids["unk_token"]
        self.mask_id = ids["mask_token"]
        # What the template puts before and after the text is what counts.
        self.cls_id = _first(template.before, ids["cls_token"])
        self.sep_id = _first(template.after, ids["sep_token"])


def _kind(description):
    """The kind by the model; words of one character are one of their own."""
    name = description["model"]["type"]
    pre_tokenizer = description["pre_tokenizer"] or {}
    if name == "WordLevel" and pre_tokenizer.get("pretokenizers") == [
        {"type": "WhitespaceSplit"},
        {
            "type": "Split",
            "pattern": {"Regex": "."},
            "behavior": "Isolated",
            "invert": False,
        },
    ]:
        return "character"
    return KINDS.get(name, name.lower())


def _tokens_by_id(backend):
    """Tokens in order of id. Ids that no token has get a name of their own."""
    by_id = {
        index: token
        for token, index in backend.get_vocab(with_added_tokens=True).items()
    }
    return [
        by_id.get(index, f"[no token {index}]")
        for index in range(max(by_id, default=-1) + 1)
    ]


def _makes_small(normalizer):
    return normalizer is not None and "A" not in normalizer.normalize_str("A")


def _first(ids, otherwise):
    return ids[0] if ids else otherwise


def check_text(text, number):
    """Raises an error that names the position of what is no text.

    Raises:
        TypeError: It is not a string.
        ValueError: It holds half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise TypeError(
            f"Expected texts as strings. Received at position {number}: "
            f"{text!r} ({type(text).__name__})."
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The text at position {number} holds half of a surrogate pair "
            f"(character {error.start}), which is no Unicode text. Repair it "
            "where it was read: text.encode('utf-8', 'replace').decode()."
        ) from None
