"""Each module that reads what comes from outside names the property tests that cover it; one without them fails (style: "each parser")."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "clawgate"

WEB = "tests/web/"
DOMAIN = "tests/domain/"
SYSTEM = "tests/system/"
HOSTILE = "tests/test_parsers_hostile.py::"
ROUTES = (WEB + "test_routes_hostile.py::test_no_request_breaks_a_route",)
"""Its bodies are made of the shapes in the dialects."""
VENDORS = (
    "tests/agents/test_vendors.py::test_any_json_in_a_stream_is_an_answer_or_an_agent_error",
    HOSTILE + "test_any_whole_answer_of_a_vendor_is_one_or_an_agent_error",
    HOSTILE + "test_any_event_of_a_vendor_is_a_piece_or_an_agent_error",
)
ANSWERS = HOSTILE + "test_any_answer_of_a_platform_is_read"
SIGNED = (
    DOMAIN + "test_signing_round_trips.py::check",
    HOSTILE + "test_any_signature_field_is_read_or_refused",
)
ROWS = (HOSTILE + "check",)
SETTINGS = (DOMAIN + "settings/test_build.py::test_any_document_gives_settings_or_named_problems",)

PARSERS: dict[str, tuple[str, ...]] = {
    "agents/anthropic_wire": VENDORS,
    "agents/catalog_wire": ("tests/agents/test_catalog.py::test_any_bytes_are_names_or_an_agent_error",),
    "agents/command_wire": (
        "tests/agents/test_command_agent.py::test_any_lines_are_an_answer_or_an_agent_error",
        "tests/agents/test_command_agent.py::test_lines_do_not_depend_on_where_the_pipe_cuts",
    ),
    "agents/gemini_wire": VENDORS,
    "agents/http_wire": (
        "tests/agents/test_http_wire.py::test_any_answer_is_the_same_however_it_is_cut",
        "tests/agents/test_http_wire.py::test_any_headers_are_one_line_each_or_refused",
    ),
    "agents/openai_wire": VENDORS,
    "agents/vendor_wire": (
        "tests/agents/test_vendors.py::test_any_error_body_is_an_agent_error_fit_for_a_log_line",
        HOSTILE + "test_any_arguments_of_a_tool_are_an_object_or_an_agent_error",
    ),
    "channels/answer_wire": (HOSTILE + "test_any_refusal_of_a_platform_is_a_send_error_fit_for_a_log_line",),
    "channels/linq_wire": ("tests/channels/test_linq.py::test_any_json_is_read_without_an_error", ANSWERS),
    "channels/nextcloud_talk_wire": ("tests/channels/test_nextcloud_talk.py::test_any_json_is_read_without_an_error", ANSWERS),
    "channels/payload_wire": (HOSTILE + "test_any_body_of_a_platform_is_json_or_a_bad_request",),
    "channels/split_wire": ("tests/channels/test_split.py::test_nothing_but_blanks_is_lost_and_no_part_is_blank_or_too_long",),
    "channels/wati_wire": ("tests/channels/test_wati.py::test_any_json_is_read_without_an_error", ANSWERS),
    "channels/whatsapp_wire": ("tests/channels/test_whatsapp.py::test_any_json_is_read_without_an_error", ANSWERS),
    "system/marketplace_wire": (SYSTEM + "test_marketplace_wire.py::test_any_bytes_are_matches_or_a_failure",),
    "system/mcp_wire": (SYSTEM + "test_mcp_wire.py::test_garbage_is_a_bad_request_and_nothing_worse",),
    "system/mdns_wire": (SYSTEM + "test_mdns.py::test_any_name_is_one_label",),
    "system/tunnel_wire": (
        SYSTEM + "test_tunnel_wire.py::test_garbage_says_nothing_dangerous",
        SYSTEM + "test_tunnel_wire.py::test_lines_do_not_depend_on_how_the_stream_was_cut",
    ),
    "web/dialects/canvas_wire": ROUTES,
    "web/dialects/chat_frames_wire": (DOMAIN + "test_chat_rules.py::test_any_json_means_something_or_is_unclear",),
    "web/dialects/chat_sessions_wire": (HOSTILE + "test_any_name_of_a_session_is_one_without_its_prefix", *ROUTES),
    "web/dialects/config_wire": (WEB + "test_live_config.py::test_no_body_breaks_the_gateway", *ROUTES),
    "web/dialects/cron_wire": ROUTES,
    "web/dialects/knowledge_wire": ROUTES,
    "web/dialects/memory_wire": ROUTES,
    "web/dialects/nodes_wire": (WEB + "test_nodes_wire.py::test_no_text_breaks_the_reader", *ROUTES),
    "web/dialects/operator_wire": (DOMAIN + "test_operator_frames.py::test_any_arguments_and_results_have_a_short_status",),
    "web/dialects/pairing_wire": ROUTES,
    "web/dialects/root_wire": (HOSTILE + "test_a_field_that_is_there_twice_is_seen", *ROUTES),
    "web/dialects/sessions_wire": ROUTES,
    "web/dialects/subscriptions_wire": ROUTES,
    "web/dialects/tasks_wire": ROUTES,
    "web/dialects/terminal_wire": (
        WEB + "test_terminal_wire.py::test_no_text_breaks_the_parser",
        WEB + "test_terminal_wire.py::test_bytes_that_are_no_text_are_replaced_as_if_they_had_come_at_once",
    ),
    "web/http_wire": (
        HOSTILE + "test_any_head_is_one_or_unreadable",
        HOSTILE + "test_what_is_refused_half_is_refused_whole",
        HOSTILE + "test_a_chunked_body_is_the_same_however_it_is_cut",
        WEB + "test_site_hostile.py::test_mutated_requests_end_in_one_answer_each_and_the_same_however_cut",
        WEB + "test_site_pins.py::test_whatever_ours_accepts_the_stock_parser_reads_the_same",
    ),
    "web/call": ROUTES,
    "web/auth": ROUTES,
    "web/public_url": ROUTES,
    "web/multipart": (
        WEB + "test_knowledge_surface.py::test_any_bytes_are_a_form_or_a_refusal",
        WEB + "test_attachments_surface.py::test_any_body_is_kept_or_refused",
    ),
    "web/paths": (HOSTILE + "test_any_path_is_one_or_a_bad_request",),
    "system/configfile": (SYSTEM + "test_configfile.py::test_any_text_is_read_or_refused",),
    "system/configstore": (SYSTEM + "test_configstore.py::test_any_text_survives_both_files",),
    "system/extraction": (SYSTEM + "test_extraction.py::test_any_bytes_give_text_or_a_failed_extraction",),
    "system/frontmatter": (SYSTEM + "test_skill_directory.py::test_any_text_is_a_manifest_or_refused",),
    "system/jwt": (DOMAIN + "test_control.py::test_no_token_and_no_command_breaks_the_reading",),
    "system/routesfile": (SYSTEM + "test_routesfile.py::test_every_array_of_routes_is_read_and_no_truncation_of_it",),
    "system/schedules": (SYSTEM + "test_schedules.py::test_any_text_is_a_schedule_or_refused",),
    "system/secrets": (
        SYSTEM + "test_secrets.py::test_what_is_encrypted_comes_back",
        SYSTEM + "test_secrets.py::test_any_stored_text_is_decrypted_or_refused",
    ),
    "system/skillarchive": (SYSTEM + "test_skill_archives.py::test_any_damage_is_refused_or_harmless",),
    "stores/cron_rows": ROWS,
    "stores/knowledge_rows": ROWS,
    "stores/outbox_rows": ROWS,
    "stores/task_rows": ROWS,
    "stores/fulltext": (HOSTILE + "test_any_words_are_a_question_that_sqlite_understands",),
    "services/heartbeat": ("tests/services/test_heartbeat.py::test_any_text_has_bounded_tasks",),
    "commands/options": ("tests/test_cli.py::test_a_duration_is_a_bounded_number_or_an_error",),
    "domain/attachments": (DOMAIN + "test_attachment_rules.py::test_any_filename_fits_into_one_line",),
    "domain/caller": (DOMAIN + "test_caller.py::test_any_candidate_is_an_address_or_none",),
    "domain/commands": (DOMAIN + "test_commands.py::test_any_text_gets_a_verdict",),
    "domain/control": (DOMAIN + "test_control.py::test_no_token_and_no_command_breaks_the_reading",),
    "domain/hooks": (
        DOMAIN + "test_hook_templates.py::test_bytes_are_read_or_refused",
        DOMAIN + "test_hook_templates.py::test_every_name_can_be_pointed_at",
    ),
    "domain/idempotency": (DOMAIN + "test_idempotency.py::test_every_key_is_bounded_and_can_be_stored",),
    "domain/ids": (DOMAIN + "test_ids.py::test_any_text_is_an_id_or_none", DOMAIN + "test_ids.py::test_text_and_number_are_one"),
    "domain/json_schemas": (DOMAIN + "test_json_schemas.py::test_no_json_breaks_the_look",),
    "domain/jsonrpc": (
        DOMAIN + "test_jsonrpc.py::test_what_is_encoded_is_decoded",
        DOMAIN + "test_jsonrpc.py::test_a_message_that_is_cut_is_none",
        DOMAIN + "test_jsonrpc.py::test_garbage_is_malformed_and_nothing_worse",
    ),
    "domain/knowledge": (DOMAIN + "test_knowledge.py::test_passages_are_bounded_never_blank_and_lose_no_word",),
    "domain/lines": (SYSTEM + "test_mcp_wire.py::test_lines_are_the_same_however_they_arrive",),
    "domain/memory": (DOMAIN + "test_memory_rules.py::test_cleaning_twice_changes_nothing_more",),
    "domain/onboarding": (DOMAIN + "test_onboarding_codes.py::test_any_text_is_parsed_into_a_command_or_nothing",),
    "domain/overlay": (DOMAIN + "test_overlay.py::test_any_text_is_a_path_or_none", DOMAIN + "test_overlay.py::test_paths_survive_being_written"),
    "domain/personality": (DOMAIN + "test_personality_rules.py::test_any_name_is_refused_or_can_be_written_down",),
    "domain/ranking": (DOMAIN + "test_ranking.py::test_every_rank_is_below_zero",),
    "domain/redaction": (
        DOMAIN + "test_redaction.py::test_untrusted_text_is_one_bounded_printable_line",
        HOSTILE + "test_a_secret_that_is_known_is_in_no_line",
    ),
    "domain/sessions": (DOMAIN + "test_sessions.py::test_title_is_one_short_printable_line",),
    "domain/settings/environment": (DOMAIN + "settings/test_environment.py::test_dotenv_of_any_text_is_names_and_values",),
    "domain/settings/parse": SETTINGS,
    "domain/settings/rules": SETTINGS,
    "domain/settings/values": SETTINGS,
    "domain/settings/requests": (DOMAIN + "settings/test_requests.py::test_only_known_keys_come_through_and_no_secret_as_plain_text",),
    "domain/skills": (DOMAIN + "test_skill_rules.py::test_every_slug_is_short_plain_and_its_own_slug",),
    "domain/sse": (
        DOMAIN + "test_sse.py::test_any_chunking_gives_the_events_of_the_standard",
        DOMAIN + "test_sse.py::test_a_cut_stream_gives_a_prefix_of_its_events",
    ),
    "domain/times": (
        DOMAIN + "test_times.py::test_hostile_text_never_raises",
        DOMAIN + "test_times.py::test_every_millisecond_survives_the_round_trip",
    ),
    "domain/tokens": (DOMAIN + "test_tokens.py::test_any_header_is_a_token_or_none",),
    "domain/triggers": (
        DOMAIN + "test_triggers.py::test_every_object_is_read_and_every_truncation_is_no_body",
        DOMAIN + "test_triggers.py::test_filling_in_never_fails_and_without_values_changes_nothing",
    ),
    "domain/workflow_approvals": (DOMAIN + "test_workflow_approvals.py::test_feedback_is_a_part_of_the_reply",),
    **{f"domain/signing/{path.stem}": SIGNED for path in sorted((PACKAGE / "domain/signing").glob("[a-z]*.py"))},
}

WRITERS = frozenset(
    {
        *("web/dialects/about_wire", "web/dialects/api_wire", "web/dialects/attachments_wire", "web/dialects/audit_wire", "web/dialects/chat_wire"),
        "web/dialects/events_wire",
        *(
            "web/dialects/extractor_wire",
            "web/dialects/hooks_wire",
            "web/dialects/inbox_wire",
            "web/dialects/login_wire",
            "web/dialects/personality_wire",
        ),
        *("web/dialects/skills_wire", "web/dialects/triggers_wire", "web/dialects/workflows_wire"),
        *("stores/attempt_rows", "stores/dedupe_rows", "stores/inbox_rows", "stores/session_rows", "stores/subscription_rows"),
    }
)
"""They write answers, and read nothing that comes from outside; those of the store are written and read in one go by the contract suites of the store."""


def readers() -> set[str]:
    """Modules that by their names read something: codecs and rows."""
    found = [*PACKAGE.rglob("*_wire.py"), *PACKAGE.rglob("*_rows.py"), *(PACKAGE / "domain/signing").glob("[a-z]*.py")]
    return {str(path.relative_to(PACKAGE).with_suffix("")) for path in found if "testing" not in path.parts}


@cache
def properties(path: str) -> frozenset[str]:
    """The functions of a file that hypothesis calls."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return frozenset(
        node.name for node in functions if any(isinstance(each, ast.Call) and ast.unparse(each.func) == "given" for each in node.decorator_list)
    )


def test_every_reader_is_listed() -> None:
    assert readers() - set(PARSERS) - WRITERS == set()


def test_no_module_is_listed_that_is_not_there() -> None:
    assert {name for name in (*PARSERS, *WRITERS) if not (PACKAGE / f"{name}.py").exists()} == set()
    assert set(PARSERS) & WRITERS == set()


@pytest.mark.parametrize("module", PARSERS)
def test_a_parser_has_property_tests(module: str) -> None:
    assert PARSERS[module]
    for named in PARSERS[module]:
        path, _, name = named.partition("::")
        assert name in properties(path), f"{named} is no property test"
