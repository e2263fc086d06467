"""`lark-oapi` from PyPI judges a Feishu bot: whether it lets in exactly the callbacks that the SDK lets in, and
whether its calls are those that the SDK makes. lark_sdk.py BASE PORT, where PORT is that of the bot's platform.
"""

import base64
import hashlib
import json
import logging
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import lark_oapi as lark
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from lark_oapi.api.cardkit.v1 import (
    ContentCardElementRequest,
    ContentCardElementRequestBody,
    CreateCardRequest,
    CreateCardRequestBody,
    SettingsCardRequest,
    SettingsCardRequestBody,
)
from lark_oapi.api.im.v1 import ReplyMessageRequest, ReplyMessageRequestBody
from lark_oapi.core.model import RawRequest

from checks import check, end, must

address, port = f"{sys.argv[1]}/webhooks/feishu/peer", int(sys.argv[2])
TOKEN, KEY, SECRET = "peer-token", "peer-encrypt-key", "peer-app-secret"
logging.getLogger("Lark").disabled = True  # it logs what it refuses
calls = []


class Platform(BaseHTTPRequestHandler):
    """Says yes to everything and remembers it."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        calls.append((self.command, self.path, self.headers["Authorization"], body))
        data = {"code": 0, "msg": "success", "tenant_access_token": "t-1", "expire": 7200, "data": {"card_id": "card_1", "message_id": "om_2"}}
        data = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_PATCH = answer

    def log_message(self, *_):
        pass


threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", port), Platform).serve_forever, daemon=True).start()

heard = []
judge = lark.EventDispatcherHandler.builder(KEY, TOKEN).register_p2_im_message_receive_v1(heard.append).build()


def event(message_id, text, token=TOKEN):
    sender = {"sender_id": {"open_id": "ou_peer"}, "sender_type": "user", "tenant_key": "t"}
    content = json.dumps({"text": text}, ensure_ascii=False)
    message = {"message_id": message_id, "create_time": "1", "chat_id": "oc_peer", "chat_type": "p2p", "message_type": "text", "content": content}
    header = {"event_id": f"ev-{message_id}", "token": token, "create_time": str(int(time.time() * 1000)), "event_type": "im.message.receive_v1", "tenant_key": "t", "app_id": "cli_peer"}
    return {"schema": "2.0", "header": header, "event": {"sender": sender, "message": message}}


def sealed(plain, key=KEY, changed=b"", nonce="n1", sign=KEY):
    """Body and headers of a callback; `changed` is put after what was signed."""
    iv = hashlib.md5(str(time.time_ns()).encode()).digest()
    cipher = AES.new(hashlib.sha256(key.encode()).digest(), AES.MODE_CBC, iv)
    text = base64.b64encode(iv + cipher.encrypt(pad(json.dumps(plain).encode(), 16))).decode()
    body, timestamp = json.dumps({"encrypt": text}).encode(), str(int(time.time()))
    signature = hashlib.sha256((timestamp + nonce + sign).encode() + body).hexdigest()
    headers = {"X-Lark-Request-Timestamp": timestamp, "X-Lark-Request-Nonce": nonce, "X-Lark-Signature": signature}
    return body + changed, {**headers, "Content-Type": "application/json"}


def theirs(body, headers):
    request = RawRequest()
    request.uri, request.headers, request.body = "/", headers, body
    answer = judge.do(request)
    return answer.status_code, json.loads(answer.content)


def ours(body, headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@check("the SDK and the bot let in the same callbacks and give them the same answers")
def _():
    challenge = {"challenge": "peer-challenge", "token": TOKEN, "type": "url_verification"}
    for callback in (sealed(challenge), sealed(event("om_help", "/help"))):
        by_sdk, by_us = theirs(*callback), ours(*callback)
        must(by_sdk == by_us and by_us[0] == 200, (by_sdk, by_us))
    must(len(heard) == 1 and heard[0].event.message.message_id == "om_help", heard)


@check("the SDK and the bot refuse the same callbacks")
def _():
    genuine = event("om_forged", "/help")
    refused = {
        "another key": sealed(genuine, key="another"),
        "another signer": sealed(genuine, sign="another"),
        "another token": sealed(event("om_forged", "/help", token="another")),
        "a challenge with another token": sealed({"challenge": "c", "token": "another", "type": "url_verification"}),
        "a changed body": sealed(genuine, changed=b" "),
        "no padding": (json.dumps({"encrypt": base64.b64encode(bytes(48)).decode()}).encode(), sealed(genuine)[1]),
        "no encryption": (json.dumps(genuine).encode(), sealed(genuine)[1]),
    }
    for name, callback in refused.items():
        by_sdk, by_us = theirs(*callback)[0], ours(*callback)[0]
        must((by_sdk, by_us) == (500, 401), (name, by_sdk, by_us))
    must(len(heard) == 1, heard)
    return f"{len(refused)} kinds"


def same_call(client, method, path, body):
    """The same call, made by the SDK."""
    parts = path.split("/")
    if parts[-1] == "reply":
        content = ReplyMessageRequestBody(body)
        return client.im.v1.message.reply(ReplyMessageRequest.builder().message_id(parts[-2]).request_body(content).build())
    if parts[-1] == "cards":
        return client.cardkit.v1.card.create(CreateCardRequest.builder().request_body(CreateCardRequestBody(body)).build())
    if parts[-1] == "content":
        request = ContentCardElementRequest.builder().card_id(parts[-4]).element_id(parts[-2])
        return client.cardkit.v1.card_element.content(request.request_body(ContentCardElementRequestBody(body)).build())
    if parts[-1] == "settings":
        request = SettingsCardRequest.builder().card_id(parts[-2]).request_body(SettingsCardRequestBody(body))
        return client.cardkit.v1.card.settings(request.build())
    raise AssertionError(f"the SDK is not known to call {method} {path}")


@check("the bot answers with the calls that the SDK makes")
def _():
    must(ours(*sealed(event("om_ask", "被扣分了怎么申诉？")))[0] == 200, "it was not taken")
    # The last call of the answer, and the one to the /help of before, which no longer comes in between then.
    wanted = ("/settings", "/om_help/reply")
    late = time.monotonic() + 60
    while not all(any(path.endswith(end) for _, path, _, _ in list(calls)) for end in wanted):
        must(time.monotonic() < late, [path for _, path, _, _ in calls])
        time.sleep(0.1)
    time.sleep(0.3)
    made = list(calls)
    client = lark.Client.builder().app_id("cli_peer").app_secret(SECRET).domain(f"http://127.0.0.1:{port}").log_level(lark.LogLevel.CRITICAL).build()
    kinds = set()
    for method, path, authorization, body in made:
        if path.endswith("/tenant_access_token/internal"):
            must(body == {"app_id": "cli_peer", "app_secret": SECRET}, body)
            continue
        calls.clear()
        answer = same_call(client, method, path, body)
        must(answer.success(), answer.msg)
        must(calls[-1] == (method, path, authorization, body), (calls[-1], (method, path, authorization, body)))
        kinds.add(path.split("/")[-1])
    must(kinds == {"reply", "cards", "content", "settings"}, kinds)
    return f"{len(made)} calls"


end()
