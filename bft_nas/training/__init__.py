"""How a network is trained: protocol (no torch), loop, checkpoints, fast paths.

Named so, and not ``train``, because `bft_nas.train` is a function of the public face.
"""
