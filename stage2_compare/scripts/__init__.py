"""Only ``python -m`` comes here, which does not put this folder, where ``common`` is, on the path."""

import sys

if sys.argv[:1] == ["-m"]:
    file = "stage2_compare/scripts/make_splits.py"
    print(f"error: give the file of a command, without -m: python {file}", file=sys.stderr)
    sys.exit(2)
