"""Run by: python3 -m unittest discover --start-directory locust. They need Python alone, no Locust."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
