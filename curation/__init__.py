"""Targeted instruction selection: out of a large pool, the few hundred examples that teach a model a task."""

import os

__version__ = "0.1.0"

# Torch's threads wait for each other some thousand times a second, by default spinning: on a core that another process
# wants (the app beside its own job), a step then takes twenty times as long. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
