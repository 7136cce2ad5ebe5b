"""Python of one page: code as JSON lines in, exit code and output as JSON lines out. The last expression is printed."""

import ast
import contextlib
import io
import json
import sys
import traceback


def main() -> None:
    """Answer line by line until the other side closes."""
    names: dict[str, object] = {"__name__": "__page__"}
    answers = sys.stdout
    for line in sys.stdin:
        output, code = io.StringIO(), 0
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                tree = ast.parse(json.loads(line))
                last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
                exec(compile(tree, "<page>", "exec"), names)
                if last is not None:
                    value = eval(compile(ast.Expression(last.value), "<page>", "eval"), names)
                    if value is not None:
                        print(repr(value))
            except BaseException as error:
                code = 1
                print("".join(traceback.format_exception_only(error)).rstrip())
        answers.write(json.dumps([code, output.getvalue()]) + "\n")
        answers.flush()
