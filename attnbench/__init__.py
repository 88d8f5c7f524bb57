"""attnbench: which attention implementation is right, and which is fastest, for my shapes on my machine.

Everything that is installed is imported under this one name: ``attnbench.bench``,
``attnbench.impls``, ``attnbench.reports``. In a checkout these three are links to the
folders at its root; CONTRIBUTING.md says why.
"""
