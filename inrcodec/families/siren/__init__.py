"""The family `siren`: a sine network of coordinates alone (Sitzmann et al. 2020)."""
