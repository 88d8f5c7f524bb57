"""The families of inputs by name, and what each exposes; the names of the properties. No torch."""

FAMILIES: dict[str, str] = {
    "normal": "standard normal values: ordinary accuracy, alignment, grouping, scale",
    "needle": "each query matches one visible key strongly: keys at tile edges and ends that get lost",
    "spike": "a few hidden keys tower over all visible ones: masks applied after softmax",
    "large": "scores of about +-200: exp without subtracting the maximum",
    "low": "scores of about -120 for every key: a log-sum-exp whose exp underflows float32",
    "growing": "scores grow along the keys: an accumulator that is not rescaled",
    "poison": "NaN where no data is: padding, the unfilled part of a cache, unused pages",
    "views": "q, k, v and dout are slices of larger tensors full of NaN: strides and offsets taken for granted",
}

PROPERTY_NAMES = (
    "causality",
    "key permutation",
    "ones",
    "linearity",
    "grouping",
    "split-merge",
    "backward determinism",
    "batch invariance",
)
"""Names of the properties, as :mod:`attnbench.bench.agreement.properties` tries them."""
