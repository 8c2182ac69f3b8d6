"""A Spark session for tests: Sail's, or Spark's own, whichever this environment has.

`make servers` builds an environment for each; a session's port is free and on 127.0.0.1 only.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

SAIL = find_spec("pysail") is not None
SPARK = find_spec("py4j") is not None
NAME = "sail" if SAIL else "pyspark" if SPARK else ""
LOCAL = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "4g",
    # a few hundred rows per table: planning and compiling is all that there is to do
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
"""Settings of the session in this process, for small tables."""


def missing() -> str:
    """Why no session can be had here, and what to do; empty where one can."""
    if not NAME:
        return "neither pysail nor pyspark is here: make servers, then make test-servers"
    java = shutil.which("java") or os.environ.get("JAVA_HOME")
    if NAME == "pyspark" and not java:
        return "pyspark needs Java 17 or newer: install it (Debian: openjdk-17-jre-headless)"
    return ""


@contextmanager
def remote() -> Iterator[str]:
    """What `spark_remote` is to say: a Sail server of this process, or a local session."""
    if not SAIL:
        yield "local[2]"
        return
    from pysail.spark import SparkConnectServer  # noqa: PLC0415 - of one environment only

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    try:
        yield f"sc://127.0.0.1:{server.listening_address[1]}"
    finally:
        server.stop()


@contextmanager
def session(address: str) -> Iterator[object]:
    """The session itself; ended afterwards."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - of two environments only

    if SAIL:
        made = SparkSession.builder.remote(address).getOrCreate()
    else:
        builder = SparkSession.builder.master(address)
        made = builder.config(map=LOCAL).getOrCreate()
        made.sparkContext.setLogLevel("ERROR")
    try:
        yield made
    finally:
        made.stop()
