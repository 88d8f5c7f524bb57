"""Instruction classes, and the pipe that each runs on: one table for all targets.

Names: CUDA Binary Utilities, "Instruction Set Reference" (Ampere to Blackwell). Pipes:
Nsight Compute Profiling Guide, "Pipelines": FMA runs float32 adds, multiplies and
multiply-adds and integer multiply-adds; ALU runs comparisons, minima, logic, other
integer work and, since Ampere, the packed float32 to 16-bit conversion; XU runs
transcendentals and other conversions; LSU runs loads, stores and shuffles.
"""

from functools import cache

from attnbench.bench.codegen.sass import Instruction

PIPES = {
    "tensor": "tensor",
    "ffma": "fma",
    "float": "fma",
    "multiply-add int": "fma",
    "min/max": "alu",
    "convert": "alu",
    "select": "alu",
    "integer": "alu",
    "move": "alu",
    "exp": "xu",
    "slow convert": "xu",
    "shuffle": "shuffle",
    "shared": "lsu",
    "spill": "lsu",
    "global": "lsu",
    "async copy": "lsu",
    "tensor memory": "tensor memory",
    "barrier": "sync",
    "wait": "sync",
    "sync": "sync",
    "uniform": "uniform",
    "control": "control",
    "other": "other",
}
"""Class to pipe. ``other`` is an opcode that the table doesn't have: extend it."""

SOFTMAX = frozenset({"ffma", "float", "min/max", "convert", "select", "exp", "slow convert", "shuffle"})
"""Classes that the softmax between the two products is made of; integer work is addresses and loop control."""

STEMS = {
    "tensor": "HMMA IMMA QMMA OMMA DMMA BMMA HGMMA IGMMA QGMMA BGMMA UTCHMMA UTCIMMA UTCQMMA UTCOMMA UTCMXQMMA",
    "ffma": "FFMA FFMA2 FFMA32I",
    "float": "FADD FADD2 FADD32I FMUL FMUL2 FMUL32I FSWZADD HFMA2 HADD2 HADD2_32I HMUL2 HMUL2_32I DADD DMUL DFMA",
    "multiply-add int": "IMAD IMAD32I IMUL IMUL32I IDP IDP4A",
    "min/max": "FMNMX FMNMX3 HMNMX2 IMNMX VIMNMX VIMNMX3 DMNMX",
    "convert": "F2FP I2FP",
    "select": "FSETP FSEL FSET FCHK FCMP HSETP2 HSET2 ISETP SEL PLOP3 P2R R2P PSETP DSETP CSETP",
    "integer": "IADD IADD3 IADD32I IABS LOP LOP3 LOP32I SHF SHL SHR LEA PRMT SGXT BMSK BREV VABSDIFF VABSDIFF4 "
    "VIADD VIADDMNMX ISCADD XMAD SCADD VHMNMX",
    "move": "MOV MOV32I CS2R S2R S2UR R2UR MOVM B2R R2B LEPC CS2UR",
    "exp": "MUFU",
    "slow convert": "F2F F2I I2F FRND FLO POPC I2I",
    "shuffle": "SHFL REDUX CREDUX VOTE MATCH",
    "shared": "LDS LDSM STS STSM ATOMS LDS32 STAS MEMSET",
    "spill": "LDL STL",
    "global": "LD ST LDG STG LDC ATOM ATOMG RED CCTL CCTLL CCTLT QSPC",
    "async copy": "LDGSTS UTMALDG UTMASTG UTMAREDG UTMAPF UTMACCTL UBLKCP UBLKRED UBLKPF",
    "tensor memory": "LDTM STTM LDT LDTM2 UTCCP UTCSHIFT UTCATOMSWS UTCBAR UTMACMDFLUSH UVIRTCOUNT",
    "barrier": "BAR",
    "wait": "DEPBAR SYNCS.PHASECHK WARPGROUP.DEPBAR",
    "sync": "SYNCS LDGDEPBAR ARRIVES WARPGROUP WARPGROUPSET WARPSYNC MEMBAR FENCE ERRBAR ELECT UCGABAR_ARV "
    "UCGABAR_WAIT PREEXIT ACQBULK CGAERRBAR SYNCSU",
    "control": "BRA BRX BRXU JMP JMX JMXU BSSY BSYNC BREAK BMOV CALL RET EXIT NOP KILL NANOSLEEP YIELD BPT RTT "
    "USETMAXREG SETMAXREG SETLMEMBASE GETLMEMBASE ENDCOLLECTIVE",
    "uniform": "VOTEU",
}
"""Opcodes of each class; the longest dotted prefix decides. What starts with ``U`` and isn't here is uniform."""

TABLE = {stem: name for name, stems in STEMS.items() for stem in stems.split()}


def classify(instruction: Instruction) -> str:
    """The class of `instruction`."""
    return _classify(instruction.opcode)


@cache
def _classify(opcode: str) -> str:
    if opcode.startswith("IMAD.MOV"):
        return "move"
    parts = opcode.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in TABLE:
            return TABLE[prefix]
    return "uniform" if opcode.startswith(("U", "LDCU")) else "other"
