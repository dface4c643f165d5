"""The search: loop, proposers, early stopping, comparison with references.

Named so, and not ``search``, because `bft_nas.search` is a function of the public face.
"""
