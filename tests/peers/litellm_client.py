"""LiteLLM's proxy on both sides of us: litellm_client.py BASE MEMBER_KEY LITELLM_URL

client → LiteLLM → our /v1, and client → our /v1 → LiteLLM."""

import sys

import openai
from openai import OpenAI

from checks import check, end, must

base, member_key, litellm = sys.argv[1:4]
ours = OpenAI(base_url=f"{base}/v1", api_key=member_key, max_retries=0, timeout=30)
theirs = OpenAI(base_url=f"{litellm}/v1", api_key="any", max_retries=0, timeout=30)

QUESTION = [{"role": "user", "content": "被扣分了怎么申诉？"}]
DEPOSIT = [{"role": "user", "content": "那什么时候可以退还保证金？"}]


def read(stream):
    text, finish, usage = "", [], None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish += [choice.finish_reason] if choice.finish_reason else []
    return text, finish, usage


@check("LiteLLM asks us, whole and streamed")
def _():
    direct = ours.chat.completions.create(model="builtin", messages=QUESTION).choices[0].message.content
    whole = theirs.chat.completions.create(model="copilot", messages=QUESTION)
    must(whole.choices[0].message.content == direct, f"{whole.choices[0].message.content!r}")
    must(whole.usage.completion_tokens > 0, f"{whole.usage}")
    text, finish, usage = read(theirs.chat.completions.create(model="copilot", messages=QUESTION, stream=True, stream_options={"include_usage": True}))
    must(text == direct and finish == ["stop"], f"{finish} {text!r}")
    must(usage and usage.prompt_tokens > 0, f"{usage}")
    kept = getattr(whole.choices[0].message, "annotations", None)
    return f"annotations {'kept' if kept else 'lost on the way'}"


@check("LiteLLM asks a provider through us")
def _():
    text, finish, _usage = read(theirs.chat.completions.create(model="copilot-peer", messages=DEPOSIT, stream=True))
    must("保证金" in text and finish == ["stop"], f"{finish} {text!r}")


@check("our errors are errors to LiteLLM")
def _():
    try:
        theirs.chat.completions.create(model="copilot-broken", messages=DEPOSIT)
    except openai.APIStatusError as error:
        must(error.status_code >= 500, f"{error.status_code}")
        return f"{error.status_code}"
    raise AssertionError("no error")


@check("we ask LiteLLM, streamed, with its usage")
def _():
    text, finish, usage = read(ours.chat.completions.create(model="peer-litellm", messages=DEPOSIT, stream=True, stream_options={"include_usage": True}))
    must(text == "保证金在满足退还条件后原路退回[1]。𠮷" and finish == ["stop"], f"{finish} {text!r}")
    must(usage.prompt_tokens > 0 and usage.completion_tokens > 0, f"{usage}")
    return f"{usage.prompt_tokens} + {usage.completion_tokens} tokens"


@check("LiteLLM's refusals mean what they say")
def _():
    for model, kind, code in [
        ("peer-litellm-limited", openai.RateLimitError, "model_rate_limited"),
        ("peer-litellm-too-long", openai.APIStatusError, "model_refused"),
    ]:
        try:
            ours.chat.completions.create(model=model, messages=DEPOSIT)
        except kind as error:
            must(error.code == code, f"{model}: {error.code}")
        else:
            raise AssertionError(f"{model}: no error")


end()
