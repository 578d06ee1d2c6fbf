"""The metadata by which MediaPipe knows what a text classifier reads."""

from keras_kd import batch
from keras_kd.export.attachments import LABELS_FILE
from keras_kd.export.attachments import VOCABULARY_FILE
from keras_kd.export.errors import ExportError

# What MediaPipe calls the three inputs. It finds them by these names alone.
CLIENT_NAMES = {
    batch.TOKEN_IDS: "ids",
    batch.PADDING_MASK: "mask",
    batch.SEGMENT_IDS: "segment_ids",
}
METADATA_ENTRY = "TFLITE_METADATA"
# Since when the schema has BERT's tokenizer.
PARSER_VERSION = "1.1.0"
# Numbers of fields and values in metadata_schema.fbs.
LABELS_OF_AXIS, VOCABULARY = 2, 5
BERT_TOKENIZER = 4


def add_classifier_metadata(content, name, licence=None):
    """Writes what MediaPipe's Text Classifier needs into a LiteRT file.

    It says which of the file's inputs is which, that text is read by BERT's
    tokenizer, and under which names labels and vocabulary are attached.

    Args:
        content: Bytes of a `.tflite` file with one signature.
        name: Name of the model.
        licence: Its licence, or `None`.

    Returns:
        Bytes.

    Raises:
        ExportError: A file that MediaPipe does not take: with another number
            of subgraphs, or without one of the three inputs.

    Source: metadata_schema.fbs of MediaPipe, version 1.5.0.
    """
    import flatbuffers
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    if len(model.subgraphs) != 1:
        raise ExportError(
            "MediaPipe takes files of one subgraph. Received: "
            f"{len(model.subgraphs)}, for loops and conditions have one of "
            "their own. Build the student from other layers."
        )
    (signature,) = model.signatureDefs
    names = {
        tensor.tensorIndex: tensor.name.decode("utf-8")
        for tensor in signature.inputs
    }
    # The converter has an order of its own.
    inputs = [names.get(index) for index in model.subgraphs[0].inputs]
    if sorted(map(str, inputs)) != sorted(CLIENT_NAMES):
        raise ExportError(
            f"MediaPipe gives the inputs {sorted(CLIENT_NAMES)}. The file has "
            f"{inputs}: the converter has dropped what it could."
        )
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(
        _metadata([CLIENT_NAMES[input] for input in inputs], name, licence),
        np.uint8,
    )
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_ENTRY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _metadata(inputs, name, licence):
    """The metadata, a flatbuffer of its own."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)

    def table(offsets, kind=None):
        """A table of what stands elsewhere, by number of the field.

        `kind` is the number of a field and of what it says: one byte.
        """
        offsets = {key: value for key, value in offsets.items() if value}
        fields = [*offsets, *([] if kind is None else kind[:1])]
        builder.StartObject(1 + max(fields))
        if kind is not None:
            builder.PrependInt8Slot(*kind, 0)
        for field, offset in offsets.items():
            builder.PrependUOffsetTRelativeSlot(field, offset, 0)
        return builder.EndObject()

    def vector(offsets):
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    text = builder.CreateString

    def file(name, kind):
        return vector([table({0: text(name)}, (2, kind))])

    tokenizer = table(
        {1: table({0: file(VOCABULARY_FILE, VOCABULARY)})}, (0, BERT_TOKENIZER)
    )
    scores = table(
        {0: text("probability"), 6: file(LABELS_FILE, LABELS_OF_AXIS)}
    )
    subgraph = table(
        {
            2: vector([table({0: text(one)}) for one in inputs]),
            3: vector([scores]),
            5: vector([tokenizer]),
        }
    )
    root = table(
        {
            0: text(name),
            3: vector([subgraph]),
            5: text(licence) if licence else None,
            7: text(PARSER_VERSION),
        }
    )
    builder.Finish(root, file_identifier=b"M001")
    return bytes(builder.Output())
