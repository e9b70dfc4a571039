"""`edge-app inspect`: pictures on disk, a line each, and what came of them in the end."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_app.cli.parser import set_examples
from edge_app.host import plain_text

NOTHING_INSPECTED = 1
"""Exit code: there were pictures, and the bundle could judge none of them."""


def add_inspect_command(parser: argparse.ArgumentParser) -> None:
    """Fill in the arguments of `inspect`."""
    set_examples(
        parser,
        "edge-app inspect pictures/ --bundle part.bundle --out looked-at",
        "edge-app inspect one.png --bundle part.bundle --json",
    )
    parser.add_argument("path", type=Path, help="a picture or a folder of pictures")
    parser.add_argument(
        "--bundle", type=Path, required=True, metavar="FILE", help="the bundle to judge with"
    )
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="DIR",
        help="accept only a bundle signed with a public key in DIR (default: no check)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per picture")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="save each picture with its anomaly map in DIR, a new folder or an earlier inspect's",
    )
    parser.set_defaults(work=_inspect)


def _inspect(args: argparse.Namespace) -> int:
    from edge_app.bundle.archive import read_bundle
    from edge_app.bundle.thresholds import weakness
    from edge_app.bundle.trusted_keys import load_trust
    from edge_app.model.loaded_model import load_model
    from edge_app.model.offline import inspect_pictures, pictures_at
    from edge_app.model.view_folder import open_view_folder

    trust = load_trust(args.keys) if args.keys else None
    bundle = read_bundle(args.bundle, trust=trust)
    pictures = pictures_at(args.path, _say_left_out)
    views = open_view_folder(args.out, args.path, dict(pictures)) if args.out else None
    model = load_model(bundle)
    weak = weakness(model.limits.clear_recall)
    if weak is not None:
        print(f"warning: {weak}", file=sys.stderr, flush=True)
    show = views.drawer(model.limits.map_threshold) if views else None
    verdicts: Counter[str] = Counter()
    for result in inspect_pictures(model, pictures, show):
        verdicts[str(result["verdict"])] += 1
        print(json.dumps(result) if args.json else one_line(result), flush=True)
    product = bundle.manifest.product
    print(plain_text.one_line(summary(verdicts, product)), file=sys.stderr)
    return 0 if inspected(verdicts) else NOTHING_INSPECTED


def inspected(verdicts: Mapping[str, int]) -> int:
    """Return how many pictures have a verdict."""
    return sum(count for verdict, count in verdicts.items() if verdict != "NOT_INSPECTED")


def summary(verdicts: Mapping[str, int], product: str) -> str:
    """Return one sentence on all pictures.

    Args:
        verdicts: verdict → number of pictures.
        product: what the bundle is for.
    """
    count = sum(verdicts.values())
    counted = (
        f"{count} {'picture' if count == 1 else 'pictures'}: {verdicts.get('OK', 0)} OK, "
        f"{verdicts.get('NG', 0)} NG, {verdicts.get('NOT_INSPECTED', 0)} not inspected"
    )
    if count and not inspected(verdicts):
        return (
            f"{counted}. Nothing could be inspected: the bundle is for {product}. Are these its "
            "pictures, from its station?"
        )
    return f"{counted}, by the bundle for {product}"


def one_line(result: Mapping[str, Any]) -> str:
    """Return a picture's verdict with score and limit, or with the reason why there is none.

    Of a picture that shows several products it is the worst one's, with a count of each verdict.
    """
    score, limit = result.get("score"), result.get("threshold")
    detail = str(result.get("reason", ""))
    if isinstance(score, float):
        detail = f"{score:.3f}" + (f" of {limit:.3f}" if isinstance(limit, float) else "")
    parts = result.get("parts", ())
    if parts:
        bad = sum(part["verdict"] == "NG" for part in parts)
        unsure = sum(part["verdict"] == "NOT_INSPECTED" for part in parts)
        detail += f"  ({len(parts)} parts: {bad} NG, {unsure} not inspected)"
    picture = plain_text.one_line(str(result["picture"]))
    verdict = "OK (suspect)" if result.get("is_suspect") else result["verdict"]
    return f"{verdict:<14}{detail:>18}  {picture}"


def _say_left_out(what: str) -> None:
    print(plain_text.one_line(f"left out: {what}"), file=sys.stderr)
