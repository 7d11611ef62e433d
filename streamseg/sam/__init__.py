"""SAM behind a narrow door: arrays in, arrays out.

Image -> features (`streamseg.sam.encoder`) and (features, prompt) -> masks (`streamseg.sam.decoder`) are two
halves, since they run in different processes; `streamseg.sam.loading` loads either. Importing this package imports
neither torch nor a model.
"""
