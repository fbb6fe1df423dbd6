"""Puts the commands' folder on the path, as running one of them by its file does."""

import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "stage2_compare" / "scripts"
sys.path.insert(0, str(SCRIPTS))
