"""Settings of the DNS interface."""

from __future__ import annotations

import pytest

from catalog.dns.settings import DnsSettings
from catalog.errors import ConfigError


def test_without_settings_it_answers_as_consul():
    """In its domain, with records that are not kept."""
    settings = DnsSettings()

    assert ("consul", 0, 0, ()) == (
        settings.domain,
        settings.node_ttl,
        settings.service_ttl,
        settings.recursors,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": ""},
        {"domain": "."},
        {"domain": "a..b"},
        {"alt_domain": "x" * 64},
        {"node_ttl": -1},
        {"service_ttl": 1.5},
        {"recursors": ("8.8.8.8",)},
        {"recursor_timeout": 0},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    """With the setting's name."""
    with pytest.raises(ConfigError, match=next(iter(wrong)).rstrip("s")):
        DnsSettings(**wrong)
