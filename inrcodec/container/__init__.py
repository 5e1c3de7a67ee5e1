"""The `.prc` file format: reading and writing, specified in `docs/format.md`. Imports no torch."""
