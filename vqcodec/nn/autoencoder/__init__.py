"""The VQ-VAE-2 autoencoder: pixels to code vectors and back."""
