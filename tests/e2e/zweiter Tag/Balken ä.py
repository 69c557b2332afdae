"""Shows a bar as long as it runs, colours, and characters that arrive byte by byte."""

import os
import sys
import time
from pathlib import Path

with Path(sys.argv[1], "ledger").open("a") as ledger:
    ledger.write("bar\n")
out = sys.stdout.fileno()
for percent in range(101):
    os.write(out, b"\r%3d%% |%s|" % (percent, b"#" * percent))
    time.sleep(0.02)
os.write(out, b"\n")
for byte in "Grüße, 世界 🎈\n".encode():
    os.write(out, bytes([byte]))
    time.sleep(0.05)
os.write(out, b"\x1b[32mgreen\x1b[0m\n")
