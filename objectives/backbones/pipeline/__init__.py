"""The parts beside the network in a pipeline: the noise schedule, the autoencoder, the text."""
