"""A run of the toys in a process of its own, which says how far it is: the graph as JSON on the command line."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.supervisor import Supervisor


def main() -> None:
    graph = config.parse(json.loads(sys.argv[1]))
    with Supervisor(Plan(graph)) as supervisor:
        while supervisor.state != "finished":
            supervisor.pump(50)
            source = supervisor.stats.get("count")
            bridge = supervisor.pool.pids["sum"]
            status = Path(f"/proc/{bridge}/status")
            memory = (
                [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
                if status.exists()
                else []
            )
            done = {
                "time": time.time(),
                "entered": source.entered if source else 0,
                "done": sum(source.finished.values()) if source else 0,
                "dropped": source.dropped if source else 0,
                "kib": int(memory[0].split()[1]) if memory else 0,
            }
            print(json.dumps(done), flush=True)
            if Path(sys.argv[2]).exists():
                Path(sys.argv[2]).unlink()
                supervisor.stop()
        supervisor.raise_error()
    print(
        json.dumps({"host": supervisor.facts["sum"]["host"], "finished": supervisor.stats["count"].finished}),
        flush=True,
    )


if __name__ == "__main__":
    main()
