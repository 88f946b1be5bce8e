"""What agents' children see of the daemon's environment."""

from __future__ import annotations

from clawgate.system.environment import for_agents


def test_keys_and_tokens_of_the_daemon_stay_with_it() -> None:
    environ = {"OPENAI_API_KEY": "sk-1", "CLAWGATE_API_KEY": "sk-2", "NOTIFY_SOCKET": "/run/x", "HTTPS_PROXY": "http://user:pass@proxy"}
    assert for_agents(environ) == {}


def test_paths_locale_and_accelerators_are_passed_on() -> None:
    environ = {"PATH": "/bin", "HOME": "/h", "LANG": "C.UTF-8", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "0", "LD_LIBRARY_PATH": "/l"}
    assert for_agents(environ) == environ


def test_what_is_given_on_purpose_arrives_under_its_own_name() -> None:
    assert for_agents({"CLAWGATE_CHILD_TOKEN": "t", "CLAWGATE_CHILD_PATH": "/own", "PATH": "/bin", "CLAWGATE_CHILD_": "x"}) == {
        "TOKEN": "t",
        "PATH": "/own",
    }
