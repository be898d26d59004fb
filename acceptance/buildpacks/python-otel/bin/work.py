"""Does some work inside spans of OpenTelemetry's SDK, which go to the file that the lifecycle made for this process."""
import json
import os
import time

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator


def attributes(values):
    def value(one):
        if isinstance(one, bool):
            return {"boolValue": one}
        if isinstance(one, int):
            return {"intValue": str(one)}
        return {"doubleValue": one} if isinstance(one, float) else {"stringValue": str(one)}

    return [{"key": key, "value": value(one)} for key, one in (values or {}).items()]


class JsonLines(SpanExporter):
    """Appends OTLP JSON, one line for each span: the SDK brings exporters for networks only."""

    def __init__(self, path):
        # Each line is one write of its own.
        self.file = open(path, "ab", buffering=0)

    def export(self, spans):
        for span in spans:
            fields = {
                "traceId": f"{span.context.trace_id:032x}",
                "spanId": f"{span.context.span_id:016x}",
                "parentSpanId": f"{span.parent.span_id:016x}" if span.parent else "",
                "name": span.name,
                "kind": span.kind.value + 1,
                "startTimeUnixNano": str(span.start_time),
                "endTimeUnixNano": str(span.end_time),
                "attributes": attributes(span.attributes),
                "status": {"code": {"UNSET": 0, "OK": 1, "ERROR": 2}[span.status.status_code.name]},
            }
            scope = {"name": span.instrumentation_scope.name}
            resource = {"attributes": attributes(span.resource.attributes)}
            data = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": [fields]}]}]}
            self.file.write(json.dumps(data, separators=(",", ":")).encode() + b"\n")
        return SpanExportResult.SUCCESS


provider = TracerProvider(resource=Resource({"service.name": "samples/python-otel"}))
if path := os.environ.get("CNB_OTEL_LOG_PATH"):
    provider.add_span_processor(SimpleSpanProcessor(JsonLines(path)))
tracer = provider.get_tracer("samples/python-otel")
parent = TraceContextTextMapPropagator().extract({"traceparent": os.environ.get("TRACEPARENT", "")})

with tracer.start_as_current_span("install dependencies", context=parent) as outer:
    for name in ["resolve", "download"]:
        with tracer.start_as_current_span(name) as inner:
            inner.set_attribute("packages", 2)
            time.sleep(0.02)
    outer.set_attribute("cached", False)
