"""`wecom-aibot-sdk` from PyPI as a bot of the gateway in tests/it/wecom_line.rs. wecom_sdk.py WS_URL SECRET"""

import asyncio
import sys

from wecom_aibot_sdk import WSClient


async def main():
    client = WSClient("bot", sys.argv[2], ws_url=sys.argv[1], heartbeat_interval=500)

    async def answer(frame):
        stream = f"s-{frame['body']['msgid']}"
        for text in ["", "一", "一二"]:
            await client.reply_stream(frame, stream, text, text == "一二")

    async def greet(frame):
        await client.reply_welcome(frame, {"msgtype": "text", "text": {"content": "您好"}})
        await client.send_message("c1", {"msgtype": "markdown", "markdown": {"content": "后来"}})

    client.on("message.text", answer)
    client.on("event.enter_chat", greet)
    await client.connect()
    await asyncio.sleep(60)


asyncio.run(main())
