"""The `openai` package from PyPI as a client of our /v1: openai_client.py BASE MEMBER_KEY SITE_KEY"""

import asyncio
import sys

import openai
from openai import AsyncOpenAI, OpenAI

from checks import check, end, must

base, member_key, site_key = sys.argv[1:4]
client = OpenAI(base_url=f"{base}/v1", api_key=member_key, max_retries=0, timeout=30)

QUESTION = "被扣分了怎么申诉？"
UNANSWERABLE = "怎么用量子计算机煮鸡蛋？"
FIXTURE = "🏮 保证金在满足退还条件后原路退回[1]。𠮷店也一样，最长 15 天到账[1]，有未结纠纷的要先处理完。"
DEPOSIT = "那什么时候可以退还保证金？"


def ask(question, model="builtin", **more):
    messages = question if isinstance(question, list) else [{"role": "user", "content": question}]
    return client.chat.completions.create(model=model, messages=messages, **more)


def raises(kind, action):
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def must_cite(text, annotations):
    """Every annotation's indices must cut its own marker out of the answer."""
    must(annotations, "no annotations")
    for annotation in annotations:
        citation = annotation["url_citation"] if isinstance(annotation, dict) else annotation.url_citation.model_dump()
        marker = text[citation["start_index"] : citation["end_index"]]
        must(marker.startswith("[") and marker.endswith("]") and marker[1:-1].isdigit(), f"{citation} cuts out {marker!r}")
        must(citation["title"] and citation["url"].startswith("http"), f"{citation}")


@check("models list")
def _():
    models = {model.id: model for model in client.models.list()}
    must({"builtin", "peer-answer", "peer-slow"} <= models.keys(), f"{sorted(models)}")
    must(all(model.object == "model" and model.created > 0 and model.owned_by for model in models.values()), f"{models}")
    must(client.models.retrieve("builtin").id == "builtin", "retrieve answers another model")
    return f"{len(models)} models"


whole = {}


@check("one completion, built-in model")
def _():
    raw = client.chat.completions.with_raw_response.create(model="builtin", messages=[{"role": "user", "content": QUESTION}], extra_headers={"x-request-id": "peer-1"})
    answer = raw.parse()
    message = answer.choices[0].message
    must(answer.object == "chat.completion" and answer.model == "builtin", f"{answer.object} {answer.model}")
    must(message.role == "assistant" and len(message.content) > 10, f"{message}")
    must(answer.choices[0].finish_reason == "stop", answer.choices[0].finish_reason)
    must(answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0, f"{answer.usage}")
    must(answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens, f"{answer.usage}")
    must_cite(message.content, message.annotations)
    must(raw.headers.get("x-request-id") == "peer-1", f"x-request-id is {raw.headers.get('x-request-id')!r}")
    whole["text"] = message.content
    return f"{len(message.content)} characters, {len(message.annotations)} annotations"


def read(stream):
    """Text, annotations, citations, finish reasons and usage chunks of a stream, and its chunks."""
    text, annotations, chunks = "", [], []
    for chunk in stream:
        chunks.append(chunk)
        for choice in chunk.choices:
            text += choice.delta.content or ""
            annotations += (choice.delta.model_extra or {}).get("annotations", [])
    citations = [chunk.model_extra["citations"] for chunk in chunks if "citations" in (chunk.model_extra or {})]
    finish = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    return text, annotations, citations, finish, [chunk for chunk in chunks if chunk.usage], chunks


@check("a stream with usage equals the completion")
def _():
    text, annotations, citations, finish, usage, chunks = read(ask(QUESTION, stream=True, stream_options={"include_usage": True}))
    must(text == whole["text"], f"streamed {text!r}, whole {whole['text']!r}")
    must_cite(text, annotations)
    must(len(citations) == 1 and all(link.startswith("http") for link in citations[0]), f"citations {citations}")
    must(finish == ["stop"], f"finish reasons {finish}")
    must(len(usage) == 1 and usage[0] is chunks[-1] and usage[0].choices == [], "usage must come once, in the last chunk, without choices")
    must(usage[0].usage.prompt_tokens > 0 and usage[0].usage.completion_tokens > 0, f"{usage[0].usage}")
    must(chunks[0].choices[0].delta.role == "assistant", "the first chunk has no role")
    must(len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1, "id, model or created change")
    return f"{len(chunks)} chunks"


@check("no usage chunk unless asked for")
def _():
    usage = read(ask(QUESTION, stream=True))[4]
    must(not usage, f"{usage}")


@check("a real provider's answer through us, streamed")
def _():
    text, annotations, citations, finish, usage, chunks = read(ask(DEPOSIT, model="peer-answer", stream=True, stream_options={"include_usage": True}))
    must(text == FIXTURE, f"{text!r}")
    must(len(annotations) == 2, f"{len(annotations)} annotations for two markers")
    must_cite(text, annotations)
    must((usage[0].usage.prompt_tokens, usage[0].usage.completion_tokens) == (321, 45), f"not the provider's own count: {usage[0].usage}")
    deltas = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    must(len(deltas) > 5, f"only {len(deltas)} deltas")
    return f"{len(deltas)} deltas"


@check("the package's own accumulator ends with the same text")
def _():
    with client.chat.completions.stream(model="peer-answer", messages=[{"role": "user", "content": DEPOSIT}]) as stream:
        for _event in stream:
            pass
        must(stream.get_final_completion().choices[0].message.content == FIXTURE, "another text")


@check("content parts and history")
def _():
    asked = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "店铺保证金不够了会怎么样？"}]},
        {"role": "assistant", "content": "要补足。"},
        {"role": "user", "content": [{"type": "text", "text": "那什么时候可以退还？"}]},
    ]
    message = ask(asked).choices[0].message
    must("退" in message.content and message.annotations, f"{message.content}")
    return message.content[:40].replace("\n", " ")


@check("an unanswerable question is answered honestly")
def _():
    for model in ("builtin", "peer-answer"):
        answer = ask(UNANSWERABLE, model=model)
        message = answer.choices[0].message
        must("没有找到" in message.content, f"{model}: {message.content}")
        must(not message.annotations, f"{model}: {message.annotations}")
        must(answer.usage.completion_tokens == 0, f"{model}: a model was called: {answer.usage}")
    return message.content[:24]


@check("a wrong key")
def _():
    stranger = OpenAI(base_url=f"{base}/v1", api_key="mc_member_wrong", max_retries=0)
    error = raises(openai.AuthenticationError, lambda: stranger.models.list())
    must((error.code, error.type) == ("invalid_api_key", "authentication_error"), f"{error.code} {error.type}")
    raises(openai.AuthenticationError, lambda: stranger.chat.completions.create(model="builtin", messages=[{"role": "user", "content": "x"}], stream=True))


@check("a site key does not open /v1")
def _():
    site = OpenAI(base_url=f"{base}/v1", api_key=site_key, max_retries=0, default_headers={"Origin": "http://shop.test"})
    return raises(openai.PermissionDeniedError, lambda: site.models.list()).code


@check("an unknown model")
def _():
    error = raises(openai.NotFoundError, lambda: ask(QUESTION, model="gpt-none"))
    must(error.code == "model_not_found", f"{error.code}")
    raises(openai.NotFoundError, lambda: client.models.retrieve("gpt-none"))


@check("what cannot be asked")
def _():
    for messages in ([], [{"role": "user", "content": ""}], [{"role": "user", "content": "长" * 5000}]):
        error = raises(openai.BadRequestError, lambda messages=messages: ask(messages))
        must(error.type == "invalid_request_error" and error.code, f"{error}")


@check("what cannot be given is refused by name, what only shades is taken")
def _():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    for param, value in [("n", 2), ("tools", [tool]), ("response_format", {"type": "json_object"})]:
        error = raises(openai.BadRequestError, lambda param=param, value=value: ask(QUESTION, **{param: value}))
        must((error.code, error.param) == ("unsupported_parameter", param), f"{error.code} {error.param}")
    ask(QUESTION, temperature=0.2, top_p=0.9, seed=7, n=1, stop=["###"], max_tokens=500, metadata={"a": "b"}, extra_body={"from_the_future": True})


@check("a conversation goes by a header or by the user")
def _():
    def place(question, **more):
        raw = client.chat.completions.with_raw_response.create(model="builtin", messages=[{"role": "user", "content": question}], **more)
        must(raw.parse().choices[0].message.content, "no answer")
        return raw.headers["x-conversation-id"]

    named = {"x-conversation-id": "a chat of the peer"}
    first = place("店铺保证金不够了会怎么样？", extra_headers=named)
    must(place("那什么时候可以退还？", extra_headers=named) == first, "the same name is another conversation")
    must(place(QUESTION, user="u-1") == place(QUESTION, user="u-1") != first, "the user's conversation")
    must(place(QUESTION) != place(QUESTION), "questions without a name are put together")
    return first


@check("a provider's fault is an error, whole and streamed")
def _():
    error = raises(openai.InternalServerError, lambda: ask(DEPOSIT, model="peer-500"))
    must(error.status_code == 503 and error.code == "model_unavailable", f"{error.status_code} {error.code}")
    error = raises(openai.InternalServerError, lambda: list(ask(DEPOSIT, model="peer-500", stream=True)))
    must(error.status_code == 503 and error.code == "model_unavailable", f"streamed: {error.status_code} {error.code}")
    error = raises(openai.APIError, lambda: list(ask(DEPOSIT, model="peer-disconnect", stream=True)))
    must(error.code, "a streamed error without a code")
    for stream in (False, True):
        error = raises(openai.RateLimitError, lambda stream=stream: ask(DEPOSIT, model="peer-429", stream=stream))
        must(error.code == "model_rate_limited", f"{error.code}")
    error = raises(openai.InternalServerError, lambda: ask(DEPOSIT, model="peer-quota"))
    must("quota" not in str(error) and "sk-" not in str(error), f"the provider's own words or key get out: {error}")


@check("twelve streams at once")
def _():
    async def one(clients):
        text = ""
        stream = await clients.chat.completions.create(model="peer-answer", messages=[{"role": "user", "content": DEPOSIT}], stream=True)
        async for chunk in stream:
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
        return text

    async def all_of_them():
        async with AsyncOpenAI(base_url=f"{base}/v1", api_key=member_key, max_retries=0) as clients:
            return await asyncio.gather(*(one(clients) for _ in range(12)))

    texts = asyncio.run(all_of_them())
    must(all(text == FIXTURE for text in texts), "a text differs")


end()
