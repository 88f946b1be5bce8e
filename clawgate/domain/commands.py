"""Which command lines a scheduled shell job may run. Ring: domain. Source: rantaiclaw.md §11 (autonomy), §12.

Lines are split as a shell would and run without one: what only a shell understands (pipes, redirections, lists, substitutions, variables, wildcards) is
refused, not passed on as text. Then, first match wins:

    the program is not in `allowed_commands`                     blocked
    it is of high risk, and `block_high_risk_commands`           blocked
    an argument names a path outside, or a forbidden one         blocked
    high risk that is not blocked; medium risk with
      `require_approval_for_medium_risk`, unless level is full   needs approval
    else                                                         allowed

Links in the workspace are not followed here: `workspace_only` stops mistakes, an account of its own stops the rest.
"""

from __future__ import annotations

import re
import shlex
from enum import Enum, IntEnum
from fnmatch import fnmatchcase
from posixpath import basename, dirname, join, normpath

import msgspec

from clawgate.domain.approvals import Level

MOST_CHARS = 4_096
_SYSTEM_FOLDERS = frozenset({"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"})
_OPERATORS = frozenset(";|&<>()`\n\r")
_WILDCARDS = frozenset("*?[")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_EXPANDS = re.compile(r"\$[A-Za-z_0-9({@*#?!$-]", re.ASCII)
_PIECES = re.compile(r"[=:,@]")


class Say(Enum):
    """The verdict."""

    ALLOW = "allow"
    ASK = "ask"
    BLOCK = "block"


class Judgement(msgspec.Struct, frozen=True):
    """The verdict on a line.

    Attributes:
        reason: why it is not simply allowed; "" when it is.
        argv: the words of the line; empty when it is blocked.
    """

    say: Say
    reason: str = ""
    argv: tuple[str, ...] = ()


class CommandPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The live settings that decide.

    Attributes:
        allowed: names of programs, with wildcards; an entry with a slash is a whole path.
        workspace, home: absolute paths.
    """

    level: Level = Level.SUPERVISED
    allowed: tuple[str, ...] = ()
    forbidden_paths: tuple[str, ...] = ()
    workspace_only: bool = True
    workspace: str = "/"
    home: str = "/"
    block_high_risk: bool = True
    ask_medium_risk: bool = True


class Risk(IntEnum):
    """What a program can do."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2


def judge(line: str, policy: CommandPolicy) -> Judgement:
    """The verdict on a command line; pure."""
    if policy.level is Level.READ_ONLY:
        return _blocked("autonomy is read-only")
    if len(line) > MOST_CHARS or "\0" in line:
        return _blocked("the command is too long or holds a NUL")
    found = shell_only(line)
    if found:
        return _blocked(f"{found} needs a shell, and jobs run without one; quote it if it is meant as text")
    try:
        argv = shlex.split(line)
    except ValueError as problem:
        return _blocked(f"the command cannot be split into words: {problem}".lower().rstrip("."))
    if not argv or not argv[0]:
        return _blocked("the command is empty")
    return _judged(tuple(argv), policy)


def _judged(argv: tuple[str, ...], policy: CommandPolicy) -> Judgement:
    program = basename(argv[0])
    if _ASSIGNMENT.match(argv[0]):
        return _blocked("variables cannot be set before the program")
    if not is_allowed(argv[0], policy.allowed):
        return _blocked(f"{program or argv[0]} is not in allowed_commands")
    risk = risk_of(program, argv[1:])
    if risk is Risk.HIGH and policy.block_high_risk:
        return _blocked(f"{program} is a high-risk command")
    for argument in argv[1:]:
        problem = path_problem(argument, policy)
        if problem:
            return _blocked(problem)
    if policy.level is not Level.FULL and (risk is Risk.HIGH or (risk is Risk.MEDIUM and policy.ask_medium_risk)):
        return Judgement(Say.ASK, f"{program} is a {risk.name.lower()}-risk command and needs approval", argv)
    return Judgement(Say.ALLOW, "", argv)


def _blocked(reason: str) -> Judgement:
    return Judgement(Say.BLOCK, reason)


def shell_only(line: str) -> str:
    """The first thing in a line that only a shell would act on, "" when there is none."""
    quote, escaped, at_start = "", False, True
    for position, char in enumerate(line):
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            if char == quote:
                quote = ""
            elif quote == '"' and (char == "`" or (char == "$" and _EXPANDS.match(line, position))):
                return repr(line[position : position + 2].strip())
        elif char in "'\"":
            quote = char
        elif char in _OPERATORS or char in _WILDCARDS or (char == "$" and _EXPANDS.match(line, position)) or (at_start and char in "~#!"):
            return repr(char)
        at_start = not quote and not escaped and char.isspace()
    return ""


def is_allowed(program: str, allowed: tuple[str, ...]) -> bool:
    """Whether a program is on the list: by its name when it is found on the PATH or lies where the system keeps programs, else by its whole path."""
    if "/" not in program or dirname(normpath(program)) in _SYSTEM_FOLDERS:
        name = basename(program)
        if any("/" not in entry and fnmatchcase(name, entry) for entry in allowed):
            return bool(name)
    return program == normpath(program) and program.startswith("/") and any("/" in entry and fnmatchcase(program, entry) for entry in allowed)


def path_problem(argument: str, policy: CommandPolicy) -> str:
    """Why an argument may not be given: it names a path that is forbidden or outside the workspace; "" when it may."""
    for piece in _pieces(argument):
        path = _absolute(piece, policy)
        if path is None:
            continue
        for forbidden in policy.forbidden_paths:
            if _below(path, normpath(_expanded(forbidden, policy.home))):
                return f"the path {forbidden} is forbidden"
        if policy.workspace_only and not _below(path, normpath(policy.workspace)):
            return f"{piece[:80]} is outside the workspace"
    return ""


def _pieces(argument: str) -> set[str]:
    attached = {argument[2:]} if argument.startswith("-") and not argument.startswith("--") else set()
    return {argument, *_PIECES.split(argument), *attached}


def _absolute(piece: str, policy: CommandPolicy) -> str | None:
    """The path that a piece names, None when it names none."""
    if piece.startswith("~"):
        return normpath(_expanded(piece, policy.home)) if piece[1:2] in ("", "/") else normpath("/home/" + piece[1:])
    if piece.startswith("-"):
        return None
    return normpath("/" + join(policy.workspace, piece).lstrip("/")) if piece else None


def _expanded(path: str, home: str) -> str:
    return home.rstrip("/") + path[1:] if path == "~" or path.startswith("~/") else path


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def risk_of(program: str, arguments: tuple[str, ...]) -> Risk:
    """What the program can do with these arguments; one that no table knows is of low risk: the operator allowed it by name."""
    name = program.lower()
    if name in _HIGH or any(fnmatchcase(name, pattern) for pattern in _HIGH_PATTERNS):
        return Risk.HIGH
    if any(_runs_another(argument, option) for option in _RUNS.get(name, ()) for argument in arguments):
        return Risk.HIGH
    if name in _INTERPRETERS or any(fnmatchcase(name, pattern) for pattern in _INTERPRETER_PATTERNS):
        return Risk.HIGH if any(map(_INLINE.match, arguments)) else Risk.MEDIUM
    verbs = _MEDIUM.get(name)
    if verbs is None:
        return Risk.LOW
    return Risk.MEDIUM if not verbs or any(argument in verbs for argument in arguments) else Risk.LOW


def _runs_another(argument: str, option: str) -> bool:
    return (
        argument == option
        or (len(option) > len("-x") and option[0] == "-" and argument.startswith(option))
        or (option[-1] == "=" and option in argument)
    )


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_HIGH = _words(
    "rm rmdir shred dd mkfs fdisk parted wipefs shutdown reboot halt poweroff init sudo su doas pkexec chown chmod chgrp chattr setfacl",
    "useradd userdel usermod groupadd groupdel passwd visudo mount umount swapoff iptables ip6tables nft ufw firewall-cmd",
    "curl wget nc ncat netcat socat ssh scp sftp ftp tftp telnet rsync ssh-keygen gpg sh bash dash zsh ksh fish csh tcsh busybox eval exec source",
    "env xargs nohup setsid timeout nice ionice watch parallel time strace gdb awk gawk mawk kill killall pkill crontab at batch systemctl service",
    "docker podman kubectl nsenter unshare chroot expect script tmux screen",
)
"""Programs that destroy, leave the machine, or run whatever they are told."""
_HIGH_PATTERNS = ("mkfs.*", "nc.*")
_RUNS: dict[str, tuple[str, ...]] = {
    "find": ("-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fls"),
    "git": ("-c", "--exec-path", "--upload-pack", "--receive-pack", "--config-env", "config", "--ext-diff", "filter-branch"),
    "tar": ("--checkpoint-action", "--to-command", "--use-compress-program", "-I", "--rsh-command"),
    "sort": ("--compress-program",),
    "make": ("--eval", "SHELL="),
}
"""Options with which an ordinary program runs another one, or destroys."""
_INTERPRETERS = _words("python perl ruby node nodejs deno bun php lua sed tclsh java go npx uvx pipx")
_INTERPRETER_PATTERNS = ("python[0-9]*", "perl[0-9]*", "ruby[0-9]*", "php[0-9]*", "lua[0-9]*")
_INLINE = re.compile(r"-[A-Za-z]*[ceErp]|--(?:eval|exec|print|expression|run)")
"""Options that carry a program in the argument itself."""
_PACKAGES = _words("add remove install uninstall update upgrade publish ci run exec start test i")
_GIT = _words(
    "commit push pull fetch clone reset clean rebase merge cherry-pick revert branch checkout switch restore tag stash rm mv init submodule am apply gc"
)
_MEDIUM: dict[str, frozenset[str]] = {
    "git": _GIT,
    "cargo": _PACKAGES | {"clean", "build", "bench"},
    **dict.fromkeys(_words("npm pnpm yarn pip pip3 uv gem apt apt-get dnf yum apk brew"), _PACKAGES),
    **dict.fromkeys(_words("touch mkdir mv cp ln install tee truncate make tar zip unzip gzip gunzip bzip2 xz patch split"), frozenset()),
}
"""Programs that change things: with one of these words, or (empty) always."""
