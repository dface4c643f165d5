"""A network as a program in plain C: its steps, their memory, their weights, and the text.

`steps` reads the graph, `memory` plans the arena, `pack` and `transform` order weights as the kernels read them,
`calls` writes a call for each step, and `text` the files. The kernels are in ``kernels/``; a program has those that it
calls.
"""
