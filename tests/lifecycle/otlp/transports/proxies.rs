//! Proxies between the lifecycle and a collector, for each protocol: telemetry R38.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use cnb_lifecycle::net::proxy::Proxies;
use cnb_lifecycle::os::lookup::Lookup;
use cnb_lifecycle::telemetry::otlp::{Accepted, Network};

use super::{Client, PROTOCOLS, collector, secure};
use crate::support::tls::{self, Identity};

/// A proxy for one connection, which leads to another place than it is asked for; its thread gives what it was asked.
fn proxy(behind: String) -> (String, JoinHandle<String>) {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap().to_string();
    let asked = std::thread::spawn(move || {
        let (mut client, _) = proxy.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let mut server = std::net::TcpStream::connect(behind).unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
        // Until either side has enough.
        let _ = std::io::copy(&mut server, &mut client);
        String::from_utf8(head).unwrap()
    });
    (address, asked)
}

/// The name is resolved by the proxy, which is asked for a tunnel, whatever is spoken inside.
#[test]
fn r38_every_protocol_goes_through_a_proxy() {
    for protocol in PROTOCOLS {
        let collector = collector(protocol);
        let (address, asked) = proxy(collector.endpoint().replace("http://", ""));
        let proxies = Proxies { http: format!("http://user:pass@{address}"), ..Proxies::default() };
        let network = Network { proxies, lookup: Lookup::default() };
        let mut client = Client::through(protocol, "http://collector.example:4317", &[], &network);
        assert_eq!(client.send("a"), Ok(Accepted::default()), "{protocol}");
        assert_eq!(collector.lines(), ["a"], "{protocol}");
        drop((client, collector));
        let head = asked.join().unwrap().to_ascii_lowercase();
        assert!(head.starts_with("connect collector.example:4317 http/1.1\r\n"), "{protocol}: {head}");
        assert!(head.contains("proxy-authorization: basic dxnlcjpwyxnz\r\n"), "{protocol}: {head}");
    }
}

/// Only the collector sees what is inside TLS, and only its certificate counts.
#[test]
fn r38_tls_goes_through_a_proxy_to_the_collector_itself() {
    let ca = tls::path("ca.pem");
    for protocol in PROTOCOLS {
        let collector = secure(protocol, Identity::Good);
        let behind = collector.endpoint().replace("https://", "");
        let (address, asked) = proxy(behind.clone());
        // For http, another one, which nobody asks.
        let proxies =
            Proxies { https: format!("http://{address}"), http: "http://127.0.0.1:1".into(), ..Proxies::default() };
        let network = Network { proxies, lookup: Lookup::default() };
        // A host that is no loopback, for those are never reached through a proxy; its certificate names localhost alone.
        let more = [("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.to_str().unwrap())];
        let mut client = Client::through(protocol, "https://collector.example:4317", &more, &network);
        let refusal = client.send("a").unwrap_err();
        assert!(refusal.cause.contains("not valid for"), "{protocol}: {refusal}");
        drop((client, collector));
        let head = asked.join().unwrap();
        assert!(head.starts_with("CONNECT collector.example:4317 HTTP/1.1\r\n"), "{protocol}: {head}");
    }
}

#[test]
fn r38_hosts_of_no_proxy_are_reached_without_one() {
    // Nobody listens there.
    let dead = "http://127.0.0.1:1";
    for protocol in PROTOCOLS {
        let collector = collector(protocol);
        let here = collector.endpoint();
        // This machine too, but no address that is always reached without.
        let address = here.replace("http://localhost", "0.0.0.0");
        let send = |endpoint: &str, none: &str| {
            let proxies = Proxies { http: dead.to_owned(), https: dead.to_owned(), none: none.to_owned() };
            Client::through(protocol, endpoint, &[], &Network { proxies, lookup: Lookup::default() }).send("a")
        };
        for none in ["0.0.0.0", "example.com, 0.0.0.0/8", "*", &address] {
            assert_eq!(send(&format!("http://{address}"), none), Ok(Accepted::default()), "{protocol} {none}");
        }
        for none in ["", "0.0.0.1", "10.0.0.0/8", "0.0.0.0:1"] {
            let refusal = send(&format!("http://{address}"), none).unwrap_err();
            assert!(refusal.cause.contains("refused"), "{protocol} {none}: {refusal}");
        }
        assert_eq!(send(&here, ""), Ok(Accepted::default()), "{protocol}");
        assert_eq!(collector.lines().len(), 5, "{protocol}");
    }
}
