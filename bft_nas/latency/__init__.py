"""How long networks take for one image, measured on this machine."""
