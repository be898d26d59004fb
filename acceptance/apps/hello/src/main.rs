//! A small web server: the sample app of this project.
//!
//! It answers `GET /` with a greeting and `GET /environment` with the variables that buildpacks set for it.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        // A client that goes away is no reason to stop.
        if let Err(error) = stream.and_then(answer) {
            eprintln!("request failed: {error}");
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?).lines();
    let first = request.next().transpose()?.unwrap_or_default();
    // Headers are of no interest, but a client wants to have sent them.
    while request.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = match first.split_whitespace().nth(1) {
        Some("/") => ("200 OK", greeting()),
        Some("/environment") => ("200 OK", environment()),
        _ => ("404 Not Found", "there is nothing here\n".to_owned()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn greeting() -> String {
    format!("{}\n", env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned()))
}

/// The variables whose names begin with `GREETING` or `SAMPLE_`, sorted.
fn environment() -> String {
    let mut lines: Vec<String> = env::vars()
        .filter(|(name, _)| name.starts_with("GREETING") || name.starts_with("SAMPLE_"))
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    lines.sort();
    lines.concat()
}
