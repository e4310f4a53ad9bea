"""The daemon's state as Prometheus metrics."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from certmongerd import __version__
from certmongerd.core.ids import ObjectPath
from certmongerd.core.model import Ca, CaType, Request
from certmongerd.observe.run_times import RunTimes

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST: Final = ("request", "ca")


class Metrics(Collector):
    """Reads the daemon's tables when somebody asks; counts what only happens."""

    def __init__(
        self,
        requests: Callable[[], Mapping[ObjectPath, Request]],
        cas: Callable[[], Mapping[ObjectPath, Ca]],
        run_times: RunTimes,
        now: Callable[[], datetime],
    ) -> None:
        self._requests = requests
        self._cas = cas
        self._run_times = run_times
        self._now = now
        self._saved: Counter[str] = Counter()
        self._renewed: Counter[str] = Counter()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics in the text format."""
        return bytes(generate_latest(self._registry))

    def count_saved(self, nickname: str, *, is_renewal: bool) -> None:
        """A certificate was stored; *is_renewal* tells whether in the place of an earlier one."""
        self._saved[nickname] += 1
        self._renewed[nickname] += is_renewal

    def collect(self) -> Iterable[Metric]:
        """The families, for prometheus_client."""
        yield InfoMetricFamily("certmongerd", "Version of the daemon.", {"version": __version__})
        yield from self._about_requests(tuple(self._requests().values()))
        yield from self._about_cas(tuple(self._cas().values()))
        yield self._about_runs()

    def _about_requests(self, requests: Iterable[Request]) -> Iterable[Metric]:
        now = self._now()
        state = GaugeMetricFamily(
            "certmongerd_request_state", "1 for the state that a request is in.", labels=(*_REQUEST, "state")
        )
        stuck = GaugeMetricFamily("certmongerd_request_stuck", "Whether somebody has to act.", labels=_REQUEST)
        left = GaugeMetricFamily(
            "certmongerd_certificate_expiry_seconds", "Seconds until the certificate expires.", labels=_REQUEST
        )
        end = GaugeMetricFamily(
            "certmongerd_certificate_not_after_timestamp_seconds", "When the certificate expires.", labels=_REQUEST
        )
        attempt = GaugeMetricFamily(
            "certmongerd_request_last_attempt_timestamp_seconds", "When the CA was last asked.", labels=_REQUEST
        )
        failed = GaugeMetricFamily(
            "certmongerd_request_failing", "Whether the last attempt brought an error.", labels=_REQUEST
        )
        saved = CounterMetricFamily(
            "certmongerd_certificates_saved", "Certificates stored since the start.", labels=_REQUEST
        )
        renewed = CounterMetricFamily(
            "certmongerd_renewals",
            "Certificates that took the place of an earlier one since the start.",
            labels=_REQUEST,
        )
        for request in requests:
            labels = (request.id, request.ca_name)
            state.add_metric((*labels, request.state.value), 1)
            stuck.add_metric(labels, request.is_stuck)
            failed.add_metric(labels, bool(request.ca_error))
            saved.add_metric(labels, self._saved[request.id])
            renewed.add_metric(labels, self._renewed[request.id])
            if request.cert_facts.not_after is not None:
                left.add_metric(labels, (request.cert_facts.not_after - now).total_seconds())
                end.add_metric(labels, request.cert_facts.not_after.timestamp())
            if request.submitted is not None:
                attempt.add_metric(labels, request.submitted.timestamp())
        return (state, stuck, left, end, attempt, failed, saved, renewed)

    def _about_cas(self, cas: Iterable[Ca]) -> Iterable[Metric]:
        reachable = GaugeMetricFamily(
            "certmongerd_ca_reachable",
            "Whether the CA answered when it was last asked, for its data or for a certificate.",
            labels=("ca",),
        )
        deployed = GaugeMetricFamily(
            "certmongerd_ca_deployed",
            "Whether the CA's certificates were saved where they are wanted, and its commands succeeded.",
            labels=("ca",),
        )
        for ca in cas:
            answers = not ca.error and not self._run_times.is_unreachable(ca.id)
            reachable.add_metric((ca.id,), ca.type is CaType.INTERNAL_SELF or answers)
            deployed.add_metric((ca.id,), not ca.deployment_error)
        yield reachable
        yield deployed

    def _about_runs(self) -> Metric:
        runs = HistogramMetricFamily(
            "certmongerd_helper_run_seconds",
            "How long enrolment helpers took, by operation and exit status.",
            labels=("ca", "operation", "status"),
        )
        for labels, times in self._run_times.items():
            runs.add_metric(labels, buckets=list(times.cumulative()), sum_value=times.total_s)
        return runs
