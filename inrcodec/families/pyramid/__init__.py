"""The family `pyramid`: sine layers over latent planes with a context network."""
