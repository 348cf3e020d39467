"""Selection in figures: every selector against its definition, memory, and what a person waits for on the Curate page.

    python -m tests.benchmarks.selection [--quick] [--json] [--only NAME ...] [--cache DIR]

Both sides of every comparison run on the same inputs in one process with 2 threads, a process a section, results
compared first; every timed call gets a fresh matrix, so that nothing kept from the last one helps. `--quick` takes
under a minute and shows that all works; its times are no measurements. Nothing is asserted; what is measured is
printed.
"""

from __future__ import annotations

from tests.benchmarks import frame

SECTIONS = {  # name: module of this folder
    "round_robin": "selection_orders",
    "rankings": "selection_orders",
    "crowded": "selection_orders",
    "sets": "selection_orders",
    "changes": "selection_orders",
    "memory": "selection_orders",
    "explanation": "selection_views",
    "figure_ready": "selection_views",
    "decision": "selection_views",
    "distances": "selection_views",
    "map_fit": "selection_map",
    "map_paint": "selection_map",
}

if __name__ == "__main__":
    frame.main("selection", __doc__, SECTIONS)
