//! What a system says of names: `/etc/hosts`, and who is asked as `/etc/resolv.conf` says (hosts(5), resolv.conf(5)).
//!
//! Lines that make no sense, or name what is not known here, are passed over, as every C library does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How many name servers count.
const SERVER_LIMIT: usize = 3;

/// Who is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) servers: Vec<SocketAddr>,
    /// What a name may be short for: it and one of these.
    pub(super) search: Vec<String>,
    /// With as many dots a name is asked for as it is first.
    pub(super) ndots: usize,
    /// How long a server may take to answer.
    pub(super) timeout: Duration,
    /// How often all servers are asked.
    pub(super) attempts: u32,
    /// By TCP only.
    pub(super) use_vc: bool,
}

impl Config {
    /// Reads `resolv.conf`. Servers are asked at `port`; without any, this machine is.
    pub(super) fn parse(text: &str, port: u16) -> Self {
        let mut config = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            use_vc: false,
        };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                // A server on a link, `fe80::1%eth0`, is none here: std cannot tell the number of `eth0`.
                Some("nameserver") if config.servers.len() < SERVER_LIMIT => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    config.servers.extend(address.map(|address| SocketAddr::new(address, port)));
                }
                Some("search" | "domain") => {
                    let domains = words.map(|word| word.trim_end_matches('.').to_owned());
                    config.search = domains.filter(|domain| !domain.is_empty()).collect();
                }
                Some("options") => words.for_each(|option| config.set(option)),
                _ => {}
            }
        }
        if config.servers.is_empty() {
            config.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        }
        config
    }

    fn set(&mut self, option: &str) {
        if option == "use-vc" {
            self.use_vc = true;
        }
        let Some((name, Ok(value))) = option.split_once(':').map(|(name, value)| (name, value.parse::<u32>())) else {
            return;
        };
        match name {
            "ndots" => self.ndots = value.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30).into()),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// The names to ask for in this order when `host` is looked for. With a dot at its end it is short for nothing.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let mut candidates: Vec<String> = self.search.iter().map(|domain| format!("{host}.{domain}")).collect();
        let is_whole = host.matches('.').count() >= self.ndots;
        candidates.insert(if is_whole { 0 } else { candidates.len() }, host.to_owned());
        candidates
    }
}

/// The addresses of a name in a `hosts` file.
pub(super) fn addresses_in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let of_line = |line: &str| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host)).then_some(address)
    };
    text.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_who_is_asked_and_how() {
        let text = "# nameserver 9.9.9.9\n; x\nnameserver 10.0.0.1\nnameserver\t2001:db8::1 # y\nnameserver fe80::1%eth0\n\
            nameserver nowhere\nnameserver 10.0.0.2\nnameserver 10.0.0.3\ndomain old.io\nsearch a.io. . b.io\n\
            options ndots:5 timeout:1\noptions attempts:3 rotate use-vc edns0 ndots:x timeout:\nsortlist 1.2.3.4\nnameserver";
        let config = Config::parse(text, 53);
        let servers = ["10.0.0.1:53", "[2001:db8::1]:53", "10.0.0.2:53"].map(|server| server.parse().unwrap());
        let search = ["a.io", "b.io"].map(str::to_owned);
        let timeout = Duration::from_secs(1);
        let (servers, search) = (servers.to_vec(), search.to_vec());
        assert_eq!(config, Config { servers, search, ndots: 5, timeout, attempts: 3, use_vc: true });
    }

    #[test]
    fn asks_this_machine_when_it_is_told_nothing() {
        let config = Config::parse("", 53);
        assert_eq!(config.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!((config.ndots, config.timeout, config.attempts), (1, Duration::from_secs(5), 2));
    }

    #[test]
    fn options_have_bounds() {
        let config = Config::parse("options ndots:99 timeout:0 attempts:0", 53);
        assert_eq!((config.ndots, config.timeout, config.attempts), (15, Duration::from_secs(1), 1));
        let config = Config::parse("options timeout:4294967295 attempts:4294967295", 53);
        assert_eq!((config.timeout, config.attempts), (Duration::from_secs(30), 5));
    }

    #[test]
    fn knows_what_a_name_may_be_short_for() {
        let config = Config::parse("search a.io b.io\noptions ndots:2", 53);
        assert_eq!(config.candidates("x.y"), ["x.y.a.io", "x.y.b.io", "x.y"]);
        assert_eq!(config.candidates("x.y.z"), ["x.y.z", "x.y.z.a.io", "x.y.z.b.io"]);
        assert_eq!(config.candidates("x.y."), ["x.y."]);
    }

    #[test]
    fn finds_all_addresses_of_a_name_in_hosts() {
        let text = "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # a.io\n  10.0.0.1 b.io A.io.\n#10.0.0.2 a.io\n\
            a.io 10.0.0.3\n10.0.0.4\n10.0.0.5 a.io";
        let found = |host| addresses_in_hosts(text, host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("a.io"), ["10.0.0.1", "10.0.0.5"]);
        assert_eq!(found("LOCALHOST."), ["127.0.0.1", "::1"]);
        assert_eq!(found("io"), [""; 0]);
    }
}
