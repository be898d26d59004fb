//! One name server: asks it for both families at once and waits for its answers.
//!
//! Each question has a socket, and so a port, of its own: packets that follow each other on one port get lost where
//! addresses are translated, as in a cluster, and who would forge answers has to guess both ports.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::Cause;
use super::message::{Answer, Family, Name, Question};

/// The longest datagram that is read, in bytes. Without extensions no server sends more than 512.
const DATAGRAM_LIMIT: usize = 4096;

/// Asks a server for all addresses of a name. There are none if there is no such name.
pub(super) fn ask(server: SocketAddr, name: &Name, use_vc: bool, by: Instant) -> Result<Vec<IpAddr>, Cause> {
    let question = |family| Question { id: random_id(), name, family };
    let (v4, v6) = (question(Family::V4), question(Family::V6));
    let answers = if use_vc {
        [&v4, &v6].map(|question| by_tcp(server, question, by))
    } else {
        let sockets = [&v4, &v6].map(|question| send(server, question).map(|socket| (socket, question)));
        sockets.map(|sent| sent.and_then(|(socket, question)| receive(&socket, server, question, by)))
    };
    let mut found = Vec::new();
    let mut failed = None;
    for answer in answers {
        match answer {
            Ok(Answer::Addresses(addresses)) => found.extend(addresses),
            Ok(Answer::Truncated | Answer::Misbehaving) => failed = failed.or(Some(Cause::Misbehaving)),
            Err(error) => failed = failed.or(Some(error.into())),
        }
    }
    // Addresses of one family are enough to go on with.
    match failed {
        Some(cause) if found.is_empty() => Err(cause),
        _ => Ok(found),
    }
}

/// A number that others cannot guess: std's hash maps are keyed with such.
fn random_id() -> u16 {
    let [low, high, ..] = RandomState::new().hash_one(0).to_le_bytes();
    u16::from_le_bytes([low, high])
}

fn send(server: SocketAddr, question: &Question<'_>) -> io::Result<UdpSocket> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // From now on it hears this server only.
    socket.connect(server)?;
    socket.send(&question.message())?;
    Ok(socket)
}

fn receive(socket: &UdpSocket, server: SocketAddr, question: &Question<'_>, by: Instant) -> io::Result<Answer> {
    let mut buffer = [0; DATAGRAM_LIMIT];
    loop {
        // An answer may have come while the other one was waited for in vain.
        socket.set_read_timeout(Some(left(by).unwrap_or(Duration::from_millis(1))))?;
        match socket.recv(&mut buffer) {
            Ok(length) => match question.answer_in(&buffer[..length]) {
                Some(Answer::Truncated) => return by_tcp(server, question, by),
                Some(answer) => return Ok(answer),
                // Late, or forged.
                None => _ = left(by)?,
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn by_tcp(server: SocketAddr, question: &Question<'_>, by: Instant) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, left(by)?)?;
    let message = question.message();
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.set_write_timeout(Some(left(by)?))?;
    stream.write_all(&[&length.to_be_bytes()[..], &message].concat())?;
    let mut length = [0; 2];
    read_all(&mut stream, &mut length, by)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    read_all(&mut stream, &mut message, by)?;
    Ok(question.answer_in(&message).unwrap_or(Answer::Misbehaving))
}

/// Fills the buffer, in time.
fn read_all(stream: &mut TcpStream, mut buffer: &mut [u8], by: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(left(by)?))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => buffer = &mut buffer[length..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The time that is left, or that there is none.
fn left(by: Instant) -> io::Result<Duration> {
    let left = by.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
