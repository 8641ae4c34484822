"""The sample dataset: rendered images of planets, dwarf planets and the Moon.

The rendered bytes are the same on every x86-64 machine. Therefore all modules here use only table look-ups, integer
arithmetic, and the operations that IEEE 754 rounds exactly: + - * / sqrt floor. Sines, powers, dot products and sums
of NumPy depend on the vector unit of the processor. Random numbers come from `random.Random`, an integer generator
that a string seeds through SHA-512.
"""
