"""For every test: the fakes that most begin with; random examples are given all time."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from headless_discovery import DiscoveryError
from headless_discovery.testing import FakeCluster, FakeService

settings.register_profile(
    "any machine",
    deadline=None,  # a loaded machine is no reason to fail
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,  # a failure is replayed by what it prints
)
settings.load_profile("any machine")


MOST_WORDS = 25


@pytest.fixture(autouse=True)
def errors_say_in_few_words_what_happened(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What to do about it stands in ``hint``; every error that a test comes to see is counted."""
    wordy: list[str] = []
    init = DiscoveryError.__init__

    def counted(self: DiscoveryError, message: str = "", **hint: Any) -> None:
        if len(message.split()) > MOST_WORDS:
            wordy.append(message)
        init(self, message, **hint)

    monkeypatch.setattr(DiscoveryError, "__init__", counted)
    yield
    assert not wordy, "\n".join(wordy)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def web(cluster: FakeCluster) -> FakeService:
    """A StatefulSet of three pods."""
    service = cluster.add_service("web", ports={"http": 8080})
    service.scale(3)
    return service


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes go by the argument's name: some are random, and workers must collect the same tests."""
    return argname if isinstance(val, bytes) else None


SLOW = {
    "test_aiohttp.py", "test_any_manifest.py", "test_clients.py", "test_entries.py",
    "test_examples_of_stores.py", "test_house.py", "test_http2.py", "test_httpx.py",
    "test_journal.py", "test_kill.py", "test_life.py", "test_load.py",
    "test_lookup_properties.py", "test_many.py", "test_membership_properties.py",
    "test_metrics.py", "test_node.py", "test_parser.py", "test_peers_by_slices.py",
    "test_picks.py", "test_predicates.py", "test_read.py", "test_runtimes.py", "test_scale.py",
    "test_schedules.py", "test_sdks.py", "test_serve.py", "test_servers.py", "test_simulation.py",
    "test_slice_shells.py", "test_timelines.py", "test_transport.py", "test_watch.py",
    "test_zones.py",
    "test_a_borrowed_client_is_neither_counted_nor_reported_but_in_use_until_it_is_back",
    "test_a_client_that_takes_no_replies_is_not_read_from",
    "test_a_first_lookup_may_be_interrupted_before_each_of_its_lines",
    "test_a_handler_that_raises_at_random_microseconds_never_leaves_a_lookup_taken",
    "test_a_hundred_thousand_keys_spread_evenly_over_a_hundred_pods",
    "test_a_key_goes_to_the_same_endpoint_in_another_process",
    "test_a_large_answer_is_read_whole_whatever_its_shape",
    "test_a_later_call_may_be_interrupted_before_any_line",
    "test_a_later_reply_is_read_as_if_it_were_the_first_and_the_same_records_are_taken_over",
    "test_a_later_reply_with_any_one_byte_changed_is_read_as_if_it_were_the_first",
    "test_a_loop_that_ends_in_mid_lookup_holds_up_no_other",
    "test_a_made_message_is_read_as_dnspython_reads_it",
    "test_a_post_arrives_once_whatever_happens_to_its_reply",
    "test_a_reply_is_in_flight_until_it_is_closed_or_forgotten",
    "test_a_reply_with_bytes_changed_put_in_or_taken_out_is_read_as_dnspython_reads_it",
    "test_a_terminal_sees_it_live",
    "test_a_use_may_be_kept_beyond_the_block",
    "test_a_wait_that_nothing_will_end_is_an_error_on_a_fake_clock",
    "test_any_instruction_may_be_interrupted",
    "test_at_each_moment_of_a_cluster_they_find_the_same",
    "test_at_most_half_are_aside_whatever_happens",
    "test_cancelling_who_leads_a_lookup_fails_nobody_else",
    "test_each_attempt_is_on_another_endpoint_until_all_were_tried",
    "test_every_recorded_reply_is_read_as_dnspython_reads_it_and_nearly_all_are_scanned",
    "test_every_room_is_one_of_the_plan",
    "test_glue_is_read_as_dnspython_reads_it_whatever_its_owners_look_like",
    "test_importing_it_loads_neither_asyncio_nor_trio",
    "test_it_hears_of_a_dropped_one_once",
    "test_it_notices_a_library_that",
    "test_its_pace_is_that_of_the_pauses",
    "test_many_starts_and_closes_leave_no_thread_and_no_descriptor",
    "test_many_uses_leave_no_task_and_no_descriptor",
    "test_no_descriptor_at_the_first_lookup_is_a_failure_that_passes",
    "test_no_mixture_of_failures_makes_a_smaller_set_or_an_empty_one",
    "test_no_nonsense_of_a_server_makes_anything_but_an_outcome",
    "test_no_reply_takes_longer_than_50_ms_to_read",
    "test_one_of_10_000_endpoints_takes_at_most_a_kibibyte",
    "test_one_that_was_entered_and_forgotten_is_a_resource_warning",
    "test_one_that_was_started_and_forgotten_is_a_resource_warning",
    "test_sixty_four_threads_share_what_is_ejected",
    "test_starting_and_ending_it_leaves_nothing",
    "test_tests_go_by_public_names_and_pure_modules",
    "test_that_closing_a_dropped_reply_fails_is_logged_and_hurts_no_other_request",
    "test_the_background_goes_on_after_an_error_that_is_no_outcome",
    "test_the_connection_of_a_reply_that_was_dropped_is_closed_by_the_next_request",
    "test_the_fake_answers_as_the_real_server_did",
    "test_the_fast_reader_sees_at_once_that_a_reply_is_not_for_it",
    "test_those_made_at_once_are_as_those_made_one_by_one",
    "test_twenty_thousand_pods_can_be_made",
    "test_what_is_no_answer_is_waited_out",
    "test_what_was_dropped_does_not_stay_counted",
    "test_whatever_servers_do_it_ends_in_time_and_a_good_answer_is_found",
    "test_who_asks_for_the_plugin_has_a_cluster_and_its_clock",
    "test_who_does_not_ask_has_neither",
    "test_who_leaves_moves_its_own_keys_and_no_other",
}  # fmt: skip
"""What takes longest, by file or by name: many random examples, long runs, or processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is slow, for ``scripts/test --fast``."""
    for item in items:
        if {item.path.name, getattr(item, "originalname", item.name)} & SLOW:
            item.add_marker(pytest.mark.slow)
