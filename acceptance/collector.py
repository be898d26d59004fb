"""A collector in other people's code: grpcio, opentelemetry-proto and Python's own http server.

    collector.py FILE GRPC_PORT HTTP_PORT

Writes each log record and span that it takes to FILE, a line of JSON each, in the order in which they come.
"""
import concurrent.futures
import gzip
import http.server
import json
import sys
import threading

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

path, grpc_port, http_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
out, lock = open(path, "a"), threading.Lock()


def value(any_value):
    kind = any_value.WhichOneof("value")
    return None if kind is None else getattr(any_value, kind) if not kind.endswith("list_value") else str(any_value)


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


def write(by, kind, resource, scope, fields):
    common = {"by": by, "kind": kind, "resource": attributes(resource.attributes), "scope": scope.name}
    out.write(json.dumps(common | fields) + "\n")


def logs(by, request):
    with lock:
        for below in request.resource_logs:
            for scope in below.scope_logs:
                for record in scope.log_records:
                    write(by, "log", below.resource, scope.scope, {
                        "body": value(record.body), "attributes": attributes(record.attributes),
                        "trace": record.trace_id.hex(), "span": record.span_id.hex(), "flags": record.flags,
                        "severity": record.severity_number, "time": record.time_unix_nano,
                        "observed": record.observed_time_unix_nano})
        out.flush()


def traces(by, request):
    with lock:
        for below in request.resource_spans:
            for scope in below.scope_spans:
                for span in scope.spans:
                    write(by, "span", below.resource, scope.scope, {
                        "name": span.name, "attributes": attributes(span.attributes), "trace": span.trace_id.hex(),
                        "span": span.span_id.hex(), "parent": span.parent_span_id.hex(), "flags": span.flags,
                        "start": span.start_time_unix_nano, "end": span.end_time_unix_nano})
        out.flush()


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def Export(self, request, context):
        logs("grpc", request)
        return logs_service_pb2.ExportLogsServiceResponse()


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        traces("grpc", request)
        return trace_service_pb2.ExportTraceServiceResponse()


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/logs":
            logs("http", logs_service_pb2.ExportLogsServiceRequest.FromString(body))
        elif self.path == "/v1/traces":
            traces("http", trace_service_pb2.ExportTraceServiceRequest.FromString(body))
        self.send_response(200 if self.path in ["/v1/logs", "/v1/traces"] else 404)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
server.add_insecure_port(f"127.0.0.1:{grpc_port}")
server.start()
http.server.ThreadingHTTPServer(("127.0.0.1", http_port), Http).serve_forever()
