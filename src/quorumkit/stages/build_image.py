"""Building the node image: `quorumkit image build`."""

from __future__ import annotations

from pathlib import Path

from quorumkit.directory import NetworkDirectory
from quorumkit.engines import acquirer_of, kinds
from quorumkit.errors import UsageError
from quorumkit.image.build import Image, build_image, image_tag
from quorumkit.progress import Progress
from quorumkit.spec import parse_spec


def build_node_image(
    progress: Progress,
    *,
    directory: Path | None = None,
    engine: str | None = None,
    consensus: str | None = None,
    engine_binary: Path | None = None,
    tag: str | None = None,
    base: str | None = None,
    again: bool = False,
) -> Image:
    """Builds it for the network in `directory`, or else for the newest version of that engine (the default one) that
    runs that consensus kind (its default one). With `again`, builds it even where nothing changed.

    Raises:
        UsageError: the network has another engine or consensus kind.
        SpecError: the engine does not run that consensus kind.
        EngineError: the client cannot be had.
        RuntimeUnavailableError: Docker is not there, or refuses.
    """
    override = engine_binary and engine_binary.expanduser().absolute()
    if directory is not None:
        network = NetworkDirectory(directory)
        spec = network.read_spec()
        if engine not in (None, spec.engine.kind):
            raise UsageError(f"{directory}: its engine is {spec.engine.kind}, not {engine}", hint="leave --engine out")
        if consensus not in (None, spec.consensus.kind):
            raise UsageError(
                f"{directory}: its consensus is {spec.consensus.kind}, not {consensus}", hint="leave --consensus out"
            )
        override = override or network.engine_override(spec)
    else:
        chosen = {"consensus": {"kind": consensus}} if consensus else {}
        spec = parse_spec({"name": "image", "engine": {"kind": engine or kinds()[0]}, **chosen})
    wanted, recipe = spec.engine, spec.recipe
    acquirer = acquirer_of(recipe.kind, spec.consensus.kind)
    binary = acquirer.acquire(wanted.version, override=override, image=wanted.image, progress=progress)
    return build_image(tag or image_tag(wanted.kind, wanted.version), recipe, binary, progress, base=base, again=again)
