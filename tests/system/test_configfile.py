"""config.toml on disk: found, read, and changed by its one writer."""

from __future__ import annotations

import difflib
import fcntl
import os
import stat
from pathlib import Path

import pytest
import tomli
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute

from clawgate.domain.errors import Conflict, Invalid, InvalidSettings
from clawgate.domain.secret import Secret
from clawgate.domain.settings.findings import findings
from clawgate.domain.tokens import token_hash
from clawgate.system.configfile import ConfigFile, PairedTokensFile, find_config, find_state_dir, gather_facts, load_settings
from clawgate.system.initconfig import first_config, write_first_config
from clawgate.system.secrets import SecretBox

A, B, C = "a" * 64, "b" * 64, "c" * 64

TEXT = f"""\
# my gateway      with  odd   spaces
default_model   =   'm'   # single quotes

[gateway] # the door
port = 3_000
paired_tokens = ["{A}", "{B}"] # phones
host = "127.0.0.1"

[gateway.tls]
enabled = false

[[cron.jobs]]
id = 1   # one
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    path.chmod(0o600)
    return path


def lines_changed(before: str, after: str) -> list[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[:1] in "+-"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Reading


def test_the_whole_configuration_is_read(config: Path, tmp_path: Path) -> None:
    (tmp_path / "config.runtime.toml").write_text("default_model = 'overlay'")
    (tmp_path / ".env").write_text("PORT=4000\nOPENAI_API_KEY=k\n")

    found = load_settings(str(config), {"PORT": "5000"}, cwd=str(tmp_path))

    assert (found.default_model, found.gateway.port, found.default_provider) == ("overlay", 5000, "openai")
    assert (found.config_path, found.state_dir) == (str(config), str(tmp_path / "state"))
    assert found.gateway.paired_tokens == (A, B)


def test_no_file_at_all_means_the_defaults(tmp_path: Path) -> None:
    found = load_settings(None, {"HOME": str(tmp_path)}, cwd=str(tmp_path))

    assert (found.gateway.port, found.config_path) == (3000, str(tmp_path / ".clawgate" / "config.toml"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a = 1\nb =\n", "line 2"),
        (b"a = 1\n\nb = '\xff'\n", "line 3"),
        (b"[gateway\n", "line 1"),
        (b"a = " + b"[" * 100_000, "nested"),
    ],
)
def test_what_is_no_toml_is_refused_with_file_and_place(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)

    with pytest.raises(Invalid, match=words) as caught:
        load_settings(str(path), {}, cwd=str(tmp_path))

    assert caught.value.path == str(path)


@given(st.text(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes((TEXT[: len(text) * 4] + text).encode("utf-8", "replace"))

    assert outcome(path) in ("settings", "problems with paths")


def outcome(path: Path) -> str:
    try:
        load_settings(str(path), {}, cwd=str(path.parent))
    except Invalid as refused:
        return "problems with paths" if refused.path else "a problem without a path"
    return "settings"


def test_a_directory_or_a_pipe_is_no_config(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")

    for name in ("pipe.toml", ""):
        with pytest.raises(Invalid, match="cannot be read"):
            load_settings(str(tmp_path / name), {}, cwd=str(tmp_path))


def test_a_directory_called_dotenv_is_passed_over(config: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()

    assert load_settings(str(config), {}, cwd=str(tmp_path)).warnings == ()


def test_encrypted_secrets_are_read_with_the_key_beside_the_file(config: Path, tmp_path: Path) -> None:
    sealed = SecretBox(str(tmp_path / ".secret_key")).encrypt("sk-1")
    config.write_text(f'api_key = "{sealed}"\n[channels_config.telegram]\nbot_token = "enc2:00"\n')

    assert load_settings(str(config), {}, cwd=str(tmp_path)).api_key == Secret("sk-1")


def test_without_the_key_file_the_error_names_it_and_the_setting(config: Path, tmp_path: Path) -> None:
    config.write_text('api_key = "enc2:00"\n')

    with pytest.raises(InvalidSettings) as caught:
        load_settings(str(config), {}, cwd=str(tmp_path))

    assert caught.value.path == "api_key"
    assert str(tmp_path / ".secret_key") in str(caught.value)


def test_a_secret_may_stand_in_a_file_beside_the_config(config: Path, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("sk-2\n")
    config.write_text('api_key = "file:key.txt"\n')
    assert load_settings(str(config), {}, cwd=str(tmp_path)).api_key == Secret("sk-2")

    (tmp_path / "key.txt").write_text(" \n")
    with pytest.raises(InvalidSettings, match=r"key\.txt does not exist or is empty"):
        load_settings(str(config), {}, cwd=str(tmp_path))


def test_the_config_is_looked_for_in_the_stated_order(tmp_path: Path) -> None:
    for name in ("named", "variable", "own", "zc", "rc", ".zeroclaw"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text("")
    environ = {
        "CLAWGATE_CONFIG": str(tmp_path / "variable" / "config.toml"),
        "CLAWGATE_CONFIG_DIR": str(tmp_path / "own"),
        "ZEROCLAW_WORKSPACE": str(tmp_path / "workspace"),
        "RANTAICLAW_CONFIG_DIR": str(tmp_path / "rc"),
        "HOME": str(tmp_path),
    }
    order = []
    named: str | None = str(tmp_path / "named" / "config.toml")
    order.append(find_config(named, environ))
    for name in ("CLAWGATE_CONFIG", "CLAWGATE_CONFIG_DIR", "ZEROCLAW_WORKSPACE", "RANTAICLAW_CONFIG_DIR", "HOME"):
        order.append(find_config(None, environ))
        del environ[name]

    parents = [Path(path).parent.relative_to(tmp_path).as_posix() for path in order]
    assert parents == ["named", "variable", "own", ".zeroclaw", "rc", ".clawgate"]


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="does not exist, and --config names it"):
        find_config(str(tmp_path / "none.toml"), {})


def test_the_state_directory_is_beside_the_file_or_where_a_variable_says(tmp_path: Path) -> None:
    assert find_state_dir("/c/config.toml", {}) == "/c/state"
    assert find_state_dir("/c/config.toml", {"CLAWGATE_STATE_DIR": str(tmp_path)}) == str(tmp_path)


def test_facts_about_the_files_are_gathered(config: Path, tmp_path: Path) -> None:
    config.write_text('default_provider = "openai"\napi_key = "sk-clear"\n')
    config.chmod(0o644)

    found = findings(loaded := load_settings(str(config), {}, cwd=str(tmp_path)), gather_facts(loaded))

    assert {"CG001", "CG030"} <= {finding.id for finding in found}
    assert gather_facts(loaded).state_dir_mode is None


# Writing


def test_changing_the_list_changes_one_line(config: Path) -> None:
    file = ConfigFile(str(config))

    file.write_paired_tokens(frozenset({B, C}))

    after = config.read_text()
    assert lines_changed(TEXT, after) == [f'- paired_tokens = ["{A}", "{B}"] # phones', f'+ paired_tokens = ["{B}", "{C}"] # phones']
    assert file.paired_tokens() == frozenset({B, C})
    assert mode(config) == 0o600


def test_the_mode_of_the_file_is_kept(config: Path) -> None:
    config.chmod(0o640)

    ConfigFile(str(config)).write_paired_tokens(frozenset())

    assert mode(config) == 0o640


def test_nothing_is_written_when_nothing_changes(config: Path) -> None:
    before = config.stat()

    ConfigFile(str(config)).write_paired_tokens(frozenset({A, B}))

    assert (config.stat().st_ino, config.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "default_model = 'm'",
        "default_model = 'm'\n\n[tunnel]\nprovider = 'none'\n",
        "[gateway]\n# only a comment\n\n[tunnel]\nprovider = 'none'\n",
        "[gateway.tls]\nenabled = false\n",
        "gateway = { port = 1 }\n",
        "gateway.port = 1 # dotted\n\n[tunnel]\n",
        "[gateway]\nport = 1\n[tunnel]\n[gateway.tls]\nenabled = false\n",
        f'[gateway]\npaired_tokens = [\n  "{A}", # phone\n  "{B}",\n]\nport = 1\n',
        f'[gateway]\r\npaired_tokens = ["{A}"]\r\nport = 1\r\n',
        f'[gateway]\npaired_tokens = ["zc_plain", "{A.upper()}", "{A}"]\n',
        "[gateway]\npaired_tokens = 'nonsense'\n",
    ],
)
def test_the_list_finds_its_place_in_any_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode())
    before = tomli.loads(text)
    file = ConfigFile(str(path))

    file.write_paired_tokens(frozenset({A, token_hash("zc_plain")}))

    after = path.read_bytes().decode()
    parsed = tomli.loads(after)
    assert set(parsed["gateway"].pop("paired_tokens")) == {A, token_hash("zc_plain")}
    before.setdefault("gateway", {}).pop("paired_tokens", None)
    assert parsed == before
    assert file.paired_tokens() == frozenset({A, token_hash("zc_plain")})
    kept = {line.strip() for line in text.splitlines() if "#" in line and B not in line}
    assert kept <= {line.strip() for line in after.splitlines()}
    assert ("\r\n" in after) == ("\r\n" in text)


def test_a_missing_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"

    ConfigFile(str(path)).write_paired_tokens(frozenset({A}))

    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert ConfigFile(str(path)).paired_tokens() == frozenset({A})


def test_no_key_is_not_an_empty_list(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[gateway]\n")
    assert ConfigFile(str(path)).paired_tokens() is None

    path.write_text("[gateway]\npaired_tokens = []\n")
    assert ConfigFile(str(path)).paired_tokens() == frozenset()


def test_a_token_that_a_hand_removed_is_not_brought_back(config: Path) -> None:
    file = ConfigFile(str(config))
    file.read()
    by_hand = TEXT.replace(f', "{B}"', "")
    config.write_text(by_hand)

    with pytest.raises(Conflict, match="changed since it was read"):
        file.write_paired_tokens(frozenset({A, B, C}))
    assert config.read_text() == by_hand

    file.acknowledge((A,))
    file.write_paired_tokens(frozenset({A, C}))
    assert file.paired_tokens() == frozenset({A, C})


def test_changes_elsewhere_in_the_file_are_kept_by_the_list_and_refuse_an_edit(config: Path) -> None:
    file = ConfigFile(str(config))
    file.read()
    by_hand = TEXT + "# mine\n"
    config.write_text(by_hand)

    with pytest.raises(Conflict, match="changed since it was read"):
        file.edit(lambda document: document.__setitem__("default_model", "n"))
    assert config.read_text() == by_hand

    file.write_paired_tokens(frozenset({C}))
    assert config.read_text() == by_hand.replace(f'"{A}", "{B}"', f'"{C}"')
    with pytest.raises(Conflict):
        file.edit(lambda document: document.__setitem__("default_model", "n"))


def test_edits_and_lists_in_a_row_are_no_conflict(config: Path) -> None:
    file = ConfigFile(str(config))
    file.read()

    file.edit(lambda document: document.__setitem__("default_model", "n"))
    file.write_paired_tokens(frozenset({C}))
    file.edit(lambda document: document.__setitem__("default_model", "o"))

    assert tomli.loads(config.read_text())["default_model"] == "o"


def test_a_file_that_was_removed_since_is_a_conflict(config: Path) -> None:
    file = ConfigFile(str(config))
    file.read()
    config.unlink()

    with pytest.raises(Conflict):
        file.write_paired_tokens(frozenset({C}))
    assert not config.exists()


def test_two_changes_in_a_row_are_no_conflict(config: Path) -> None:
    file = ConfigFile(str(config))
    file.read()

    file.write_paired_tokens(frozenset({A}))
    file.write_paired_tokens(frozenset({C}))

    assert file.paired_tokens() == frozenset({C})


def test_another_writer_holding_the_lock_is_a_conflict(config: Path) -> None:
    file = ConfigFile(str(config))
    with open(config.parent / ".config.toml.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="another process"):
            file.write_paired_tokens(frozenset())
    assert config.read_text() == TEXT

    file.write_paired_tokens(frozenset())
    assert file.paired_tokens() == frozenset()


@pytest.mark.parametrize("step", ["fsync", "fchmod"])
def test_a_crash_while_writing_leaves_the_old_file(config: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(os.listdir(config.parent))
    with monkeypatch.context() as patched:
        patched.setattr(os, step, fail)
        with pytest.raises(OSError, match="No space"):
            ConfigFile(str(config)).write_paired_tokens(frozenset())

    assert config.read_text() == TEXT
    assert sorted(set(os.listdir(config.parent)) - {".config.toml.lock"}) == before


def test_the_new_file_is_on_disk_before_it_takes_the_name(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, bool]] = []
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), config.read_text() == TEXT))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)

    ConfigFile(str(config)).write_paired_tokens(frozenset())

    assert synced == [(False, True), (True, False)]


def test_a_symbolic_link_stays_one(config: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    link = tmp_path / "etc" / "config.toml"
    link.symlink_to(config)

    ConfigFile(str(link)).write_paired_tokens(frozenset({C}))

    assert link.is_symlink()
    assert ConfigFile(str(config)).paired_tokens() == frozenset({C})


def test_a_general_edit_keeps_the_rest_and_a_failing_one_writes_nothing(config: Path) -> None:
    file = ConfigFile(str(config))

    file.edit(lambda document: document.__setitem__("default_model", "n"))
    assert lines_changed(TEXT, config.read_text()) == ["- default_model   =   'm'   # single quotes", '+ default_model   =   "n"   # single quotes']

    after = config.read_text()
    with pytest.raises(ZeroDivisionError):
        file.edit(lambda document: document.__setitem__("x", 1 // 0))
    with pytest.raises(Invalid, match="would have altered other keys"):
        file.edit(lambda document: document.__setitem__("default_model", "o"), only="gateway.paired_tokens")
    assert config.read_text() == after


def test_a_file_that_is_no_toml_is_not_touched(config: Path) -> None:
    config.write_text("[gateway\n")

    with pytest.raises(Invalid, match="is not TOML"):
        ConfigFile(str(config)).write_paired_tokens(frozenset())
    assert config.read_text() == "[gateway\n"


def test_the_mirror_writes_through_the_runner(config: Path) -> None:
    done: list[None] = []
    mirror = PairedTokensFile(ConfigFile(str(config)), lambda function: _executed(function))

    mirror.write(frozenset({C})).addCallback(done.append)

    assert done == [None]
    assert ConfigFile(str(config)).paired_tokens() == frozenset({C})


def _executed(function: object) -> Deferred[None]:
    assert callable(function)
    return execute(function)


# The first file


def test_the_first_config_is_private_and_starts_clawgate(tmp_path: Path) -> None:
    path = tmp_path / "home" / "config.toml"

    write_first_config(str(path))

    assert (mode(path), mode(path.parent), mode(path.parent / "state")) == (0o600, 0o700, 0o700)
    found = load_settings(str(path), {}, cwd=str(tmp_path))
    assert (found.unknown, found.warnings, found.paired_tokens_present) == ((), (), True)


def test_an_existing_config_is_left_alone(config: Path) -> None:
    with pytest.raises(Conflict, match="exists already"):
        write_first_config(str(config))
    assert config.read_text() == TEXT


def test_every_commented_line_of_the_first_config_works_when_uncommented(tmp_path: Path) -> None:
    wanted = [
        line.removeprefix("# ") if line.startswith("# [") or (line.startswith("# ") and " = " in line) else line
        for line in first_config().splitlines()
    ]
    path = tmp_path / "config.toml"
    path.write_text("\n".join(wanted))
    (tmp_path / "webhook.secret").write_text("x" * 32)
    names = ("WHATSAPP_ACCESS_TOKEN", "WHATSAPP_VERIFY_TOKEN", "WHATSAPP_APP_SECRET", "CLOUDFLARE_TUNNEL_TOKEN", "OPENAI_API_KEY")

    found = load_settings(str(path), dict.fromkeys(names, "value"), cwd=str(tmp_path))

    assert found.unknown == ()
    assert (found.default_provider, found.tunnel.provider, found.gateway.tls.enabled) == ("openai", "cloudflare", True)
    assert found.channels_config.whatsapp is not None
    assert found.channels_config.whatsapp.is_cloud


def test_a_chosen_provider_is_written_whatever_it_holds() -> None:
    assert tomli.loads(first_config('command:/bin/x "a\\b"'))["default_provider"] == 'command:/bin/x "a\\b"'


def test_what_an_editor_saves_while_the_daemon_writes_is_not_undone(config: Path) -> None:
    saved = config.read_text() + "\n[observability]\nbackend = 'none'\n"

    def change(document: tomlkit.TOMLDocument) -> None:
        document["default_model"] = "another"
        config.write_text(saved)

    with pytest.raises(Conflict):
        ConfigFile(str(config)).edit(change)
    assert (config.read_text(), [path.name for path in config.parent.glob("*.tmp")]) == (saved, [])
