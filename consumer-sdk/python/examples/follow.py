"""Prints the working set of each epoch of a process, as it ends: python follow.py PID

With asyncio, so that a program that does something else, too, can do it in the same way.
"""

import asyncio
import sys

import vmmload


async def follow(pid: int) -> None:
    with vmmload.attach(pid) as consumer:
        print(f"process {pid}: {' '.join(consumer.info.command)}")
        print(f"{'epoch':>8}  {'seconds':>8}  {'pages':>8}  {'MiB':>8}  {'written':>8}  {'kernel':>8}  {'tracking':>8}")
        async for epoch in consumer.follow_epochs():
            seconds = (epoch.end_ns - epoch.start_ns) / 1e9
            size = epoch.touched * vmmload.PAGE_SIZE / 2**20
            cost = epoch.cost_ns / max(1, epoch.end_ns - epoch.start_ns)
            print(
                f"{epoch.number:8}  {seconds:8.3f}  {epoch.touched:8,}  {size:8.1f}  {epoch.written:8,}"
                f"  {epoch.kernel:8,}  {cost:8.1%}",
                flush=True,
            )
        print(f"the process is over: {consumer.status}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python follow.py PID (vmmload ls shows them)")
    try:
        asyncio.run(follow(int(sys.argv[1])))
    except vmmload.Error as error:
        sys.exit(f"follow: {error}")
    except KeyboardInterrupt:
        pass
