"""Train the bundled model on its own roll-outs, or fine-tune it on a user's own masks. See `streamseg.training.recipe`.

Importing this package imports neither torch nor a model.
"""
