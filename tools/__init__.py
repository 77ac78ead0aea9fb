"""Programs for a person, beside the study's stages."""
