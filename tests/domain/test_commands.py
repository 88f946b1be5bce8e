"""Which command lines a shell job may run. Source: rantaiclaw.md §11, §12; domain/commands.py's order of checks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.approvals import Level
from clawgate.domain.commands import CommandPolicy, Risk, Say, judge, risk_of, shell_only

POLICY = CommandPolicy(allowed=("*",), forbidden_paths=("/etc", "~/.ssh", "/ws/private"), workspace="/ws", home="/home/u")

VERDICTS: list[tuple[str, Say]] = [
    ("ls -la", Say.ALLOW),
    ("cat notes/today.md", Say.ALLOW),
    ("cat /ws/notes.md", Say.ALLOW),
    ("echo 'a; b | c > d * $HOME'", Say.ALLOW),
    ('echo "cost: 5$"', Say.ALLOW),
    (r"echo \* \;", Say.ALLOW),
    ("git status", Say.ALLOW),
    ("git commit -m 'x'", Say.ASK),
    ("npm install left", Say.ASK),
    ("mkdir x", Say.ASK),
    ("python3 job.py", Say.ASK),
    ("python3 -c 'print(1)'", Say.BLOCK),
    ("python3 -Ic 'print(1)'", Say.BLOCK),
    ("perl -e 1", Say.BLOCK),
    ("rm -rf x", Say.BLOCK),
    ("RM x", Say.BLOCK),
    ("/bin/rm x", Say.BLOCK),
    ("curl example.org", Say.BLOCK),
    ("sh -c ls", Say.BLOCK),
    ("env ls", Say.BLOCK),
    ("xargs rm", Say.BLOCK),
    ("find . -exec rm x", Say.BLOCK),
    ("find . -delete", Say.BLOCK),
    ("git -c core.pager=x log", Say.BLOCK),
    ("tar --checkpoint-action=exec=x -f y", Say.BLOCK),
    ("ls | wc", Say.BLOCK),
    ("ls; wc", Say.BLOCK),
    ("ls && wc", Say.BLOCK),
    ("ls & wc", Say.BLOCK),
    ("ls > x", Say.BLOCK),
    ("cat < x", Say.BLOCK),
    ("ls\nwc", Say.BLOCK),
    ("echo `id`", Say.BLOCK),
    ("echo $(id)", Say.BLOCK),
    ('echo "$(id)"', Say.BLOCK),
    ('echo "`id`"', Say.BLOCK),
    ("echo $HOME", Say.BLOCK),
    ('echo "${HOME}"', Say.BLOCK),
    ("ls *.py", Say.BLOCK),
    ("ls ~/x", Say.BLOCK),
    ("ls # all", Say.BLOCK),
    ("(ls)", Say.BLOCK),
    ("A=1 ls", Say.BLOCK),
    ("'A=1' ls", Say.BLOCK),
    ("echo 'open", Say.BLOCK),
    ("", Say.BLOCK),
    ("   ", Say.BLOCK),
    ("'' x", Say.BLOCK),
    ("ls\0", Say.BLOCK),
    ("cat /etc/passwd", Say.BLOCK),
    ("cat ../outside", Say.BLOCK),
    ("cat a/../../outside", Say.BLOCK),
    ("cat /", Say.BLOCK),
    ("cat //etc//passwd", Say.BLOCK),
    ("cat private/x", Say.BLOCK),
    ("cat --file=/etc/passwd", Say.BLOCK),
    ("cat -f/etc/passwd", Say.BLOCK),
    ("cat -f../x", Say.BLOCK),
    ("cp if=/etc/passwd x", Say.BLOCK),
    ("cat host:/etc/passwd", Say.BLOCK),
    ("cat '~/.ssh/id'", Say.BLOCK),
    ("cat '~root/x'", Say.BLOCK),
    ("./ls", Say.BLOCK),
    ("/ws/ls", Say.BLOCK),
    ("../ls", Say.BLOCK),
    ("/usr/bin/../../ws/ls", Say.BLOCK),
    ("/usr/bin/ls", Say.ALLOW),
    ("/usr/x/../bin/ls", Say.BLOCK),
    # git runs what its options name, also when they are shortened or stand among other letters
    ("git grep --open-files-in-pager='touch x' hi", Say.BLOCK),
    ("git grep --open='touch x' hi", Say.BLOCK),
    ("git grep -O'touch x' hi", Say.BLOCK),
    ("git grep -nO'touch x' hi", Say.BLOCK),
    ("git archive --remote=. --exec='touch x' HEAD", Say.BLOCK),
    ("git ls-remote --upload-pa='touch x' .", Say.BLOCK),
    ("git log '--format=[core]%n fsmonitor = touch x' --output=.git/config", Say.BLOCK),
    ("git log --outp=.git/config", Say.BLOCK),
    ("git bisect run touch x", Say.BLOCK),
    ("git difftool -y -x 'touch x' a b", Say.BLOCK),
    ("git rebase --exec 'touch x' HEAD", Say.BLOCK),
    ("git ls-remote ext::x", Say.ASK),
    ("git somethingelse", Say.ASK),
    ("git -C sub log --oneline", Say.ALLOW),
    ("git --version", Say.ALLOW),
    ("sort --compress-prog=sh x", Say.BLOCK),
    ("sort -no .git/config x", Say.BLOCK),
    ("sort -n x", Say.ALLOW),
    ("tar -xIsh x", Say.BLOCK),
    ("tar --checkpoint-act=exec=x -f y", Say.BLOCK),
    ("tar -xf y", Say.ASK),
    ("pip --python=./x list", Say.BLOCK),
    ("pip list", Say.ALLOW),
    # they run scripts of the workspace
    ("cargo check", Say.ASK),
    ("cargo r", Say.ASK),
    ("cargo tree", Say.ALLOW),
    ("npm x left", Say.ASK),
    ("npm t", Say.ASK),
    ("npm ls", Say.ALLOW),
    ("yarn", Say.ASK),
    ("flock x sh", Say.BLOCK),
    # a path may begin after any letter of a cluster
    ("grep -hf/etc/passwd x", Say.BLOCK),
    ("grep -hf../x y", Say.BLOCK),
    ("grep -rnif/ws/x y", Say.ALLOW),
]


@pytest.mark.parametrize(("line", "say"), VERDICTS)
def test_line_gets_its_verdict(line: str, say: Say) -> None:
    judgement = judge(line, POLICY)
    assert judgement.say is say, judgement
    assert bool(judgement.argv) == (say is not Say.BLOCK)
    assert bool(judgement.reason) == (say is not Say.ALLOW)


def test_nothing_is_allowed_until_it_is_listed() -> None:
    assert judge("ls", CommandPolicy(workspace="/ws")).reason == "ls is not in allowed_commands"
    listed = CommandPolicy(allowed=("git", "pytho?", "/opt/tools/*"), workspace="/ws")
    assert [judge(line, listed).say for line in ("git log", "python x.py", "pythonic", "/opt/tools/check", "/opt/other")] == [
        Say.ALLOW,
        Say.ASK,
        Say.BLOCK,
        Say.ALLOW,
        Say.BLOCK,
    ]


def test_levels_and_switches_decide_about_risk() -> None:
    full = CommandPolicy(level=Level.FULL, allowed=("*",), workspace="/ws")
    loose = CommandPolicy(allowed=("*",), workspace="/ws", ask_medium_risk=False, block_high_risk=False)
    assert [judge(line, full).say for line in ("mkdir x", "rm x")] == [Say.ALLOW, Say.BLOCK]
    assert [judge(line, loose).say for line in ("mkdir x", "rm x")] == [Say.ALLOW, Say.ASK]
    readonly = CommandPolicy(level=Level.READ_ONLY, allowed=("*",), workspace="/ws")
    assert judge("ls", readonly).reason == "autonomy is read-only"


def test_paths_elsewhere_are_allowed_when_the_workspace_is_no_bound_and_forbidden_ones_are_not() -> None:
    wide = CommandPolicy(allowed=("*",), workspace="/ws", forbidden_paths=("/etc",), workspace_only=False)
    assert [judge(line, wide).say for line in ("cat /var/x", "cat ../x", "cat /etc/x", "cat ../etc/x", "cat /etcetera")] == [
        Say.ALLOW,
        Say.ALLOW,
        Say.BLOCK,
        Say.BLOCK,
        Say.ALLOW,
    ]


def test_words_of_the_line_come_through_as_a_shell_would_split_them() -> None:
    assert judge("""echo 'a b' "c d" e\\ f ''""", POLICY).argv == ("echo", "a b", "c d", "e f", "")


@pytest.mark.parametrize(
    ("program", "arguments", "risk"), [("git", ("log",), Risk.LOW), ("git", ("push",), Risk.MEDIUM), ("nobody-knows", (), Risk.LOW)]
)
def test_risk_follows_the_words(program: str, arguments: tuple[str, ...], risk: Risk) -> None:
    assert risk_of(program, arguments) is risk


@given(st.text())
def test_any_text_gets_a_verdict(line: str) -> None:
    judgement = judge(line, POLICY)
    assert (judgement.reason == "") is (judgement.say is Say.ALLOW)
    assert bool(judgement.argv) is (judgement.say is not Say.BLOCK)
    if judgement.argv:
        assert not shell_only(line)


@pytest.mark.parametrize("line", ["echo 'a b' \"c d\"", "git commit -m 'x; y'"])
def test_every_beginning_of_a_line_gets_a_verdict(line: str) -> None:
    verdicts = [judge(line[:length], POLICY) for length in range(len(line))]
    assert [bool(each.argv) for each in verdicts] == [each.say is not Say.BLOCK for each in verdicts]
    assert verdicts[line.index("'") + 1].say is Say.BLOCK
