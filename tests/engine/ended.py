"""A program whose children record two runs each and then end: `python -m tests.engine.ended START_METHOD`.

It prints, as JSON, what should have been kept. The database is that of `ACONTEXT_URL`.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

EARLIER: Any = None


def record(whose: str, how: str) -> None:
    """Two runs with the client of the parent, with one of this child, or with none; then an end of some kind."""
    from acontext_plugins import Acontext, learning

    clients: dict[str, Callable[[], Any]] = {"the parent's": lambda: EARLIER, "its own": Acontext, "none": lambda: None}

    @learning(space="s", client=clients[whose]())
    def run(what: str) -> str:
        return "done"

    run(f"{whose}, {how}: first")
    if how == "by a thread":
        main = threading.main_thread()

        def later() -> None:
            while main.is_alive():  # it is no longer when its work is done: Python waits for this thread alone
                time.sleep(0.01)
            run(f"{whose}, {how}: last")

        threading.Thread(target=later).start()
        return
    run(f"{whose}, {how}: last")
    if how == "by sys.exit":
        sys.exit(3)
    if how == "by an error":
        raise ValueError("this is how it ends")


CODES = {"by return": 0, "by sys.exit": 3, "by an error": 1, "by a thread": 0}


def main(method: Any) -> None:
    global EARLIER
    context = multiprocessing.get_context(method)
    whose = ["its own", "none"]
    if method == "fork":
        from acontext_plugins import Acontext

        EARLIER = Acontext()
        whose.append("the parent's")
    # where each child imports everything anew, a few will do
    hows = list(CODES) if method == "fork" else ["by return"]
    expected = []
    children = []
    for one in whose:
        for how in hows:
            child = context.Process(target=record, args=(one, how))
            child.start()
            children.append((child, CODES[how]))
            expected += [f"{one}, {how}: first", f"{one}, {how}: last"]
    if method == "fork":
        pool = context.Pool(1)
        pool.apply(record, (whose[-1], "in a pool"))
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            executor.submit(record, whose[-1], "in an executor").result()
        pool.close()
        pool.join()
        for how in ("in a pool", "in an executor"):
            expected += [f"{whose[-1]}, {how}: first", f"{whose[-1]}, {how}: last"]
    for child, code in children:
        child.join()
        assert child.exitcode == code
    print(json.dumps(expected))


if __name__ == "__main__":
    main(sys.argv[1])
