"""``python -m bench COMMAND``."""

import importlib

import click

COMMANDS = {
    "list": "implementations, whether they can run here, and why not",
    "check": "is it right: compare implementations with attention computed in float64",
    "audit": "would a case notice: answers that are wrong in known ways, judged as if a kernel had given them",
    "conventions": "what each implementation does where libraries differ, beside what it declares",
    "run": "check, time, store and report a sweep",
    "sweep": "the cases of a sweep, their cost, and how long a run would take",
    "mask": "what a mask or a layout lets a query see, as a picture",
    "gate": "did it get worse: judge a stored run by a baseline",
    "baseline": "runs kept by name, one for each machine",
    "codegen": "what the compiler makes of a Triton kernel for GPUs that aren't here",
    "compare": "two implementations, or two git revisions, side by side: is B slower, or wrong?",
    "gate-selfcheck": "how often the gate alarms without cause, and how often it finds a known slowdown",
    "report": "one HTML file (or Markdown, CSV, JSON) from stored runs",
}
"""Every command and what it does; the file of the same name in bench/cli holds it (`_` for `-`)."""


class LazyGroup(click.Group):
    """Loads a command's file only when that command is called, so that help is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"attnbench.bench.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from difflib import get_close_matches

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if near := get_close_matches(args[0], COMMANDS, n=2):
                raise click.UsageError(f"{error.message} Did you mean {' or '.join(near)}?", ctx) from error
            raise


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with: python -m bench run --sweep smoke",
)
def main() -> None:
    """Which attention implementation is right, and which is fastest, for my shapes on my machine?"""


def console_script() -> None:
    """The command ``attnbench``."""
    main(prog_name="attnbench")


if __name__ == "__main__":
    main(prog_name="python -m bench")
