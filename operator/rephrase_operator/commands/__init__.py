"""The commands of `rephrase`, a module each; `add` puts one on the parser and names what runs it.

They are for people, and need no cluster where the question does not. They may use any part of the worker,
which the operator itself may not; a command that needs a part that is not installed says so. A command
imports what it needs when it runs, so that `--help` answers at once.
"""
