"""The Triton kernels behind ``impls/triton_fused.py``, and how they are launched and compiled.

- `tiles`: loads, visible ranges, scores: shared by all kernels.
- `softmax`: the online softmax over a range of keys: shared by forward and decode.
- `forward`, `backward`, `decode`: the kernels.
- `configs`: tile sizes by architecture and head_dim, with reasons.
- `launch`: arguments and grids. `tuning`: which configuration a GPU likes best.
- `build`: what to hand to ``triton.compile`` for a GPU that is not here.

Importing a module of this package other than `configs` imports triton, and
triton decides at that moment whether its interpreter is on.
"""
