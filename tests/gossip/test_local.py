"""The run of the example: what it starts it ends, even what has ended before."""

import asyncio
import sys
from pathlib import Path

from aiohttp import ClientSession

from examples.gossip.local import Local


def test_no_process_is_left_though_one_of_them_ended_by_itself(tmp_path: Path) -> None:
    async def main() -> list[int | None]:
        async with ClientSession() as session:
            local = Local(session, tmp_path)
            for name, code in (("gossip-0", "pass"), ("gossip-1", "input()")):
                local.processes[name] = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE
                )
            await local.processes["gossip-0"].wait()
            await local.end()
            return [process.returncode for process in local.processes.values()]

    assert asyncio.run(main()) == [0, -15]
