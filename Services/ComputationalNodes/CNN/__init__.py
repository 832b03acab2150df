"""The CNN service: classifies pictures with convolutional networks that it trains itself."""
