"""Reads what ``nvdisasm -c -g`` prints of one kernel: instructions, labels and source lines."""

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property

INSTRUCTION = re.compile(
    r"^\s*/\*(?P<address>[0-9a-f]{4,})\*/\s+(?:@(?P<predicate>!?U?P\w+)\s+)?(?P<opcode>[A-Z][\w.]*)(?P<operands>[^;]*);"
)
LABEL = re.compile(r"^(?P<label>[.$\w]+):\s*$")
SOURCE_LINE = re.compile(r'^\s*//## File "(?P<file>[^"]*)", line (?P<line>\d+)(?P<inlined>[^\n]*)')
TARGET = re.compile(r"`\((?P<label>[^)]+)\)")
TARGETS = re.compile(r"BRANCH_TARGETS (?P<labels>[^\"]+)\"")
SECTION = re.compile(r"^\s*\.section\s+\.text\.(?P<name>[^,]+),")


class ListingError(ValueError):
    """A disassembly that can't be read; the message names the line or what is missing."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: ``/*1540*/ @P0 HGMMA.64x128x16.F32.BF16 R24, gdesc[UR12], RZ ;`` at `address` (bytes)."""

    address: int
    opcode: str
    operands: str = ""
    predicate: str = ""
    file: str = ""
    line: int = 0

    @property
    def stem(self) -> str:
        """The opcode up to its first dot: ``HGMMA``."""
        return self.opcode.partition(".")[0]

    @property
    def targets(self) -> tuple[str, ...]:
        """Labels that the operands name."""
        table = TARGETS.search(self.operands)
        if table:
            return tuple(label.strip() for label in table["labels"].split(","))
        return tuple(match["label"] for match in TARGET.finditer(self.operands))

    @property
    def text(self) -> str:
        """As the disassembler writes it, with single spaces."""
        guard = f"@{self.predicate} " if self.predicate else ""
        return f"{guard}{self.opcode} {self.operands}".strip()


@dataclass(frozen=True)
class Listing:
    """One kernel: its instructions by address, and the address of each label."""

    name: str
    instructions: tuple[Instruction, ...]
    labels: dict[str, int] = field(repr=False)

    @cached_property
    def index(self) -> dict[int, int]:
        """Position of the instruction at each address."""
        return {instruction.address: at for at, instruction in enumerate(self.instructions)}

    @cached_property
    def sha256(self) -> str:
        """Of the instructions alone: the file holds the path of the source as well, which is no code."""
        text = "\n".join(f"{instruction.address:x} {instruction.text}" for instruction in self.instructions)
        return hashlib.sha256(text.encode()).hexdigest()


def parse(text: str) -> Listing:
    """The kernel in a disassembly.

    Raises:
        ListingError: there is no ``.text`` section, more than one, or a label without an instruction.
    """
    sections = [match["name"] for line in text.splitlines() if (match := SECTION.match(line))]
    if len(sections) != 1:
        raise ListingError(f"one kernel was expected in the disassembly, it has {len(sections)} .text sections")
    instructions, labels = _body(text)
    if not instructions:
        raise ListingError(f"no instruction was found in the disassembly of {sections[0]}")
    return Listing(sections[0], instructions, labels)


def _body(text: str) -> tuple[tuple[Instruction, ...], dict[str, int]]:
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    waiting: list[str] = []
    file, line_number = "", 0
    for line in text.splitlines():
        if match := INSTRUCTION.match(line):
            address = int(match["address"], 16)
            labels.update(dict.fromkeys(waiting, address))
            waiting.clear()
            guard = match["predicate"] or ""
            instructions.append(
                Instruction(address, match["opcode"], match["operands"].strip(), guard, file, line_number)
            )
        elif match := SOURCE_LINE.match(line):
            file, line_number = match["file"], int(match["line"])
        elif match := LABEL.match(line):
            waiting.append(match["label"])
    return tuple(instructions), labels
