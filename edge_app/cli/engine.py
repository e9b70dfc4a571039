"""`edge-app engine`: TensorRT engines of a bundle, built on the device that will run them."""

from __future__ import annotations

import argparse
import functools
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.backends.engine_build import BUILD_TIMEOUT_S
from edge_app.cli.parser import seconds, set_examples, whole
from edge_app.errors import ConfigError, EdgeError, ModelError

if TYPE_CHECKING:
    from edge_app.backends.cuda_driver import Gpu
    from edge_app.backends.engine_cache import EngineCache, EngineKey
    from edge_app.bundle.archive import Bundle
    from edge_app.config.model import AppConfig

EXIT_NOT_ALL = 1
MOST_WORKSPACE_MB = 1 << 20


def add_engine_commands(commands: Any) -> None:
    """Add `engine` and its sub-commands to edge-app's commands."""
    about = "build, list and prune the TensorRT engines of a bundle"
    engine = commands.add_parser("engine", help=about, description=_sentence(about))
    steps = engine.add_subparsers(dest="step", required=True, metavar="STEP")
    build = _step(steps, "build", "build the engines of a bundle that are missing", _build)
    build.add_argument(
        "--precision", choices=("fp32", "fp16", "int8"), help="only this variant (default: all)"
    )
    build.add_argument(
        "--timeout-s",
        type=seconds(),
        default=BUILD_TIMEOUT_S,
        metavar="S",
        help="time limit for one engine, in seconds (default: %(default)g)",
    )
    build.add_argument(
        "--again",
        action="store_true",
        help="rebuild existing engines too, e.g. if TensorRT cannot load them",
    )
    build.add_argument(
        "--workspace-mb",
        type=whole(1, MOST_WORKSPACE_MB),
        metavar="MB",
        help="limit on the builder's scratch memory (default: TensorRT's own)",
    )
    build.add_argument(
        "--for",
        dest="target",
        type=_target,
        metavar="SM",
        help="build for another GPU, e.g. SM86; TensorRT-RTX only (default: this GPU)",
    )
    _step(steps, "list", "list the engines, and whether this machine can use them", _list)
    prune = _step(steps, "prune", "remove engines that this machine cannot use", _prune)
    prune.add_argument("--all", action="store_true", help="remove every engine")


def _step(steps: Any, name: str, about: str, work: Any) -> Any:
    parser = steps.add_parser(name, help=about, description=_sentence(about))
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="FILE",
        help="the bundle (default: [bundle] path of the configuration)",
    )
    set_examples(parser, f"edge-app engine {name} --config edge-app.toml")
    parser.set_defaults(work=work)
    return parser


def _target(text: str) -> str:
    """Return a builder's name of a GPU such as SM86."""
    if not re.fullmatch(r"SM[0-9]{2,3}", text):
        raise argparse.ArgumentTypeError(f"expected SM and two or three digits, got {text[:40]!r}")
    return text


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _build(args: argparse.Namespace) -> int:
    """Build missing engines; if one fails, the others are still built."""
    from edge_app.model.engine_jobs import jobs_of

    config, cache = _opened(args)
    bundle = _bundle(args, config)
    failed = 0
    for variant in bundle.manifest.variants:
        if args.precision not in (None, variant.precision):
            continue
        key_of = functools.partial(_key, target=args.target)
        for job in jobs_of(bundle, variant, key_of, config.runtime.max_batch):
            failed += not _build_one(args, cache, job.key, job.graph, job.model)
    if not failed and args.target is None:
        failed += not _certify(bundle, config)
    return EXIT_NOT_ALL if failed else 0


def _build_one(
    args: argparse.Namespace, cache: EngineCache, key: EngineKey, graph: str, model: bytes
) -> bool:
    """Return whether the engine exists afterwards."""
    from edge_app.backends.engine_build import build_into

    name = f"{key.precision} {graph}"
    if cache.has(key) and not args.again:
        print(f"{name}: exists already")
        return True

    def show(phase: str, share: float) -> None:
        _show(f"{name}: {phase} {share:.0%}")

    try:
        entry = build_into(
            cache,
            key,
            graph,
            model,
            progress=show,
            timeout_s=args.timeout_s,
            workspace_mb=args.workspace_mb,
            compute_capability=args.target,
        )
    except ModelError as error:
        print(f"{name}: not built: {error}", file=sys.stderr)
        return False
    print(f"{name}: built in {entry.build_s:.1f} s, {entry.length / (1 << 20):.1f} MB")
    return True


def _certify(bundle: Bundle, config: AppConfig) -> bool:
    """Check that the new engines reproduce the golden set, and print the certificates.

    Returns:
        Whether engines will be used.
    """
    from edge_app.backends.choice import GraphOpener
    from edge_app.model.load_for_device import backend_choice
    from edge_app.model.variant_selection import load_safest, write_certificate

    opener = GraphOpener(backend_choice(config))
    found = load_safest(bundle, opener, config.runtime.precision, config.runtime.threads)
    for certificate in found.certificates:
        write_certificate(certificate, config.device.state_dir / "parity")
        print(
            f"{certificate.precision}: {certificate.reason or 'passed'}; "
            f"{certificate.pictures} golden pictures, worst IoU {certificate.worst_iou:.3f}, worst "
            f"score difference {certificate.worst_score_difference:.2%}, "
            f"{certificate.latency_ms or 0:.1f} ms a picture"
        )
    print(f"{found.model.identity.precision} will judge, on {opener.providers}")
    return bool(found.certificates) and found.certificates[-1].is_passed


def _list(args: argparse.Namespace) -> int:
    from edge_app.backends.engine_cache import OPENVINO, total_mb

    _, cache = _opened(args)
    entries = cache.entries()
    here = _machine()
    for entry in entries:
        key = entry.key
        fits = "fits" if here is not None and _state(key) == here else "not for this machine"
        fits = "kept by itself" if key.library == OPENVINO else fits
        print(
            f"{key.digest()}  {entry.graph:<9} {key.precision}  up to {key.max_batch}  "
            f"{key.library} {key.version}  {key.gpu} ({key.compute_capability})  "
            f"{entry.length / (1 << 20):.1f} MB  built in {entry.build_s:.0f} s  {fits}"
        )
    print(f"{len(entries)} engines, {total_mb(entries):.1f} MB in {cache.folder}")
    return 0


def _prune(args: argparse.Namespace) -> int:
    from edge_app.backends.engine_cache import OPENVINO

    _, cache = _opened(args)
    here = None if args.all else _machine()
    if here is None and not args.all:
        raise ModelError(
            "No GPU or no TensorRT found, so no engine can be recognised as usable here. Remove "
            "all of them with --all, or prune when the driver works again."
        )
    removed = cache.prune(
        lambda key: not args.all and (key.library == OPENVINO or _state(key) == here)
    )
    print(f"{len(removed)} files removed from {cache.folder}")
    return 0


def _opened(args: argparse.Namespace) -> tuple[AppConfig, EngineCache]:
    from edge_app.backends.engine_cache import EngineCache
    from edge_app.config.load import load_config
    from edge_app.model.load_for_device import engine_dir

    config = load_config(args.config)
    return config, EngineCache(engine_dir(config))


def _bundle(args: argparse.Namespace, config: AppConfig) -> Bundle:
    from edge_app.bundle.archive import read_bundle

    path = args.bundle or config.bundle.path
    if path is None:
        raise ConfigError("The configuration has no [bundle] path: give --bundle.")
    return read_bundle(path)


def _key(model: bytes, precision: str, max_batch: int, target: str | None) -> EngineKey:
    from edge_app.backends.choice import key_here
    from edge_app.backends.engine_cache import engine_key
    from edge_app.backends.tensorrt_library import load_tensorrt

    if target is None:
        return key_here(model, precision, max_batch)
    trt = load_tensorrt()
    return engine_key(model, trt.name, trt.version, _aimed_at(target), precision, max_batch)


def _aimed_at(target: str) -> Gpu:
    """Return the GPU that a builder's name such as SM86 stands for."""
    from edge_app.backends.cuda_driver import Gpu

    digits = target.removeprefix("SM")
    return Gpu(target, f"{digits[:-1]}.{digits[-1:]}", False)


def _state(key: EngineKey) -> tuple[str, str, str, str]:
    return key.library, key.version, key.gpu, key.compute_capability


def _machine() -> tuple[str, str, str, str] | None:
    """Return what usable engines must have been built for; None without GPU or TensorRT."""
    from edge_app.backends.choice import key_here

    try:
        return _state(key_here(b"", "fp32", 1))
    except EdgeError:
        return None


def _show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"{text:<78}\r", end="", file=sys.stderr, flush=True)
