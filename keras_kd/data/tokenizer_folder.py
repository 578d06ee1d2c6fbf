"""The tokenizer of a Hugging Face folder, whichever files it has."""

import json
import re

from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_json
from keras_kd.data.errors import DataError
from keras_kd.data.segmentation import make_segmenter

# How the special tokens are called, by the part they play. The first name
# that the vocabulary holds counts, unless the folder's configuration says it.
USUAL_NAMES = {
    "pad_token": ("[PAD]", "<pad>", "<|pad|>"),
    "cls_token": ("[CLS]", "<s>", "<cls>"),
    "sep_token": ("[SEP]", "</s>", "<sep>"),
    "unk_token": ("[UNK]", "<unk>"),
    "mask_token": ("[MASK]", "<mask>"),
}
# Tokenizers whose vocab.txt means BERT's WordPiece. Others (PhoBERT, CTRL,
# Japanese BERT) have a vocab.txt as well, and another algorithm.
WORDPIECE_CLASSES = ("Bert", "DistilBert", "Electra", "MobileBert")
SEGMENTER_FILE = "segmenter.json"


def read_folder(path):
    """Reads a folder's tokenizer: see `Tokenizer.from_folder`.

    Args:
        path: `pathlib.Path` of the folder.

    Returns:
        A `tokenizers.Tokenizer` and a dictionary of the special tokens that
        the folder's configuration names.

    Raises:
        DataError: There is no such folder or no tokenizer in it.
    """
    if not path.is_dir():
        raise DataError(
            f"Expected a folder with a tokenizer. Received: {path}, which "
            f"is {'a file' if path.exists() else 'not there'}. Give the "
            "folder that holds tokenizer.json or vocab.txt; a "
            "tokenizer.json by itself is read with Tokenizer.from_file."
        )
    configuration = _read_configuration(path)
    special_tokens = _special_tokens_in(configuration)
    if (path / "tokenizer.json").is_file():
        backend = read_tokenizer_json(path / "tokenizer.json")
    elif _is_wordpiece_folder(path, configuration):
        backend = _build_wordpiece(path / "vocab.txt", configuration)
    else:
        backend = _convert_with_transformers(path)
    return backend, special_tokens


def read_tokenizer_json(path):
    """Reads one `tokenizer.json`.

    Args:
        path: `pathlib.Path` of the file.

    Returns:
        A `tokenizers.Tokenizer`.

    Raises:
        DataError: The file is missing or is no such file.
    """
    import tokenizers

    if not path.is_file():
        raise DataError(
            f"Expected a tokenizer.json. Received: {path}, which is not a "
            "file. Tokenizer.from_folder reads a whole folder."
        )
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # The Rust code raises bare Exceptions.
        raise DataError(
            f"{path} cannot be read as the tokenizer.json of Hugging Face "
            f"tokenizers: {error}. Save it again with a fast tokenizer's "
            "save_pretrained, or update the tokenizers package."
        ) from error


def read_segmenter(path):
    """Reads which segmenter a folder's tokenizer has.

    Args:
        path: `pathlib.Path` of the folder.

    Returns:
        Its name, or `None`.

    Raises:
        DataError: Another version of it is installed, or one with another
            dictionary: the tokens would not be those that the student learned.
        ImportError: It is not installed.
    """
    file = path / SEGMENTER_FILE
    if not file.is_file():
        return None
    try:
        expected = read_json(file)
        installed = make_segmenter(expected["name"]).description
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} names no segmenter that is known: {error}. Expected what "
            "Tokenizer.save writes. Save the tokenizer once more."
        ) from error
    if installed != expected:
        raise DataError(
            f"The tokenizer in {path} was made with {expected}. Installed: "
            f"{installed}. Words would be cut in other places. Run: pip "
            f"install {expected['name']}=={expected.get('version')}."
        )
    return expected["name"]


def write_segmenter(path, segmenter):
    """Writes what `read_segmenter` reads; `None` leaves no such file."""
    if segmenter is None:
        (path / SEGMENTER_FILE).unlink(missing_ok=True)
    else:
        write_json(path / SEGMENTER_FILE, segmenter.description)


def surround_as_bert(backend, names):
    """Puts `[CLS]` and `[SEP]` around texts and pairs, as BERT has them.

    Args:
        backend: A `tokenizers.Tokenizer` whose vocabulary holds them.
        names: Dictionary of the special tokens by their part, `cls_token` and
            `sep_token` among them.
    """
    import tokenizers

    cls, sep = names["cls_token"], names["sep_token"]
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[
            (token, backend.token_to_id(token)) for token in (cls, sep)
        ],
    )
    backend.add_special_tokens(
        [
            name
            for name in names.values()
            if backend.token_to_id(name) is not None
        ]
    )


def _read_configuration(path):
    """tokenizer_config.json over special_tokens_map.json, or {}."""
    configuration = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        file = path / name
        if not file.is_file():
            continue
        try:
            configuration.update(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise DataError(f"{file} is not JSON: {error}.") from error
    return configuration


def _special_tokens_in(configuration):
    tokens = {}
    for role in USUAL_NAMES:
        token = configuration.get(role)
        if isinstance(token, dict):  # An AddedToken written out.
            token = token.get("content")
        if isinstance(token, str):
            tokens[role] = token
    return tokens


def _is_wordpiece_folder(path, configuration):
    if not (path / "vocab.txt").is_file():
        return False
    if any(
        (path / name).exists()
        for name in ("added_tokens.json", "bpe.codes", "merges.txt")
    ):
        return False
    name = configuration.get("tokenizer_class") or "BertTokenizer"
    return re.sub("Tokenizer(Fast)?$", "", name) in WORDPIECE_CLASSES


def _build_wordpiece(path, configuration):
    """BERT's tokenizer from a vocab.txt, as transformers builds it."""
    import tokenizers

    # Only line feeds end a line: a vocabulary may hold U+2028 and the like.
    with open(path, encoding="utf-8") as file:
        tokens = [line.rstrip("\n") for line in file]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    names = {role: usual[0] for role, usual in USUAL_NAMES.items()}
    names.update(_special_tokens_in(configuration))
    missing = [
        names[role]
        for role in ("unk_token", "cls_token", "sep_token")
        if names[role] not in vocabulary
    ]
    if missing:
        raise DataError(
            f"{path} is no WordPiece vocabulary: {missing} not among its "
            f"{len(tokens)} lines. Expected one token a line, with the "
            "special tokens among them; name others in tokenizer_config.json."
        )
    lowercase = configuration.get("do_lower_case")
    if lowercase is None:
        lowercase = not _has_capitals(tokens)
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(vocabulary, unk_token=names["unk_token"])
    )
    backend.normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=lowercase,
        strip_accents=configuration.get("strip_accents"),
        handle_chinese_chars=configuration.get("tokenize_chinese_chars", True),
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.decoder = tokenizers.decoders.WordPiece()
    surround_as_bert(backend, names)
    return backend


def _has_capitals(tokens):
    """Whether a vocabulary keeps case: [UNK] and [unused7] do not count."""
    return any(
        token != token.lower() and not re.fullmatch(r"\[.*\]", token)
        for token in tokens
    )


def _convert_with_transformers(path):
    try:
        import transformers

        fast = transformers.AutoTokenizer.from_pretrained(
            path, local_files_only=True
        )
        # Where there is no vocabulary, transformers makes a tokenizer that
        # knows its special tokens alone: every word would be [UNK].
        if set(fast.get_vocab()) - set(fast.all_special_tokens):
            return fast.backend_tokenizer
        reason = "transformers finds no vocabulary in it"
    except ImportError as error:
        reason = f"transformers is needed to convert it ({error})"
    except Exception as error:  # transformers raises all kinds of them.
        reason = f"transformers cannot make a fast tokenizer of it: {error}"
    files = sorted(file.name for file in path.iterdir())
    raise DataError(
        f"No tokenizer was found in {path}. Expected tokenizer.json, or the "
        f"vocab.txt of a BERT-like model. Received: {files}; {reason}. Load "
        "it where it works and save it with AutoTokenizer.save_pretrained."
    )
