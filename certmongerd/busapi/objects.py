"""The object tree: which paths exist, and what stands behind them."""

from dataclasses import replace
from typing import Final

from certmongerd.api import CAS_PATH, REQUESTS_PATH, ROOT_PATH
from certmongerd.busapi.ca import CA
from certmongerd.busapi.extended_ca import EXTENDED_CA
from certmongerd.busapi.extended_manager import EXTENDED_MANAGER
from certmongerd.busapi.extended_request import EXTENDED_REQUEST
from certmongerd.busapi.introspect import INTROSPECTABLE
from certmongerd.busapi.managed import all_objects
from certmongerd.busapi.manager import MANAGER
from certmongerd.busapi.marshal import Marshalled
from certmongerd.busapi.node import AnyInterface, BoundInterface, Node
from certmongerd.busapi.object_manager import OBJECT_MANAGER
from certmongerd.busapi.properties import PROPERTIES
from certmongerd.busapi.request import REQUEST
from certmongerd.busapi.table import Context, Interface, Subject
from certmongerd.core.ids import ObjectPath

_ANCESTORS: Final = {"/": ("org",), "/org": ("fedorahosted",), "/org/fedorahosted": ("certmonger",)}
_ROOT_CHILDREN: Final = ("requests", "cas")

_GROUP_INTERFACES: Final[tuple[Interface[Node], ...]] = (INTROSPECTABLE,)
_OBJECT_INTERFACES: Final[tuple[Interface[Node], ...]] = (INTROSPECTABLE, PROPERTIES)
_ROOT_INTERFACES: Final[tuple[Interface[Node], ...]] = (INTROSPECTABLE, PROPERTIES, OBJECT_MANAGER)


class ObjectTree:
    """Finds nodes by path. Nodes are made for the call; they show the state at that moment."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def find(self, path: str) -> Node | None:
        """The node at *path*, None when there is none. Paths are compared exactly."""
        own = self._own(path)
        if own is not None:
            return replace(self._node(path, own, _OBJECT_INTERFACES, ()), extension=self._extension(path))
        if path == ROOT_PATH:
            subject = Subject(ObjectPath(path), None, self._context)
            root = self._node(path, BoundInterface(MANAGER, subject), _ROOT_INTERFACES, _ROOT_CHILDREN)
            return replace(root, extension=BoundInterface(EXTENDED_MANAGER, subject))
        if path in (CAS_PATH, REQUESTS_PATH):
            service = self._context.service
            paths = tuple(service.cas()) if path == CAS_PATH else tuple(service.requests())
            return self._node(path, None, _GROUP_INTERFACES, tuple(child.rpartition("/")[2] for child in paths))
        children = _ANCESTORS.get(path)
        return None if children is None else self._node(path, None, _GROUP_INTERFACES, children)

    def _own(self, path: str) -> AnyInterface | None:
        service, key = self._context.service, ObjectPath(path)
        request = service.requests().get(key)
        if request is not None:
            return BoundInterface(REQUEST, Subject(key, request, self._context))
        ca = service.cas().get(key)
        return None if ca is None else BoundInterface(CA, Subject(key, ca, self._context))

    def _extension(self, path: str) -> AnyInterface | None:
        service, key = self._context.service, ObjectPath(path)
        request = service.requests().get(key)
        if request is not None:
            return BoundInterface(EXTENDED_REQUEST, Subject(key, request, self._context))
        ca = service.cas().get(key)
        return None if ca is None else BoundInterface(EXTENDED_CA, Subject(key, ca, self._context))

    def _node(
        self, path: str, own: AnyInterface | None, standard: tuple[Interface[Node], ...], children: tuple[str, ...]
    ) -> Node:
        return Node(
            path=path,
            context=self._context,
            own=own,
            standard=standard,
            children=children,
            managed=self._managed,
        )

    async def _managed(self) -> Marshalled:
        return await all_objects(self._context.service)
