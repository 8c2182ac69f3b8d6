"""Install the built wheel in an environment of its own, outside the checkout; run its demo."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """0 where the demo of the installed wheel writes, and a second one writes nothing."""
    wheels = sorted(Path(sys.argv[1]).resolve().glob("*.whl"))
    if len(wheels) != 1:
        print(f"one wheel is expected, {len(wheels)} found")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.create(home / "env", with_pip=True)
        python = home / "env" / "bin" / "python"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        requirements = str(ROOT / "requirements" / "runtime.txt")
        subprocess.run([*pip, "--require-hashes", "-r", requirements], check=True)
        subprocess.run([*pip, "--no-deps", str(wheels[0])], check=True)
        program = str(home / "env" / "bin" / "fhir-adapter")
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        for expected in ("Written: 28 created", "Written: nothing"):
            done = subprocess.run(
                [program, "demo", "--quiet"],
                cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=300,
            )  # fmt: skip
            if done.returncode or expected not in done.stdout:
                print(done.stdout[-2000:], done.stderr[-2000:], sep="\n")
                print(f"the wheel's demo did not say {expected!r}")
                return 1
    print("the wheel runs its demo outside the checkout, and the second run writes nothing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
