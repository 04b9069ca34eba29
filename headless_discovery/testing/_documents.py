"""Manifests as text or as objects, one after the other, each with the place where it stands.

Only data that could be written out is returned: what contains itself, or expands by aliases into
more than was given, is refused first.
"""

import json
import re
import reprlib
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

Manifest = Mapping[str, Any]
Manifests = str | Manifest | Iterable[Manifest]

_DEEPEST = 200
"""Levels. Kubernetes' own objects have some 20."""
_LISTS = 10
_TEXT = ("timestamp", "value")
"""YAML types that Kubernetes does not know."""
_UNFOLDED = 100_000
"""Mappings and lists that aliases may add, besides ten times those that are there."""


@attrs.frozen
class Document:
    """One manifest; ``kind`` is what it says, or the list that it is an item of."""

    place: str
    """Such as ``document 2, item 3``; empty where there is only one."""
    kind: str
    manifest: Manifest

    @property
    def group(self) -> str | None:
        """Its API's: ``apps`` of ``apps/v1``, ``""`` of ``v1``; ``None`` if it does not say."""
        version = self.manifest.get("apiVersion")
        return version.rpartition("/")[0] if isinstance(version, str) else None

    def part(self, *keys: str) -> Manifest:
        """A mapping in it, such as ``"metadata", "labels"``; empty where there is none."""
        found = self.manifest
        for key in keys:
            found = found.get(key) or {}
        return found

    def __str__(self) -> str:
        """For people: where it is, and what."""
        metadata = self.manifest.get("metadata")
        named = metadata if isinstance(metadata, Mapping) else {}
        full = "/".join(str(named[key]) for key in ("namespace", "name") if named.get(key))
        kind = self.kind if self.kind.isidentifier() else repr(self.kind)
        return f"{self.place}: {kind} {full!r}" if self.place else f"{kind} {full!r}"


def documents(
    manifests: Manifests, refused: Callable[[str], object] | None = None
) -> list[Document]:
    """All of them, those in lists too; raises `ValueError` for what is no manifest.

    With ``refused``, it is called with the reason and the others are read; bad text still raises.
    """
    if isinstance(manifests, str):
        parts = [("document", number, one) for number, one in _parsed(manifests)]
    else:
        if isinstance(manifests, bytes) or not isinstance(manifests, Iterable):
            raise ValueError(  # noqa: TRY004 - one kind of error for all misuse
                f"manifests are text or mappings, not {reprlib.repr(manifests)}"
            )
        given = [manifests] if isinstance(manifests, Mapping) else list(manifests)
        _check_size(given, _held)
        parts = [("item", number, one) for number, one in enumerate(given, 1)]
    found: list[Document] = []
    for what, number, one in parts:
        try:
            found += _flat(one, "" if len(parts) == 1 else f"{what} {number}")
        except ValueError as error:
            if refused is None:
                raise
            refused(str(error))
    return found


def texts(what: str, given: Mapping[str, Any] | None) -> dict[str, str]:
    """Labels, or what they are to be; raises `ValueError` for a value that is no text."""
    found = {key: "" if value is None else value for key, value in (given or {}).items()}
    for key, value in found.items():
        if not isinstance(value, str):
            raise ValueError(  # noqa: TRY004 - bad data, as all else here
                f"{what} {key!r} is {value!r}, which is not text: put it in quotes"
            )
    return found


def _flat(manifest: object, place: str, kind: str = "", depth: int = 0) -> Iterator[Document]:
    """It, or its items: those of a PodList need not say what they are."""
    if depth > _LISTS:
        raise ValueError(f"lists are in lists, more than {_LISTS} levels deep")
    of = manifest.get("kind") or kind if isinstance(manifest, Mapping) else None
    if not isinstance(manifest, Mapping) or not isinstance(of, str) or not of:
        at = f"{place}: " if place else ""
        raise ValueError(f"{at}a manifest is a mapping with a kind, not {reprlib.repr(manifest)}")
    if not of.endswith("List"):
        yield Document(place, of, manifest)
        return
    items = manifest.get("items")
    items = [] if items is None else items
    if not isinstance(items, list | tuple):
        said = f"{Document(place, of, manifest)}: no list of items"
        raise ValueError(said)  # noqa: TRY004 - bad data, as all else here
    for number, item in enumerate(items, 1):
        at = f"{place}, item {number}" if place else f"item {number}"
        yield from _flat(item, at, of.removesuffix("List"), depth + 1)


def _parsed(text: str) -> Iterator[tuple[int, object]]:
    """The documents that are not empty, each with its number."""
    # Files that begin with a byte order mark may stand in a row.
    text = textwrap.dedent(re.sub("^\ufeff", "", text, flags=re.MULTILINE))
    read = _from_json if text.lstrip().startswith(("{", "[")) else _from_yaml
    for number, document in enumerate(read(text), 1):
        if isinstance(document, list):
            yield from ((number, one) for one in document)
        elif document is not None:
            yield number, document


def _from_json(text: str) -> list[object]:
    """Needs no extra, and is what ``kubectl -o json`` prints; YAML may begin as JSON does."""
    found, at = [], 0
    decoder = json.JSONDecoder()
    try:
        while rest := text[at:].lstrip():
            document, end = decoder.raw_decode(rest)
            at = len(text) - len(rest) + end
            found.append(document)
    except json.JSONDecodeError:
        return list(_from_yaml(text))
    except RecursionError:
        raise ValueError("not JSON: it is nested too deeply") from None
    return found


def _from_yaml(text: str) -> Iterator[object]:
    try:
        import yaml  # noqa: PLC0415 - an extra, and needed for YAML alone
    except ImportError as error:
        raise ValueError(
            "manifests in YAML need PyYAML: pip install 'headless_discovery[yaml]', or give dicts"
        ) from error

    def nodes(node: Any) -> list[Any]:
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        flat = [one for child in children for one in (child if type(child) is tuple else (child,))]
        return [child for child in flat if isinstance(child, yaml.CollectionNode)]

    # libyaml's is ten times as fast, where PyYAML was built with it.
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # To Kubernetes a date is text, and so is "=" (YAML 1.1 has types for both).
    plain = {
        first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] not in _TEXT]
        for first, known in fast.yaml_implicit_resolvers.items()
    }
    loader = type("Loader", (fast,), {"yaml_implicit_resolvers": plain})(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            # Before objects are made of it: a merge key copies what it names.
            _check_size(node, nodes)
            yield loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        if (mark := getattr(error, "problem_mark", None)) is not None:
            said = f"{getattr(error, 'problem', '')} in line {mark.line + 1}"
        if "{{" in text:
            said += "; a template is to be rendered first, by helm template for example"
        raise ValueError(f"not YAML: {said}") from error
    finally:
        loader.dispose()


def _held(value: Any) -> list[Any]:
    """The mappings and lists in a value."""
    inside = value.values() if isinstance(value, Mapping) else value
    return [one for one in inside if isinstance(one, Mapping | list | tuple)]


def _check_size(root: Any, children: Callable[[Any], list[Any]]) -> None:
    """Raises `ValueError` for what cannot be written out."""
    sizes: dict[int, int] = {}
    above: set[int] = set()

    def size_of(node: Any) -> int:
        here = id(node)
        if here in above:
            raise ValueError("it contains itself")
        if here not in sizes:
            if len(above) == _DEEPEST:
                raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
            above.add(here)
            size = 1 + sum(map(size_of, children(node)))
            above.remove(here)
            sizes[here] = size
            if size > 10 * len(sizes) + _UNFOLDED:
                raise ValueError("its aliases expand to more than can be read")
        return sizes[here]

    size_of(root)
