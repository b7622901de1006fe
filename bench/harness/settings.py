"""What the environment may change."""
import os
import pathlib
import tempfile

BENCH = pathlib.Path(__file__).resolve().parent.parent
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
PORT = int(os.environ.get("BENCH_PORT", "21700"))
DATA = os.environ.get("BENCH_DIR", tempfile.gettempdir())
FILL_GB = float(os.environ.get("FILL_GB", "10"))
MILLRACE = os.environ.get("MILLRACE", str(BENCH.parent / ".build/release/millrace"))
LOAD = str(BENCH / ".build/release/load")
NATS = str(BENCH / ".venv/bin/nats-server")
SERVER_CORE, LOAD_CORE = "0", "1"
