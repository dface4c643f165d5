"""A network as a program in plain C: its steps, their memory, their weights, and the text.

`steps` reads the graph, `pack` orders weights as the kernels read them, `memory` plans the arena, `text` writes the C.
The kernels are in ``kernels/``; a program has those that it calls.
"""
