"""The `mcp` package from PyPI as a client of our /mcp: mcp_client.py BASE MEMBER_KEY"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from checks import check, end, must

base, key = sys.argv[1:3]
QUESTION = "被扣分了怎么申诉？"


def with_client(action, bearer=key):
    async def run():
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {bearer}"}, timeout=30) as http:
            async with Client(streamable_http_client(f"{base}/mcp", http_client=http)) as client:
                return await action(client)

    return asyncio.run(run())


def structured(result):
    return result.structured_content or json.loads(result.content[0].text)


@check("the tools are listed with their schemas")
def _():
    async def action(client):
        return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in with_client(action)}
    must(set(tools) == {"search_knowledge", "get_entry", "ask"}, sorted(tools))
    must("query" in tools["search_knowledge"].input_schema["properties"], tools["search_knowledge"].input_schema)
    must(tools["search_knowledge"].annotations.read_only_hint is True, tools["search_knowledge"].annotations)


@check("a row is searched, read, and answers a question")
def _():
    async def action(client):
        found = structured(await client.call_tool("search_knowledge", {"query": QUESTION, "top": 3}))
        row = structured(await client.call_tool("get_entry", {"id": found["results"][0]["id"]}))
        answer = structured(await client.call_tool("ask", {"question": QUESTION, "model": "builtin"}))
        return found, row, answer

    found, row, answer = with_client(action)
    must(row["question"] == found["results"][0]["title"], (found, row))
    must(answer["text"] and answer["sources"] and answer["status"] == "completed", answer)
    return f"{found['decision']}: {row['question']}"


@check("a tool that cannot says so in its result")
def _():
    async def action(client):
        return await client.call_tool("get_entry", {"id": "none"})

    result = with_client(action)
    must(result.is_error and structured(result)["error"]["code"] == "entry_not_found", result)


@check("a wrong key is refused")
def _():
    async def action(client):
        return await client.list_tools()

    try:
        with_client(action, "mc_member_wrong")
    except BaseException as refused:  # the client wraps it in a group
        return type(refused).__name__
    raise AssertionError("let in")


end()
