"""A process that sees a Memory object: it maps the descriptor that its argument names and says so, then waits to be ended.

Every line on stdin is answered with the digest of what it sees.
"""

from __future__ import annotations

import hashlib
import os
import sys

from Services.fractos.memory_block import check_sealed, map_part


def main() -> None:
    descriptor, size = int(sys.argv[1]), int(sys.argv[2])
    check_sealed(descriptor, size)
    view = map_part(descriptor, 0, size)
    os.close(descriptor)
    print("mapped", flush=True)
    for _ in sys.stdin:
        print(hashlib.sha256(view.buffer).hexdigest(), flush=True)


if __name__ == "__main__":
    main()
