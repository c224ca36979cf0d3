"""Programs of users that leave a client early, each in a way of its own."""

HEAD = """
import asyncio
import gc
import logging
import os
import signal
from streamclf.client import Client, Reconnect

URL = "{url}"
PID = {pid}

# how long a callback takes says nothing on a busy machine; all else that asyncio has to say is told
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing "))

def client(**more):
    return Client(URL, tier="frame", **more)
"""

WAYS = {
    "break": """
        async def main():
            async for message in client().messages():
                print(type(message).__name__)
                break

        asyncio.run(main())
    """,
    "break of rows, and on with something else": """
        async def main():
            count = 0
            async for message in client().messages():
                count += 1
                if count == 20:
                    break
            await asyncio.sleep(0.05)

        asyncio.run(main())
    """,
    "return": """
        async def main():
            async for message in client().messages():
                return message

        print(asyncio.run(main()).protocol)
    """,
    "exception": """
        async def main():
            async for message in client().messages():
                raise LookupError("of the user")

        try:
            asyncio.run(main())
        except LookupError as fault:
            print(fault)
    """,
    "exception that is kept": """
        async def main():
            messages = client().messages()
            async for message in messages:
                raise LookupError("of the user")

        try:
            asyncio.run(main())
        except LookupError as fault:
            kept = fault
        print(kept)
    """,
    "cancel": """
        async def follow(ready):
            async for message in client().messages():
                ready.set()

        async def main():
            ready = asyncio.Event()
            task = asyncio.create_task(follow(ready))
            await ready.wait()
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled")

        asyncio.run(main())
    """,
    "cancel before it is connected": """
        async def follow():
            async for message in client().messages():
                pass

        async def main():
            for turns in range(8):
                task = asyncio.create_task(follow())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])

        asyncio.run(main())
    """,
    "task left to the loop's end": """
        async def follow(ready):
            async for message in client().messages():
                ready.set()

        async def main():
            ready = asyncio.Event()
            global task
            task = asyncio.create_task(follow(ready))
            await ready.wait()

        asyncio.run(main())
    """,
    "timeout": """
        async def main():
            try:
                async with asyncio.timeout(0.3):
                    async for message in client().messages():
                        pass
            except TimeoutError:
                print("timeout")

        asyncio.run(main())
    """,
    "timeout around one message, and on": """
        async def main():
            frames = []
            async with client().messages() as messages:
                await anext(messages)
                while len(frames) < 30:
                    try:
                        async with asyncio.timeout(0.001):
                            message = await anext(messages)
                    except TimeoutError:
                        continue
                    if type(message).__name__ == "Scores":
                        frames.append(message.first_frame)
            assert frames == list(range(frames[0], frames[0] + 30)), frames

        asyncio.run(main())
    """,
    "async with": """
        async def main():
            async with client().messages() as messages:
                async for message in messages:
                    break
            async for message in messages:
                raise AssertionError("a message after the end")

        asyncio.run(main())
    """,
    "aclosing": """
        from contextlib import aclosing

        async def main():
            async with aclosing(client().received()) as received:
                async for message, text in received:
                    break

        asyncio.run(main())
    """,
    "never entered": """
        async def main():
            client().messages()
            async with client().messages():
                pass

        asyncio.run(main())
        messages = client().messages()
    """,
    "closed twice": """
        async def main():
            messages = client().messages()
            await anext(messages)
            await messages.aclose()
            await messages.aclose()
            assert await anext(messages, None) is None

        asyncio.run(main())
    """,
    "closed while another task waits": """
        async def main():
            messages = client(streams=[]).messages()
            await anext(messages)
            await anext(messages)
            waiting = asyncio.create_task(anext(messages, "the end"))
            await asyncio.sleep(0.05)
            await messages.aclose()
            assert await waiting == "the end"

        asyncio.run(main())
    """,
    "two tasks wait": """
        async def main():
            messages = client(streams=[]).messages()
            await anext(messages)
            await anext(messages)
            waiting = asyncio.create_task(anext(messages))
            await asyncio.sleep(0.05)
            try:
                await anext(messages)
            except RuntimeError as fault:
                print(fault)
            waiting.cancel()

        asyncio.run(main())
    """,
    "a second iteration takes over": """
        async def main():
            one = client()
            first = one.messages()
            await anext(first)
            await anext(first)
            async for message in one.messages():
                break
            assert await anext(first, None) is None

        asyncio.run(main())
    """,
    "open at the loop's end": """
        async def main():
            global messages
            messages = client().messages()
            await anext(messages)

        asyncio.run(main())
    """,
    "open at the loop's end, and in a cycle": """
        class App:
            async def main(self):
                self.me = self
                self.messages = client().messages()
                await anext(self.messages)

        asyncio.run(App().main())
        gc.collect()
    """,
    "break in a loop that is just closed": """
        async def main():
            async for message in client().messages():
                break

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
    """,
    "dropped while the loop stands still": """
        loop = asyncio.new_event_loop()
        messages = client().messages()
        loop.run_until_complete(anext(messages))
        del messages
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    """,
    "garbage of another thread": """
        async def main():
            messages = client().messages()
            await anext(messages)
            cycle = [messages]
            cycle.append(cycle)
            del messages, cycle
            await asyncio.to_thread(gc.collect)
            await asyncio.sleep(0.05)

        asyncio.run(main())
    """,
    "interrupted": """
        async def main():
            async for message in client().messages():
                os.kill(os.getpid(), signal.SIGINT)

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would have it ignored
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
    """,
    "blocking, break": """
        for message in client().blocking():
            break
    """,
    "blocking, open at the end of the program": """
        messages = client().blocking()
        next(messages)
    """,
    "mark of an event that is not kept": """
        from streamclf.errors import ServeError
        try:
            asyncio.run(Client(URL).mark("none", "right"))
        except ServeError as fault:
            print(fault)
    """,
}


GONE = {
    "without another try": """
        from streamclf.errors import ServeError

        async def main():
            async for message in client(reconnect=False).messages():
                if type(message).__name__ == "Subscribed":
                    os.kill(PID, signal.SIGKILL)

        try:
            asyncio.run(main())
        except ServeError as fault:
            print(fault)
    """,
    "told that it is": """
        async def main():
            async for message in client(reconnect=False).messages():
                if type(message).__name__ == "Subscribed":
                    os.kill(PID, signal.SIGTERM)

        asyncio.run(main())
    """,
    "between two messages": """
        import time

        async def main():
            messages = client().messages()
            await anext(messages)
            os.kill(PID, signal.SIGKILL)
            time.sleep(0.2)  # its end lies in the socket, and nobody has looked yet

        asyncio.run(main())
    """,
    "while it is tried again": """
        async def main():
            lost = asyncio.Event()
            one = client(reconnect=Reconnect(on_wait=lambda why, delay_s: lost.set()))

            async def follow():
                async for message in one.messages():
                    if type(message).__name__ == "Subscribed":
                        os.kill(PID, signal.SIGKILL)

            task = asyncio.create_task(follow())
            await lost.wait()
            task.cancel()
            await asyncio.wait([task])

        asyncio.run(main())
    """,
    "while it is tried again, and closed by another task": """
        async def main():
            lost = asyncio.Event()
            policy = Reconnect(first_s=60, most_s=60, on_wait=lambda why, delay_s: lost.set())
            messages = client(reconnect=policy).messages()

            async def follow():
                async for message in messages:
                    if type(message).__name__ == "Subscribed":
                        os.kill(PID, signal.SIGKILL)

            task = asyncio.create_task(follow())
            await lost.wait()
            await messages.aclose()
            await task

        asyncio.run(main())
    """,
}
