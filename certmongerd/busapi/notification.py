"""How people are told of a request, as the interface shows it."""

from typing import Final

from certmongerd.busapi.service import Service
from certmongerd.busapi.table import Answer
from certmongerd.config.settings import NotificationMethod
from certmongerd.core.model import Request

_TYPES: Final = {NotificationMethod.MAIL.value: "email"}
"""What the interface calls methods, where that is another word than the configuration's."""

NOTIFICATION_DESTINATIONS: Final = (
    ("notification-syslog-priority", ("syslog",)),
    ("notification-email", ("email",)),
    ("notification-command", ("command",)),
)
"""Properties that show the destination of a request's own notifications, and for which types."""


NOTIFICATION_PROPERTIES: Final = ("notification-type", *(name for name, _ in NOTIFICATION_DESTINATIONS))


def notification_type(request: Request) -> str:
    """How people are told of this request, if not as configured for all."""
    method = request.notification.method
    return _TYPES.get(method, method)


def notification_destination(request: Request, kinds: tuple[str, ...]) -> str:
    """Where they are told, when the type is one of *kinds*."""
    return request.notification.destination if notification_type(request) in kinds else ""


def answer_notification(request: Request, service: Service) -> Answer:
    """Method and destination that hold for the request."""
    method, destination = service.notification()
    own = request.notification
    if own.method:
        method, destination = own.method, own.destination
    method = method.lower()
    return Answer("ss", (_TYPES.get(method, method), own.destination or destination))
