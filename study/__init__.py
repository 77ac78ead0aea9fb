"""What the stages of the study share."""
