"""The bytes of a `.prc` file: fields, head and segments. Knows no family."""
