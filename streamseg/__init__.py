"""Point at a thing once and get its outline in every frame that follows."""
