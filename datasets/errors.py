"""The error of the data sets."""


class DataError(Exception):
    """A picture or a set is absent, damaged or another one; one line that says what to do."""
