"""The main job on generated pairs with a known answer, and small checkpoints made on the spot."""
