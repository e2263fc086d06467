"""`dingtalk-stream` from PyPI as a bot on our local platform, which it thereby judges: open, callback, reply by
session webhook, card, ping, disconnect, reconnect. dingtalk_sdk.py BINARY
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading

from checks import check, end, must

platform = subprocess.Popen([sys.argv[1], "simulate", "platform", "--text", "你好"], stdout=subprocess.PIPE, text=True)
told = json.loads(platform.stdout.readline())
os.environ["DINGTALK_OPENAPI_ENDPOINT"] = told["api_base"]

import dingtalk_stream  # noqa: E402  reads the environment when it is imported

heard = []


class Bot(dingtalk_stream.ChatbotHandler):
    async def process(self, callback):
        message = dingtalk_stream.ChatbotMessage.from_dict(callback.data)
        heard.append(message)
        await asyncio.to_thread(self.answer, message)
        return dingtalk_stream.AckMessage.STATUS_OK, "OK"

    def answer(self, message):
        self.reply_markdown("标题", "**好的**", message)
        card = dingtalk_stream.AICardReplier(self.dingtalk_client, message)
        one = card.create_and_deliver_card("t.schema", {"content": ""})
        card.streaming(one, "content", "正在", append=False, finished=False, failed=False)
        card.streaming(one, "content", "正在写完", append=False, finished=True, failed=False)


quiet = logging.getLogger("quiet")
quiet.setLevel(logging.CRITICAL)
client = dingtalk_stream.DingTalkStreamClient(dingtalk_stream.Credential(told["client_id"], told["client_secret"]), quiet)
client.register_callback_handler(dingtalk_stream.chatbot.ChatbotMessage.TOPIC, Bot())
threading.Thread(target=client.start_forever, daemon=True).start()
try:
    outcome = json.loads(platform.communicate(timeout=90)[0])
finally:
    platform.kill()


@check("the SDK understands the local platform's messages")
def _():
    must(len(heard) == 2, heard)
    first = heard[0]
    must(first.text.content.strip() == "你好" and first.sender_staff_id and first.conversation_type == "2", first)


@check("the SDK acknowledges messages, pings and disconnects, and comes back")
def _():
    kinds = [kind for kind, ack in outcome["acknowledged"] if ack["code"] == 200]
    must(kinds == ["message", "ping", "disconnect", "message"], outcome["acknowledged"])


@check("the local platform understands the SDK's replies and cards")
def _():
    messages = [one for one in outcome["shown"] if one["kind"] == "message"]
    cards = [one for one in outcome["shown"] if one["kind"] == "card"]
    must(len(messages) == 2 and messages[0]["text"] == "**好的**" and messages[0]["at"], messages)
    must(len(cards) >= 1 and cards[0]["state"] == "done" and cards[0]["text"] == "正在写完", cards)


end()
sys.stdout.flush()
