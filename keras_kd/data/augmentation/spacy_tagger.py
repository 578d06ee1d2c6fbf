"""Parts of speech from a spaCy model that is installed."""

import importlib.metadata


class SpacyTagger:
    """The tags of words by a spaCy model; coarse ones if it has no fine ones.

    Only a model that is installed as a package is loaded; nothing is fetched.

    Args:
        name: Name of the model's package, such as `"en_core_web_sm"`.

    Raises:
        ImportError: spaCy or the model is not installed.
        ValueError: The model has no tagger.

    Example:

    ```python
    SpacyTagger("en_core_web_sm")(["A", "fine", "film"])  # ['DT', 'JJ', 'NN']
    ```

    Source: https://spacy.io
    """

    def __init__(self, name):
        spacy_versions(name)
        import spacy

        # Tags need none of these, and they take most of the time.
        unused = ["parser", "ner", "senter", "lemmatizer"]
        self._model = spacy.load(name, exclude=unused)
        if not {"tagger", "morphologizer"} & set(self._model.pipe_names):
            raise ValueError(
                f"The spaCy model '{name}' has no tagger; it has "
                f"{self._model.pipe_names}. Give one that has, such as "
                "en_core_web_sm."
            )

    def __call__(self, words):
        from spacy.tokens import Doc

        document = self._model(Doc(self._model.vocab, words=words))
        return [token.tag_ or token.pos_ for token in document]


def spacy_versions(name):
    """The versions of spaCy and of a model, without loading either.

    Raises:
        ImportError: One of them is not installed.
    """
    versions = {}
    for package, remedy in (
        ("spacy", "pip install spacy"),
        (name, f"python -m spacy download {name}"),
    ):
        try:
            versions[package] = importlib.metadata.version(package)
        except (importlib.metadata.PackageNotFoundError, ValueError):
            raise ImportError(
                f"Parts of speech come from the spaCy model '{name}', and "
                f"the package '{package}' is not installed. Run: {remedy}; or "
                "leave the tagger out: words are then not replaced by others."
            ) from None
    return versions
