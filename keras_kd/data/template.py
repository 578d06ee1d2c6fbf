"""Where special tokens go around a text, or around two."""

from keras_kd.data.errors import DataError


class Template:
    """What a tokenizer puts around one text, or around a pair of texts.

    Args:
        parts: List of `(sequence, token_id, segment_id)` in their order:
            `sequence` is the index of the text that goes there, or `None` for
            a special token; a text has no token id.

    Example:

    >>> pair = Template([(None, 2, 0), (0, None, 0), (None, 3, 0),
    ...                  (1, None, 1), (None, 3, 1)])
    >>> pair.fill([[7, 8, 9], [10]], room=3)
    ([2, 7, 8, 3, 10, 3], [0, 0, 0, 0, 1, 1])
    """

    def __init__(self, parts):
        self.parts = parts
        texts = [i for i, part in enumerate(parts) if part[0] is not None]
        self.before = [part[1] for part in parts[: texts[0]]]
        self.after = [part[1] for part in parts[texts[-1] + 1 :]]
        self.special_count = len(parts) - len(texts)

    @classmethod
    def of_backend(cls, backend, vocabulary, sequences):
        """Finds by a probe what a post-processor puts around the text.

        Args:
            backend: A `tokenizers.Tokenizer`.
            vocabulary: Its tokens.
            sequences: 1 for a single text, 2 for a pair.

        Raises:
            DataError: No text that was tried has any token.
        """
        for probe in ("a", "1", *vocabulary[:1000]):
            try:
                encoding = backend.encode(*[probe] * sequences)
            except Exception:  # A word that is unknown where no [UNK] exists.
                continue
            if {0, sequences - 1} <= set(encoding.sequence_ids):
                break
        else:
            raise DataError(
                "The tokenizer gives no token for any text that was tried. "
                f"Its vocabulary has {len(vocabulary)} entries. Check "
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
        return cls(parts)

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
