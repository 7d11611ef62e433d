"""Functions for CVAT, which ``cvat-cli`` runs: its modules here are what ``--function-module`` names.

They need ``cvat-sdk``, which comes with ``cvat-cli``, and no Nuclio: an agent asks the server for work. `everything`
finds all objects of a picture, `interact` answers boxes and clicks, `track` follows shapes from frame to frame.
"""
