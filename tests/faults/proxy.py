"""A TCP proxy that breaks what it carries."""

import asyncio
import threading
from contextlib import suppress

from tests.servers import free_port, listens, wait_until


class Proxy:
    """
    Carries TCP from its own port to `target`, in a mode that can change at any time.

    Modes: "pass"; "refuse" (hang up at once); "blackhole" (take everything, answer nothing); "reset" (cut after the
    first bytes); "trickle" (one byte a second from the server).
    """

    def __init__(self, target: int) -> None:
        self.port, self.target, self.mode = free_port(), target, "pass"
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        wait_until(lambda: listens(self.port), "the proxy")
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        await self._stop.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(OSError, asyncio.CancelledError):
            if self.mode != "refuse":
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
                self._writers.append(there_writer)
                up = asyncio.create_task(self._pump(reader, there_writer))
                await self._pump(there_reader, writer, answering=True)
                up.cancel()
                there_writer.close()
        writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answering: bool = False) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                while self.mode == "blackhole":
                    await asyncio.sleep(0.05)
                if self.mode in ("refuse", "reset"):
                    for writer in self._writers:  # both ends of what is open see it at once
                        writer.transport.abort()
                    return
                for piece in (
                    [data[i : i + 1] for i in range(len(data))] if answering and self.mode == "trickle" else [data]
                ):
                    sink.write(piece)
                    await sink.drain()
                    if self.mode == "trickle":
                        await asyncio.sleep(1)
