"""Networks that torch computes: SAM's encoder in less memory, the bundled one, MobileSAM's; both halves as modules."""
