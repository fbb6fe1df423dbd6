"""The main job on an embedded default: generated pairs with a known answer, and small checkpoints made on the spot."""
