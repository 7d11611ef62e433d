"""Results as an MCAP file: what messages it has, and how it grows and is gone on with."""
