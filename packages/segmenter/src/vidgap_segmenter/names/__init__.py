"""What others call our weights: tables of names, below the backbones and all that reads weights."""
