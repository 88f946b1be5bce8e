"""People let in by a code, in config.toml. Source: rantaiclaw.md §7, design §4.11."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli
from twisted.internet.defer import Deferred, execute

from clawgate.domain.errors import Invalid
from clawgate.system.channelsfile import ChannelsFile
from clawgate.system.configfile import ConfigFile

TEXT = """\
# mine
[channels_config]
approval_owners = ["@ada"] # the boss

[channels_config.linq]
api_token = "t"
from_phone = "+1"
allowed_senders = [ "+10", ] # friends

[channels_config.wati]
api_token = "t"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    return path


def admit(path: Path, channel: str, identity: str, owner: bool = False) -> None:
    done: Deferred[None] = ChannelsFile(ConfigFile(str(path)), execute).admit(channel, identity, owner)
    problems: list[BaseException] = []
    done.addErrback(lambda failure: problems.append(failure.value))
    if problems:
        raise problems[0]


def test_person_is_appended_and_everything_else_stays(config: Path) -> None:
    admit(config, "linq", "+20")
    after = config.read_text()
    assert tomli.loads(after)["channels_config"]["linq"]["allowed_senders"] == ["+10", "+20"]
    assert [line for line in TEXT.splitlines() if line not in after.splitlines()] == ['allowed_senders = [ "+10", ] # friends']


def test_owner_is_written_in_both_places_at_once(config: Path) -> None:
    admit(config, "linq", "+20", owner=True)
    found = tomli.loads(config.read_text())["channels_config"]
    assert (found["approval_owners"], found["linq"]["allowed_senders"]) == (["@ada", "+20"], ["+10", "+20"])


def test_list_that_is_missing_is_made(config: Path) -> None:
    admit(config, "wati", "+20")
    assert tomli.loads(config.read_text())["channels_config"]["wati"]["allowed_numbers"] == ["+20"]


@pytest.mark.parametrize("entry", ['"+10"', '"*"'])
def test_person_who_is_answered_already_changes_nothing(config: Path, entry: str) -> None:
    config.write_text(TEXT.replace('"+10",', entry))
    before = config.read_bytes()
    admit(config, "linq", "+10")
    assert config.read_bytes() == before


@pytest.mark.parametrize(("channel", "text"), [("whatsapp", TEXT), ("linq", ""), ("linq", TEXT.replace('[ "+10", ]', '"+10"'))])
def test_file_without_the_channel_or_with_no_list_is_left_alone(config: Path, channel: str, text: str) -> None:
    config.write_text(text)
    with pytest.raises(Invalid):
        admit(config, channel, "+20")
    assert config.read_text() == text
