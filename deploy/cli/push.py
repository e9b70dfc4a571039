"""`edge-deploy push | rollout`: their arguments and what they print."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.cli.broker_options import add_broker_options
from deploy.cli.device_options import add_devices, chosen_devices
from deploy.cli.fleet import SETTLE_S, connect
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from deploy.fleet.pointer import Offer
    from deploy.fleet.rollout_state import RolloutState
    from edge_app.mqtt.topics import DeviceName

EXIT_INTERRUPTED = 130


def add_push_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the two commands to `edge-deploy`."""
    _add_push(commands)
    _add_rollout(commands)


def _add_push(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    push = commands.add_parser("push", help="ask devices to fetch and use a bundle")
    push.add_argument("bundle", type=Path, nargs="?", metavar="BUNDLE")
    _add_target(push)
    push.add_argument(
        "--wait", action="store_true", help="until every device has committed it, or refused"
    )
    push.add_argument("--timeout-s", type=float, default=4 * 3600.0, help="per device, with --wait")
    push.add_argument(
        "--withdraw", action="store_true", help="take the wish back; without BUNDLE and --url"
    )
    push.set_defaults(work=_push)


def _add_rollout(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    rollout = commands.add_parser("rollout", help="push to a few first, then to the others")
    rollout.add_argument("bundle", type=Path, metavar="BUNDLE")
    _add_target(rollout)
    rollout.add_argument("--canary", type=int, default=1, metavar="N", help="devices that go first")
    rollout.add_argument(
        "--then", default="all", metavar="all|N|P%", help="devices at a time afterwards"
    )
    rollout.add_argument(
        "--wait",
        default="committed",
        choices=("switching", "probation", "committed"),
        help="the state that a wave has to reach before the next one begins",
    )
    rollout.add_argument(
        "--max-failures", type=int, default=0, metavar="N", help="borne behind the canary"
    )
    rollout.add_argument("--timeout-s", type=float, default=4 * 3600.0, help="per device")
    rollout.add_argument("--state", type=Path, metavar="FILE", help="default: beside the bundle")
    rollout.add_argument("--restart", action="store_true", help="forget how far it had come")
    rollout.add_argument("--abort", action="store_true", help="end it and take pointers back")
    rollout.set_defaults(work=_rollout)


def _add_target(parser: argparse.ArgumentParser) -> None:
    add_broker_options(parser)
    parser.add_argument("--url", help="of the bundle, or with a / at the end of its folder")
    add_devices(parser)
    parser.add_argument("--keys", type=Path, metavar="DIR", help="verify with these keys first")


# -- push ------------------------------------------------------------------------------------------


def _push(arguments: argparse.Namespace) -> int:
    from deploy.fleet.rollout import Rollout
    from deploy.fleet.rollout_rules import Limits
    from deploy.fleet.rollout_state import new_state

    devices = chosen_devices(arguments)
    if arguments.withdraw:
        return _withdraw(arguments, devices)
    offer = _offer(arguments, devices)
    names = [str(device) for device in devices]
    state = new_state(offer, arguments.slot, [names])
    client, fleet = connect(arguments)
    limits = Limits(max_failures=len(names), timeout_s=arguments.timeout_s)
    rollout = Rollout(state, client, fleet, limits, save=lambda _: None, report=_say)
    try:
        if arguments.wait:
            rollout.run()
            return 1 if state.failed else 0
        rollout.send_all()
        _say(
            f"{offer.product} {offer.serial} asked of {len(names)} devices; see edge-deploy status"
        )
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    finally:
        client.close()
    return 0


def _withdraw(arguments: argparse.Namespace, devices: tuple[DeviceName, ...]) -> int:
    from edge_app.mqtt.topics import Topics

    if arguments.bundle is not None or arguments.url is not None:
        raise ConfigError("--withdraw takes no BUNDLE and no --url: it takes any wish back.")
    client, _ = connect(arguments)
    for device in devices:
        client.publish(Topics(device).desired(arguments.slot), b"")
    client.close()
    _say(f"withdrawn from {len(devices)} devices; what is being installed goes on")
    return 0


def _offer(arguments: argparse.Namespace, devices: tuple[DeviceName, ...]) -> Offer:
    from deploy.fleet.pointer import make_offer

    if arguments.bundle is None or arguments.url is None:
        raise ConfigError("give the BUNDLE and the --url under which devices fetch it.")
    return make_offer(arguments.bundle, arguments.url, devices, arguments.keys)


# -- rollout ---------------------------------------------------------------------------------------


def _rollout(arguments: argparse.Namespace) -> int:
    from deploy.fleet.rollout import Rollout
    from deploy.fleet.rollout_rules import Limits
    from deploy.fleet.rollout_state import save_state

    limits = Limits(arguments.wait, arguments.max_failures, arguments.timeout_s)
    file = arguments.state or arguments.bundle.with_suffix(f".{arguments.slot}.rollout.json")
    state = _rollout_state(arguments, file)
    client, fleet = connect(arguments)
    rollout = Rollout(state, client, fleet, limits, save=lambda s: save_state(file, s), report=_say)
    try:
        client.pump(SETTLE_S)
        if arguments.abort:
            rollout.abort()
            return 0
        return 0 if rollout.run() == "done" else 1
    except KeyboardInterrupt:
        _say(f"interrupted: {rollout.summary}. The same command goes on, --abort ends it.")
        return EXIT_INTERRUPTED
    finally:
        client.close()


def _rollout_state(arguments: argparse.Namespace, file: Path) -> RolloutState:
    """Return where an earlier run of the same roll-out stopped, or the begin of a new one."""
    from deploy.fleet.rollout_rules import make_waves
    from deploy.fleet.rollout_state import load_state, new_state

    earlier = None if arguments.restart else load_state(file)
    if arguments.abort and earlier is None:
        raise ConfigError(f"there is no roll-out to abort in {file}; name its file with --state.")
    if earlier is not None and (arguments.abort or earlier.outcome == "running"):
        _check_same_bundle(arguments.bundle, earlier, file)
        return earlier
    if earlier is not None:
        raise ConfigError(
            f"this roll-out has ended ({earlier.outcome}), see {file}; --restart begins it anew."
        )
    devices = chosen_devices(arguments)
    offer = _offer(arguments, devices)
    waves = make_waves([str(d) for d in devices], arguments.canary, arguments.then)
    return new_state(offer, arguments.slot, waves)


def _check_same_bundle(bundle: Path, earlier: RolloutState, file: Path) -> None:
    import hashlib

    if hashlib.sha256(bundle.read_bytes()).hexdigest() != earlier.offer.sha256:
        raise ConfigError(
            f"{bundle} is not the bundle that is being rolled out in {file} "
            f"({earlier.offer.product} {earlier.offer.serial}). --abort that one with its own "
            "bundle first, or name another --state."
        )


def _say(text: str) -> None:
    print(text, flush=True)
