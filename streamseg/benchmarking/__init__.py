"""How fast streamseg is on this machine: what ``streamseg bench`` and the programs in ``benchmarks/`` measure with."""
