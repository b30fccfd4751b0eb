"""What a fresh OpenWhisk has: the packages `utils` and `samples` of `whisk.system`, for everyone
to read and call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from aowhisk.local.entities import BUILTIN, Action, Package
from aowhisk.local.limits import ActionRanges
from aowhisk.local.store import Store
from aowhisk.models import JSON

__all__ = ["SYSTEM", "install"]

SYSTEM = "whisk.system"
KIND = "nodejs:20"
_PACKAGES = {
    "utils": "Small parts that put data together and take it apart",
    "samples": "Simple actions to begin with",
}


@dataclass(frozen=True, slots=True)
class _Stock:
    """One action as it is described; `parameters` are name, type and what it is for, a name with
    ? being optional."""

    name: str
    description: str
    code: str
    parameters: tuple[tuple[str, str, str], ...] = ()
    sample_input: dict[str, JSON] = field(default_factory=dict)
    sample_output: dict[str, JSON] = field(default_factory=dict)

    def annotations(self) -> dict[str, JSON]:
        """Its annotations."""
        found: dict[str, JSON] = {"provide-api-key": False, "description": self.description}
        if self.parameters:
            found["parameters"] = [
                {
                    "name": name.rstrip("?"),
                    "required": not name.endswith("?"),
                    "type": kind,
                    "description": about,
                }
                for name, kind, about in self.parameters
            ]
        if self.sample_input:
            found["sampleInput"] = self.sample_input
        return found | {"sampleOutput": self.sample_output, "exec": KIND}


def install(store: Store, ranges: ActionRanges) -> None:
    """Put everything into `store`."""
    for entity in _stock(ranges):
        store.put(entity)


def _stock(ranges: ActionRanges) -> Iterator[Package | Action]:
    """The entities; actions are those of JavaScript, and run as the built-in that they name."""
    for name, about in _PACKAGES.items():
        yield Package(namespace=SYSTEM, name=name, publish=True, annotations={"description": about})
    for one in _ACTIONS:
        package, _, name = one.name.partition("/")
        yield Action(
            namespace=f"{SYSTEM}/{package}",
            name=name,
            annotations=one.annotations(),
            exec={"kind": KIND, "code": one.code, "binary": False, BUILTIN: one.name},
            limits=ranges.defaults,
        )


_LINES = ("lines", "array", "Texts or numbers")
_TEXT = ("payload", "string", "A text")
_ACTIONS = (
    _Stock(
        "utils/echo",
        "Gives back what it is given",
        "const main = (args) => args;\n",
        (("payload?", "any", "Anything"),),
        {"payload": "three grey geese"},
        {"payload": "three grey geese"},
    ),
    _Stock(
        "utils/cat",
        "Joins lines to one text",
        """\
function main(args) {
  const lines = args.lines || [];
  const joined = { lines, payload: lines.join('\\n') };
  console.log(`cat: returning ${JSON.stringify(joined)}`);
  return joined;
}
""",
        (_LINES,),
        {"lines": [4, 2, 3]},
        {"lines": [4, 2, 3], "payload": "4\n2\n3"},
    ),
    _Stock(
        "utils/date",
        "The date and the time of now",
        """\
function main() {
  const date = new Date().toISOString();
  console.log(`It is now ${date}`);
  return { date };
}
""",
        (),
        {},
        {"date": "2026-01-31T12:00:00.000Z"},
    ),
    _Stock(
        "utils/head",
        "The first lines of some",
        """\
function main({ lines, num }) {
  const all = lines || [];
  const count = num || 1;
  const first = all.slice(0, count);
  console.log(`head: the first ${count} of ${all}: ${first}`);
  return { lines: first, num: count };
}
""",
        (_LINES, ("num?", "integer", "How many, one if not given")),
        {"lines": [4, 2, 3], "num": 2},
        {"lines": [4, 2], "num": 2},
    ),
    _Stock(
        "utils/hosturl",
        "The URL that calls an action or fires a trigger",
        """\
function main({ path, web, ext, trigger }) {
  const { __OW_API_HOST: host, __OW_NAMESPACE: namespace } = process.env;
  const known = ['.json', '.text', '.html', '.http'];
  if (web === true && trigger) return { error: 'triggers are not allowed for web actions.' };
  if (web === true && ext && !known.includes(ext)) {
    const all = known.map((one) => `"${one}"`).join(', ');
    return { error: `extension for web action must be one of [${all}].` };
  }
  if (trigger && path.includes('/')) return { error: 'triggers are not allowed in packages.' };
  if (web === true) {
    const base = `${host}/api/v1/web/${namespace}`;
    const full = path && path.includes('/') ? path : `default/${path}`;
    return { url: path ? `${base}/${full}${ext || '.json'}` : base };
  }
  const collection = trigger === true ? 'triggers' : 'actions';
  const base = `${host}/api/v1/namespaces/${namespace}/${collection}`;
  return { url: path ? `${base}/${path}` : base };
}
""",
        (
            ("path?", "string", "[package/]name of the action, or the name of the trigger"),
            ("web?", "boolean", "Whether it is a web action"),
            ("ext?", "string", "The extension of a web action: .json, .text, .html or .http"),
            ("trigger?", "boolean", "Whether it is a trigger"),
        ),
        {"web": True, "path": "utils/echo"},
        {"url": "http://localhost:3233/api/v1/web/guest/utils/echo.json"},
    ),
    _Stock(
        "utils/namespace",
        "The namespace of who calls it",
        "const main = () => ({ namespace: process.env.__OW_NAMESPACE });\n",
        (),
        {},
        {"namespace": "guest"},
    ),
    _Stock(
        "utils/smash",
        "Puts everything it is given under one field",
        """\
function main({ $fieldName, ...rest }) {
  if (typeof $fieldName !== 'string') {
    return { error: "Expected an argument '$fieldName' of type 'string'." };
  }
  return { [$fieldName]: rest };
}
""",
        (("$fieldName", "string", "The name of that field"),),
        {"a": 1, "b": {"c": 2}, "$fieldName": "p"},
        {"p": {"a": 1, "b": {"c": 2}}},
    ),
    _Stock(
        "utils/sort",
        "Sorts lines as texts",
        """\
function main(args) {
  const sorted = [...(args.lines || [])];
  console.log(`sort input msg: ${JSON.stringify(args)}`);
  console.log(`sort before: ${sorted}`);
  sorted.sort();
  console.log(`sort after: ${sorted}`);
  return { lines: sorted, length: sorted.length };
}
""",
        (_LINES,),
        {"lines": [4, 2, 3]},
        {"lines": [2, 3, 4], "length": 3},
    ),
    _Stock(
        "utils/split",
        "Splits a text",
        """\
function main({ payload, separator }) {
  const parts = { lines: payload.toString().split(separator || /\\r?\\n/), payload };
  console.log(`split: returning ${JSON.stringify(parts)}`);
  return parts;
}
""",
        (_TEXT, ("separator?", "string", "What is between the parts, line ends if not given")),
        {"payload": "one,two,three", "separator": ","},
        {"lines": ["one", "two", "three"], "payload": "one,two,three"},
    ),
    _Stock(
        "samples/greeting",
        "A friendly greeting",
        """\
function main(params) {
  console.log('params:', params);
  const name = params.name || params.payload || 'stranger';
  return { payload: `Hello, ${name} from ${params.place || 'somewhere'}!` };
}
""",
        (("name?", "string", "Who is greeted"), ("place?", "string", "Where they are from")),
        {"name": "Ada", "place": "London"},
        {"payload": "Hello, Ada from London!"},
    ),
    _Stock(
        "samples/helloWorld",
        "Writes to its log",
        "function main({ payload }) {\n  console.log('hello', `${payload}!`);\n}\n",
        (("payload?", "string", "Who is greeted"),),
        {"payload": "Ada"},
    ),
    _Stock(
        "samples/wordCount",
        "Counts the words of a text",
        """\
function main({ payload }) {
  const count = payload.split(' ').length;
  console.log(`The message '${payload}' has`, count, 'words');
  return { count };
}
""",
        (_TEXT,),
        {"payload": "three grey geese"},
        {"count": 3},
    ),
    _Stock(
        "samples/curl",
        "Fetches a URL with curl",
        """\
const { execFile } = require('child_process');

function main({ payload }) {
  console.log(`Curl to ${payload}`);
  return new Promise((resolve) => {
    execFile('curl', ['--connect-timeout', '3', '--', payload], (error, stdout, stderr) => {
      const msg = error ? stderr : stdout;
      console.log(msg);
      resolve({ msg });
    });
  });
}
""",
        (("payload", "string", "The URL"),),
        {"payload": "localhost:3233/ping"},
        {"msg": "pong"},
    ),
)
