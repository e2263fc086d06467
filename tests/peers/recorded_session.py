"""The sessions recorded in the READMEs are what the binary prints, but for times, ports, codes and the number of updates. recorded_session.py BINARY DATA_DIR"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from checks import check, end, must

binary, data = sys.argv[1:3]
# Nobody's keys: the recorded answer is that of the built-in model.
environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def without_times(text):
    """Times, updates, ports and the codes of calls are others each time."""
    text = re.sub(r"\d+ (ms|updates)", r"… \1", text)
    return re.sub(r"(/answer|/回复) [a-z0-9]{4} ", r"\1 …… ", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:…", text)).strip()


for file in ("README.md", "README.zh-CN.md"):
    sessions = re.findall(r"^```\n\$ merchant-copilot (simulate dingtalk .*)\n((?:.*\n)*?)```", Path(file).read_text(encoding="utf-8"), re.M)

    @check(f"{file} shows what `simulate dingtalk` prints")
    def _():
        must(len(sessions) == 2, f"{len(sessions)} sessions are recorded")
        for arguments, recorded in sessions:
            command = [binary, *shlex.split(arguments), "--data-dir", data]
            printed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
            must(printed.returncode == 0, printed.stderr[-400:])
            must(without_times(printed.stdout) == without_times(recorded), printed.stdout)


end()
