"""Registers and invokes a function by Lithops' OpenWhisk client, and prints as JSON what that gave.

Runs with the Python of Lithops' own environment: lithops_client.py URL NAMESPACE KEY"""

import json
import sys

from lithops.libs.openwhisk.client import OpenWhiskClient

CODE = "def main(args):\n    return {'squares': [n * n for n in args['numbers']]}\n"


def main(url: str, namespace: str, key: str) -> None:
    client = OpenWhiskClient(url, namespace, api_key=key, insecure=True, user_agent="lithops/test")
    wrong = OpenWhiskClient(url, namespace, api_key="guest:wrong", insecure=True)
    function = {"code": CODE, "kind": "python:3", "is_binary": False, "timeout": 20000}
    told = {"namespaces": client.list_namespaces(None)}
    client.create_package("lithops")
    client.create_package("lithops")
    client.create_action("lithops", "squares", **function)
    client.create_action("lithops", "squares", memory=512, **function)
    client.create_action("lithops", "image", "docker.io/lithops/python", b"PK", memory=256)
    client.update_memory("lithops", "squares", 128)
    told["packages"] = client.list_packages()
    told["action"] = client.get_action("lithops", "squares")
    told["actions"] = client.list_actions("lithops")
    numbers = {"numbers": [1, 2, 3]}
    told["result"] = client.invoke_with_result("lithops", "squares", numbers)
    told["outside"] = client.invoke("lithops", "squares", numbers)
    told["inside"] = client.invoke("lithops", "squares", numbers, is_ow_action=True)
    told["missing"] = client.invoke("lithops", "missing", numbers)
    told["wrong"] = wrong.invoke("lithops", "squares", numbers)
    told["image"] = client.invoke_with_result("lithops", "image", {})
    client.delete_package("lithops")
    told["full"] = len(client.list_actions("lithops"))
    for name in ("squares", "image"):
        client.delete_action("lithops", name)
    client.delete_package("lithops")
    client.delete_namespace("guest")
    told["left"] = [client.list_actions("lithops"), client.list_packages()]
    print(json.dumps(told))


main(*sys.argv[1:])
