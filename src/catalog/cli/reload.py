"""Reading the configuration file again: what changes at once, and what waits for a restart."""

from __future__ import annotations

import logging

import catalog
from catalog.errors import CatalogError, NotRegistered
from catalog.settings import Settings

__all__ = ["apply", "register"]

log = logging.getLogger("catalog")


async def register(agent: catalog.Agent, settings: Settings) -> None:
    """Register the services of a file; the agent repeats what cannot be written yet."""
    for service in settings.services:
        try:
            await agent.register(service)
        except (catalog.Unavailable, catalog.Indeterminate) as error:
            log.info("service %s is not in the catalog yet: %s", service.id, error)


async def apply(agent: catalog.Agent, old: Settings, new: Settings) -> tuple[str, ...]:
    """Make an agent that runs with old settings obey new ones; say what came of it, by lines.

    Raises:
        ConfigError: the files of TLS do not fit; nothing was changed.

    """
    agent.renew_certificates()
    lines = []
    if new.log_level != old.log_level:
        logging.getLogger().setLevel(new.log_level.upper())
        lines.append(f"log_level is {new.log_level}")
    before = {service.id: service for service in old.services}
    after = {service.id: service for service in new.services}
    for service_id in before.keys() - after.keys():
        try:
            await agent.deregister(service_id)
        except NotRegistered:
            continue  # somebody was faster
        except CatalogError as error:
            log.info("service %s is not out of the catalog yet: %s", service_id, error)
        lines.append(f"service {service_id} is deregistered")
    for service_id, service in after.items():
        if before.get(service_id) != service:
            lines.append(f"service {service_id} is registered")
            await register(agent, Settings(new.config, (service,)))
    if fixed := old.fixed(new):
        lines.append(f"needs a restart: {', '.join(fixed)}")
    return tuple(sorted(lines)) or ("nothing has changed",)
