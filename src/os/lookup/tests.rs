//! Tests of lookups, against a name server in this process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;

/// What the server does with a question.
#[derive(Clone)]
enum Reply {
    Addresses(&'static [&'static str]),
    /// A code of the protocol that says no.
    Code(u8),
    /// Only by TCP.
    Large(&'static [&'static str]),
    /// Forged answers first.
    Forged(&'static str),
    Silence,
}

const NXDOMAIN: Reply = Reply::Code(3);
const SERVFAIL: Reply = Reply::Code(2);
const NODATA: Reply = Reply::Addresses(&[]);

/// What each name and type of record gets; `*` stands for all other names.
type Zone = &'static [(&'static str, Reply)];

struct NameServer {
    port: u16,
    /// The questions as `udp a.io A`.
    asked: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    fn start(zone: Zone) -> Self {
        // The same port may be taken for TCP.
        let (udp, tcp) = std::iter::repeat_with(|| {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            TcpListener::bind(udp.local_addr().unwrap()).map(|tcp| (udp, tcp))
        })
        .find_map(Result::ok)
        .unwrap();
        let port = udp.local_addr().unwrap().port();
        let (asked, ended) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        udp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (heard, stop) = (asked.clone(), ended.clone());
        let by_udp = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, from)) = udp.recv_from(&mut buffer) else { continue };
                let (name, reply) = reply(zone, &buffer[..length]);
                heard.lock().unwrap().push(format!("udp {name}"));
                for message in messages(&buffer[..length], &reply, false) {
                    let _ = udp.send_to(&message, from);
                }
            }
        });
        let (heard, stop) = (asked.clone(), ended.clone());
        let by_tcp = std::thread::spawn(move || {
            for stream in tcp.incoming().take_while(|_| !stop.load(Ordering::Relaxed)) {
                let mut stream = stream.unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut question = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut question).unwrap();
                let (name, reply) = reply(zone, &question);
                heard.lock().unwrap().push(format!("tcp {name}"));
                for message in messages(&question, &reply, true) {
                    let _ = stream.write_all(&u16::try_from(message.len()).unwrap().to_be_bytes());
                    // In two pieces, as networks do.
                    let (start, rest) = message.split_at(message.len() / 2);
                    let _ = stream.write_all(start);
                    std::thread::sleep(Duration::from_millis(5));
                    let _ = stream.write_all(rest);
                }
            }
        });
        Self { port, asked, ended, threads: vec![by_udp, by_tcp] }
    }

    /// What was asked since the last time, sorted: both families are asked at once.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What a question asks for, and what it gets.
fn reply(zone: Zone, question: &[u8]) -> (String, Reply) {
    let mut labels = Vec::new();
    let mut at = 12;
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
        at = end;
    }
    let kind = if question[at + 2] == 1 { "A" } else { "AAAA" };
    let name = format!("{} {kind}", labels.join("."));
    let all = format!("* {kind}");
    let found = [&name, &all, &"*".to_owned()].iter().find_map(|key| zone.iter().find(|(name, _)| name == *key));
    (name, found.map_or(NXDOMAIN, |(_, reply)| reply.clone()))
}

/// The messages that a reply is made of.
fn messages(question: &[u8], reply: &Reply, tcp: bool) -> Vec<Vec<u8>> {
    let answer = |code: u8, truncated: bool, addresses: &[&str]| {
        let mut message = question.to_vec();
        message[2] = 0x81 | u8::from(truncated) << 1;
        message[3] = 0x80 | code;
        message[6..8].copy_from_slice(&u16::try_from(addresses.len()).unwrap().to_be_bytes());
        for address in addresses {
            let (record_type, data) = match address.parse().unwrap() {
                IpAddr::V4(address) => (1, address.octets().to_vec()),
                IpAddr::V6(address) => (28, address.octets().to_vec()),
            };
            message.extend([0xc0, 12, 0, record_type, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
            message.extend(data);
        }
        message
    };
    match reply {
        Reply::Addresses(addresses) => vec![answer(0, false, addresses)],
        Reply::Code(code) => vec![answer(*code, false, &[])],
        Reply::Large(addresses) => vec![answer(0, !tcp, if tcp { addresses } else { &[] })],
        Reply::Forged(address) => {
            let mut other_id = answer(0, false, &["10.6.6.6"]);
            other_id[1] ^= 1;
            let mut other_name = answer(0, false, &["10.6.6.6"]);
            other_name[13] ^= 1;
            vec![other_id, other_name, b"\0".to_vec(), answer(0, false, &[address])]
        }
        Reply::Silence => Vec::new(),
    }
}

struct World {
    lookup: Lookup,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(hosts: &str, resolv_conf: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lookup =
            Lookup { hosts: folder.path().join("hosts"), resolv_conf: folder.path().join("resolv.conf"), port };
        fs::write(&lookup.hosts, hosts).unwrap();
        fs::write(&lookup.resolv_conf, resolv_conf).unwrap();
        Self { lookup, _folder: folder }
    }

    /// Asks one server, with options.
    fn asking(server: &NameServer, options: &str) -> Self {
        Self::new("", &format!("nameserver 127.0.0.1\n{options}"), server.port)
    }

    fn found(&self, host: &str) -> Vec<String> {
        let found = self.lookup.addresses(host, Instant::now() + Duration::from_secs(20)).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    fn error(&self, host: &str) -> LookupError {
        self.lookup.addresses(host, Instant::now() + Duration::from_secs(20)).unwrap_err()
    }
}

/// A world in which nobody may be asked.
fn alone(hosts: &str) -> World {
    World::new(hosts, "nameserver 192.0.2.1", 1)
}

#[test]
fn an_address_is_its_own() {
    assert_eq!(alone("10.0.0.1 127.0.0.9").found("127.0.0.9"), ["127.0.0.9"]);
    assert_eq!(alone("").found("[2001:db8::1]"), ["2001:db8::1"]);
    assert_eq!(alone("").found("::1"), ["::1"]);
}

#[test]
fn hosts_come_before_name_servers() {
    let world = alone("127.0.0.7 registry.test r\n127.0.0.8 R # and so on");
    assert_eq!(world.found("Registry.test"), ["127.0.0.7"]);
    assert_eq!(world.found("r"), ["127.0.0.7", "127.0.0.8"]);
}

#[test]
fn localhost_is_this_machine_without_any_file() {
    let nowhere = Lookup { hosts: "/nowhere/hosts".into(), resolv_conf: "/nowhere/resolv.conf".into(), port: 1 };
    for host in ["localhost", "LOCALHOST.", "registry.localhost"] {
        assert_eq!(
            nowhere.addresses(host, Instant::now()).unwrap(),
            [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()]
        );
    }
    assert_eq!(alone("127.0.0.5 localhost").found("localhost"), ["127.0.0.5"]);
}

#[test]
fn names_that_cannot_be_are_not_asked_for() {
    for host in ["registry.invalid", "x.onion.", "a..b", "", &"a.".repeat(200)] {
        let error = alone("").error(host);
        assert_eq!(error.to_string(), format!("lookup {host}: no such host"));
        assert!(!error.is_temporary());
    }
}

#[test]
fn asks_for_both_families_and_prefers_ipv4() {
    let server = NameServer::start(&[
        ("a.io A", Reply::Addresses(&["127.0.0.2", "127.0.0.3"])),
        ("a.io AAAA", Reply::Addresses(&["::1"])),
        ("six.io A", NODATA),
        ("six.io AAAA", Reply::Addresses(&["::1"])),
    ]);
    let world = World::asking(&server, "");
    assert_eq!(world.found("A.io"), ["127.0.0.2", "127.0.0.3", "::1"]);
    assert_eq!(server.asked(), ["udp a.io A", "udp a.io AAAA"]);
    assert_eq!(world.found("six.io"), ["::1"]);
}

#[test]
fn asks_again_by_tcp_for_what_is_too_long() {
    let server = NameServer::start(&[("a.io A", Reply::Large(&["127.0.0.2"; 300])), ("a.io AAAA", NODATA)]);
    assert_eq!(World::asking(&server, "").found("a.io"), ["127.0.0.2"]);
    assert_eq!(server.asked(), ["tcp a.io A", "udp a.io A", "udp a.io AAAA"]);
    assert_eq!(World::asking(&server, "options use-vc").found("a.io"), ["127.0.0.2"]);
    assert_eq!(server.asked(), ["tcp a.io A", "tcp a.io AAAA"]);
}

#[test]
fn takes_no_forged_answer() {
    let server = NameServer::start(&[("* A", Reply::Forged("127.0.0.2")), ("* AAAA", Reply::Forged("::1"))]);
    assert_eq!(World::asking(&server, "").found("a.io"), ["127.0.0.2", "::1"]);
}

#[test]
fn a_name_that_is_not_there_is_no_such_host() {
    let server = NameServer::start(&[("empty.io", NXDOMAIN), ("empty.io A", NODATA), ("empty.io AAAA", NODATA)]);
    for host in ["gone.io", "empty.io"] {
        let error = World::asking(&server, "").error(host);
        assert_eq!(error.to_string(), format!("lookup {host} on 127.0.0.1:{}: no such host", server.port));
        assert!(!error.is_temporary());
    }
}

#[test]
fn searches_the_domains_that_a_name_may_be_in() {
    let server = NameServer::start(&[
        ("registry.b.io A", Reply::Addresses(&["127.0.0.2"])),
        ("registry.a.io", SERVFAIL),
        ("registry.a.io A", SERVFAIL),
        ("a.b.c A", Reply::Addresses(&["127.0.0.3"])),
    ]);
    let world = World::asking(&server, "search a.io b.io\noptions ndots:2 attempts:1");
    // The first domain's failure does not hide the second.
    assert_eq!(world.found("registry"), ["127.0.0.2"]);
    server.asked();
    assert_eq!(world.found("a.b.c"), ["127.0.0.3"]);
    assert_eq!(server.asked(), ["udp a.b.c A", "udp a.b.c AAAA"]);
    assert_eq!(world.error("registry.").cause.to_string(), "no such host");
    assert_eq!(server.asked(), ["udp registry A", "udp registry AAAA"]);
    // It cannot be known whether this one exists.
    let error = World::asking(&server, "search a.io c.io\noptions attempts:1").error("registry");
    assert_eq!(error.to_string(), format!("lookup registry on 127.0.0.1:{}: server misbehaving", server.port));
    assert!(error.is_temporary());
}

#[test]
fn asks_the_next_server_when_one_is_not_there() {
    let server = NameServer::start(&[("* A", Reply::Addresses(&["127.0.0.2"]))]);
    // Nothing listens at 127.0.0.77, which is told at once.
    let world = World::new("", "nameserver 127.0.0.77\nnameserver 127.0.0.1", server.port);
    let start = Instant::now();
    assert_eq!(world.found("a.io"), ["127.0.0.2"]);
    assert!(start.elapsed() < Duration::from_secs(4));
    let error = World::new("", "nameserver 127.0.0.77", server.port).error("a.io");
    assert_eq!(error.to_string(), format!("lookup a.io on 127.0.0.77:{}: connection refused", server.port));
    assert!(error.is_temporary());
}

#[test]
fn asks_a_silent_server_again_and_gives_up_in_time() {
    let server = NameServer::start(&[("*", Reply::Silence)]);
    let world = World::asking(&server, "search a.io\noptions timeout:1 attempts:2");
    let start = Instant::now();
    let error = world.lookup.addresses("b.io", start + Duration::from_millis(1200)).unwrap_err();
    assert!((1200..1900).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert_eq!(error.to_string(), format!("lookup b.io on 127.0.0.1:{}: i/o timeout", server.port));
    assert!(error.is_temporary());
    assert_eq!(server.asked(), ["udp b.io A", "udp b.io A", "udp b.io AAAA", "udp b.io AAAA"]);
}

#[test]
fn an_answer_for_one_family_is_enough() {
    let server = NameServer::start(&[("* A", Reply::Silence), ("* AAAA", Reply::Addresses(&["::1"]))]);
    let world = World::asking(&server, "options timeout:1");
    let start = Instant::now();
    assert_eq!(world.found("a.io"), ["::1"]);
    assert!(start.elapsed() < Duration::from_millis(1900));
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn files_that_are_no_text_say_what_they_can() {
    let world = alone("");
    fs::write(&world.lookup.hosts, b"\xff\xfe a.io\n127.0.0.2 b.io \xff\n").unwrap();
    assert_eq!(world.found("b.io"), ["127.0.0.2"]);
}

proptest::proptest! {
    #[test]
    fn no_files_make_it_panic(text in "([a-z:.0-9#; \t\n]|nameserver |options |search |ndots:|timeout:){0,60}", host in "[a-z.\\[\\]:0-9]{0,20}") {
        let config = Config::parse(&text, 53);
        proptest::prop_assert!(!config.servers.is_empty() && config.candidates(&host).contains(&host));
        config::addresses_in_hosts(&text, &host);
    }
}
