"""The composition root of `edge-app agent`: the one file that names its concrete classes."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from edge_app.agent.agent import Agent
from edge_app.config_model import AppConfig
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.mqtt.deploy_messages import Reported

_log = logging.getLogger(__name__)


def run_agent(config: AppConfig, stop: threading.Event) -> int:
    """Run the agent until `stop` is set; return the exit code, 0.

    Raises:
        ConfigError: the configuration has no agent.
    """
    if not config.agent.enabled:
        raise ConfigError("the agent is off; set [agent] enabled = true to bring bundles in.")
    agent = Agent(config.agent.store_dir / "incoming", _log_report)
    agent.start()
    stop.wait()
    agent.stop()
    return 0


def _log_report(report: Reported) -> None:
    _log.info("%s", report)
