"""Networks: the autoencoder, the priors, and the compiled kernels."""
