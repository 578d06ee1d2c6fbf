"""The commands of `keras-kd`: a module for each, or for some that are alike."""
