"""Console scripts `crypto-bot` and `cointrainer`."""
