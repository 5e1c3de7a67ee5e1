"""The bytes of a .prc file: fields, header and segments. Knows no family."""
