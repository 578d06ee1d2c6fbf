"""What a source yields: one text, or a pair, and perhaps a label."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Example:
    """One row of a data set, before tokens.

    Attributes:
        example_id: Where it came from, such as `"train.tsv:17"`.
        fields: The text, or the two texts of a pair. One in which words are
            masked is a tuple: what stands before, between and after the masks.
        label: The label as it is written in the source, a tuple of labels
            where it is a JSON list, or `None` if the row has none.
    """

    example_id: str
    fields: tuple[str | tuple[str, ...], ...]
    label: str | tuple[str, ...] | None = None
