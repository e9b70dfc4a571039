"""`edge-export pull`: its options, and what it tells at the end."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.parser import set_examples

if TYPE_CHECKING:
    from export.feedback.device import DeviceAddress
    from export.feedback.pull import PullResult

NAMED = 10


def add_pull(commands: Any) -> None:
    """Add the command to `edge-export`'s sub-parsers."""
    text = "fetch the parts that people marked on devices, as a data set"
    parser = commands.add_parser(
        "pull",
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog="The same command brings the folder up to date: what is there is not fetched again, "
        "and a stopped pull goes on. Marks count once an engineer has accepted them.",
    )
    set_examples(
        parser,
        "edge-export pull --device https://press-3.plant:8080 --token-file token --out feedback",
        "edge-export pull --device http://127.0.0.1:8080 --proposals --out feedback",
    )
    parser.add_argument(
        "--device", action="append", required=True, metavar="URL",
        help="a device's page; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--token-file", action="append", type=Path, metavar="FILE",
        help="an API token of the device (edge-app tokens add): one for all devices, or one for "
        "each in their order",
    )  # fmt: skip
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE",
        help="certificate of the pages, where they have their own (default: the system's)",
    )  # fmt: skip
    parser.add_argument(
        "--name", action="append", metavar="NAME",
        help="a device's name in the data set, in the order of --device (default: HOST_PORT)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the data set to make or to update"
    )
    parser.add_argument(
        "--proposals", action="store_true",
        help="count marks that no engineer has accepted, where all who said something agree",
    )  # fmt: skip
    parser.set_defaults(run=_pull)


def _pull(args: argparse.Namespace) -> int:
    from export.cli.progress import ConsoleProgress
    from export.feedback.device import Device
    from export.feedback.folder import FeedbackFolder
    from export.feedback.pull import PullResult, check_something, pull
    from export.folder_lock import lock_folder
    from export.output_room import check_out_folder

    addresses = _addresses(args)
    check_out_folder(args.out)
    lock = lock_folder(args.out)
    folder, result = FeedbackFolder(args.out), PullResult()
    with ConsoleProgress() as progress:
        for address in addresses:
            with Device(address) as device:
                show = partial(progress.show, device.name)
                pull(device, folder, args.proposals, show, result)
    _tell(args.out, result)
    check_something(result)
    del lock
    return 1 if result.damaged or result.wrong else 0


def _addresses(args: argparse.Namespace) -> list[DeviceAddress]:
    from edge_app.errors import ConfigError
    from edge_app.store.secret_file import read_secret
    from export.feedback.device import DeviceAddress

    urls, files, names = args.device, args.token_file or [], args.name or []
    if len(files) not in (0, 1, len(urls)):
        raise ConfigError(
            f"{len(urls)} devices and {len(files)} token files: expected one file for all, or one "
            "for each device."
        )
    if len(names) not in (0, len(urls)) or len(set(names)) != len(names):
        raise ConfigError(
            f"{len(urls)} devices and {len(names)} names: expected a different name for each."
        )
    tokens = [read_secret(file, "--token-file") for file in files] or [""]
    found = [
        DeviceAddress(
            url,
            tokens[index] if len(tokens) > 1 else tokens[0],
            args.ca_file,
            names[index] if names else "",
        )
        for index, url in enumerate(urls)
    ]
    shown = [address.shown_name for address in found]
    if len(set(shown)) != len(shown):
        raise ConfigError("two devices have the same name: give each one with --name.")
    return found


def _tell(out: Path, result: PullResult) -> None:
    uses = result.uses
    print(
        f"{uses['good']} good parts and {uses['defect']} defects in {out}; {result.fetched} "
        "pictures were fetched now."
    )
    for use, words in (
        ("proposed", "wait for an engineer to accept their mark"),
        ("unsure", "were marked unsure: learnt from by nobody"),
        ("gone", "have a mark, but the device no longer keeps their picture"),
    ):
        if uses[use]:
            print(f"{uses[use]} parts {words}.")
    for names, words in (
        (result.disputed, "are disputed: their reviewers contradict each other; settle them on the "
         "page"),
        (result.damaged, "came with other bytes than the device recorded, and were not kept"),
        (result.wrong, "are described in a way that this release does not understand"),
    ):  # fmt: skip
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            print(f"{len(names)} parts {words}: {', '.join(names[:NAMED])}{more}", file=sys.stderr)
