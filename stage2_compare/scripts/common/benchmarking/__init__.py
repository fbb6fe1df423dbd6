"""Times a training command beside a plain loop, Hugging Face's Trainer and the ceiling."""
