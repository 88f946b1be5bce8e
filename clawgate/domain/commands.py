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
_LETTERS = re.compile(r"-[A-Za-z]+", re.ASCII)
_CLUSTER = re.compile(r"-[A-Za-z0-9]{1,32}", re.ASCII)


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
    # A path that is not in its normal form may lead elsewhere: what is before a ".." can be a link.
    if "/" not in program or (program == normpath(program) and dirname(program) in _SYSTEM_FOLDERS):
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
    """What may be a path in an argument: `x`, `--of=x`, `x:y`, `-fx`, and `-abfx`, where the path may begin after any of the letters."""
    letters = _CLUSTER.match(argument)
    attached = {argument[start:] for start in range(2, letters.end() + 1)} if letters else set()
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
    if name in _MEDIUM:
        return Risk.MEDIUM
    looks = _LOOKS.get(name)
    return Risk.LOW if looks is None or _verb(arguments) in looks else Risk.MEDIUM


def _verb(arguments: tuple[str, ...]) -> str:
    """The subcommand: the first argument that is no option, "" when there is none."""
    rest = arguments[2:] if arguments[:1] == ("-C",) else arguments
    return next((argument for argument in rest if not argument.startswith("-")), "")


def _runs_another(argument: str, option: str) -> bool:
    """Whether an argument is this option: as it is, with a value, shortened as GNU and git allow, or (`-O…`) among other letters."""
    name = argument.partition("=")[0]
    if option.endswith("…"):
        letters = _LETTERS.match(argument)
        return letters is not None and option[1] in letters[0]
    if option.startswith("--"):
        return argument.startswith(option) or (len(name) >= _LEAST_SHORTENED and option.startswith(name))
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
    "docker podman kubectl nsenter unshare chroot expect script tmux screen pwsh vi vim nvim ed ex emacs less more man dc",
    "flock stdbuf taskset chrt setpriv runuser capsh ltrace valgrind systemd-run start-stop-daemon run-parts unbuffer",
)
"""Programs that destroy, leave the machine, or run whatever they are told."""
_HIGH_PATTERNS = ("mkfs.*", "nc.*")
_RUNS: dict[str, tuple[str, ...]] = {
    "find": ("-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fls"),
    "git": (
        *("-c", "-x", "-O…", "--exec", "--exec-path", "--upload-pack", "--receive-pack", "--config-env", "--ext-diff", "--extcmd", "--output"),
        *("--open-files-in-pager", "config", "filter-branch", "bisect", "difftool", "mergetool", "foreach", "remote-ext"),
    ),
    "tar": ("--checkpoint-action", "--to-command", "--use-compress-program", "-I…", "--rsh-command", "--info-script", "--new-volume-script"),
    "sort": ("--compress-program", "--output", "-o…"),
    **dict.fromkeys(("pip", "pip3"), ("--python",)),
    **dict.fromkeys(("apt", "apt-get"), ("-o…", "-c…", "--option", "--config-file")),
    "make": ("--eval", "SHELL="),
}
"""Options and words with which an ordinary program runs another one, or destroys; "-x…" also counts among other letters and before its value."""
_LEAST_SHORTENED = len("--xx")
_INTERPRETERS = _words("python perl ruby node nodejs deno bun php lua sed tclsh java go npx uvx pipx")
_INTERPRETER_PATTERNS = ("python[0-9]*", "perl[0-9]*", "ruby[0-9]*", "php[0-9]*", "lua[0-9]*")
_INLINE = re.compile(r"-[A-Za-z]*[ceErp]|--(?:eval|exec|print|expression|run)")
"""Options that carry a program in the argument itself."""
_MEDIUM = _words("touch mkdir mv cp ln install tee truncate make tar zip unzip gzip gunzip bzip2 xz patch split")
"""Programs that change things."""
_GIT = _words(
    "status log diff show grep ls-files ls-tree rev-parse rev-list describe blame annotate shortlog cat-file show-ref for-each-ref",
    "name-rev merge-base count-objects diff-tree diff-index diff-files check-ignore version",
)
_PACKAGES = _words("ls list ll view show info outdated search why explain root prefix policy depends freeze check") | {""}
_LOOKS: dict[str, frozenset[str]] = {
    "git": _GIT | {""},
    "cargo": _words("tree metadata search version locate-project pkgid read-manifest help") | {""},
    **dict.fromkeys(_words("npm pip pip3 gem apt apt-get dnf yum apk brew"), _PACKAGES),
    **dict.fromkeys(_words("pnpm yarn uv"), _PACKAGES - {""}),
}
"""Programs of many verbs, and the verbs that only look: with any other they change things, or run what they find in the workspace."""
