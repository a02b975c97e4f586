"""Networks: the residual vector quantiser and the VQ-VAE-2 autoencoder."""
