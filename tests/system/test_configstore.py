"""Edits of the configuration on disk: previewed, written whole or not at all, and read again (design §4.11–4.13)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import execute

from clawgate.domain.errors import BadRequest, Conflict, Invalid, InvalidSettings
from clawgate.domain.overlay import Change
from clawgate.domain.secret import Secret
from clawgate.domain.settings.edits import KEEP, Edit, Target, checked_files
from clawgate.system.channelsfile import ChannelsFile
from clawgate.system.configfile import ConfigFile, fingerprint_of, load_settings
from clawgate.system.configstore import ConfigFiles, FileConfigStore

TEXT = """\
# mine
default_model = "a"   # for now
default_provider = "offline"

[channels_config.linq]   # phones
api_token = "linq-token-in-clear"
from_phone = "+1"
allowed_senders = ["*"]

[[hooks]]
id = 1
"""
MODEL, LINQ = ("default_model",), ("channels_config", "linq")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def files(config: Path, **environ: str) -> ConfigFiles:
    return ConfigFiles(str(config), environ, cwd=str(config.parent))


def over(*changes: Change, **more: object) -> Edit:
    return Edit(target=Target.OVERLAY, changes=changes, **more)  # type: ignore[arg-type]  # Edit's own fields


def into(*changes: Change) -> Edit:
    return Edit(target=Target.FILE, changes=changes)


def made(store: ConfigFiles, edit: Edit) -> None:
    store.preview(edit)
    assert store.write(edit) == fingerprint_of(store.path)


def runtime(config: Path) -> Path:
    return config.with_name("config.runtime.toml")


def loaded(config: Path) -> object:
    return load_settings(str(config), {}, cwd=str(config.parent))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and ".lock" not in path.name}


def test_a_preview_writes_nothing(config: Path) -> None:
    before = everything(config.parent)
    shown = files(config).preview(over(Change(MODEL, "b"), Change(("api_key",), Secret("sk-fresh-key-1")), files={("SYSTEM_PROMPT.md",): "x"}))
    assert (shown.default_model, shown.api_key) == ("b", Secret("sk-fresh-key-1"))
    assert everything(config.parent) == before


def test_an_overlay_edit_leaves_the_users_file_alone_and_is_read_again(config: Path) -> None:
    made(files(config), over(Change(MODEL, "b"), Change(("channels_config", "linq"))))
    assert config.read_text() == TEXT
    assert stat.S_IMODE(runtime(config).stat().st_mode) == 0o600
    for read in (files(config).load(), load_settings(str(config), {}, cwd=str(config.parent))):
        assert (read.default_model, read.channels_config.linq, read.unknown) == ("b", None, ("hooks",))


def test_secrets_are_encrypted_at_rest_in_both_files(config: Path) -> None:
    made(files(config), over(Change(("mcp_servers", "m"), {"command": "x", "env": {"KEY": Secret("fresh-secret-1")}})))
    made(files(config), into(Change(("api_key",), Secret("fresh-secret-2"))))
    assert b"fresh-secret" not in b"".join(everything(config.parent).values())
    read = files(config).load()
    assert (read.api_key, read.mcp_servers["m"].env) == (Secret("fresh-secret-2"), {"KEY": Secret("fresh-secret-1")})


def test_secrets_stay_in_clear_where_the_settings_say_so(config: Path) -> None:
    config.write_text(TEXT + "\n[secrets]\nencrypt = false\n")
    made(files(config), into(Change(("api_key",), Secret("fresh-secret-2"))))
    assert tomli.loads(config.read_text())["api_key"] == "fresh-secret-2"
    assert not config.with_name(".secret_key").exists()


@pytest.mark.parametrize("text", ["file:/etc/passwd", "env:HOME", "enc2:00", "enc:00", " file:x"])
def test_a_secret_that_looks_like_a_reference_is_refused(config: Path, text: str) -> None:
    with pytest.raises(Invalid, match="reference"):
        files(config).preview(over(Change(("api_key",), Secret(text))))


def test_a_file_edit_keeps_comments_order_and_mode(config: Path) -> None:
    made(files(config), into(Change(MODEL, "b"), Change(("autonomy", "level"), "full"), Change(("mcp_servers", "my.files"), {"command": "x"})))
    text = config.read_text()
    assert text.startswith('# mine\ndefault_model = "b"   # for now\n')
    assert "[channels_config.linq]   # phones" in text
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    read = files(config).load()
    assert (read.autonomy.level, list(read.mcp_servers)) == ("full", ["my.files"])


def test_a_file_edit_is_the_newer_word_than_the_overlay(config: Path) -> None:
    made(files(config), over(Change(MODEL, "b")))
    made(files(config), into(Change(MODEL, "a")))
    assert config.read_text() == TEXT
    assert files(config).load().default_model == "a"
    assert not runtime(config).exists()


def test_an_edit_by_hand_drops_the_entry_for_good(config: Path) -> None:
    made(files(config), over(Change(MODEL, "b"), Change(("agent", "system_prompt"), "s")))
    config.write_text(TEXT.replace('"a"', '"c"'))
    assert files(config).load().default_model == "c"
    config.write_text(TEXT)
    read = files(config).load()
    assert (read.default_model, read.agent.system_prompt) == ("a", "s")


def test_removing_from_the_file_takes_the_table(config: Path) -> None:
    made(files(config), into(Change(LINQ)))
    assert tomli.loads(config.read_text()) == {"default_model": "a", "default_provider": "offline", "hooks": [{"id": 1}]}


def test_kept_secrets_and_references_stay_as_they_are_written(config: Path) -> None:
    config.write_text(TEXT.replace('"linq-token-in-clear"', '"env:TOKEN"'))
    made(files(config, TOKEN="t-1"), over(Change(LINQ, {"api_token": KEEP, "signing_secret": KEEP, "from_phone": "+2"})))
    assert tomli.loads(runtime(config).read_text())["channels_config"] == {"linq": {"api_token": "env:TOKEN", "from_phone": "+2"}}
    linq = files(config, TOKEN="t-2").load().channels_config.linq
    assert linq is not None
    assert (linq.api_token, linq.signing_secret) == (Secret("t-2"), None)


def test_settings_that_cannot_work_are_refused_whole(config: Path) -> None:
    with pytest.raises(InvalidSettings) as caught:
        files(config).preview(over(Change(MODEL, "b"), Change(("default_temperature",), 9), Change(("autonomy", "level"), "none")))
    assert [problem.path for problem in caught.value.problems] == ["default_temperature", "autonomy.level"]


def test_what_the_environment_says_cannot_be_changed(config: Path) -> None:
    with pytest.raises(Invalid, match="CLAWGATE_MODEL"):
        files(config, CLAWGATE_MODEL="e").preview(over(Change(MODEL, "b")))
    with pytest.raises(Invalid, match="stands above"):
        files(config, CLAWGATE_CHANNELS_CONFIG__LINQ__FROM_PHONE="+9").preview(over(Change(LINQ)))


@pytest.mark.parametrize("target", list(Target))
@pytest.mark.parametrize("touched", ["config.toml", "config.runtime.toml"])
def test_a_file_that_changed_since_the_preview_is_a_conflict(config: Path, target: Target, touched: str) -> None:
    store, edit = files(config), Edit(target=target, changes=(Change(MODEL, "b"),), files={("a.md",): "x"})
    store.preview(edit)
    with (config.parent / touched).open("a") as file:
        file.write("\n[heartbeat]\nenabled = true\n")
    before = everything(config.parent)
    with pytest.raises(Conflict):
        store.write(edit)
    assert everything(config.parent) == before


def test_workspace_files_are_written_and_put_back_when_the_rest_fails(config: Path) -> None:
    workspace = config.parent / "workspace"
    (workspace / "deep").mkdir(parents=True)
    (workspace / "old.md").write_text("old")
    store = files(config)
    made(store, over(files={("old.md",): "new", ("deep", "er", "x.md"): "x"}))
    assert everything(workspace) == {"old.md": b"new", "deep/er/x.md": b"x"}
    edit = over(Change(MODEL, "b"), files={("old.md",): "newer", ("y.md",): "y"})
    store.preview(edit)
    config.write_text(TEXT + "\n")
    with pytest.raises(Conflict):
        store.write(edit)
    assert everything(workspace) == {"old.md": b"new", "deep/er/x.md": b"x"}


@pytest.mark.parametrize("name", ["old.md", "new.md"])
def test_a_workspace_file_that_a_hand_saves_meanwhile_is_not_put_back(config: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path, real = config.parent / "workspace" / name, os.fsync
    path.parent.mkdir()
    (path.parent / "old.md").write_text("old")
    store, edit = files(config), over(Change(MODEL, "b"), files={(name,): "newer"})
    store.preview(edit)
    config.write_text(TEXT + "\n")

    def fsync(descriptor: int) -> None:
        real(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            path.write_text("by hand")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Conflict):
        store.write(edit)
    assert path.read_text() == "by hand"


def test_workspace_below_the_home_directory_is_the_one_that_is_written(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(config.parent / "home"))
    config.write_text('workspace_dir = "~/agent"\n' + TEXT)
    store = files(config)
    made(store, over(files={("a.md",): "a"}))
    assert everything(config.parent / "home") == {"agent/a.md": b"a"}


def test_no_link_leads_out_of_the_workspace_and_no_pipe_is_waited_for(config: Path) -> None:
    workspace, outside = config.parent / "workspace", config.parent / "outside"
    workspace.mkdir()
    outside.mkdir()
    (outside / "file").write_text("safe")
    (workspace / "dir").symlink_to(outside)
    (workspace / "link").symlink_to(outside / "file")
    os.mkfifo(workspace / "pipe")
    for path in (("dir", "new"), ("link",), ("dir", "file"), ("pipe",)):
        with pytest.raises(BadRequest, match="workspace"):
            made(files(config), over(files={path: "evil"}))
    assert everything(outside) == {"file": b"safe"}


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "..", "", ".", "a//b", "a/", "~/x", "c:\\x", "a\x00b", "a\nb", "x" * 300])
def test_paths_that_leave_the_workspace_or_name_no_file_are_refused(path: str) -> None:
    with pytest.raises(BadRequest):
        checked_files({path: "x"})


@given(st.dictionaries(st.text(max_size=12), st.just("x"), max_size=3))
def test_checked_paths_stay_below(paths: dict[str, str]) -> None:
    try:
        found = checked_files(paths)
    except BadRequest:
        return
    assert all(os.path.normpath(os.path.join("/w", *path)).startswith("/w/") for path in found)


@given(st.dictionaries(st.sampled_from(["m", "n.o", "ä", "p-q"]), st.text("ab\"'\\\n#é", max_size=6), min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_any_text_survives_both_files(config: Path, entries: dict[str, str]) -> None:
    config.write_text(TEXT)
    runtime(config).unlink(missing_ok=True)
    for target in (Target.OVERLAY, Target.FILE):
        changes = tuple(Change(("spare", name), {"text": text}) for name, text in entries.items())
        made(files(config), Edit(target=target, changes=changes))
        document = tomli.loads((config if target is Target.FILE else runtime(config)).read_text())
        assert document["spare"] == {name: {"text": text} for name, text in entries.items()}


def test_the_store_runs_in_the_thread_it_is_given(config: Path) -> None:
    ran: list[object] = []

    def run(function: object) -> object:
        ran.append(function)
        return execute(function)

    store = FileConfigStore(files(config), run)  # type: ignore[arg-type]  # as the thread pool
    for work in (store.preview(over(Change(MODEL, "b"))), store.write(over(Change(MODEL, "b"))), store.load()):
        work.addErrback(lambda failure: failure.raiseException())
    assert len(ran) == 3
    assert 'default_model = "b"' in runtime(config).read_text()


@pytest.mark.parametrize("owner", [False, True])
def test_who_is_let_in_is_written_where_the_channel_stands(config: Path, owner: bool) -> None:
    """A pairing code on a channel that was patched must not undo the patch."""
    made(files(config), over(Change(LINQ, {"api_token": KEEP, "from_phone": "+2"})))
    people = ChannelsFile(ConfigFile(str(config)), execute)
    for identity in ("+111", "+111", "+222"):
        people.admit("linq", identity, owner).addErrback(lambda failure: failure.raiseException())
    channels = files(config).load().channels_config
    assert channels.linq is not None
    assert (channels.linq.from_phone, channels.linq.allowed_senders) == ("+2", ("+111", "+222"))
    assert channels.approval_owners == (("+111", "+222") if owner else ())


def test_who_is_let_in_on_a_channel_of_the_file_is_written_there(config: Path) -> None:
    config.write_text(TEXT.replace('["*"]', "[]"))
    made(files(config), over(Change(MODEL, "b")))
    ChannelsFile(ConfigFile(str(config)), execute).admit("linq", "+111", False).addErrback(lambda failure: failure.raiseException())
    read = files(config).load()
    assert read.channels_config.linq is not None
    assert (read.channels_config.linq.allowed_senders, read.default_model) == (("+111",), "b")
    assert '"+111"' in config.read_text()


@given(st.text(max_size=20), st.text(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_any_value_is_written_so_that_it_is_read_again_or_refused(config: Path, model: str, prompt: str) -> None:
    config.write_text(TEXT)
    runtime(config).unlink(missing_ok=True)
    for target in (Target.OVERLAY, Target.FILE):
        store, edit = files(config), Edit(target=target, changes=(Change(MODEL, model), Change(("agent", "system_prompt"), prompt)))
        try:
            shown = store.preview(edit)
        except Invalid:
            continue
        store.write(edit)
        read = files(config).load()
        assert (read.default_model, read.agent.system_prompt) == (shown.default_model, shown.agent.system_prompt) == (model, prompt)


def test_our_own_list_of_tokens_comes_between_without_a_conflict(config: Path) -> None:
    store = files(config)
    tokens = ConfigFile(store.path, store.follow)
    for target in (Target.FILE, Target.OVERLAY):
        edit, hashed = Edit(target=target, changes=(Change(MODEL, target.name),)), target.name.encode().hex().zfill(64)
        store.preview(edit)
        tokens.write_paired_tokens(frozenset({hashed}))
        store.write(edit)
        made = store.load()
        assert (made.default_model, made.gateway.paired_tokens) == (target.name, (hashed,))


def test_a_hand_that_comes_between_with_our_list_is_still_a_conflict(config: Path) -> None:
    store = files(config)
    tokens = ConfigFile(store.path, store.follow)
    edit = into(Change(MODEL, "b"))
    store.preview(edit)
    config.write_text("# by hand\n" + config.read_text())
    tokens.write_paired_tokens(frozenset({"a" * 64}))
    with pytest.raises(Conflict):
        store.write(edit)


@pytest.mark.parametrize("change", [Change(MODEL, "b"), Change(MODEL)])
def test_what_a_hand_saves_in_the_overlay_meanwhile_stays(config: Path, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    store, above, real = files(config), runtime(config), os.fsync
    made(store, over(Change(MODEL, "a")))
    edit = over(change)
    store.preview(edit)

    def fsync(descriptor: int) -> None:
        above.write_text('default_model = "by hand"\n')
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Conflict):
        store.write(edit)
    assert above.read_text() == 'default_model = "by hand"\n'
