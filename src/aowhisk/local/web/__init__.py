"""Web actions: actions that answer HTTP themselves (CTRL/WebActions.scala).

`handler` finds the action and decides whether it may run; `context` turns the request into its
arguments; `answer` turns its result into status, headers and body.
"""

from aowhisk.local.web.handler import WebActions

__all__ = ["WebActions"]
