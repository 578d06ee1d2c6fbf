"""The operations of a LiteRT file."""

from pathlib import Path


def operations(path):
    """The names of a file's operations, sorted; custom ones as `CUSTOM:name`.

    Args:
        path: A `.tflite` file.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if isinstance(value, int)
    }
    model = schema.Model.GetRootAsModel(Path(path).read_bytes(), 0)
    found = set()
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        if code.CustomCode():
            found.add(f"CUSTOM:{code.CustomCode().decode('utf-8')}")
            continue
        # Codes above 127 stand in the second of the two fields.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        found.add(names.get(number, f"BUILTIN:{number}"))
    return sorted(found)
