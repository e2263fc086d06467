"""copilot.v1 by hand: upgrade, masking and framing (RFC 6455) from Python's standard library alone.

raw_websocket.py BASE MEMBER_KEY SITE_KEY SITE_ORIGIN
"""

import base64
import hashlib
import json
import os
import socket
import struct
import sys
import time
import urllib.request
from urllib.parse import urlsplit

from checks import check, end, must

base, member_key, site_key, site_origin = sys.argv[1:5]
host, port = urlsplit(base).hostname, urlsplit(base).port

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIXTURE = "🏮 保证金在满足退还条件后原路退回[1]。𠮷店也一样，最长 15 天到账[1]，有未结纠纷的要先处理完。"


class Closed(Exception):
    """The server said goodbye (or just left: code 0)."""

    def __init__(self, code, reason=""):
        super().__init__(f"closed with {code} {reason}".strip())
        self.code = code


class Line:
    """A WebSocket line, or the refusal in `status` and `body`."""

    def __init__(self, *headers, upgrade=True):
        self.socket = socket.create_connection((host, port), timeout=30)
        self.buffer = b""
        key = base64.b64encode(os.urandom(16)).decode()
        wanted = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: copilot.v1"]
        lines = ["GET /ws HTTP/1.1", f"Host: {host}:{port}", *(wanted if upgrade else []), *headers]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = self.until(b"\r\n\r\n").decode().split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:]) if name}
        if self.status == 101:
            expected = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
            must(self.headers.get("sec-websocket-accept") == expected, "Sec-WebSocket-Accept is wrong")
            must(self.headers.get("sec-websocket-protocol") == "copilot.v1", f"subprotocol {self.headers.get('sec-websocket-protocol')}")
        else:
            self.body = json.loads(self.exactly(int(self.headers["content-length"])))

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def exactly(self, size):
        while len(self.buffer) < size:
            self.more()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            raise Closed(0, "the connection was reset") from None
        if not data:
            raise Closed(0, "without a close frame")
        self.buffer += data

    def send(self, opcode, payload, *, fin=True, masked=True, reserved=0):
        head = bytes([(0x80 if fin else 0) | reserved | opcode])
        size, bit = len(payload), 0x80 if masked else 0
        if size < 126:
            head += bytes([bit | size])
        elif size < 65536:
            head += bytes([bit | 126]) + struct.pack("!H", size)
        else:
            head += bytes([bit | 127]) + struct.pack("!Q", size)
        if masked:
            mask = os.urandom(4)
            repeated = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
            payload = mask + (int.from_bytes(payload, "big") ^ repeated).to_bytes(size, "big")
        self.socket.sendall(head + payload)

    def receive(self):
        """The next frame: opcode and payload. A close frame is answered and raised."""
        first, second = self.exactly(2)
        must(first & 0x70 == 0, "reserved bits are set")
        must(second & 0x80 == 0, "the server masks its frames")
        must(first & 0x80, "the server sends fragments")
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.exactly(8))
        payload = self.exactly(size)
        if first & 0xF == CLOSE:
            try:
                self.send(CLOSE, payload[:2])
            except OSError:
                pass
            raise Closed(struct.unpack("!H", payload[:2])[0] if payload else 1005, payload[2:].decode())
        return first & 0xF, payload

    def say(self, **frame):
        self.send(TEXT, json.dumps(frame, ensure_ascii=False).encode())

    def hear(self):
        """The next text frame's object; pings are answered on the way."""
        while True:
            opcode, payload = self.receive()
            if opcode == TEXT:
                return json.loads(payload.decode())
            if opcode == PING:
                self.send(PONG, payload)

    def hear_until(self, kind):
        frames = [self.hear()]
        while frames[-1]["type"] != kind:
            frames.append(self.hear())
        return frames

    def silent(self, seconds):
        """Whatever text frames still come in this time."""
        self.socket.settimeout(seconds)
        late = []
        try:
            while True:
                late.append(self.hear())
        except TimeoutError:
            return late
        finally:
            self.socket.settimeout(30)

    def closes(self, within=15):
        """Reads on until the server closes; the code."""
        late = time.monotonic() + within
        try:
            while True:  # pings come as long as it is open
                self.socket.settimeout(max(0.1, late - time.monotonic()))
                self.receive()
                must(time.monotonic() < late, f"the socket is still open after {within} s")
        except Closed as closed:
            return closed.code
        except TimeoutError:
            raise AssertionError(f"the socket is still open after {within} s") from None


def session(token=None, *headers, **more):
    line = Line(*headers)
    must(line.status == 101, f"status {line.status}: {getattr(line, 'body', '')}")
    line.say(type="session.open", id="open", token=token or member_key, **more)
    ready = line.hear()
    must(ready["type"] == "session.ready" and ready["ref"] == "open", f"{ready}")
    return line, ready


def must_be_a_turn(frames, client_ref="ask"):
    """What holds for every turn, and its text."""
    turn = [frame for frame in frames if "seq" in frame]
    seqs = [frame["seq"] for frame in turn]
    must(all(a < b for a, b in zip(seqs, seqs[1:])), f"seq is not strictly increasing: {seqs}")
    must(len({frame["conversation_id"] for frame in turn}) == 1, "several conversation_ids")
    kinds = [frame["type"] for frame in turn]
    must(kinds[0] == "message.accepted" and turn[0]["ref"] == client_ref, f"{turn[0]}")
    must(kinds.count("response.created") == 1 and kinds.count("response.done") == 1 and kinds[-1] == "response.done", f"{kinds}")
    must(kinds.count("response.sources") == 1, f"{kinds}")
    ids = {frame["response_id"] for frame in turn if frame["type"].startswith("response.")}
    must(len(ids) == 1, f"response_ids {ids}")
    texts = [at for at, kind in enumerate(kinds) if kind == "response.text.delta"]
    # An answer that is told again from the store comes whole, in response.text.done.
    must(texts or turn[0]["duplicate"], f"no text: {kinds}")
    must(kinds.index("response.sources") < min([*texts, kinds.index("response.text.done")]), f"the text comes before the sources: {kinds}")
    text = ""
    for at in texts:
        must(turn[at]["offset"] == len(text), f"offset {turn[at]['offset']} after {len(text)} code points")
        text += turn[at]["delta"]
    (whole,) = [frame["text"] for frame in turn if frame["type"] == "response.text.done"]
    must(whole == text or not texts, f"response.text.done differs: {whole!r} / {text!r}")
    text = whole
    done, sources = turn[-1], turn[kinds.index("response.sources")]["sources"]
    numbers = {source["n"] for source in sources}
    for citation in done["citations"]:
        must(text[citation["start"] : citation["end"]] == f"[{citation['n']}]" and citation["n"] in numbers, f"{citation}")
    for field in ("status", "finish_reason", "usage", "citations", "suggestions", "timings_ms"):
        must(field in done, f"response.done has no {field}")
    must({"queue", "retrieval", "first_token", "total"} <= done["timings_ms"].keys(), f"{done['timings_ms']}")
    must({"prompt_tokens", "completion_tokens", "cost", "currency"} <= done["usage"].keys(), f"{done['usage']}")
    return text, done, sources, turn


waiting = Line()  # says nothing; looked at again at the end
waiting_since = time.monotonic()


@check("upgrade, subprotocol, session.ready")
def _():
    line, ready = session()
    must(ready["tenant"] == "demo" and ready["session_id"] and ready["server_time"], f"{ready}")
    must({"message_chars", "frame_bytes"} <= ready["limits"].keys(), f"{ready['limits']}")
    must(any(model["id"] == "builtin" for model in ready["models"]), f"{ready['models']}")
    must("visitor_token" not in ready, "a member key is no visitor")
    line.send(CLOSE, struct.pack("!H", 1000))
    must(line.closes() == 1000, "the goodbye is not answered")


@check("a plain GET is no socket")
def _():
    line = Line(upgrade=False)
    must(line.status == 400 and line.body["error"]["code"] == "websocket_expected", f"{line.status} {line.body}")


told = {}


@check("a question in Chinese, answered by the row itself")
def _():
    line, _ready = session()
    line.say(type="message.create", id="ask", client_msg_id="raw-1", text="跨境店保证金要交多少？", model="builtin")
    frames = line.hear_until("response.done")
    text, done, sources, turn = must_be_a_turn(frames)
    must(done["status"] == "completed" and "60,000" in text and sources and done["citations"], f"{text} {done}")
    must(turn[0]["duplicate"] is False and turn[0]["message_id"], f"{turn[0]}")
    late = line.silent(0.5)
    must(not late, f"after response.done: {late}")
    told.update(text=text, accepted=turn[0], done=done, turn=turn, line=line)
    return f"{len(frames)} frames, {len(text)} characters"


@check("the same message again is answered once")
def _():
    again, _ready = session()  # another line: the first one may have broken
    for line, ref in ((told["line"], "again-1"), (again, "again-2")):
        line.say(type="message.create", id=ref, client_msg_id="raw-1", text="跨境店保证金要交多少？", model="builtin")
        frames = line.hear_until("response.done")
        text, done, _sources, turn = must_be_a_turn(frames, ref)
        must(turn[0]["duplicate"] is True, f"{turn[0]}")
        must(turn[0]["message_id"] == told["accepted"]["message_id"], "another message_id")
        must(done["response_id"] == told["done"]["response_id"], "another response_id")
        must(text == told["text"] and turn[0]["conversation_id"] == told["accepted"]["conversation_id"], "another answer")
        must(not line.silent(0.3), "something after response.done")
    told["again"] = again


@check("it is one turn in the stored conversation")
def _():
    conversation = told["accepted"]["conversation_id"]
    request = urllib.request.Request(f"{base}/api/v1/conversations/{conversation}", headers={"Authorization": f"Bearer {member_key}"})
    with urllib.request.urlopen(request) as reply:
        stored = json.load(reply)
    must(json.dumps(stored, ensure_ascii=False).count(json.dumps(told["text"], ensure_ascii=False)) == 1, f"{stored}"[:400])


@check("fragments with a ping between; offsets count code points, not units or bytes")
def _():
    line, _ready = session()
    question = "🏮那什么时候可以退还保证金？"
    whole = json.dumps({"type": "message.create", "id": "ask", "client_msg_id": "raw-2", "text": question, "model": "peer-answer"}, ensure_ascii=False).encode()
    cut = whole.index("🏮".encode()) + 2  # inside a character
    line.send(TEXT, whole[:cut], fin=False)
    line.send(PING, b"between")
    line.send(CONTINUATION, whole[cut : cut + 9], fin=False)
    line.send(CONTINUATION, whole[cut + 9 :])
    must(line.receive() == (PONG, b"between"), "no pong for the ping between two fragments")
    text, done, _sources, turn = must_be_a_turn(line.hear_until("response.done"))
    must(text == FIXTURE and len(done["citations"]) == 2, f"{text} {done['citations']}")
    return f"{sum(frame['type'] == 'response.text.delta' for frame in turn)} deltas"


@check("a follow-up goes on in its conversation")
def _():
    line, conversation = told["again"], told["accepted"]["conversation_id"]
    line.say(type="message.create", id="ask", client_msg_id="raw-3", text="那什么时候可以退还？", conversation_id=conversation, model="builtin")
    text, done, _sources, turn = must_be_a_turn(line.hear_until("response.done"))
    must(turn[0]["conversation_id"] == conversation, "another conversation")
    must(turn[0]["seq"] > told["turn"][-1]["seq"], f"seq {turn[0]['seq']} does not go on from {told['turn'][-1]['seq']}")
    told["follow_up"] = text


@check("a follow-up is answered, not the question before it again")
def _():
    must(told["follow_up"] != told["text"] and "退" in told["follow_up"], f"那什么时候可以退还？ → {told['follow_up']}")


@check("a line that breaks in mid-answer: resume brings the rest, character for character")
def _():
    breaks = 0
    for cut in (0, 1, 9, 25):
        line, _ready = session()
        ask = {"type": "message.create", "id": "ask", "text": "那什么时候可以退还保证金？", "model": "peer-slow"}
        line.say(client_msg_id=f"raw-resume-{cut}", **ask)
        text, last, whole, done = "", None, None, []

        def take(frame):
            nonlocal text, last, whole
            must(frame["type"] != "error", f"{frame}")
            if "seq" not in frame:
                return
            must(last is None or frame["seq"] > last["seq"], f"{frame['seq']} after {last}")
            last = frame
            if frame["type"] == "response.text.delta":
                must(frame["offset"] == len(text), f"offset {frame['offset']} after {len(text)} code points")
                text += frame["delta"]
            elif frame["type"] == "response.text.done":
                whole = frame["text"]
            elif frame["type"] == "response.done":
                done.append(frame)

        while last is None or (len(text) < cut and not done):
            take(line.hear())
        line.socket.close()
        breaks += not done
        line, _ready = session(resume={"conversation_id": last["conversation_id"], "last_seq": last["seq"]})
        while not done:
            take(line.hear())
        must(text == whole and done[0]["status"] == "completed", f"{text!r} / {whole!r} {done}")
        must(not line.silent(0.3), "something after response.done")
        line, _ready = session(resume={"conversation_id": last["conversation_id"], "last_seq": 0})
        told = line.hear_until("response.done")
        must("".join(frame.get("delta", "") for frame in told if frame["type"] == "response.text.delta") == whole, f"{told}")
    return f"{breaks} in mid-answer"


@check("a question that the knowledge cannot answer")
def _():
    line, _ready = session()
    line.say(type="message.create", id="ask", client_msg_id="raw-4", text="怎么用量子计算机煮鸡蛋？")
    text, done, sources, turn = must_be_a_turn(line.hear_until("response.done"))
    (told_sources,) = [frame for frame in turn if frame["type"] == "response.sources"]
    must(told_sources["decision"] == "none" and sources == [], f"{told_sources}")
    must("没有找到" in text and done["status"] == "completed" and done["usage"]["completion_tokens"] == 0, f"{text} {done}")
    return f"{len(done['suggestions'])} nearest questions"


@check("ping frames and ping messages are answered")
def _():
    line, _ready = session()
    for payload in (b"", "平".encode(), b"x" * 125):
        line.send(PING, payload)
        must(line.receive() == (PONG, payload), "another pong")
    line.say(type="ping", id="p")
    must(line.hear() == {"type": "pong", "ref": "p"}, "no pong message")


@check("nonsense is answered and the socket stays open")
def _():
    line, _ready = session()

    def refused(code, ref=None):
        error = line.hear()
        must(error["type"] == "error" and error["code"] == code and error["message"] and error["retryable"] is False, f"{error}")
        must(error.get("ref") == ref, f"ref {error.get('ref')}")

    line.send(TEXT, b"{no json")
    refused("malformed_json")
    line.say(type="message.destroy", id="u")
    refused("unknown_type", "u")
    line.send(BINARY, b"\x00\x01")
    refused("binary_not_supported")
    line.say(type="message.create", id="m", text="没有 client_msg_id")
    refused("invalid_frame", "m")
    line.say(type="message.create", id="c", client_msg_id="raw-5", text="问", conversation_id="c_nobody")
    must(line.hear()["code"] == "conversation_not_found", "an unknown conversation")
    line.say(type="message.create", id="o", client_msg_id="raw-6", text="问", model="none")
    must(line.hear()["code"] == "model_not_found", "an unknown model")
    line.say(type="message.create", id="l", client_msg_id="raw-7", text="长" * 4001)
    error = line.hear()
    must(error["type"] == "error" and error["ref"] == "l", f"{error}")
    line.say(type="ping")
    must(line.hear()["type"] == "pong", "the socket is dead")
    return f"too long: {error['code']}"


@check("an unmasked frame ends the line unread")
def _():
    line, _ready = session()
    line.send(TEXT, json.dumps({"type": "ping", "id": "x"}).encode(), masked=False)
    code = line.closes()
    must(code in (0, 1002), f"closed with {code}")
    return f"close code {code or 'none'}"


@check("reserved bits and unknown opcodes end the line")
def _():
    codes = []
    for opcode, reserved in ((TEXT, 0x40), (0x3, 0), (CONTINUATION, 0)):
        line, _ready = session()
        line.send(opcode, b"{}", reserved=reserved)
        codes.append(line.closes())
        must(codes[-1] in (0, 1002), f"closed with {codes[-1]}")
    return f"close codes {codes}"


@check("text that is not UTF-8 ends the line with 1007")
def _():
    line, _ready = session()
    line.send(TEXT, b'{"type":"\xff\xfe"}')
    code = line.closes()
    must(code == 1007, f"closed with {code}")


@check("an oversized frame ends the line with 1009")
def _():
    line, ready = session()
    limit = ready["limits"]["frame_bytes"]
    line.send(TEXT, b'{"type":"ping"}'.ljust(limit))
    must(line.hear()["type"] == "pong", "a frame of exactly the limit is refused")
    line.send(TEXT, b'{"type":"ping"}'.ljust(limit + 1))
    code = line.closes()
    must(code == 1009, f"limit + 1 closed with {code}")
    line, _ready = session()
    line.send(TEXT, b"x" * (limit // 2), fin=False)
    try:
        for _ in range(3):
            line.send(CONTINUATION, b"x" * (limit // 2), fin=False)
        line.send(CONTINUATION, b"x")
    except OSError:
        pass  # closed while we were still writing
    code = line.closes()
    must(code == 1009, f"fragments closed with {code}")


@check("a frame that only claims to be huge is refused at once")
def _():
    line, _ready = session()
    line.socket.sendall(bytes([0x80 | TEXT, 0x80 | 127]) + struct.pack("!Q", 1 << 40) + os.urandom(4))
    code = line.closes()
    must(code == 1009, f"closed with {code}")


@check("who may not come in")
def _():
    line = Line()
    line.say(type="session.open", id="o", token="mc_member_wrong")
    error = line.hear()
    must(error["type"] == "error" and error["ref"] == "o", f"{error}")
    must(line.closes() == 4401, "a wrong token")
    line = Line()
    line.say(type="ping")
    must(line.hear()["type"] == "error" and line.closes() == 4400, "no session.open")
    for origin in ("https://evil.example", "null"):
        line = Line(f"Origin: {origin}")
        must(line.status == 403 and line.body["error"]["code"], f"{origin}: {line.status}")
    line = Line()
    if line.status == 101:
        line.say(type="session.open", token=site_key)
        must(line.hear()["type"] == "error", "a site key without an Origin was let in")
        code = line.closes()
        must(code == 4403, f"a site key without an Origin closed with {code}")


@check("a visitor's conversation is nobody else's")
def _():
    origin = f"Origin: {site_origin}"
    line, ready = session(site_key, origin)
    must(ready.get("visitor_token"), "no visitor_token")
    line.say(type="message.create", id="ask", client_msg_id="v-1", text="被扣分了怎么申诉？", model="builtin")
    _text, _done, _sources, turn = must_be_a_turn(line.hear_until("response.done"))
    conversation = turn[0]["conversation_id"]
    stranger, _ready = session(site_key, origin)
    stranger.say(type="message.create", id="ask", client_msg_id="v-2", text="那多久？", conversation_id=conversation)
    error = stranger.hear()
    must(error["type"] == "error" and error["code"] == "conversation_not_found", f"{error}")
    same, ready_again = session(site_key, origin, visitor_token=ready["visitor_token"])
    same.say(type="message.create", id="ask", client_msg_id="v-3", text="那多久？", conversation_id=conversation, model="builtin")
    frames = same.hear_until("response.done")
    must(frames[0]["type"] == "message.accepted", f"{frames[0]}")


@check("who says nothing is shown the door after 5 s")
def _():
    code = waiting.closes()
    must(code == 4408, f"closed with {code}")
    return f"after {time.monotonic() - waiting_since:.1f} s"


end()
