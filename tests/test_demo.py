"""The demo of the main job, as a user runs it."""

import runpy

import pytest


def test_the_demo_shows_the_three_steps(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("examples.demo", run_name="__main__")
    out = capsys.readouterr().out
    one, two, three = out.split("\n(")[1:]
    assert "NotHeadless" in one
    assert "10.254.129.235" in one
    for address in ("172.30.35.3", "172.30.14.3"):
        assert f"{address.replace('.', '-')}.kubia-headless.default.svc.cluster.local" in two
    assert "172.30.35.2" not in two
    assert "172-30-35-2.kubia-headless.default.svc.cluster.local" in three
