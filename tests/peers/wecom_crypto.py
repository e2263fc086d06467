"""`wechatpy` from PyPI encrypts and signs what a WeCom bot gets, and opens what it answers. wecom_crypto.py BASE"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from checks import check, end, must
from wechatpy.crypto import PrpCrypto, WeChatCrypto, _get_signature

address = f"{sys.argv[1]}/webhooks/wecom/peer"
crypto = WeChatCrypto("peer-token", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "")
prp = PrpCrypto(crypto.key)


def call(sealed, echo=False, token="peer-token"):
    timestamp, nonce = str(int(time.time())), "peer-nonce"
    query = {"msg_signature": _get_signature(token, timestamp, nonce, sealed), "timestamp": timestamp, "nonce": nonce}
    if echo:
        query["echostr"] = sealed
    body = None if echo else json.dumps({"encrypt": sealed}).encode()
    request = urllib.request.Request(f"{address}?{urllib.parse.urlencode(query)}", data=body)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def seal(text):
    return prp.encrypt(text, "").decode()


def tell(message):
    status, text = call(seal(json.dumps(message, ensure_ascii=False)))
    must(status == 200, text)
    reply = json.loads(text)
    expected = _get_signature("peer-token", str(reply["timestamp"]), reply["nonce"], reply["encrypt"])
    must(reply["msgsignature"] == expected and isinstance(reply["timestamp"], int), reply)
    return json.loads(prp.decrypt(reply["encrypt"], ""))


@check("the address is verified")
def _():
    must(call(seal("6277854811"), echo=True) == (200, "6277854811"), "another echo")
    must(call(seal("6277854811"), echo=True, token="another")[0] == 401, "a forger was heard")


@check("a message is answered by a stream that the platform asks for until it is finished")
def _():
    asked = {"msgid": "peer-1", "chattype": "single", "from": {"userid": "u1"}, "msgtype": "text", "text": {"content": "/help"}}
    stream = tell(asked)["stream"]
    late = time.monotonic() + 60
    while not stream["finish"] and time.monotonic() < late:
        time.sleep(0.1)
        stream = tell({"msgtype": "stream", "stream": {"id": stream["id"]}})["stream"]
    must(stream["finish"] and "/human" in stream["content"], stream)
    must(tell(asked)["stream"]["content"] == stream["content"], "delivered again it has another answer")


end()
