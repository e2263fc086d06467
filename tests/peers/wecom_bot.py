"""A bot made with `wecom-aibot-sdk` from PyPI: it answers a text in three steps, greets, and then writes into a chat by
itself. wecom_bot.py WS_URL SECRET runs it until it is killed, for the gateway of tests/it/wecom_line.rs; wecom_sdk.py
has a gateway of its own.
"""

import asyncio
import sys

from wecom_aibot_sdk import WSClient


class Quiet:
    """The SDK's own remarks are no checks."""

    def debug(self, *_):
        pass

    info = warn = error = debug


def bot(url, name, secret):
    """The bot, not connected yet. It pings, and comes back, ten times as often as it would."""
    client = WSClient(name, secret, ws_url=url, heartbeat_interval=500, reconnect_interval=100, logger=Quiet())

    async def answer(frame):
        stream = f"s-{frame['body']['msgid']}"
        for text in ["", "一", "一二"]:
            feedback = None if text else {"id": stream}
            await client.reply_stream(frame, stream, text, text == "一二", feedback=feedback)

    async def greet(frame):
        await client.reply_welcome(frame, {"msgtype": "text", "text": {"content": "您好"}})
        await client.send_message("c1", {"msgtype": "markdown", "markdown": {"content": "后来"}})

    client.on("message.text", answer)
    client.on("event.enter_chat", greet)
    return client


async def main():
    await bot(sys.argv[1], "bot", sys.argv[2]).connect()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
