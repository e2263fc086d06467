"""The sessions recorded in the READMEs are what the binary prints, but for times and the number of updates. recorded_session.py BINARY DATA_DIR"""

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
    return re.sub(r"\d+ (ms|updates)", r"… \1", text).strip()


for file in ("README.md", "README.zh-CN.md"):
    recorded = re.search(r"^```\n\$ merchant-copilot (simulate dingtalk .*)\n((?:.*\n)*?)```", Path(file).read_text(encoding="utf-8"), re.M)

    @check(f"{file} shows what `simulate dingtalk` prints")
    def _():
        must(recorded, "no session is recorded")
        command = [binary, *shlex.split(recorded[1]), "--data-dir", data]
        printed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        must(printed.returncode == 0, printed.stderr[-400:])
        must(without_times(printed.stdout) == without_times(recorded[2]), printed.stdout)


end()
