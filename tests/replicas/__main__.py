"""Runs trials and prints a table: `python -m tests.replicas [--beside] [--count 3] [STEP[:FAULT] ...]`."""

import argparse
import asyncio
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Identifier

from tests.replicas.trial import BESIDE_STEPS, FAULTS, HEAD, STEPS, Trial
from tests.support.postgres import running_server


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", metavar="STEP[:FAULT]")
    parser.add_argument("--beside", action="store_true", help="old and new model fit together")
    parser.add_argument("--count", type=int, default=2, help="of the servers")
    parser.add_argument("--latency", type=float, default=0.0, help="of commands to exo, in seconds")
    parser.add_argument("--logs", action="store_true", help="what the servers logged")
    chosen = parser.parse_args()
    say(HEAD)
    with running_server() as postgres:
        for row in chosen.rows or (BESIDE_STEPS if chosen.beside else STEPS):
            step, _, fault = row.partition(":")
            for each in [fault] if fault else FAULTS:
                name = f"trial_{uuid4().hex}"
                with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
                    connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
                trial = Trial(step, each, chosen.beside, chosen.count, command_latency=chosen.latency)
                with TemporaryDirectory() as folder:
                    try:
                        say((await trial.run(Path(folder), postgres.url(name))).row())
                    except (AssertionError, TimeoutError):
                        say(f"| {step} | {each} | {traceback.format_exc(limit=-2)} |")
                if chosen.logs:
                    for server in trial.servers:
                        say("\n".join(f"{server.name} {line}" for line in server.log))


def say(text: str) -> None:
    """Prints it at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


asyncio.run(_main())
