"""`wecom-aibot-sdk` from PyPI judges a gateway of WeCom's long connection, and what it says there is what our bot has to
say. wecom_sdk.py PORT, where PORT is that of the server's bot `wecom/line`.
"""

import asyncio
import contextlib
import json
import sys
import threading
import time

from checks import check, end, must
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from wecom_bot import bot

URL, SECRETS = f"ws://127.0.0.1:{sys.argv[1]}", {"sdk": "sdk-secret", "peer-line": "peer-line-secret"}


class Gateway:
    """Lets in who has the secret, acknowledges, and remembers every frame. A bot has one line: another ends it. The server's
    own bot may come at any time, so what is waited for is counted by name."""

    def __init__(self):
        self.lines, self.opened, self.refused = {}, [], []
        self.frames, self.requests = [], set()

    async def line(self, socket):
        first = json.loads(await socket.recv())
        name = first["body"]["bot_id"]
        right = first["cmd"] == "aibot_subscribe" and SECRETS.get(name) == first["body"]["secret"]
        await self.acknowledge(socket, first, 0 if right else 853000)
        if not right:
            self.refused.append(name)
            return
        before, self.lines[name] = self.lines.get(name), socket
        self.frames.append((name, first))
        self.opened.append(name)
        with contextlib.suppress(ConnectionClosed):
            if before:
                event = {"msgtype": "event", "event": {"eventtype": "disconnected_event"}}
                await before.send(json.dumps({"cmd": "aibot_event_callback", "headers": {"req_id": "over"}, "body": event}))
                await before.close()
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                frame = json.loads(text)
                self.frames.append((name, frame))
                known = frame["cmd"] in ("ping", "aibot_send_msg") or frame["headers"]["req_id"] in self.requests
                await self.acknowledge(socket, frame, 0 if known else 846605)
        if self.lines[name] is socket:
            self.lines[name] = None

    async def acknowledge(self, socket, frame, code):
        await socket.send(json.dumps({"headers": {"req_id": frame["headers"]["req_id"]}, "errcode": code, "errmsg": "…"}))

    async def deliver(self, name, command, body):
        request = f"req-{len(self.requests)}"
        self.requests.add(request)
        await self.lines[name].send(json.dumps({"cmd": command, "headers": {"req_id": request}, "body": body}))
        return request

    def of(self, name, command):
        return [frame for who, frame in list(self.frames) if who == name and frame["cmd"] == command]


gateway, loop = Gateway(), asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def do(action):
    return asyncio.run_coroutine_threadsafe(action, loop).result(20)


async def open_gateway():
    await serve(gateway.line, "127.0.0.1", int(sys.argv[1])).__aenter__()


def until(fact, what, seconds=20):
    late = time.monotonic() + seconds
    while not fact():
        must(time.monotonic() < late, f"{what}: {gateway.opened} {gateway.frames[-5:]}")
        time.sleep(0.02)


def say(name, message_id, text):
    body = {"msgid": message_id, "aibotid": name, "chattype": "single", "from": {"userid": "u1"}, "msgtype": "text", "text": {"content": text}}
    return do(gateway.deliver(name, "aibot_msg_callback", body))


def enter(name):
    body = {"msgtype": "event", "from": {"userid": "u1"}, "event": {"eventtype": "enter_chat"}}
    return do(gateway.deliver(name, "aibot_event_callback", body))


def streams(name, request):
    return [frame["body"]["stream"] for frame in gateway.of(name, "aibot_respond_msg") if frame["headers"]["req_id"] == request]


def finished(name, request):
    return any(stream["finish"] for stream in streams(name, request))


def shape(value):
    """What a frame is made of, whatever it says."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in sorted(value.items())}
    return type(value).__name__


def shapes(name, command):
    return [shape(frame) for frame in gateway.of(name, command)]


do(open_gateway())
client = bot(URL, "sdk", SECRETS["sdk"])


@check("the SDK is let in with its secret and not with another")
def _():
    wrong, errors = bot(URL, "sdk", "wrong"), []
    wrong.on("error", errors.append)
    do(wrong.connect())
    until(lambda: gateway.refused and errors, "a refusal")
    do(wrong.disconnect())
    must("Authentication failed" in str(errors[0]), errors)
    do(client.connect())
    until(lambda: gateway.opened.count("sdk") == 1, "a line")


@check("the SDK answers, greets, writes by itself and pings, and takes the gateway's word for it")
def _():
    request = say("sdk", "m1", "你好")
    until(lambda: finished("sdk", request), "an answer")
    must([stream["content"] for stream in streams("sdk", request)] == ["", "一", "一二"], streams("sdk", request))
    enter("sdk")
    until(lambda: gateway.of("sdk", "aibot_send_msg") and len(gateway.of("sdk", "ping")) >= 3, "a message and pings")
    must(len(gateway.of("sdk", "aibot_respond_welcome_msg")) == 1, gateway.frames)


@check("the SDK comes back when its line is cut, and leaves it to another when it is told so")
def _():
    # After a close that is in order it would stay away.
    do(gateway.lines["sdk"].close(1011))
    until(lambda: gateway.opened.count("sdk") == 2, "the line again")
    other, gone = bot(URL, "sdk", SECRETS["sdk"]), []
    client.on("event.disconnected_event", gone.append)
    do(other.connect())
    until(lambda: gone, "the first one hears of the other")
    time.sleep(0.5)
    must(gateway.opened.count("sdk") == 3, gateway.opened)
    do(other.disconnect())


@check("our bot comes to the same gateway and answers a message delivered twice once")
def _():
    until(lambda: "peer-line" in gateway.opened, "the server's line", 70)
    first, second = say("peer-line", "p1", "被扣分了怎么申诉？"), say("peer-line", "p1", "被扣分了怎么申诉？")
    until(lambda: finished("peer-line", first) or finished("peer-line", second), "an answer", 60)
    time.sleep(0.5)
    told = streams("peer-line", first) + streams("peer-line", second)
    must(len({stream["id"] for stream in told}) == 1 and sum(stream["finish"] for stream in told) == 1, told)
    must(len(told) >= 2 and told[-1]["finish"], told)
    return f"{len(told)} frames"


@check("our bot's frames are made as the SDK makes them")
def _():
    enter("peer-line")
    request = say("peer-line", "p2", "转人工")
    until(lambda: finished("peer-line", request) and gateway.of("peer-line", "aibot_send_msg"), "a note")
    until(lambda: gateway.of("peer-line", "aibot_respond_welcome_msg"), "a greeting")
    must(gateway.of("peer-line", "aibot_send_msg")[0]["body"]["chatid"] == "boss", gateway.frames[-5:])
    commands = ("aibot_subscribe", "aibot_respond_msg", "aibot_respond_welcome_msg", "aibot_send_msg")
    for command in commands:
        by_sdk, by_us = shapes("sdk", command), shapes("peer-line", command)
        must(by_us and all(one in by_sdk for one in by_us), (command, by_us, by_sdk))
    for name in SECRETS:
        must(gateway.of(name, "aibot_subscribe")[0]["headers"]["req_id"].startswith("aibot_subscribe"), name)
    return f"{len(commands)} kinds"


end()
