"""The Python steps of the Assay workflow."""

import os

# Nothing here uses plugins of pydantic, and each command would look for them in all packages.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
