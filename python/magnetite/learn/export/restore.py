"""A sealed transformer as a module that can be trained on."""

from safetensors.torch import load_file

from magnetite._core import FormatError
from magnetite.encode.artifact import MANIFEST, TOKENIZER, WEIGHTS, Artifact
from magnetite.learn.encoders.tower import Tower
from magnetite.learn.export.describe import build
from magnetite.text import Tokenizer


def restore(artifact: Artifact) -> Tower:
    """Return the tower that was sealed, its weights bit for bit.

    Raises:
        FormatError: artifact.json does not say how its module is built, as for modules that are
            not a `Tower` of known parts.
    """
    manifest, path = artifact.manifest, artifact.directory / MANIFEST
    description = dict(manifest.module)
    places = description.pop("weights", None)
    if not places:
        raise FormatError(f"{path} does not say how its module is built; train the original module")
    constants = load_file(artifact.directory / WEIGHTS)
    tower = build(description, dim=manifest.dim, max_tokens=manifest.max_tokens)
    tower.tokenizer = Tokenizer.load(artifact.directory / TOKENIZER)
    state = {}
    for name, weight in tower.state_dict().items():
        constant, transposed, first = places[name]
        columns = weight.shape[0] if transposed else weight.shape[-1]
        found = constants[constant][..., first : first + columns]
        state[name] = (found.T if transposed else found).clone()
    tower.load_state_dict(state)
    return tower
