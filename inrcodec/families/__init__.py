"""The families of functions that a picture can be fitted with."""
