"""Text to token ids, exactly as Hugging Face's fast tokenizers do it."""

import copy
import hashlib
import json
from pathlib import Path

from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.data.errors import DataError
from keras_kd.data.tokenizer_folder import USUAL_NAMES
from keras_kd.data.tokenizer_folder import read_folder
from keras_kd.data.tokenizer_folder import read_tokenizer_json

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

    Attributes:
        backend: The wrapped `tokenizers.Tokenizer`.
        kind: `"wordpiece"`, `"bpe"`, `"unigram"` or `"word"`.
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

    def __init__(self, backend, special_tokens=None):
        pad_token = (backend.padding or {}).get("pad_token")
        self.backend = copy.deepcopy(backend)
        self.backend.no_padding()
        self.backend.no_truncation()
        self.backend.encode_special_tokens = True
        self._description = json.loads(self.backend.to_str())
        model = self._description["model"]
        self.kind = KINDS.get(model["type"], model["type"].lower())
        self.vocabulary = _tokens_by_id(self.backend)
        self.lowercase = _makes_small(self.backend.normalizer)
        self._templates = {
            sequences: _read_template(self, sequences) for sequences in (1, 2)
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
            DataError: There is no such folder or no tokenizer in it.
        """
        backend, special_tokens = read_folder(Path(path))
        return cls(backend, special_tokens)

    @classmethod
    def from_file(cls, path):
        """Reads a `tokenizer.json`.

        Raises:
            DataError: The file is missing or is no such file.
        """
        return cls(read_tokenizer_json(Path(path)))

    def save(self, folder):
        """Writes the tokenizer so that `from_folder` and transformers read it.

        Args:
            folder: Gets `tokenizer.json`, `tokenizer_config.json` and, for
                WordPiece, `vocab.txt`.
        """
        folder = Path(folder)
        with write_aside(folder / "tokenizer.json") as temporary:
            text = self.backend.to_str(pretty=True)
            temporary.write_text(text, encoding="utf-8")
        names = {
            f"{role}_token": self.vocabulary[index]
            for role, index in self._special_ids().items()
            if index is not None
        }
        write_json(
            folder / "tokenizer_config.json",
            {"tokenizer_class": "PreTrainedTokenizerFast", **names},
        )
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
        text = json.dumps(
            [self._description, self._special_ids()],
            sort_keys=True,
            ensure_ascii=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def special_token_count(self, pairs=False):
        """How many special tokens are put around one text, or a pair."""
        return self._templates[2 if pairs else 1].special_count

    def encode(self, texts, max_length, pairs=None):
        """Encodes texts, or pairs of texts, with the special tokens around.

        Args:
            texts: List of strings.
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
                self._encode_plain(sequence[start:stop], start)
                for sequence in sequences
            ]
            rows += [template.fill(ids, room) for ids in zip(*encoded)]
        return rows

    def _encode_plain(self, texts, start=0):
        """Ids without special tokens: one call of the Rust code for all."""
        texts = list(texts)
        try:
            encodings = self.backend.encode_batch_fast(
                texts, add_special_tokens=False
            )
        except (TypeError, UnicodeError) as error:
            for number, text in enumerate(texts, start):
                _check_text(text, number)
            raise error
        return [encoding.ids for encoding in encodings]

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


class _Template:
    """Where special tokens go around one text or two: read by probing.

    Args:
        parts: List of `(sequence, token_id, segment_id)`: `sequence` is the
            index of the text that goes there, or `None` for a special token.
    """

    def __init__(self, parts):
        self.parts = parts
        texts = [i for i, part in enumerate(parts) if part[0] is not None]
        self.before = [part[1] for part in parts[: texts[0]]]
        self.after = [part[1] for part in parts[texts[-1] + 1 :]]
        self.special_count = len(parts) - len(texts)

    def fill(self, sequences, room):
        """Gives ids and segment ids of a row, cut to `room` text tokens."""
        lengths = _cut_longest_first([len(ids) for ids in sequences], room)
        token_ids = []
        segment_ids = []
        for sequence, token_id, segment_id in self.parts:
            if sequence is None:
                token_ids.append(token_id)
                segment_ids.append(segment_id)
            else:
                length = lengths[sequence]
                token_ids += sequences[sequence][:length]
                segment_ids += [segment_id] * length
        return token_ids, segment_ids


def _cut_longest_first(lengths, room):
    """Lengths that fit into `room`: the longer of two is cut first."""
    if sum(lengths) <= room:
        return lengths
    if len(lengths) == 1:
        return [room]
    first, second = lengths
    half = room // 2
    shorter = min(first, second)
    if shorter > half:
        # Both are cut. With an odd room the longer text gets the odd token,
        # and the second one does if they are equally long.
        larger = room - half
        return [larger, half] if first > second else [half, larger]
    rest = room - shorter
    return [rest, shorter] if first > second else [shorter, rest]


def _read_template(tokenizer, sequences):
    """Finds by a probe what the post-processor puts around the text."""
    for probe in ("a", "1", *tokenizer.vocabulary[:1000]):
        try:
            encoding = tokenizer.backend.encode(*[probe] * sequences)
        except Exception:  # A word that is unknown where no [UNK] exists.
            continue
        if {0, sequences - 1} <= set(encoding.sequence_ids):
            break
    else:
        raise DataError(
            "The tokenizer gives no token for any text that was tried. "
            f"Its vocabulary has {len(tokenizer.vocabulary)} entries. Check "
            "that its vocabulary and its pre-tokenizer belong together."
        )
    parts = []
    for sequence, token_id, segment_id in zip(
        encoding.sequence_ids, encoding.ids, encoding.type_ids
    ):
        if sequence is None:
            parts.append((None, token_id, segment_id))
        elif not parts or parts[-1][0] != sequence:
            parts.append((sequence, None, segment_id))
    return _Template(parts)


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


def _check_text(text, number):
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
