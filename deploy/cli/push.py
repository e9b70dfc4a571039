"""`edge-deploy push | rollout`: their arguments and what they print."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.cli.broker_options import add_broker_options, broker_settings
from deploy.cli.device_options import add_devices, chosen_devices
from deploy.cli.fleet import SETTLE_S, connect
from edge_app.cli.border import NO
from edge_app.cli.parser import seconds, set_examples, whole
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from deploy.fleet.pointer import Offer
    from deploy.fleet.rollout_state import RolloutState
    from edge_app.mqtt.topics import DeviceName

MOST_DEVICES = 100_000
LONGEST_WAVE = 7
TIMEOUT = "time limit per device, in seconds (default: %(default)g)"


def add_push_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the two commands to `edge-deploy`."""
    _add_push(commands)
    _add_rollout(commands)


def _add_push(commands: argparse._SubParsersAction[Any]) -> None:
    push = commands.add_parser(
        "push",
        help="ask devices to download and use a bundle",
        description="Ask devices to download and use a bundle.",
    )
    set_examples(
        push,
        "edge-deploy push part.signed.bundle --broker plant:8883 --tls --url https://desk/ "
        "--device graz/l2/d3 --wait",
        "edge-deploy push --withdraw --broker plant:8883 --tls --device graz/l2/d3",
    )
    push.add_argument("bundle", type=Path, nargs="?", metavar="BUNDLE", help="the signed bundle")
    _add_target(push)
    push.add_argument(
        "--wait", action="store_true", help="wait until every device has committed or refused it"
    )
    push.add_argument(
        "--timeout-s", type=seconds(), default=4 * 3600.0, help=f"{TIMEOUT}; for --wait"
    )
    push.add_argument(
        "--withdraw",
        action="store_true",
        help="withdraw the deployment; without BUNDLE and --url",
    )
    push.set_defaults(work=_push)


def _add_rollout(commands: argparse._SubParsersAction[Any]) -> None:
    rollout = commands.add_parser(
        "rollout",
        help="push to a few devices first, then to the others",
        description="Push to a few devices first, then to the others, and stop at failures.",
    )
    set_examples(
        rollout,
        "edge-deploy rollout part.signed.bundle --broker plant:8883 --tls --url https://desk/ "
        "--group presses --groups groups.toml --canary 1 --then 25%",
    )
    rollout.add_argument("bundle", type=Path, metavar="BUNDLE", help="the signed bundle")
    _add_target(rollout)
    rollout.add_argument(
        "--canary",
        type=whole(0, MOST_DEVICES),
        default=1,
        metavar="N",
        help="devices that go first, 0: none (default: 1)",
    )
    rollout.add_argument(
        "--then",
        type=_wave_size,
        default="all",
        metavar="all|N|P%",
        help="devices per wave afterwards (default: all)",
    )
    rollout.add_argument(
        "--wait",
        default="committed",
        choices=("switching", "probation", "committed"),
        help="state that a wave must reach before the next one starts (default: committed)",
    )
    rollout.add_argument(
        "--max-failures",
        type=whole(0, MOST_DEVICES),
        default=0,
        metavar="N",
        help="failures tolerated after the canary (default: 0)",
    )
    rollout.add_argument("--timeout-s", type=seconds(), default=4 * 3600.0, help=TIMEOUT)
    rollout.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="file that records the progress (default: beside the bundle)",
    )
    rollout.add_argument(
        "--restart", action="store_true", help="ignore earlier progress and start over"
    )
    rollout.add_argument(
        "--abort", action="store_true", help="end the roll-out and withdraw its pointers"
    )
    rollout.set_defaults(work=_rollout)


def _wave_size(text: str) -> str:
    """Return what --then may be, before anything is asked of a broker."""
    from deploy.fleet.rollout_rules import make_waves

    if len(text) > LONGEST_WAVE:
        raise argparse.ArgumentTypeError(
            f"expected all, a number, or a percentage like 20%, got {text[:20]!r}..."
        )
    try:
        make_waves((), 0, text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--then ")) from error
    return text


def _add_target(parser: argparse.ArgumentParser) -> None:
    add_broker_options(parser)
    parser.add_argument("--url", help="address of the bundle, or of its folder if it ends with /")
    add_devices(parser)
    parser.add_argument(
        "--keys", type=Path, metavar="DIR", help="first verify the bundle with these public keys"
    )


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
        if offer.requires:
            client.pump(SETTLE_S)  # every device's info says whether it knows them
        if arguments.wait:
            rollout.run()
            return 1 if state.failed else 0
        rollout.send_all()
        asked = len(names) - len(state.failed)
        _say(f"{offer.product} {offer.serial} asked of {asked} devices; see edge-deploy status")
        return 1 if state.failed else 0
    finally:
        client.close()


def _withdraw(arguments: argparse.Namespace, devices: tuple[DeviceName, ...]) -> int:
    from edge_app.mqtt.topics import Topics

    if arguments.bundle is not None or arguments.url is not None:
        raise ConfigError("--withdraw takes no BUNDLE and no --url: it withdraws any deployment.")
    client, _ = connect(arguments)
    for device in devices:
        client.publish(Topics(device).desired(arguments.slot), b"")
    client.close()
    _say(f"withdrawn from {len(devices)} devices; running installations continue")
    return 0


def _offer(arguments: argparse.Namespace, devices: tuple[DeviceName, ...]) -> Offer:
    from deploy.fleet.pointer import make_offer

    if arguments.bundle is None or arguments.url is None:
        raise ConfigError("give the BUNDLE and the --url from which devices download it.")
    return make_offer(arguments.bundle, arguments.url, devices, arguments.keys)


# -- rollout ---------------------------------------------------------------------------------------


def _rollout(arguments: argparse.Namespace) -> int:
    from deploy.fleet.rollout_lock import hold

    file = arguments.state or arguments.bundle.with_suffix(f".{arguments.slot}.rollout.json")
    if file.exists() and not file.is_file():
        raise ConfigError(f"--state {file} is no file. Name a file, or one that is not there yet.")
    with hold(file):
        return _carry_out(arguments, file)


def _carry_out(arguments: argparse.Namespace, file: Path) -> int:
    from deploy.fleet.rollout import Rollout
    from deploy.fleet.rollout_rules import Limits
    from deploy.fleet.rollout_state import save_state

    limits = Limits(arguments.wait, arguments.max_failures, arguments.timeout_s)
    state = _rollout_state(arguments, file)
    client, fleet = connect(arguments)
    rollout = Rollout(state, client, fleet, limits, save=lambda s: save_state(file, s), report=_say)
    try:
        client.pump(SETTLE_S)
        if state.outcome != "running":
            left = rollout.clear_up()
            if arguments.abort:
                _say(f"it has ended already ({state.outcome}); {left} pointers withdrawn")
                return 0
            raise _has_ended(state, file)
        if arguments.abort:
            rollout.abort()
            return 0
        return 0 if rollout.run() == "done" else 1
    except KeyboardInterrupt:
        _say(f"interrupted: {rollout.summary}. The same command resumes, --abort ends it.")
        return NO
    finally:
        client.close()


def _rollout_state(arguments: argparse.Namespace, file: Path) -> RolloutState:
    """Return where an earlier run of the same roll-out stopped, or the start of a new one."""
    from deploy.fleet.rollout_state import load_state

    earlier = None if arguments.restart else load_state(file)
    if earlier is None and not arguments.abort:
        return _asked(arguments)
    if earlier is None:
        raise ConfigError(f"there is no roll-out to abort in {file}; name its file with --state.")
    if arguments.abort or earlier.outcome == "running":
        _check_same_bundle(arguments.bundle, earlier, file)
    if arguments.abort:
        _check_same_broker(arguments, earlier, file)
        return earlier
    _check_same_order(_asked(arguments), earlier, file)
    if earlier.outcome == "done":
        raise _has_ended(earlier, file)
    return earlier


def _has_ended(state: RolloutState, file: Path) -> ConfigError:
    return ConfigError(
        f"this roll-out has ended ({state.outcome}), see {file}; --restart starts it over."
    )


def _asked(arguments: argparse.Namespace) -> RolloutState:
    """Return the roll-out that the arguments ask for, before its first step."""
    from deploy.fleet.rollout_rules import make_waves
    from deploy.fleet.rollout_state import new_state

    devices = chosen_devices(arguments)
    offer = _offer(arguments, devices)
    waves = make_waves([str(d) for d in devices], arguments.canary, arguments.then)
    return new_state(offer, arguments.slot, waves, _broker_of(arguments), arguments.wait)


def _broker_of(arguments: argparse.Namespace) -> str:
    settings = broker_settings(arguments)
    return f"{settings.host}:{settings.port}"


def _check_same_broker(arguments: argparse.Namespace, earlier: RolloutState, file: Path) -> None:
    """Its pointers can be withdrawn where they were sent only."""
    if earlier.broker not in (None, _broker_of(arguments)):
        raise ConfigError(
            f"the roll-out of {file} was sent to the broker {earlier.broker}; its pointers can be "
            "withdrawn there only."
        )


def _check_same_order(asked: RolloutState, earlier: RolloutState, file: Path) -> None:
    from deploy.fleet.rollout_state import differences

    found = differences(asked, earlier)
    if not found:
        return
    how = "is not finished" if earlier.outcome == "running" else f"has ended ({earlier.outcome})"
    do = (
        "The same command as then resumes it, --abort ends it"
        if earlier.outcome == "running"
        else "--restart replaces it"
    )
    raise ConfigError(
        f"{file} holds another roll-out, which {how}: {'; '.join(found)}. {do}; for a roll-out of "
        "its own name another --state."
    )


def _check_same_bundle(bundle: Path, earlier: RolloutState, file: Path) -> None:
    import hashlib

    if hashlib.sha256(bundle.read_bytes()).hexdigest() != earlier.offer.sha256:
        raise ConfigError(
            f"{bundle} is not the bundle that is being rolled out in {file} "
            f"({earlier.offer.product} {earlier.offer.serial}). --abort that one with its own "
            "bundle first, or name another --state."
        )


def _say(text: str) -> None:
    from edge_app.host.plain_text import one_line, write_line

    write_line(sys.stdout, one_line(text))
