"""Implicit neural representations: pictures as functions of the coordinates.

Each family is a module here and has an id in the file format; sine networks (SIREN, Sitzmann et
al. 2020) are family 0.
"""
