"""Still pictures: a picture set once and asked many times, and all masks of a picture.

Names, arguments, shapes and dtypes are those of segment-anything's ``SamPredictor`` and ``SamAutomaticMaskGenerator``,
which `streamseg.segment_anything` has under just these names. Importing this imports neither torch nor a model.
"""
